//! From physical lines to instructions on one line: continuations joined,
//! comments taken out, heredocs read.
//!
//! In: the text of a file. Out: [`Logical`] lines, each of which can say where
//! in the file a part of it stands.
//!
//! A line goes on in the next where its last character but spaces and tabs is
//! the escape character, unless that is escaped itself. Within it, comments and
//! empty lines are passed over. Unlike `BuildKit`, which stops at 64 KiB, no
//! line is too long.

use std::ops::Range;

use crate::frontend::Span;

use super::ast::{Heredoc, Word};
use super::heredoc::Mark;

/// An instruction on one line.
pub(super) struct Logical {
    /// Its continuations joined; blanks stay.
    pub(super) text: String,
    /// Where pieces of `text` come from: offset in it, offset in the file.
    pieces: Vec<(usize, usize)>,
    /// All its lines without the end of the last.
    pub(super) span: Span,
    /// The comments above it.
    pub(super) comments: Vec<Word>,
    /// Its last line, if an empty line was passed over.
    pub(super) empty_continuation: Option<Span>,
}

impl Logical {
    /// A line that stands in a file as it is.
    #[cfg(test)]
    pub(super) fn of(text: &str, at: usize) -> Self {
        let span = Span::from(at..at + text.len());
        let pieces = vec![(0, at)];
        let (comments, empty_continuation) = (Vec::new(), None);
        Self { text: text.to_owned(), pieces, span, comments, empty_continuation }
    }

    /// Where a part of `text` stands in the file.
    pub(super) fn place(&self, part: Range<usize>) -> Span {
        let start = self.offset(part.start);
        let end = match part.is_empty() {
            true => start,
            // The end of a piece, not the beginning of the next.
            false => self.offset(part.end - 1) + 1,
        };
        Span { start, end: end.max(start) }
    }

    /// A part of `text` with its place.
    pub(super) fn word(&self, part: Range<usize>) -> Word {
        Word::new(self.text[part.clone()].to_owned(), self.place(part))
    }

    fn offset(&self, at: usize) -> usize {
        let piece = self.pieces.partition_point(|(from, _)| *from <= at).saturating_sub(1);
        let (from, source) = self.pieces.get(piece).copied().unwrap_or_default();
        source + (at - from)
    }
}

/// Reads a text line by line.
pub(super) struct Lines<'a> {
    text: &'a str,
    at: usize,
    escape: char,
}

/// One physical line.
#[derive(Clone, Copy)]
pub(super) struct Line<'a> {
    /// Where it begins.
    pub(super) at: usize,
    /// With its end, if it has one.
    pub(super) whole: &'a str,
}

impl<'a> Line<'a> {
    /// Without its end.
    pub(super) fn text(self) -> &'a str {
        self.whole.trim_end_matches(['\r', '\n'])
    }

    fn is_comment(self) -> bool {
        self.whole.trim_start().starts_with('#')
    }

    fn is_empty(self) -> bool {
        self.whole.trim_start().is_empty()
    }

    fn span(self) -> Span {
        (self.at..self.at + self.text().len()).into()
    }
}

impl<'a> Lines<'a> {
    pub(super) fn new(text: &'a str, at: usize, escape: char) -> Self {
        Self { text, at, escape }
    }

    fn next(&mut self) -> Option<Line<'a>> {
        let rest = self.text.get(self.at..).filter(|rest| !rest.is_empty())?;
        let len = rest.find('\n').map_or(rest.len(), |at| at + 1);
        let line = Line { at: self.at, whole: &rest[..len] };
        self.at += len;
        Some(line)
    }

    /// The next instruction.
    pub(super) fn logical(&mut self) -> Option<Logical> {
        let mut comments = Vec::new();
        let (first, skipped) = loop {
            let line = self.next()?;
            if line.is_comment() {
                note_comment(&mut comments, line);
                continue;
            }
            let text = line.text().trim_start();
            if !text.is_empty() {
                break (line, line.text().len() - text.len());
            }
        };
        let mut logical = Logical {
            text: String::new(),
            pieces: Vec::new(),
            span: (first.at + skipped..first.span().end).into(),
            comments,
            empty_continuation: None,
        };
        let mut empty = false;
        let mut goes_on = self.push(&mut logical, first, skipped);
        let mut last = first;
        while goes_on {
            let Some(line) = self.next() else { break };
            last = line;
            if line.is_comment() {
                continue;
            }
            if line.is_empty() {
                empty = true;
                continue;
            }
            goes_on = self.push(&mut logical, line, 0);
        }
        logical.span.end = last.span().end.max(logical.span.start);
        logical.empty_continuation = empty.then(|| last.span());
        Some(logical)
    }

    /// Adds a line, and tells whether it goes on in the next.
    fn push(&self, logical: &mut Logical, line: Line<'a>, skipped: usize) -> bool {
        let text = &line.text()[skipped..];
        let (text, goes_on) = match self.continued(text) {
            Some(text) => (text, true),
            None => (text, false),
        };
        logical.pieces.push((logical.text.len(), line.at + skipped));
        logical.text.push_str(text);
        goes_on
    }

    /// What stands before the escape character that ends a line.
    fn continued(&self, text: &'a str) -> Option<&'a str> {
        let before = text.trim_end_matches([' ', '\t']).strip_suffix(self.escape)?;
        (!before.ends_with(self.escape)).then_some(before)
    }

    /// The contents of the heredocs that an instruction opens, or the one of
    /// them that does not end.
    pub(super) fn heredocs(
        &mut self,
        marks: Vec<Mark>,
        logical: &mut Logical,
    ) -> Result<Vec<Heredoc>, Mark> {
        let mut heredocs = Vec::new();
        for mark in marks {
            let from = self.at;
            loop {
                let Some(line) = self.next() else {
                    logical.span.end = self.text.len();
                    return Err(mark);
                };
                let text = line.text();
                let text = if mark.chomp { text.trim_start_matches('\t') } else { text };
                if text == mark.name {
                    logical.span.end = line.span().end;
                    heredocs.push(mark.with(&self.text[from..line.at], from));
                    break;
                }
            }
        }
        Ok(heredocs)
    }
}

