//! Globs and lists of them: what is copied, what is left out.
//!
//! In: texts as a user wrote them. Out: whether a name or path matches, and
//! whether something below a directory may; paths without what says nothing.
//!
//! | | rules |
//! |---|---|
//! | [`Pattern::name`] | Go's `filepath.Match`: `*`, `?`, `[a-z]`, `[^a-z]`, `\` |
//! | [`Pattern::path`] | those of `.dockerignore`: also `**`, any number of directories |
//! | [`Patterns`] | lists as moby's `patternmatcher` takes them: `!` takes back, the last that matches counts, what matches a directory matches all below it |
//!
//! Invariant: matching takes time proportional to pattern times name, whatever
//! either holds. A byte that is no UTF-8 counts as one character.
//!
//! Limitation: moby makes regular expressions of patterns, so in a list `\d` is
//! a digit there; here it is a `d`.

mod glob;
mod list;

pub use glob::{Pattern, is_glob};
pub use list::{Matched, Patterns, absolute, clean};

/// A glob that is malformed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("pattern `{pattern}`: {reason}")]
pub struct PatternError {
    /// As it was written.
    pub pattern: String,
    /// What is wrong.
    pub reason: &'static str,
}
