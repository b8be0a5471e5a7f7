//! Globs by the rules of Go's `filepath.Match`, and lists of them by those of
//! `.dockerignore`.
//!
//! `*` and `?` never match a slash, `[a-z]` and `[^a-z]` match one character,
//! `\` takes the next one as it is, and `**` matches any number of directories.
//! Matching takes time proportional to pattern times name, whatever either holds.
//! A byte that is no UTF-8 counts as one character.

use super::FileOpError;
use crate::layer::LayerPath;

const SLASH: u32 = '/' as u32;

enum Token {
    Literal(u32),
    /// `?`
    One,
    /// `*`
    Star,
    Class {
        negated: bool,
        ranges: Vec<(u32, u32)>,
    },
    /// `**` at the end or before something other than a slash.
    Deep,
    /// `**/`: nothing, or anything that ends in a slash. Always before `Inside`.
    Directories,
    /// The anything of [`Token::Directories`].
    Inside,
}

/// A compiled pattern.
pub(super) struct Pattern(Vec<Token>);

/// Whether a name is more than itself.
pub(super) fn is_glob(text: &[u8]) -> bool {
    text.iter().any(|b| b"*?[\\".contains(b))
}

impl Pattern {
    pub(super) fn new(text: &[u8]) -> Result<Self, FileOpError> {
        let bad = |reason| FileOpError::Pattern {
            pattern: String::from_utf8_lossy(text).into_owned(),
            reason,
        };
        let symbols = symbols(text);
        let at = |index: usize| symbols.get(index).and_then(|s| char::from_u32(*s));
        let mut tokens = Vec::new();
        let mut next = 0;
        while next < symbols.len() {
            let symbol = symbols[next];
            next += 1;
            match char::from_u32(symbol) {
                Some('?') => tokens.push(Token::One),
                Some('*') if at(next) == Some('*') => {
                    while at(next) == Some('*') {
                        next += 1;
                    }
                    if at(next) == Some('/') {
                        next += 1;
                        tokens.extend([Token::Directories, Token::Inside]);
                    } else {
                        tokens.push(Token::Deep);
                    }
                }
                Some('*') => tokens.push(Token::Star),
                Some('[') => {
                    let (class, end) = class(&symbols, next).map_err(bad)?;
                    tokens.push(class);
                    next = end;
                }
                Some('\\') => {
                    let literal = symbols.get(next).ok_or_else(|| bad("it ends in `\\`"))?;
                    tokens.push(Token::Literal(*literal));
                    next += 1;
                }
                _ => tokens.push(Token::Literal(symbol)),
            }
        }
        Ok(Self(tokens))
    }

    /// Whether the whole of `name` matches.
    pub(super) fn matches(&self, name: &[u8]) -> bool {
        let end = self.0.len();
        let (mut states, mut after) = (vec![false; end + 1], vec![false; end + 1]);
        self.reach(&mut states, 0);
        for symbol in symbols(name) {
            after.fill(false);
            for (state, token) in self.0.iter().enumerate().filter(|(state, _)| states[*state]) {
                let one = symbol != SLASH;
                match token {
                    Token::Literal(literal) if *literal == symbol => {
                        self.reach(&mut after, state + 1);
                    }
                    Token::One if one => self.reach(&mut after, state + 1),
                    Token::Class { negated, ranges } if one => {
                        let inside = ranges.iter().any(|(a, b)| (*a..=*b).contains(&symbol));
                        if inside != *negated {
                            self.reach(&mut after, state + 1);
                        }
                    }
                    Token::Star if one => self.reach(&mut after, state),
                    Token::Deep => self.reach(&mut after, state),
                    Token::Inside => {
                        after[state] = true;
                        if symbol == SLASH {
                            self.reach(&mut after, state + 1);
                        }
                    }
                    _ => {}
                }
            }
            std::mem::swap(&mut states, &mut after);
        }
        states[end]
    }

    /// Enters a state and those that need no more symbols.
    fn reach(&self, states: &mut [bool], state: usize) {
        if states[state] {
            return;
        }
        states[state] = true;
        match self.0.get(state) {
            Some(Token::Star | Token::Deep) => self.reach(states, state + 1),
            Some(Token::Directories) => {
                states[state + 1] = true;
                self.reach(states, state + 2);
            }
            _ => {}
        }
    }
}

