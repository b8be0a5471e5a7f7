//! What every frontend shares: places in a user's file and what is said about
//! them.
//!
//! In: a file's text and byte ranges of it. Out: [`Location`]s for the plan and
//! [`Diagnostic`]s that hold every fact an excerpt needs, so that whoever shows
//! them reads no file again.
//!
//! There is no `Frontend` trait: the languages are given different things.

mod base;

use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub use base::{Base, Resolver, Unresolved, Wanted};

use crate::plan::Location;

/// Longest source line that a diagnostic carries, in characters.
const EXCERPT: usize = 400;

/// Most source lines that a diagnostic carries.
const LINES: usize = 8;

/// A range of bytes in a [`SourceFile`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Span {
    /// First byte.
    pub start: usize,
    /// One past the last byte.
    pub end: usize,
}

impl From<Range<usize>> for Span {
    fn from(range: Range<usize>) -> Self {
        Self { start: range.start, end: range.end }
    }
}

/// A value and where it was written.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Spanned<T> {
    /// What.
    pub value: T,
    /// Where.
    pub span: Span,
}

impl<T> Spanned<T> {
    /// A value that was written at `span`.
    pub fn new(value: T, span: impl Into<Span>) -> Self {
        Self { value, span: span.into() }
    }
}

/// The text of a user's file, with its lines found.
#[derive(Debug, Clone)]
pub struct SourceFile {
    file: Arc<PathBuf>,
    text: Arc<str>,
    lines: Vec<usize>,
}

impl SourceFile {
    /// Takes a file's name, for messages, and its text. Nothing is read.
    #[must_use]
    pub fn new(file: &Path, text: &str) -> Self {
        let breaks = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n');
        let lines = std::iter::once(0).chain(breaks.map(|(at, _)| at + 1)).collect();
        Self { file: Arc::new(file.to_owned()), text: Arc::from(text), lines }
    }

    /// The whole text.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The text of a span; empty if it does not lie on character boundaries.
    #[must_use]
    pub fn slice(&self, span: Span) -> &str {
        self.text.get(span.start..span.end).unwrap_or_default()
    }

    /// The file's name, as the user gave it.
    #[must_use]
    pub fn name(&self) -> String {
        self.file.display().to_string()
    }

    /// The lines from `first` to `last`, each with its number, counted from 1.
    #[must_use]
    pub fn lines(&self, first: u32, last: u32) -> Vec<(u32, String)> {
        let line = |number: u32| (number, self.line_text(number as usize - 1).to_owned());
        let count = number(self.lines.len());
        (first.max(1)..=last.min(count)).map(line).collect()
    }

    /// The line of a byte, counted from 1.
    #[must_use]
    pub fn line(&self, byte: usize) -> u32 {
        number(self.line_of(byte) + 1)
    }

    /// Where a span begins.
    #[must_use]
    pub fn location(&self, span: Span) -> Location {
        let line = self.line_of(span.start);
        let before = self.text.get(self.lines[line]..span.start.min(self.text.len()));
        let column = before.unwrap_or_default().chars().count();
        Location {
            file: Arc::clone(&self.file),
            line: number(line + 1),
            column: number(column + 1),
        }
    }

    /// A diagnostic about a span, with no label or help yet.
    #[must_use]
    pub fn diagnostic(&self, span: Span, message: impl Into<String>) -> Diagnostic {
        let line = self.line_text(self.line_of(span.start));
        let location = self.location(span);
        let rest = line.chars().count().saturating_sub(location.column as usize - 1).max(1);
        let first = self.slice(span).lines().next().unwrap_or_default().trim_end();
        Diagnostic {
            message: message.into(),
            location: Some(location),
            source_line: line.chars().take(EXCERPT).collect(),
            width: number(first.chars().count().clamp(1, rest)),
            label: None,
            help: None,
            class: Class::Invalid,
        }
    }

    /// As [`Self::diagnostic`], about all lines of the span: the first of them
    /// are shown, not only where it begins.
    #[must_use]
    pub fn diagnostic_of_lines(&self, span: Span, message: impl Into<String>) -> Diagnostic {
        let mut diagnostic = self.diagnostic(span, message);
        let first = self.line_of(span.start);
        let last = self.line_of(span.end.saturating_sub(1).max(span.start));
        for line in (first + 1..=last).take(LINES - 1) {
            diagnostic.source_line.push('\n');
            diagnostic.source_line.extend(self.line_text(line).chars().take(EXCERPT));
        }
        diagnostic
    }

    fn line_of(&self, byte: usize) -> usize {
        self.lines.partition_point(|&start| start <= byte).saturating_sub(1)
    }

