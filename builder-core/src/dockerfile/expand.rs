//! Variables in words: every form of `$name` and `${name…}` that `BuildKit`
//! knows, quotes and escapes, and the splitting of a word into several.
//!
//! In: a word of a Dockerfile and the variables in scope. Out: its text, and
//! which variables it asked for.
//!
//! | form | gives |
//! |---|---|
//! | `$x`, `${x}` | the value, or nothing |
//! | `${x-w}`, `${x:-w}` | the value; `w` if it is unset (`:`: or empty) |
//! | `${x+w}`, `${x:+w}` | `w` if it is set (`:`: and not empty), or nothing |
//! | `${x?w}`, `${x:?w}` | the value; the error `w` if it is unset (`:`: or empty) |
//! | `${x#p}`, `${x##p}` | without its shortest (longest) beginning like `p` |
//! | `${x%p}`, `${x%%p}` | without its shortest (longest) end like `p` |
//! | `${x/p/r}`, `${x//p/r}` | with `r` for the first (for each) place like `p` |
//!
//! `w`, `p` and `r` are expanded themselves. A pattern knows `*`, `?` and `\`.
//! Names are letters, digits and `_`, a run of digits, or one of `@*#?-$!`.
//!
//! Time is linear in the word and in the values it asks for, and both are
//! bounded: a word that doubles another that doubles another ends in an error.
//! So are the values that all words of a file ask for together ([`Within`]).
//!
//! Differences from `BuildKit`: in [`Expander::words`] what stands before a
//! `${x-w}` is not lost, a `$1` in the replacement of `//` is text, and
//! substitutions may be nested 64 deep.

mod lexer;
mod pattern;
#[cfg(test)]
mod tests;

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use crate::frontend::{Diagnostic, SourceFile, Span};

use super::ast::Word;

/// How many bytes of values a word may bring in, beyond its own length.
const VALUES: usize = 4 << 20;

/// How many bytes of values all words of a file may bring in.
pub const ALL_VALUES: usize = 64 << 20;

/// The variables that a word may ask for.
pub trait Variables {
    /// The value of one, if it is set.
    fn get(&self, name: &str) -> Option<&str>;

    /// How many bytes of values may still be brought in, where there is an end.
    fn left(&self) -> Option<&Cell<usize>> {
        None
    }
}

/// Variables of which only so much may be brought in.
pub struct Within<'a> {
    /// The variables.
    pub variables: &'a dyn Variables,
    /// How many bytes are left, of all words that share it.
    pub left: &'a Cell<usize>,
}

impl Variables for Within<'_> {
    fn get(&self, name: &str) -> Option<&str> {
        self.variables.get(name)
    }

    fn left(&self) -> Option<&Cell<usize>> {
        Some(self.left)
    }
}

impl Variables for BTreeMap<String, String> {
    fn get(&self, name: &str) -> Option<&str> {
        Self::get(self, name).map(String::as_str)
    }
}

/// No variables.
impl Variables for () {
    fn get(&self, _: &str) -> Option<&str> {
        None
    }
}

/// How words are expanded. Everything off is what most instructions need.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Expander {
    /// The file's escape character.
    pub escape: char,
    /// Quotes stay in the result.
    pub raw_quotes: bool,
    /// Escape characters stay in the result.
    pub raw_escapes: bool,
    /// Quotes mean nothing, as in the content of a heredoc.
    pub skip_quotes: bool,
    /// What is not set stays as it was written.
    pub keep_unset: bool,
}

impl Expander {
    /// For the words of instructions.
    #[must_use]
    pub fn new(escape: char) -> Self {
        Self {
            escape,
            raw_quotes: false,
            raw_escapes: false,
            skip_quotes: false,
            keep_unset: false,
        }
    }

    /// For the contents of heredocs of `COPY` and `ADD`.
    #[must_use]
    pub fn heredoc() -> Self {
        Self { skip_quotes: true, ..Self::new('\\') }
    }

    /// Expands a word into one text.
    ///
    /// # Errors
    /// A form that is none, a quote without its end, a `${x:?}` that is not
    /// set, values that are too long.
    pub fn word(self, word: &str, variables: &dyn Variables) -> Result<Expanded, ExpandError> {
        lexer::Lexer::new(self, word, variables).run().map(|(expanded, _)| expanded)
    }

    /// Expands a word and splits the result at spaces that are not quoted.
    /// There may be none.
    ///
    /// # Errors
    /// As [`Self::word`].
    pub fn words(self, word: &str, variables: &dyn Variables) -> Result<Words, ExpandError> {
        let (expanded, words) = lexer::Lexer::new(self, word, variables).run()?;
        Ok(Words { words, matched: expanded.matched, unmatched: expanded.unmatched })
    }
}

/// A word, expanded.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Expanded {
    /// The result.
    pub text: String,
    /// Variables that it asked for and that are set.
    pub matched: BTreeSet<String>,
    /// Those that are not, those for which it has a default too.
    pub unmatched: BTreeSet<String>,
}

/// A word, expanded and split.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Words {
    /// The results.
    pub words: Vec<String>,
    /// Variables that it asked for and that are set.
    pub matched: BTreeSet<String>,
    /// Those that are not.
    pub unmatched: BTreeSet<String>,
}

/// Why a word could not be expanded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("failed to process {word:?}: {message}")]
pub struct ExpandError {
    /// The word; cut where it is very long.
    pub word: String,
    /// What is wrong.
    pub message: String,
    /// Which bytes of the word are meant.
    pub at: Range<usize>,
}

impl ExpandError {
    /// The error at its place in the file that `word` stands in.
    #[must_use]
    pub fn diagnostic(&self, source: &SourceFile, word: &Word) -> Diagnostic {
        let mut span = word.span;
        // A word that a continuation cuts in two has no such place.
        if source.slice(span) == word.value {
            let at = |offset: usize| (span.start + offset).min(span.end);
            span = Span { start: at(self.at.start), end: at(self.at.end) };
        }
        source.diagnostic(span, self.to_string())
    }
}
