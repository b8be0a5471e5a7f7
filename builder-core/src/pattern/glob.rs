//! One glob, as a machine that is in many states at once.

use super::PatternError;

const SLASH: u32 = '/' as u32;

#[derive(Debug)]
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
    /// `**`: anything.
    Deep,
    /// `**/`: nothing, or anything that ends in a slash. Always before `Inside`.
    Directories,
    /// The anything of [`Token::Directories`].
    Inside,
}

/// A compiled glob.
#[derive(Debug)]
pub struct Pattern {
    tokens: Vec<Token>,
    /// What each match begins with.
    prefix: Vec<u8>,
    /// What each match ends with.
    suffix: Vec<u8>,
    /// Whether it is nothing but its prefix.
    plain: bool,
}

/// Which states a machine is in, as bits.
struct States(Vec<u64>);

impl States {
    fn new(tokens: usize) -> Self {
        Self(vec![0; tokens / 64 + 1])
    }

    fn has(&self, state: usize) -> bool {
        self.0[state / 64] & 1 << (state % 64) != 0
    }

    fn add(&mut self, state: usize) {
        self.0[state / 64] |= 1 << (state % 64);
    }

    fn is_empty(&self) -> bool {
        self.0.iter().all(|word| *word == 0)
    }

    fn each(&self) -> impl Iterator<Item = usize> {
        self.0.iter().enumerate().flat_map(|(at, word)| {
            let mut word = *word;
            std::iter::from_fn(move || {
                let bit = (word != 0).then(|| word.trailing_zeros() as usize)?;
                word &= word - 1;
                Some(at * 64 + bit)
            })
        })
    }
}

/// Whether a name is more than itself.
#[must_use]
pub fn is_glob(text: &[u8]) -> bool {
    text.iter().any(|b| b"*?[\\".contains(b))
}

/// How `**` is read.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Rules {
    /// As `*`.
    Name,
    /// As any number of directories.
    Path,
}

impl Pattern {
    /// A glob for one name, by the rules of Go's `filepath.Match`.
    ///
    /// # Errors
    /// [`PatternError`].
    pub fn name(text: &[u8]) -> Result<Self, PatternError> {
        Self::new(text, Rules::Name)
    }

    /// A glob for a path, by the rules of `.dockerignore`.
    ///
    /// # Errors
    /// [`PatternError`].
    pub fn path(text: &[u8]) -> Result<Self, PatternError> {
        Self::new(text, Rules::Path)
    }

