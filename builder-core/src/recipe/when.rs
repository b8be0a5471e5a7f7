//! The language of `when`.
//!
//! ```text
//! or    = and { "or" and }
//! and   = not { "and" not }
//! not   = "not" not | test
//! test  = value [ ("==" | "!=") value ]
//! value = NAME | "text" | 'text' | NUMBER | "true" | "false" | "(" or ")"
//! ```
//!
//! A name is a parameter. Values are compared as text; alone, a value is false
//! if it is empty, `0`, `false`, `no` or `off`. `true` and `false` are the
//! texts of those names.

use std::collections::BTreeMap;
use std::ops::Range;

/// Deepest nesting of parentheses and `not`.
const MAX_DEPTH: usize = 32;

/// What is wrong with an expression, and at which of its bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Mistake {
    pub(super) range: Range<usize>,
    pub(super) message: String,
    /// The unknown name, to suggest another.
    pub(super) unknown: Option<String>,
}

/// Evaluates an expression.
pub(super) fn evaluate(text: &str, params: &BTreeMap<String, String>) -> Result<bool, Mistake> {
    let tokens = tokens(text)?;
    let mut parser = Parser { tokens: &tokens, at: 0, end: text.len(), params, depth: 0 };
    let value = parser.or()?;
    match parser.peek() {
        None => Ok(truthy(&value)),
        Some((_, range)) => Err(mistake(range.clone(), "expected `and`, `or` or the end")),
    }
}

/// Whether a parameter's value counts as true.
fn truthy(value: &str) -> bool {
    !matches!(value, "" | "0" | "false" | "no" | "off")
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Token {
    Word(String),
    Text(String),
    Mark(&'static str),
}

fn mistake(range: Range<usize>, message: impl Into<String>) -> Mistake {
    Mistake { range, message: message.into(), unknown: None }
}

fn tokens(text: &str) -> Result<Vec<(Token, Range<usize>)>, Mistake> {
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(first) = text[at..].chars().next() {
        let rest = &text[at..];
        let (token, length) = match first {
            _ if first.is_whitespace() => {
                at += first.len_utf8();
                continue;
            }
            '"' | '\'' => {
                let Some(length) = rest[1..].find(first) else {
                    return Err(mistake(at..text.len(), "the quoted text has no end"));
                };
                (Token::Text(rest[1..=length].to_owned()), length + 2)
            }
            _ if is_word(first) => {
                let length = rest.find(|c| !is_word(c)).unwrap_or(rest.len());
                (Token::Word(rest[..length].to_owned()), length)
            }
            _ => {
                let marks = ["==", "!=", "(", ")"];
                let Some(mark) = marks.into_iter().find(|mark| rest.starts_with(mark)) else {
                    let message = format!("unexpected `{first}` in a condition");
                    return Err(mistake(at..at + first.len_utf8(), message));
                };
                (Token::Mark(mark), mark.len())
            }
        };
        found.push((token, at..at + length));
        at += length;
    }
    Ok(found)
}

fn is_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '_' | '.')
}

struct Parser<'a> {
    tokens: &'a [(Token, Range<usize>)],
    at: usize,
    end: usize,
    params: &'a BTreeMap<String, String>,
    depth: usize,
}