fn class(symbols: &[u32], mut next: usize) -> Result<(Token, usize), &'static str> {
    const OPEN: &str = "a `[` is not closed";
    let is = |index: usize, c: char| symbols.get(index) == Some(&u32::from(c));
    let one = |next: &mut usize| {
        if is(*next, '-') || is(*next, ']') {
            return Err("a `[...]` is malformed");
        }
        *next += usize::from(is(*next, '\\'));
        *next += 1;
        symbols.get(*next - 1).copied().ok_or(OPEN)
    };
    let negated = is(next, '^');
    next += usize::from(negated);
    let mut ranges = Vec::new();
    while ranges.is_empty() || !is(next, ']') {
        let from = one(&mut next)?;
        let to = if is(next, '-') {
            next += 1;
            one(&mut next)?
        } else {
            from
        };
        ranges.push((from, to));
    }
    Ok((Token::Class { negated, ranges }, next + 1))
}

/// Characters, and bytes that are none above all characters.
fn symbols(text: &[u8]) -> Vec<u32> {
    const BEYOND: u32 = 0x11_0000;
    let mut symbols = Vec::with_capacity(text.len());
    for chunk in text.utf8_chunks() {
        symbols.extend(chunk.valid().chars().map(u32::from));
        symbols.extend(chunk.invalid().iter().map(|b| BEYOND + u32::from(*b)));
    }
    symbols
}

/// A list of patterns of what is left out: one that matches a directory leaves
/// out all below it, `!` takes back in, the last that matches counts.
pub(super) struct Excludes(Vec<(bool, Pattern)>);

/// Which patterns match a path or a directory above it.
#[derive(Clone, Default)]
pub(super) struct Matched(Vec<bool>);

impl Excludes {
    pub(super) fn new(texts: &[String]) -> Result<Self, FileOpError> {
        let mut patterns = Vec::new();
        for text in texts {
            let text = text.trim();
            let (back, text) = match text.strip_prefix('!') {
                Some(rest) => (true, rest.trim_start()),
                None => (false, text),
            };
            let clean: Vec<&str> =
                text.split('/').filter(|part| !part.is_empty() && *part != ".").collect();
            if !clean.is_empty() {
                patterns.push((back, Pattern::new(clean.join("/").as_bytes())?));
            }
        }
        Ok(Self(patterns))
    }

    /// Whether something below a directory that is left out may be taken back in.
    pub(super) fn has_exceptions(&self) -> bool {
        self.0.iter().any(|(back, _)| *back)
    }

    /// What matches `path`, given what matches its parent.
    pub(super) fn below(&self, parent: &Matched, path: &LayerPath) -> Matched {
        let inherited = |index: usize| parent.0.get(index).copied().unwrap_or(false);
        let matched = self.0.iter().enumerate().map(|(index, (_, pattern))| {
            inherited(index) || !path.is_root() && pattern.matches(path.as_bytes())
        });
        Matched(matched.collect())
    }

    /// What matches `path`.
    pub(super) fn at(&self, path: &LayerPath) -> Matched {
        let mut matched = Matched::default();
        for ancestor in path.ancestors() {
            matched = self.below(&matched, &ancestor);
        }
        self.below(&matched, path)
    }

