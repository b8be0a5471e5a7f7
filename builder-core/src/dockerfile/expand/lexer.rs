//! Goes once through a word, left to right, and into substitutions by calling
//! itself.

use std::collections::BTreeSet;

use super::pattern::{self, Pattern};
use super::{ALL_VALUES, ExpandError, Expanded, Expander, VALUES, Variables};

/// How deep substitutions may stand in one another; each costs stack.
const DEEPEST: usize = 64;

/// How much of a word an error repeats, in characters.
const SHOWN: usize = 200;

/// What is wrong, without the word.
type Fault = String;

pub(super) struct Lexer<'a> {
    how: Expander,
    word: &'a str,
    at: usize,
    variables: &'a dyn Variables,
    matched: BTreeSet<String>,
    unmatched: BTreeSet<String>,
    depth: usize,
    /// Bytes of values that may still be brought in.
    left: usize,
    /// Where the substitution that is being read begins.
    began: usize,
}

impl<'a> Lexer<'a> {
    pub(super) fn new(how: Expander, word: &'a str, variables: &'a dyn Variables) -> Self {
        Self {
            how,
            word,
            at: 0,
            variables,
            matched: BTreeSet::new(),
            unmatched: BTreeSet::new(),
            depth: 0,
            left: VALUES.saturating_add(word.len().saturating_mul(2)),
            began: 0,
        }
    }

    pub(super) fn run(mut self) -> Result<(Expanded, Vec<String>), ExpandError> {
        let mut words = Words::default();
        match self.until(None, self.how.raw_escapes, &mut words) {
            Ok(text) => {
                let Self { matched, unmatched, .. } = self;
                Ok((Expanded { text, matched, unmatched }, words.finish()))
            }
            Err(message) => {
                let mut word: String = self.word.chars().take(SHOWN).collect();
                if word.len() < self.word.len() {
                    word.push('…');
                }
                let at = self.began..self.at.max(self.began);
                Err(ExpandError { word, message, at })
            }
        }
    }

    fn peek(&self) -> Option<char> {
        self.word[self.at..].chars().next()
    }

    fn next(&mut self) -> Option<char> {
        let char = self.peek()?;
        self.at += char.len_utf8();
        Some(char)
    }

    fn skip(&mut self, char: char) -> bool {
        let is = self.peek() == Some(char);
        if is {
            self.at += char.len_utf8();
        }
        is
    }

    /// Everything up to `stop`, which is consumed, or to the end.
    fn until(&mut self, stop: Option<char>, raw: bool, words: &mut Words) -> Result<String, Fault> {
        let mut text = String::new();
        while let Some(char) = self.peek() {
            if stop == Some(char) {
                self.next();
                return Ok(text);
            }
            match char {
                '$' => {
                    let value = self.dollar()?;
                    words.spaced(&value);
                    text.push_str(&value);
                }
                '<' => {
                    let mark = self.heredoc_mark();
                    words.whole(mark);
                    text.push_str(mark);
                }
                '\'' | '"' if !self.how.skip_quotes => {
                    let quoted = if char == '"' { self.double(raw)? } else { self.single()? };
                    words.whole(&quoted);
                    text.push_str(&quoted);
                }
                _ => {
                    self.next();
                    if char != self.how.escape {
                        words.char(char);
                        text.push(char);
                        continue;
                    }
                    if raw {
                        words.raw_char(char);
                        text.push(char);
                    }
                    let Some(escaped) = self.next() else { break };
                    words.raw_char(escaped);
                    text.push(escaped);
                }
            }
        }
        match stop {
            None => Ok(text),
            Some(stop) => {
                Err(format!("unexpected end of statement while looking for matching {stop}"))
            }
        }
    }

    /// Between single quotes nothing means anything.
    fn single(&mut self) -> Result<String, Fault> {
        let from = self.at;
        self.next();
        match self.word[self.at..].find('\'') {
            Some(len) => {
                let inner = self.at..self.at + len;
                self.at = inner.end + 1;
                let range = if self.how.raw_quotes { from..self.at } else { inner };
                Ok(self.word[range].to_owned())
            }
            None => {
                self.began = from;
                self.at = self.word.len();
                Err("unexpected end of statement while looking for matching single-quote".into())
            }
        }
    }