impl<'a> Parser<'a> {
    fn peek(&self) -> Option<&'a (Token, Range<usize>)> {
        self.tokens.get(self.at)
    }

    fn eat(&mut self, token: &Token) -> bool {
        let found = self.peek().is_some_and(|(next, _)| next == token);
        self.at += usize::from(found);
        found
    }

    fn word(&mut self, word: &str) -> bool {
        self.eat(&Token::Word(word.to_owned()))
    }

    // Both sides are always read, so that a mistake is found in either.
    fn or(&mut self) -> Result<String, Mistake> {
        let mut left = self.and()?;
        while self.word("or") {
            let right = self.and()?;
            left = (truthy(&left) || truthy(&right)).to_string();
        }
        Ok(left)
    }

    fn and(&mut self) -> Result<String, Mistake> {
        let mut left = self.not()?;
        while self.word("and") {
            let right = self.not()?;
            left = (truthy(&left) && truthy(&right)).to_string();
        }
        Ok(left)
    }

    fn not(&mut self) -> Result<String, Mistake> {
        if !self.word("not") {
            return self.test();
        }
        self.deeper()?;
        let value = self.not()?;
        self.depth -= 1;
        Ok((!truthy(&value)).to_string())
    }

    fn test(&mut self) -> Result<String, Mistake> {
        let left = self.value()?;
        let equal = self.eat(&Token::Mark("=="));
        if !equal && !self.eat(&Token::Mark("!=")) {
            return Ok(left);
        }
        let right = self.value()?;
        Ok(((left == right) == equal).to_string())
    }

    fn value(&mut self) -> Result<String, Mistake> {
        let Some((token, range)) = self.peek() else {
            return Err(mistake(self.end..self.end, "the condition ends too early"));
        };
        self.at += 1;
        match token {
            Token::Text(text) => Ok(text.clone()),
            Token::Word(word) if matches!(word.as_str(), "and" | "or" | "not") => {
                Err(mistake(range.clone(), format!("expected a value, found `{word}`")))
            }
            Token::Word(word) if word == "true" || word == "false" => Ok(word.clone()),
            Token::Word(word) if word.starts_with(|c: char| c.is_ascii_digit() || c == '.') => {
                Ok(word.clone())
            }
            Token::Word(word) => self.params.get(word).cloned().ok_or_else(|| Mistake {
                range: range.clone(),
                message: format!("unknown parameter `{word}`"),
                unknown: Some(word.clone()),
            }),
            Token::Mark("(") => {
                self.deeper()?;
                let value = self.or()?;
                self.depth -= 1;
                if self.eat(&Token::Mark(")")) {
                    return Ok(value);
                }
                Err(mistake(range.clone(), "this parenthesis is not closed"))
            }
            Token::Mark(mark) => {
                Err(mistake(range.clone(), format!("expected a value, found `{mark}`")))
            }
        }
    }

    fn deeper(&mut self) -> Result<(), Mistake> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(mistake(0..self.end, "the condition is nested too deeply"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn say(text: &str) -> Result<bool, String> {
        let params = [("arch", "amd64"), ("debug", "false"), ("empty", ""), ("n", "12")];
        let params = params.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        evaluate(text, &params)
            .map_err(|mistake| format!("{:?} {}", mistake.range, mistake.message))
    }

    #[test]
    fn conditions_are_evaluated_by_their_rules() {
        for (text, value) in [
            ("arch", true),
            ("debug", false),
            ("empty", false),
            ("not empty", true),
            ("arch == 'amd64'", true),
            ("arch != \"amd64\"", false),
            ("n == 12", true),
            ("debug or arch == 'amd64' and not empty", true),
            ("(debug or arch) and empty", false),
            ("not (debug or empty)", true),
            ("false == debug", true),
            ("true", true),
        ] {
            assert_eq!(say(text), Ok(value), "{text}");
        }
    }

    #[test]
    fn mistakes_name_their_place() {
        for (text, message) in [
            ("arhc == 'x'", "0..4 unknown parameter `arhc`"),
            ("arch = 'x'", "5..6 unexpected `=` in a condition"),
            ("arch == 'x", "8..10 the quoted text has no end"),
            ("", "0..0 the condition ends too early"),
            ("arch arch", "5..9 expected `and`, `or` or the end"),
            ("(arch", "0..1 this parenthesis is not closed"),
            ("true or nope", "8..12 unknown parameter `nope`"),
            ("arch and or", "9..11 expected a value, found `or`"),
        ] {
            assert_eq!(say(text), Err(message.to_owned()), "{text}");
        }
        assert!(say(&"not ".repeat(10_000)).is_err());
        assert!(say(&"(".repeat(10_000)).is_err());
    }
}