    fn new(text: &[u8], rules: Rules) -> Result<Self, PatternError> {
        let bad =
            |reason| PatternError { pattern: String::from_utf8_lossy(text).into_owned(), reason };
        let symbols: Vec<u32> = symbols(text).collect();
        let at = |index: usize| symbols.get(index).and_then(|s| char::from_u32(*s));
        let mut tokens = Vec::new();
        let mut next = 0;
        while next < symbols.len() {
            let symbol = symbols[next];
            next += 1;
            match char::from_u32(symbol) {
                Some('?') => tokens.push(Token::One),
                Some('*') if rules == Rules::Path && at(next) == Some('*') => {
                    next += 1;
                    let slash = at(next) == Some('/');
                    next += usize::from(slash);
                    // At the start and before nothing but letters it is the
                    // start of any name there.
                    let rest = || symbols[next..].iter().filter_map(|s| char::from_u32(*s));
                    let letters = next == 2 && !rest().any(|c| "*?[]\\".contains(c));
                    if next == symbols.len() || letters && !slash {
                        tokens.push(Token::Deep);
                    } else {
                        tokens.extend([Token::Directories, Token::Inside]);
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
        Ok(Self::of(tokens))
    }

    fn of(tokens: Vec<Token>) -> Self {
        let letter = |token: &Token| match token {
            Token::Literal(symbol) => Some(*symbol),
            _ => None,
        };
        let prefix: Vec<u32> = tokens.iter().map_while(letter).collect();
        let mut suffix: Vec<u32> = tokens.iter().rev().map_while(letter).collect();
        suffix.reverse();
        let plain = prefix.len() == tokens.len();
        Self { prefix: bytes(&prefix), suffix: bytes(&suffix), plain, tokens }
    }

    /// Whether the whole of `name` matches.
    #[must_use]
    pub fn matches(&self, name: &[u8]) -> bool {
        if !name.starts_with(&self.prefix) || !name.ends_with(&self.suffix) {
            return false;
        }
        if self.plain {
            return name.len() == self.prefix.len();
        }
        self.run(&[name]).has(self.tokens.len())
    }

    /// Whether a path below `directory` may match.
    #[must_use]
    pub fn may_match_below(&self, directory: &[u8]) -> bool {
        if directory.is_empty() {
            return true;
        }
        let shared = directory.len().min(self.prefix.len());
        if directory[..shared] != self.prefix[..shared] {
            return false;
        }
        self.run(&[directory, b"/"]).each().any(|state| state < self.tokens.len())
    }

    /// The states after these parts of a name.
    fn run(&self, name: &[&[u8]]) -> States {
        let (mut states, mut after) =
            (States::new(self.tokens.len()), States::new(self.tokens.len()));
        self.reach(&mut states, 0);
        for symbol in name.iter().flat_map(|part| symbols(part)) {
            after.0.fill(0);
            for state in states.each() {
                let Some(token) = self.tokens.get(state) else { continue };
                let one = symbol != SLASH;
                match token {
                    Token::Literal(literal) if *literal == symbol => {
                        self.reach(&mut after, state + 1);
                    }
                    Token::One if one => self.reach(&mut after, state + 1),
                    Token::Class { negated, ranges } => {
                        let inside = ranges.iter().any(|(a, b)| (*a..=*b).contains(&symbol));
                        if inside != *negated {
                            self.reach(&mut after, state + 1);
                        }
                    }
                    Token::Star if one => self.reach(&mut after, state),
                    Token::Deep => self.reach(&mut after, state),
                    Token::Inside => {
                        after.add(state);
                        if symbol == SLASH {
                            self.reach(&mut after, state + 1);
                        }
                    }
                    _ => {}
                }
            }
            std::mem::swap(&mut states, &mut after);
            if states.is_empty() {
                break;
            }
        }
        states
    }

    /// Enters a state and those that need no more symbols.
    fn reach(&self, states: &mut States, mut state: usize) {
        while !states.has(state) {
            states.add(state);
            match self.tokens.get(state) {
                Some(Token::Star | Token::Deep) => state += 1,
                Some(Token::Directories) => {
                    states.add(state + 1);
                    state += 2;
                }
                _ => return,
            }
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

/// What stands for a byte that is no character: above all of them.
const BEYOND: u32 = 0x11_0000;

/// Characters, and bytes that are none.
fn symbols(text: &[u8]) -> impl Iterator<Item = u32> {
    text.utf8_chunks().flat_map(|chunk| {
        let invalid = chunk.invalid().iter().map(|b| BEYOND + u32::from(*b));
        chunk.valid().chars().map(u32::from).chain(invalid)
    })
}

/// The bytes of symbols.
fn bytes(symbols: &[u32]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for symbol in symbols {
        match char::from_u32(*symbol) {
            Some(c) => bytes.extend(c.encode_utf8(&mut [0; 4]).as_bytes()),
            None => bytes.extend(u8::try_from(symbol - BEYOND)),
        }
    }
    bytes
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
            ("a[^x]b", "a/b", true),
            ("a[.-0]b", "a/b", true),
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
            ("**b*", "ab", false),
            ("**b*", "a/bc", true),
            ("a**b", "a/x/b", true),
            ("a**b", "axb", false),
            ("a**", "abc/d", true),
            ("**/**", "a/b", true),
            ("***", "a/b", true),
        ];
        for (pattern, name, expected) in table {
            let compiled = Pattern::path(pattern.as_bytes()).expect("well-formed");
            assert_eq!(compiled.matches(name.as_bytes()), expected, "{pattern} {name}");
        }
        let name = |pattern: &str| Pattern::name(pattern.as_bytes()).expect("well-formed");
        assert!(name("a**c").matches(b"abc") && !name("**").matches(b"a/b"));
        assert!(Pattern::path(b"a?").expect("good").matches(b"a\xff"));
    }

    #[test]
    fn malformed_patterns_are_refused() {
        for bad in ["[", "[a", "[]a]", "[-]", "[x-]", "[-x]", "[a-b-c]", "[^", "a\\", "[a\\"] {
            assert!(Pattern::path(bad.as_bytes()).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_hostile_pattern_costs_no_more_than_its_length() {
        let pattern = Pattern::path("*a".repeat(200).as_bytes()).expect("well-formed");
        assert!(!pattern.matches("a".repeat(199).as_bytes()));
        let pattern = Pattern::path("**/a".repeat(200).as_bytes()).expect("well-formed");
        assert!(!pattern.matches("a/".repeat(199).as_bytes()));
    }

    #[test]
    fn no_mutation_of_a_pattern_makes_it_panic() {
        let seeds = ["a/**/b*[^c-e]?\\]", "**", "!x/*.o", "[a-\u{3b6}]", "**/a/**"];
        let seeds: Vec<Vec<u8>> = seeds.iter().map(|text| text.as_bytes().to_vec()).collect();
        hammer("pattern", &seeds, &as_it_is, &|bytes| {
            let (text, name) = bytes.split_at(bytes.len() / 2);
            for pattern in [Pattern::path(text), Pattern::name(bytes)].into_iter().flatten() {
                let _ = (pattern.matches(name), pattern.matches(bytes));
            }
        });
    }
}