    /// Between double quotes variables count, and the escape character before
    /// a quote, a `$` or itself.
    fn double(&mut self, raw: bool) -> Result<String, Fault> {
        let from = self.at;
        self.next();
        let mut text = String::new();
        if self.how.raw_quotes {
            text.push('"');
        }
        loop {
            match self.peek() {
                None => {
                    self.began = from;
                    return Err(
                        "unexpected end of statement while looking for matching double-quote"
                            .into(),
                    );
                }
                Some('"') => {
                    self.next();
                    if self.how.raw_quotes {
                        text.push('"');
                    }
                    return Ok(text);
                }
                Some('$') => {
                    let value = self.dollar()?;
                    text.push_str(&value);
                }
                Some(char) => {
                    self.next();
                    if char != self.how.escape {
                        text.push(char);
                        continue;
                    }
                    if raw {
                        text.push(char);
                    }
                    match self.peek() {
                        None => {}
                        Some(escaped) if escaped == '"' || escaped == '$' || escaped == char => {
                            self.next();
                            text.push(escaped);
                        }
                        Some(_) => text.push(char),
                    }
                }
            }
        }
    }

    /// A `<`, or `<<` with the spaces after it, which belong to the name of a
    /// heredoc.
    fn heredoc_mark(&mut self) -> &'a str {
        let from = self.at;
        self.next();
        if self.skip('<') {
            while matches!(self.peek(), Some('\t' | '\r' | ' ')) {
                self.next();
            }
        }
        &self.word[from..self.at]
    }

    fn dollar(&mut self) -> Result<String, Fault> {
        let before = std::mem::replace(&mut self.began, self.at);
        self.next();
        if self.skip('{') {
            let value = self.braced()?;
            self.began = before;
            return Ok(value);
        }
        let name = self.name();
        self.began = before;
        if name.is_empty() {
            return Ok("$".to_owned());
        }
        match self.value(name) {
            Some(value) => self.pay(value),
            None if self.how.keep_unset => Ok(format!("${name}")),
            None => Ok(String::new()),
        }
    }

    /// What follows `${`, and the `}`.
    fn braced(&mut self) -> Result<String, Fault> {
        match self.peek() {
            None => return Err("syntax error: missing '}'".into()),
            Some('{' | '}' | ':') => return Err("syntax error: bad substitution".into()),
            Some(_) => {}
        }
        let name = self.name();
        let from = self.at;
        let Some(mut operator) = self.next() else {
            return Err("syntax error: missing '}'".into());
        };
        let colon = operator == ':';
        if colon {
            match self.next() {
                Some(next) => operator = next,
                None => return Err("syntax error: missing '}'".into()),
            }
        }
        let written = &self.word[from..self.at];
        match operator {
            '}' if !colon => match self.value(name) {
                Some(value) => self.pay(value),
                None if self.how.keep_unset => Ok(format!("${{{name}}}")),
                None => Ok(String::new()),
            },
            '-' | '+' | '?' => {
                let word = self.inner('}', false)?;
                self.instead(name, written, operator, colon, word)
            }
            '#' | '%' if !colon => {
                let word = self.inner('}', true)?;
                self.trimmed(name, operator, &word)
            }
            '/' if !colon => self.replaced(name),
            _ => Err(format!("unsupported modifier ({written}) in substitution")),
        }
    }

    /// A part of a substitution, itself expanded.
    fn inner(&mut self, stop: char, raw: bool) -> Result<String, Fault> {
        if self.depth == DEEPEST {
            return Err(format!("substitutions are nested more than {DEEPEST} deep"));
        }
        self.depth += 1;
        let result = self.until(Some(stop), raw, &mut Words::none());
        self.depth -= 1;
        match result {
            Err(_) if self.peek().is_none() && stop == '}' => {
                Err("syntax error: missing '}'".into())
            }
            Err(_) if self.peek().is_none() => {
                Err(format!("syntax error: missing '{stop}' in ${{}}"))
            }
            other => other,
        }
    }

    fn instead(
        &mut self,
        name: &str,
        written: &str,
        operator: char,
        colon: bool,
        word: String,
    ) -> Result<String, Fault> {
        let value = self.value(name);
        if value.is_none() && self.how.keep_unset {
            return self.pay(&format!("${{{name}{written}{word}}}"));
        }
        let counts = value.is_some_and(|value| !colon || !value.is_empty());
        match (operator, value) {
            ('-', Some(value)) | ('?', Some(value)) if counts => self.pay(value),
            ('+', _) if !counts => Ok(String::new()),
            ('-' | '+', _) => self.pay(&word),
            (_, value) => {
                let word = match (word.is_empty(), value) {
                    (false, _) => word,
                    (true, None) => "is not allowed to be unset".to_owned(),
                    (true, Some(_)) => "is not allowed to be empty".to_owned(),
                };
                Err(format!("{name}: {word}"))
            }
        }
    }

    fn trimmed(&mut self, name: &str, operator: char, word: &str) -> Result<String, Fault> {
        let Some(value) = self.value(name) else {
            return match self.how.keep_unset {
                true => self.pay(&format!("${{{name}{operator}{word}}}")),
                false => Ok(String::new()),
            };
        };
        self.spend(value.len())?;
        let (longest, word) = match word.strip_prefix(operator) {
            Some(rest) => (true, rest),
            None => (false, word),
        };
        let pattern = Pattern::parse(word).map_err(|why| pattern::fault(word, &why))?;
        let trimmed = match operator {
            '%' => pattern.trim_end(value, longest),
            _ => pattern.trim_start(value, longest),
        };
        let trimmed = trimmed.map_err(|why| pattern::fault(word, &why))?;
        self.pay(&trimmed)
    }

    fn replaced(&mut self, name: &str) -> Result<String, Fault> {
        let all = self.skip('/');
        let word = self.inner('/', true)?;
        let replacement = self.inner('}', true)?;
        let Some(value) = self.value(name) else {
            return match self.how.keep_unset {
                true => self.pay(&format!("${{{name}/{word}/{replacement}}}")),
                false => Ok(String::new()),
            };
        };
        self.spend(value.len())?;
        let longest = self.left;
        let pattern = Pattern::parse(&word).map_err(|why| pattern::fault(&word, &why))?;
        let replaced = pattern.replace(value, &replacement, all, longest);
        let replaced = replaced.map_err(|why| pattern::fault(&word, &why))?;
        self.pay(&replaced)
    }

    /// A name; empty where there is none.
    fn name(&mut self) -> &'a str {
        let rest = &self.word[self.at..];
        let len = match rest.chars().next() {
            Some('0'..='9') => rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len()),
            Some('@' | '*' | '#' | '?' | '-' | '$' | '!') => 1,
            _ => rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len()),
        };
        self.at += len;
        &rest[..len]
    }

    fn value(&mut self, name: &str) -> Option<&'a str> {
        let variables = self.variables;
        let value = variables.get(name);
        let set = if value.is_some() { &mut self.matched } else { &mut self.unmatched };
        if !set.contains(name) {
            set.insert(name.to_owned());
        }
        value
    }

    /// A value, if there may be as much.
    fn pay(&mut self, value: &str) -> Result<String, Fault> {
        self.spend(value.len()).map(|()| value.to_owned())
    }

    /// What is searched costs too, though little of it may be left.
    fn spend(&mut self, bytes: usize) -> Result<(), Fault> {
        let too_long = "the values of its variables are longer than";
        let left = self.left.checked_sub(bytes);
        self.left = left.ok_or_else(|| format!("{too_long} {VALUES} bytes"))?;
        if let Some(all) = self.variables.left() {
            let left = all.get().checked_sub(bytes);
            let longer = || format!("{too_long} the {ALL_VALUES} bytes that a file may have");
            all.set(left.ok_or_else(longer)?);
        }
        Ok(())
    }
}

/// Words, as they are split.
#[derive(Default)]
struct Words {
    done: Vec<String>,
    word: String,
    off: bool,
}

impl Words {
    /// Of a part, whose words nobody asks for.
    fn none() -> Self {
        Self { off: true, ..Self::default() }
    }

    fn char(&mut self, char: char) {
        if !char.is_whitespace() {
            self.raw_char(char);
        } else if !self.word.is_empty() {
            self.done.push(std::mem::take(&mut self.word));
        }
    }

    fn raw_char(&mut self, char: char) {
        if !self.off {
            self.word.push(char);
        }
    }

    fn spaced(&mut self, text: &str) {
        if !self.off {
            text.chars().for_each(|char| self.char(char));
        }
    }

    fn whole(&mut self, text: &str) {
        if !self.off {
            self.word.push_str(text);
        }
    }

    fn finish(mut self) -> Vec<String> {
        if !self.word.is_empty() {
            self.done.push(self.word);
        }
        self.done
    }
}
