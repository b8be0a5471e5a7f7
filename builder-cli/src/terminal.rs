//! The caller's terminal, lent to a command that has one of its own.
//!
//! In: the other end of the command's terminal. Out: while the command runs,
//! keys go to it as they are typed, what it writes comes back, and it always
//! has the size of the caller's.
//!
//! Invariant: the caller's terminal is as it was before when [`Lent`] is
//! dropped, and when the process ends through [`restore`].

use std::fs::File;
use std::io::{self, IsTerminal, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use builder_core::exec::TerminalSize;
use rustix::termios::{OptionalActions, Termios, tcgetattr, tcgetwinsize, tcsetattr, tcsetwinsize};
use signal_hook::consts::SIGWINCH;
use signal_hook::iterator::Signals;

/// How standard input's terminal was before it was lent.
static BEFORE: Mutex<Option<Termios>> = Mutex::new(None);

/// What Ctrl-C and Ctrl-D send.
const INTERRUPT: u8 = 3;
const END: u8 = 4;
/// So many interrupts in this time stop a command that heeds none: the first
/// process of a pid namespace may ignore them, and there is no other key.
const INSIST: (usize, Duration) = (3, Duration::from_secs(1));

/// The size of the caller's terminal, if there is a person at both ends.
pub(crate) fn size() -> Option<TerminalSize> {
    let both = io::stdin().is_terminal() && io::stdout().is_terminal();
    both.then(|| own_size().unwrap_or(FALLBACK))
}

/// Of a terminal that nobody looks at.
pub(crate) const FALLBACK: TerminalSize = TerminalSize { rows: 24, columns: 80 };

fn own_size() -> Option<TerminalSize> {
    let size = tcgetwinsize(io::stdin()).ok()?;
    Some(TerminalSize { rows: size.ws_row, columns: size.ws_col })
}

/// The caller's terminal is as it was. May be called at any time.
pub(crate) fn restore() {
    let before = BEFORE.lock().unwrap_or_else(PoisonError::into_inner).take();
    if let Some(before) = before {
        let _ = tcsetattr(io::stdin(), OptionalActions::Drain, &before);
    }
}

/// A terminal that is lent. Dropping it takes it back.
pub(crate) struct Lent {
    output: Option<JoinHandle<()>>,
}

impl Lent {
    /// Lends the caller's streams to the command at the other side of
    /// `theirs`. `stop` is called when the command is to be ended.
    pub(crate) fn to(
        theirs: OwnedFd,
        stop: impl Fn() + Send + Clone + 'static,
    ) -> io::Result<Self> {
        let theirs = File::from(theirs);
        let (keys, screen, sized) = (theirs.try_clone()?, theirs.try_clone()?, theirs);
        let mut changes = Signals::new([SIGWINCH])?;
        start("window size", move || {
            for _ in changes.forever() {
                fit(&sized);
            }
        })?;
        make_raw()?;
        let gone = stop.clone();
        let output = start("terminal output", move || {
            if pass_output(screen).is_err() {
                gone();
            }
        });
        let output = output.inspect_err(|_| restore())?;
        start("terminal input", move || pass_input(keys, &stop)).inspect_err(|_| restore())?;
        Ok(Self { output: Some(output) })
    }

    /// Takes the terminal back when all that the command wrote is shown.
    pub(crate) fn finish(mut self) {
        if let Some(output) = self.output.take() {
            let _ = output.join();
        }
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        restore();
    }
}

fn start(name: &str, work: impl FnOnce() + Send + 'static) -> io::Result<JoinHandle<()>> {
    std::thread::Builder::new().name(name.to_owned()).spawn(work)
}

/// No key is a signal or a line of ours while the command has its own.
fn make_raw() -> io::Result<()> {
    let Ok(before) = tcgetattr(io::stdin()) else { return Ok(()) };
    let mut raw = before.clone();
    raw.make_raw();
    *BEFORE.lock().unwrap_or_else(PoisonError::into_inner) = Some(before);
    Ok(tcsetattr(io::stdin(), OptionalActions::Drain, &raw)?)
}

fn fit(theirs: &File) {
    if let Ok(size) = tcgetwinsize(io::stdin()) {
        let _ = tcsetwinsize(theirs, size);
    }
}

/// Shows what the command writes, up to its end. An error is that nobody can
/// see it.
fn pass_output(mut theirs: File) -> io::Result<()> {
    let mut buffer = vec![0; 64 << 10];
    let stdout = io::stdout();
    loop {
        let count = match theirs.read(&mut buffer) {
            // EIO: nothing holds the terminal any more.
            Ok(0) | Err(_) => return Ok(()),
            Ok(count) => count,
        };
        let mut out = stdout.lock();
        out.write_all(&buffer[..count]).and_then(|()| out.flush())?;
    }
}

/// Passes what is typed. The end of standard input becomes that of the command's.
fn pass_input(mut theirs: File, stop: &dyn Fn()) {
    let mut insistence = Insistence::default();
    let mut buffer = [0; 4096];
    let mut in_line = false;
    loop {
        let count = match rustix::io::read(io::stdin().as_fd(), &mut buffer) {
            Ok(0) | Err(rustix::io::Errno::IO) => {
                // Within a line the first one only hands over what is there.
                let _ = theirs.write_all(if in_line { &[END, END] } else { &[END] });
                return;
            }
            Ok(count) => count,
            Err(rustix::io::Errno::INTR) => continue,
            Err(_) => return,
        };
        in_line = !matches!(buffer[count - 1], b'\n' | b'\r');
        if insistence.hears(&buffer[..count], Instant::now()) {
            stop();
        }
        if theirs.write_all(&buffer[..count]).is_err() {
            return;
        }
    }
}

/// Watches for a person who wants out.
#[derive(Default)]
struct Insistence {
    pressed: Vec<Instant>,
}

impl Insistence {
    /// Whether with these keys there are enough interrupts in a row.
    fn hears(&mut self, keys: &[u8], now: Instant) -> bool {
        if keys.iter().any(|key| *key != INTERRUPT) {
            self.pressed.clear();
            return false;
        }
        self.pressed.retain(|at| now.saturating_duration_since(*at) < INSIST.1);
        self.pressed.extend(keys.iter().map(|_| now));
        self.pressed.len() >= INSIST.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_interrupts_in_a_row_within_a_second_insist() {
        let begin = Instant::now();
        let at = |millis| begin + Duration::from_millis(millis);
        let mut insistence = Insistence::default();
        assert!(!insistence.hears(b"\x03", at(0)));
        assert!(!insistence.hears(b"\x03", at(100)));
        assert!(insistence.hears(b"\x03", at(200)));
        let mut slow = Insistence::default();
        assert!((0..9).all(|n| !slow.hears(b"\x03", at(n * 600))));
        let mut typing = Insistence::default();
        assert!(!typing.hears(b"\x03\x03", at(0)));
        assert!(!typing.hears(b"ls\r", at(1)));
        assert!(!typing.hears(b"\x03\x03", at(2)));
    }
}