    /// Whether what is matched so is left out.
    pub(super) fn leave_out(&self, matched: &Matched) -> bool {
        let last = self.0.iter().zip(&matched.0).rev().find(|(_, matched)| **matched);
        last.is_some_and(|((back, _), _)| !*back)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mutate::{as_it_is, hammer};

    #[test]
    fn patterns_match_as_in_go() {
        let table = [
            ("abc", "abc", true),
            ("*", "abc", true),
            ("*", ".abc", true),
            ("*", "", true),
            ("*c", "abc", true),
            ("a*/b", "abc/b", true),
            ("a*/b", "a/c/b", false),
            ("a*b*c*d*e*", "axbxcxdxe", true),
            ("a*b*c*d*e*/f", "axbxcxdxexxx/f", true),
            ("a*b?c*x", "abxbbxdbxebxczzx", true),
            ("a*b?c*x", "abxbbxdbxebxczzy", false),
            ("ab[c]", "abc", true),
            ("ab[b-d]", "abc", true),
            ("ab[e-g]", "abc", false),
            ("ab[^c]", "abc", false),
            ("ab[^e-g]", "abc", true),
            ("a\\*b", "a*b", true),
            ("a\\*b", "ab", false),
            ("a?b", "a☺b", true),
            ("a[^a]b", "a☺b", true),
            ("a???b", "a☺b", false),
            ("[a-ζ]*", "α", true),
            ("*[a-ζ]", "A", false),
            ("a?b", "a/b", false),
            ("a*b", "a/b", false),
            ("a[^x]b", "a/b", false),
            ("[\\]a]", "]", true),
            ("[\\-x]", "-", true),
            ("**", "a/b/c", true),
            ("**/c", "a/b/c", true),
            ("**/c", "c", true),
            ("**/c", "abc", false),
            ("a/**/c", "a/c", true),
            ("a/**/c", "a/x/y/c", true),
            ("a/**/c", "ac", false),
            ("a/**", "a/x/y", true),
            ("a/**", "a", false),
            ("**.go", "a/b.go", true),
        ];
        for (pattern, name, expected) in table {
            let compiled = Pattern::new(pattern.as_bytes()).expect("well-formed");
            assert_eq!(compiled.matches(name.as_bytes()), expected, "{pattern} {name}");
        }
        assert!(Pattern::new(b"a?").expect("good").matches(b"a\xff"));
    }

    #[test]
    fn malformed_patterns_are_refused() {
        for bad in ["[", "[a", "[]a]", "[-]", "[x-]", "[-x]", "[a-b-c]", "[^", "a\\", "[a\\"] {
            assert!(Pattern::new(bad.as_bytes()).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_hostile_pattern_costs_no_more_than_its_length() {
        let pattern = Pattern::new("*a".repeat(200).as_bytes()).expect("well-formed");
        assert!(!pattern.matches("a".repeat(199).as_bytes()));
        let pattern = Pattern::new("**/a".repeat(200).as_bytes()).expect("well-formed");
        assert!(!pattern.matches("a/".repeat(199).as_bytes()));
    }

    #[test]
    fn no_mutation_of_a_pattern_makes_it_panic() {
        let seeds = ["a/**/b*[^c-e]?\\]", "**", "!x/*.o", "[a-\u{3b6}]", "**/a/**"];
        let seeds: Vec<Vec<u8>> = seeds.iter().map(|text| text.as_bytes().to_vec()).collect();
        hammer("pattern", &seeds, &as_it_is, &|bytes| {
            let (text, name) = bytes.split_at(bytes.len() / 2);
            for pattern in [Pattern::new(text), Pattern::new(bytes)].into_iter().flatten() {
                let _ = (pattern.matches(name), pattern.matches(bytes));
            }
            let lines: Vec<String> =
                String::from_utf8_lossy(bytes).lines().map(str::to_owned).collect();
            if let (Ok(excludes), Ok(path)) = (Excludes::new(&lines), LayerPath::new(name)) {
                let _ = excludes.leave_out(&excludes.at(&path));
            }
        });
    }

    #[test]
    fn lists_leave_out_what_dockerignore_does() {
        let table: [(&[&str], &str, bool); 10] = [
            (&["*.o"], "a.o", true),
            (&["*.o"], "d/a.o", false),
            (&["**/*.o"], "d/a.o", true),
            (&["/node_modules/"], "node_modules/x/y", true),
            (&["node_modules", "!node_modules/x"], "node_modules/x/y", false),
            (&["node_modules", "!node_modules/x"], "node_modules/z", true),
            (&["!a", "a"], "a", true),
            (&["*", "!a"], "a", false),
            (&["", "  ", "."], "a", false),
            (&["**"], "a", true),
        ];
        for (texts, path, expected) in table {
            let texts: Vec<String> = texts.iter().map(|text| (*text).to_owned()).collect();
            let excludes = Excludes::new(&texts).expect("well-formed");
            let path = LayerPath::new(path).expect("a path");
            assert_eq!(excludes.leave_out(&excludes.at(&path)), expected, "{texts:?} {path:?}");
        }
    }
}