    fn line_text(&self, line: usize) -> &str {
        let end = self.lines.get(line + 1).copied().unwrap_or(self.text.len());
        self.text.get(self.lines[line]..end).unwrap_or_default().trim_end_matches(['\n', '\r'])
    }
}

fn number(value: usize) -> u32 {
    u32::try_from(value).unwrap_or(u32::MAX)
}

/// What sort of failure a diagnostic is, from which a program takes its exit
/// code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Class {
    /// The file, or what was given with it, is wrong.
    Invalid,
    /// The file is right but asks for what this version cannot do.
    Unsupported,
    /// The file is right but names what cannot be had, now at least.
    Unavailable,
}

/// Something to say about a user's file, with all that is needed to show it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    /// What is wrong: a fragment in lower case, without a full stop.
    pub message: String,
    /// Where; `None` for what was given beside the file (`--set`).
    pub location: Option<Location>,
    /// The line at `location`, without its end; cut where very long. Where all
    /// of several lines is meant, those that follow too, up to 8.
    pub source_line: String,
    /// How many characters from `location` on are meant; at least 1.
    pub width: u32,
    /// A word on the marked place.
    pub label: Option<String>,
    /// What to do about it.
    pub help: Option<String>,
    /// What sort of failure it is.
    pub class: Class,
}

impl Diagnostic {
    /// One that belongs to no place in a file.
    #[must_use]
    pub fn unplaced(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            location: None,
            source_line: String::new(),
            width: 1,
            label: None,
            help: None,
            class: Class::Invalid,
        }
    }

    /// With a label.
    #[must_use]
    pub fn label(mut self, label: impl Into<String>) -> Self {
        self.label = Some(label.into());
        self
    }

    /// With help.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// With "did you mean", if one of `candidates` is close to `word`.
    #[must_use]
    pub fn suggest<'a>(self, word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Self {
        match closest(word, candidates) {
            Some(found) => self.help(format!("did you mean `{found}`?")),
            None => self,
        }
    }
}

/// `file:line:column: message`, on one line.
impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(Location { file, line, column }) = &self.location {
            write!(f, "{}:{line}:{column}: ", file.display())?;
        }
        f.write_str(&self.message)?;
        match &self.help {
            Some(help) => write!(f, " ({help})"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Diagnostic {}

/// The candidate that `word` is most likely a misspelling of.
#[must_use]
pub fn closest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    // The distance takes the product of both lengths; no honest word is this long.
    if word.is_empty() || word.len() > 64 {
        return None;
    }
    let lower = word.to_lowercase();
    let near = candidates.into_iter().filter(|candidate| candidate.len() <= 64);
    let scored = near.map(|candidate| {
        let distance = strsim::damerau_levenshtein(&lower, &candidate.to_lowercase());
        (distance, candidate)
    });
    let (distance, found) = scored.min_by_key(|(distance, _)| *distance)?;
    let limit = found.chars().count().max(word.chars().count()) / 3;
    (distance <= limit).then_some(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_location_counts_characters_and_a_diagnostic_carries_its_line() {
        let source = SourceFile::new(Path::new("r.yaml"), "a: 1\nü: ß x\r\n");
        let diagnostic = source.diagnostic((9..11).into(), "no");
        assert_eq!(diagnostic.to_string(), "r.yaml:2:4: no");
        assert_eq!((diagnostic.source_line.as_str(), diagnostic.width), ("ü: ß x", 1));
        let end = source.diagnostic((99..200).into(), "end");
        assert_eq!(end.location.map(|at| at.line), Some(3));
    }

    #[test]
    fn a_diagnostic_of_lines_carries_the_first_of_them() {
        let text = "one\ntwo \\\n  three\nfour\n";
        let source = SourceFile::new(Path::new("D"), text);
        let diagnostic = source.diagnostic_of_lines((4..18).into(), "no");
        assert_eq!(diagnostic.source_line, "two \\\n  three");
        assert_eq!(source.diagnostic_of_lines((0..3).into(), "no").source_line, "one");
        let many = "x\n".repeat(100);
        let source = SourceFile::new(Path::new("D"), &many);
        let diagnostic = source.diagnostic_of_lines((0..200).into(), "no");
        assert_eq!(diagnostic.source_line.lines().count(), LINES);
    }

    #[test]
    fn a_suggestion_is_close_or_not_made() {
        let words = ["steps", "stages", "config"];
        assert_eq!(closest("stepss", words), Some("steps"));
        assert_eq!(closest("Confg", words), Some("config"));
        assert_eq!(closest("workdir", words), None);
        assert_eq!(closest("", words), None);
    }
}