/// Comments above an instruction; an empty one makes those above it stand
/// alone.
fn note_comment(comments: &mut Vec<Word>, line: Line<'_>) {
    let text = line.text();
    let from = text.len() - text.trim_start().len() + 1;
    let comment = text[from..].trim();
    if comment.is_empty() {
        comments.clear();
    } else {
        let at = line.at + text.len() - text[from..].trim_start().len();
        comments.push(Word::new(comment.to_owned(), at..at + comment.len()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn logical(text: &str, escape: char) -> Vec<(String, Range<usize>, bool)> {
        let mut lines = Lines::new(text, 0, escape);
        std::iter::from_fn(|| lines.logical())
            .map(|it| (it.text, it.span.start..it.span.end, it.empty_continuation.is_some()))
            .collect()
    }

    fn texts(text: &str) -> Vec<String> {
        logical(text, '\\').into_iter().map(|(text, ..)| text).collect()
    }

    #[test]
    fn lines_are_joined_where_they_go_on() {
        let table: [(&str, &[&str]); 12] = [
            ("RUN a \\\n  b\nRUN c", &["RUN a   b", "RUN c"]),
            ("RUN a\\ \t\nb", &["RUN ab"]),
            ("RUN a\\\\\nRUN b", &["RUN a\\\\", "RUN b"]),
            ("  RUN a\n\n\n\tRUN b  ", &["RUN a", "RUN b  "]),
            ("RUN a\\\r\nb\r\nRUN c\r\n", &["RUN ab", "RUN c"]),
            ("RUN a \\\n# no\n  # no\nb", &["RUN a b"]),
            ("RUN a \\\n\n \nb", &["RUN a b"]),
            ("\\\nRUN a", &["RUN a"]),
            ("RUN a \\", &["RUN a "]),
            ("RUN a # b \\\nc", &["RUN a # b c"]),
            ("\\\n\\\nRUN", &["RUN"]),
            ("# x\n", &[]),
        ];
        for (input, expected) in table {
            assert_eq!(texts(input), expected, "{input:?}");
        }
        assert_eq!(logical("A b`\nc\\\nD", '`')[0].0, "A bc\\");
    }

    #[test]
    fn a_span_has_all_lines_and_empty_ones_are_told() {
        let found = logical("\n RUN a \\\n\n  b\r\nCMD c\n", '\\');
        assert_eq!(found[0].1, 2..14);
        assert_eq!((found[0].2, found[1].2), (true, false));
        assert_eq!(found[1].1, 16..21);
    }

    #[test]
    fn a_part_is_found_where_it_stands() {
        let text = "RUN one \\\n# no\n  two\\\nthree";
        let mut lines = Lines::new(text, 0, '\\');
        let logical = lines.logical().expect("there is one");
        let part = |what: &str| {
            let at = logical.text.find(what).expect("it is there");
            let span = logical.place(at..at + what.len());
            text[span.start..span.end].to_owned()
        };
        assert_eq!(part("one"), "one");
        assert_eq!(part("two"), "two");
        assert_eq!(part("twothree"), "two\\\nthree");
        assert_eq!(logical.place(0..0).start, 0);
    }

    #[test]
    fn comments_belong_to_what_follows_them() {
        let text = "# a\n#\n#  b c \n\n  # d\nRUN x\nRUN y";
        let mut lines = Lines::new(text, 0, '\\');
        let first = lines.logical().expect("there is one");
        let found: Vec<_> = first.comments.iter().map(|it| it.value.as_str()).collect();
        assert_eq!(found, ["b c", "d"]);
        let span = first.comments[0].span;
        assert_eq!(&text[span.start..span.end], "b c");
        assert!(lines.logical().is_some_and(|second| second.comments.is_empty()));
    }
}
