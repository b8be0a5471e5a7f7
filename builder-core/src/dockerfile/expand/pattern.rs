//! The patterns of `${x#p}`, `${x%p}` and `${x/p/r}`: `*`, `?`, and `\` before
//! one of them, before itself, before `}` and before `/`.
//!
//! Neither wildcard matches a line break.

use regex::{Regex, RegexBuilder};

/// The longest pattern, in characters: searching may take the product of both
/// lengths.
const LONGEST: usize = 4096;

/// What a pattern may take once compiled, in bytes.
const COMPILED: usize = 8 << 20;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Token {
    Any,
    Star,
    Literal(char),
}

pub(super) struct Pattern(Vec<Token>);

impl Pattern {
    /// Reads a pattern.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let mut tokens = Vec::new();
        let mut chars = text.chars();
        while let Some(char) = chars.next() {
            tokens.push(match char {
                '*' => Token::Star,
                '?' => Token::Any,
                '\\' => match chars.next() {
                    Some(escaped @ ('*' | '?' | '\\' | '}' | '/')) => Token::Literal(escaped),
                    Some(other) => return Err(format!("invalid escape '\\{other}'")),
                    None => return Err("invalid escape '\\'".to_owned()),
                },
                char => Token::Literal(char),
            });
        }
        match tokens.len() > LONGEST {
            true => Err(format!("it is longer than {LONGEST} characters")),
            false => Ok(Self(tokens)),
        }
    }

    /// `value` without its beginning that is like this.
    pub(super) fn trim_start(&self, value: &str, longest: bool) -> Result<String, String> {
        let found = self.compile(true, longest)?.find(value).map_or(0, |found| found.end());
        Ok(value[found..].to_owned())
    }

    /// `value` without its end that is like this.
    pub(super) fn trim_end(mut self, value: &str, longest: bool) -> Result<String, String> {
        // A search finds what begins first, not what ends last: so all is
        // turned round.
        self.0.reverse();
        let turned: String = value.chars().rev().collect();
        Ok(self.trim_start(&turned, longest)?.chars().rev().collect())
    }

    /// `value` with `by` for what is like this; cut off soon after `most`
    /// bytes.
    pub(super) fn replace(
        &self,
        value: &str,
        by: &str,
        all: bool,
        most: usize,
    ) -> Result<String, String> {
        let mut text = String::new();
        let mut at = 0;
        let times = if all { usize::MAX } else { 1 };
        let regex = self.compile(false, true)?;
        for found in regex.find_iter(value).take(times) {
            text.push_str(&value[at..found.start()]);
            text.push_str(by);
            at = found.end();
            if text.len() > most {
                break;
            }
        }
        text.push_str(&value[at..]);
        Ok(text)
    }

    fn compile(&self, start: bool, longest: bool) -> Result<Regex, String> {
        let mut text = if start { "^".to_owned() } else { String::new() };
        let mut buffer = [0; 4];
        for token in &self.0 {
            match token {
                Token::Star if longest => text.push_str(".*"),
                Token::Star => text.push_str(".*?"),
                Token::Any => text.push('.'),
                Token::Literal(char) => {
                    text.push_str(&regex::escape(char.encode_utf8(&mut buffer)));
                }
            }
        }
        let mut builder = RegexBuilder::new(&text);
        builder.size_limit(COMPILED).dfa_size_limit(COMPILED);
        builder.build().map_err(|_| "it is too long".to_owned())
    }
}

/// What is wrong with a pattern, as `BuildKit` says it.
pub(super) fn fault(pattern: &str, why: &str) -> String {
    let shown: String = pattern.chars().take(80).collect();
    format!("invalid pattern ({shown}) in substitution: {why}")
}
