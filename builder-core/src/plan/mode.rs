//! Modes of files as a user writes them: octal digits, or a change by symbols.
//!
//! In: `0644`, `u=rwX,go=rX`. Out: what a file of a mode gets. The grammar is
//! that of BSD's `setmode(3)`, as BuildKit has it (its `dchapes-mode`), with no
//! umask: `X` is the execute bit for directories and for what had one before
//! the change.

use std::fmt;

use serde::{Deserialize, Serialize};

/// All bits that a mode may have.
const ALL: u32 = 0o7777;
const STICKY: u32 = 0o1000;
/// What a change without `u`, `g` or `o` is for.
const EVERYBODY: u32 = 0o6777;

/// Why a text is no mode.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ModeError {
    /// It begins with a digit and is no octal number up to 7777.
    #[error("it should be octal digits, at most 07777")]
    Octal,
    /// It is no change by symbols.
    #[error("it should be octal digits, or a change such as `u=rwX,go=rX`")]
    Symbols,
}

/// A mode, or a change of one.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Mode(Kind);

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Kind {
    Octal(u32),
    /// The text, and what it does, in order.
    Symbols(String, Vec<Change>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Change {
    Set(u32),
    Clear(u32),
    /// Set for directories, and where one of `0o111` was set at first.
    SetIfExecutable(u32),
    /// The three bits of a class (its shift) go to others (their shifts' bits).
    Copy {
        from: u32,
        to: u32,
        op: Op,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Op {
    Add,
    Remove,
    Assign,
}

impl Mode {
    /// These permission bits; what is above 07777 is dropped.
    #[must_use]
    pub const fn octal(bits: u32) -> Self {
        Self(Kind::Octal(bits & ALL))
    }

    /// Reads what a user wrote.
    ///
    /// # Errors
    /// [`ModeError`].
    pub fn parse(text: &str) -> Result<Self, ModeError> {
        if text.starts_with(|c: char| c.is_ascii_digit()) {
            let octal = text.bytes().all(|b| (b'0'..=b'7').contains(&b));
            let bits = octal.then(|| u32::from_str_radix(text, 8).ok()).flatten();
            return bits.filter(|bits| *bits <= ALL).map(Self::octal).ok_or(ModeError::Octal);
        }
        Ok(Self(Kind::Symbols(text.to_owned(), changes(text).ok_or(ModeError::Symbols)?)))
    }

    /// The bits, where they are the same for every file.
    #[must_use]
    pub fn as_octal(&self) -> Option<u32> {
        match &self.0 {
            Kind::Octal(bits) => Some(*bits),
            Kind::Symbols(..) => None,
        }
    }

    /// What a file or directory of mode `before` gets.
    #[must_use]
    pub fn apply(&self, before: u32, is_dir: bool) -> u32 {
        let changes = match &self.0 {
            Kind::Octal(bits) => return *bits,
            Kind::Symbols(_, changes) => changes,
        };
        let executable = is_dir || before & 0o111 != 0;
        changes.iter().fold(before & ALL, |mode, change| match *change {
            Change::Set(bits) => mode | bits,
            Change::Clear(bits) => mode & !bits,
            Change::SetIfExecutable(bits) if executable => mode | bits,
            Change::SetIfExecutable(_) => mode,
            Change::Copy { from, to, op } => {
                let value = mode >> from & 0o7;
                let spread = (value | value << 3 | value << 6) & to;
                match op {
                    Op::Add => mode | spread,
                    Op::Remove => mode & !spread,
                    Op::Assign => mode & !to | spread,
                }
            }
        })
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Kind::Octal(bits) => write!(f, "{bits:04o}"),
            Kind::Symbols(text, _) => f.write_str(text),
        }
    }
}

impl TryFrom<String> for Mode {
    type Error = ModeError;

    fn try_from(text: String) -> Result<Self, ModeError> {
        Self::parse(&text)
    }
}

impl From<Mode> for String {
    fn from(mode: Mode) -> Self {
        mode.to_string()
    }
}

/// What a list of clauses does; `None` where it is none.
fn changes(text: &str) -> Option<Vec<Change>> {
    let mut changes = Vec::new();
    for clause in text.split(',') {
        let rest = clause.trim_start_matches(['a', 'u', 'g', 'o']);
        let who = clause[..clause.len() - rest.len()].chars().fold(0, |who, c| {
            who | match c {
                'u' => 0o4700,
                'g' => 0o2070,
                'o' => 0o0007,
                _ => EVERYBODY,
            }
        });
        let mut rest = rest.chars().peekable();
        rest.peek()?;
        while let Some(op) = rest.next() {
            let op = match op {
                '+' => Op::Add,
                '-' => Op::Remove,
                '=' => Op::Assign,
                _ => return None,
            };
            let letters = std::iter::from_fn(|| rest.next_if(|c| "rwxXstugo".contains(*c)));
            action(&mut changes, who, op, letters);
        }
    }
    Some(changes)
}

/// One operator with its letters.
fn action(changes: &mut Vec<Change>, mut who: u32, op: Op, letters: impl Iterator<Item = char>) {
    let (mut bits, mut if_executable, mut assigned) = (0, 0, false);
    // Letters of other people's bits take effect one by one, all else together.
    for letter in letters {
        match letter {
            'r' => bits |= 0o444,
            'w' => bits |= 0o222,
            'x' => bits |= 0o111,
            'X' if op == Op::Remove => bits |= 0o111,
            'X' => if_executable |= 0o111,
            // What is for others alone has neither.
            's' if who == 0 || who & !0o007 != 0 => bits |= 0o6000,
            't' if who == 0 || who & !0o007 != 0 => {
                who |= STICKY;
                bits |= STICKY;
            }
            's' | 't' => {}
            class => {
                if bits != 0 {
                    flush(changes, who, op, bits);
                }
                assigned |= op == Op::Assign;
                push_if_executable(changes, who, if_executable);
                (bits, if_executable) = (0, 0);
                let from = match class {
                    'u' => 6,
                    'g' => 3,
                    _ => 0,
                };
                let to = if who == 0 { 0o777 } else { whole_classes(who) };
                changes.push(Change::Copy { from, to, op });
            }
        }
    }
    if bits != 0 || op == Op::Assign && !assigned {
        flush(changes, who, op, bits);
    }
    push_if_executable(changes, who, if_executable);
}

/// The bits of those classes of which `who` has any.
fn whole_classes(who: u32) -> u32 {
    [0o700, 0o070, 0o007].into_iter().filter(|class| who & class != 0).sum()
}

fn push_if_executable(changes: &mut Vec<Change>, who: u32, bits: u32) {
    if bits != 0 {
        let who = if who == 0 { ALL } else { who };
        changes.push(Change::SetIfExecutable(who & bits));
    }
}

fn flush(changes: &mut Vec<Change>, who: u32, op: Op, bits: u32) {
    let effective = if who == 0 { bits } else { who & bits };
    match op {
        Op::Add => changes.push(Change::Set(effective)),
        Op::Remove => changes.push(Change::Clear(effective)),
        Op::Assign => {
            changes.push(Change::Clear(if who == 0 { EVERYBODY } else { who }));
            changes.push(Change::Set(effective));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mutate::{as_it_is, hammer};

    #[test]
    fn symbols_change_a_mode_as_chmod_does() {
        let table = [
            ("644", 0o755, false, 0o644),
            ("0", 0o755, true, 0),
            ("1777", 0o755, true, 0o1777),
            ("u=rwX,go=rX", 0o644, false, 0o644),
            ("u=rwX,go=rX", 0o744, false, 0o755),
            ("u=rwX,go=rX", 0o600, true, 0o755),
            ("+x", 0o644, false, 0o755),
            ("a+x", 0o644, false, 0o755),
            ("a-x", 0o755, true, 0o644),
            ("go-w", 0o666, false, 0o644),
            ("g=u", 0o640, false, 0o660),
            ("go=u-w", 0o640, false, 0o644),
            ("o=", 0o777, false, 0o770),
            ("=", 0o777, false, 0),
            ("=r", 0o777, false, 0o444),
            ("u+s", 0o755, false, 0o4755),
            ("g+s", 0o755, true, 0o2755),
            ("+s", 0o755, true, 0o6755),
            ("o+s", 0o755, true, 0o755),
            ("+t", 0o777, true, 0o1777),
            ("o+t", 0o777, true, 0o777),
            ("-X", 0o755, true, 0o644),
            ("a=r,u+w", 0o777, false, 0o644),
            ("u+r-w", 0o200, false, 0o400),
            ("u-x,g+X", 0o700, false, 0o610),
            ("u+", 0o644, false, 0o644),
            ("g-u", 0o777, false, 0o707),
            ("o+u", 0o750, false, 0o757),
        ];
        for (text, before, is_dir, after) in table {
            let mode = Mode::parse(text).expect(text);
            assert_eq!(mode.apply(before, is_dir), after, "{text} of {before:o}");
            assert_eq!(Mode::parse(&mode.to_string()), Ok(mode), "{text}");
        }
    }

    #[test]
    fn what_is_no_mode_is_refused() {
        for text in ["", "8", "10000", "0o644", "77777777777777", "rwx", "u", "u=rwx,", ",u=r"] {
            assert!(Mode::parse(text).is_err(), "{text}");
        }
        for text in ["u=rwz", "u=r w", "+644", "u=r,8", "-", "u=rw\u{e9}"] {
            assert!(Mode::parse(text).is_err() == (text != "-"), "{text}");
        }
        assert_eq!(Mode::parse("9"), Err(ModeError::Octal));
        assert_eq!(Mode::parse("z"), Err(ModeError::Symbols));
    }

    #[test]
    fn no_mutation_of_a_mode_makes_it_panic() {
        let seeds = ["0644", "u=rwX,go=rX", "g=u-w+t", "=,+s"].map(|text| text.as_bytes().to_vec());
        hammer("mode", &seeds, &as_it_is, &|bytes| {
            if let Ok(mode) = Mode::parse(&String::from_utf8_lossy(bytes)) {
                assert!(mode.apply(0o755, true) <= ALL);
            }
        });
    }
}
