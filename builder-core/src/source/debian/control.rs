//! Control files: paragraphs of `Field: value` (deb822(5)).
//!
//! In: text. Out: its paragraphs, borrowed from it. Field names compare
//! without case. Comments (`#` at the start of a line) are skipped.

use super::DebianError;

/// One paragraph: fields in their order. A value keeps its continuation lines
/// as they are, with the newlines and leading blanks.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Paragraph<'a> {
    fields: Vec<(&'a str, &'a str)>,
}

impl<'a> Paragraph<'a> {
    /// The value of a field, trimmed.
    pub(super) fn get(&self, name: &str) -> Option<&'a str> {
        self.fields.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| *v)
    }
}

/// The paragraphs of `text`; `what` names it in errors.
pub(super) fn paragraphs<'a>(text: &'a str, what: &str) -> Result<Vec<Paragraph<'a>>, DebianError> {
    let mut reader = Reader { text, at: 0, line: 0 };
    let mut all = Vec::new();
    while let Some(paragraph) = reader.next(what)? {
        all.push(paragraph);
    }
    Ok(all)
}

/// Reads paragraph by paragraph.
pub(super) struct Reader<'a> {
    text: &'a str,
    at: usize,
    line: usize,
}

impl<'a> Reader<'a> {
    /// A reader at the start of `text`.
    pub(super) fn new(text: &'a str) -> Self {
        Self { text, at: 0, line: 0 }
    }

    /// The next line without its newline, and where it starts.
    fn line(&mut self) -> Option<(usize, &'a str)> {
        let rest = self.text.get(self.at..).filter(|rest| !rest.is_empty())?;
        let start = self.at;
        let end = rest.find('\n').unwrap_or(rest.len());
        self.at += (end + 1).min(rest.len());
        self.line += 1;
        Some((start, rest[..end].trim_end_matches('\r')))
    }

    /// The next paragraph that has fields.
    pub(super) fn next(&mut self, what: &str) -> Result<Option<Paragraph<'a>>, DebianError> {
        let mut fields: Vec<(&'a str, usize, usize)> = Vec::new();
        while let Some((start, line)) = self.line() {
            let bad = |reason| {
                Err(DebianError::Control { what: what.to_owned(), line: self.line, reason })
            };
            if line.trim().is_empty() {
                if fields.is_empty() {
                    continue;
                }
                break;
            }
            if line.starts_with('#') {
                continue;
            }
            if line.starts_with([' ', '\t']) {
                match fields.last_mut() {
                    Some((_, _, end)) => *end = start + line.len(),
                    None => return bad("a continuation line before any field"),
                }
                continue;
            }
            let Some((name, value)) = line.split_once(':') else {
                return bad("expected `Field: value`");
            };
            if name.is_empty() || name.contains(char::is_whitespace) {
                return bad("bad field name");
            }
            let from = start + name.len() + 1;
            fields.push((name, from, from + value.len()));
        }
        let fields: Vec<_> =
            fields.into_iter().map(|(name, from, to)| (name, self.text[from..to].trim())).collect();
        Ok((!fields.is_empty()).then_some(Paragraph { fields }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_continuations_and_comments_are_read() {
        let text = "\n# c\nPackage: a\nDescription: x\n more\n .\nX:\n\n\nPackage: b\r\n";
        let all = paragraphs(text, "t").expect("valid");
        assert_eq!(all.len(), 2);
        assert_eq!(all[0].get("package"), Some("a"));
        assert_eq!(all[0].get("Description"), Some("x\n more\n ."));
        assert_eq!(all[0].get("x"), Some(""));
        assert_eq!(all[1].get("Package"), Some("b"));
    }

    #[test]
    fn malformed_lines_name_their_place() {
        for (text, line) in [("a\n", 1), (" a\n", 1), ("A: b\nc\n", 2), (": b\n", 1), ("a b: c", 1)]
        {
            match paragraphs(text, "t") {
                Err(DebianError::Control { line: at, .. }) => assert_eq!(at, line, "{text:?}"),
                other => panic!("{text:?}: {other:?}"),
            }
        }
    }
}
