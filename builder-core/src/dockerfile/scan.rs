//! From an instruction on one line to its keyword, flags and words.
//!
//! In: a [`Logical`] line. Out: ranges and words of it. Quotes and escapes of
//! flags are taken away here; those of words stay, for they mean something to
//! the expansion of variables.

use std::ops::Range;

use super::ast::Word;
use super::lines::Logical;

/// What separates words (line breaks are gone by then).
const BLANKS: [char; 5] = ['\t', '\u{b}', '\u{c}', '\r', ' '];

/// An instruction's parts.
#[derive(Debug)]
pub(super) struct Scan {
    pub(super) keyword: Range<usize>,
    /// Each `--…` before the first argument.
    pub(super) flags: Vec<Word>,
    /// The arguments, without blanks around.
    pub(super) rest: Range<usize>,
}

/// Takes apart what follows `from`.
pub(super) fn scan(logical: &Logical, from: usize, escape: char) -> Scan {
    let whole = trimmed(&logical.text, from..logical.text.len());
    let text = &logical.text[whole.clone()];
    let len = text.find(BLANKS).unwrap_or(text.len());
    let keyword = whole.start..whole.start + len;
    let (flags, at) = flags(logical, keyword.end..whole.end, escape);
    Scan { keyword, flags, rest: trimmed(&logical.text, at..whole.end) }
}

/// A range without the white space at its ends.
fn trimmed(text: &str, range: Range<usize>) -> Range<usize> {
    let part = &text[range.clone()];
    let start = range.start + part.len() - part.trim_start().len();
    start..(start + part.trim().len())
}

/// The words that begin with `--`, and where what follows them begins. A `--`
/// alone ends them.
fn flags(logical: &Logical, range: Range<usize>, escape: char) -> (Vec<Word>, usize) {
    let mut flags = Vec::new();
    let mut at = range.start;
    loop {
        let rest = &logical.text[at..range.end];
        at += rest.len() - rest.trim_start().len();
        if !logical.text[at..range.end].starts_with("--") {
            return (flags, at);
        }
        let (text, len) = flag(&logical.text[at..range.end], escape);
        if text == "--" {
            return (flags, at + len);
        }
        flags.push(Word::new(text, logical.place(at..at + len)));
        at += len;
    }
}

/// The flag that `text` begins with, without quotes and escapes, and its
/// length as written.
fn flag(text: &str, escape: char) -> (String, usize) {
    let mut flag = String::new();
    let mut quote = None;
    let mut chars = text.char_indices();
    while let Some((at, char)) = chars.next() {
        match quote {
            None if char.is_whitespace() => return (flag, at),
            None if char == '\'' || char == '"' => quote = Some(char),
            Some(open) if char == open => quote = None,
            _ if char == escape => match chars.next() {
                Some((_, escaped)) => flag.push(escaped),
                None => break,
            },
            _ => flag.push(char),
        }
    }
    (flag, text.len())
}

/// Words between blanks, whatever their quotes.
pub(super) fn spaced(logical: &Logical, range: Range<usize>) -> Vec<Range<usize>> {
    let text = &logical.text[range.clone()];
    let mut words = Vec::new();
    let mut from = None;
    for (at, char) in text.char_indices() {
        match (BLANKS.contains(&char), from) {
            (false, None) => from = Some(at),
            (true, Some(start)) => {
                words.push(range.start + start..range.start + at);
                from = None;
            }
            _ => {}
        }
    }
    if let Some(start) = from {
        words.push(range.start + start..range.end);
    }
    words
}

/// Words between white space that is neither quoted nor escaped; quotes and
/// escapes stay. An escape character at the very end is dropped.
pub(super) fn words(logical: &Logical, range: Range<usize>, escape: char) -> Vec<Range<usize>> {
    let text = &logical.text[range.clone()];
    let mut words = Vec::new();
    let (mut from, mut quote) = (None, None);
    let mut end = text.len();
    let mut chars = text.char_indices();
    while let Some((at, char)) = chars.next() {
        if char.is_whitespace() && quote.is_none() {
            if let Some(start) = from.take() {
                words.push(range.start + start..range.start + at);
            }
            continue;
        }
        from.get_or_insert(at);
        match quote {
            None if char == '\'' || char == '"' => quote = Some(char),
            Some(open) if char == open => quote = None,
            Some('\'') => {}
            // What it escapes is passed over, whatever it is.
            _ if char == escape && chars.next().is_none() => end = at,
            _ => {}
        }
    }
    if let Some(start) = from.filter(|start| *start < end) {
        words.push(range.start + start..range.start + end);
    }
    words
}

/// What a text is as JSON.
pub(super) enum Json {
    /// An array of strings.
    Strings(Vec<String>),
    /// An array with something else in it, which is a mistake.
    Mixed,
    /// None; the shell form.
    No,
}

/// Reads a text as a JSON array.
pub(super) fn json(text: &str) -> Json {
    if !text.trim_start().starts_with('[') {
        return Json::No;
    }
    let Ok(values) = serde_json::from_str::<Vec<serde_json::Value>>(text) else {
        return Json::No;
    };
    let strings = values.into_iter().map(|value| match value {
        serde_json::Value::String(text) => Some(text),
        _ => None,
    });
    strings.collect::<Option<Vec<_>>>().map_or(Json::Mixed, Json::Strings)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(text: &str) -> Logical {
        Logical::of(text, 0)
    }

    fn parts(text: &str) -> (String, Vec<String>, String) {
        let logical = line(text);
        let scan = scan(&logical, 0, '\\');
        let flags = scan.flags.into_iter().map(|flag| flag.value).collect();
        (text[scan.keyword].to_owned(), flags, text[scan.rest].to_owned())
    }

    #[test]
    fn keyword_flags_and_arguments_are_taken_apart() {
        let table: [(&str, &str, &[&str], &str); 10] = [
            ("RUN a  b ", "RUN", &[], "a  b"),
            ("RUN", "RUN", &[], ""),
            ("  RUN\t--a --b=c d --e", "RUN", &["--a", "--b=c"], "d --e"),
            ("RUN --a=\"b c\"'d' x", "RUN", &["--a=b cd"], "x"),
            ("RUN --a=\\\"b\\ c x", "RUN", &["--a=\"b c"], "x"),
            ("RUN -- --a", "RUN", &[], "--a"),
            ("RUN --a -- b", "RUN", &["--a"], "b"),
            ("RUN --a\\", "RUN", &["--a"], ""),
            ("COPY --ü=ß x y", "COPY", &["--ü=ß"], "x y"),
            ("RUN -a", "RUN", &[], "-a"),
        ];
        for (text, keyword, flags, rest) in table {
            let expected = flags.iter().map(|flag| (*flag).to_owned()).collect();
            assert_eq!(parts(text), (keyword.to_owned(), expected, rest.to_owned()), "{text}");
        }
    }

    #[test]
    fn words_keep_their_quotes() {
        let split = |text: &str| {
            let logical = line(text);
            let ranges = words(&logical, 0..text.len(), '\\');
            ranges.into_iter().map(|range| text[range].to_owned()).collect::<Vec<_>>()
        };
        assert_eq!(split(r#"a="b c" d='e\' f"#), [r#"a="b c""#, r"d='e\'", "f"]);
        assert_eq!(split(r#"a\ b "c\" d" e\"#), [r"a\ b", r#""c\" d""#, "e"]);
        assert_eq!(split("a 'b c"), ["a", "'b c"]);
        assert_eq!(split(" \t"), Vec::<String>::new());
        assert_eq!(split(r"a \"), ["a"]);
        let logical = line("a\t\"b c\" d");
        let ranges = spaced(&logical, 0..9);
        assert_eq!(ranges, [0..1, 2..4, 5..7, 8..9]);
    }

    #[test]
    fn an_array_of_strings_is_json_and_nothing_else() {
        assert!(matches!(json(r#"[ "a", "\n" ] "#), Json::Strings(s) if s == ["a", "\n"]));
        assert!(matches!(json("[]"), Json::Strings(s) if s.is_empty()));
        assert!(matches!(json(r#"["a", 1]"#), Json::Mixed));
        assert!(matches!(json(r#"[["a"]]"#), Json::Mixed));
        for text in ["['a']", r#"["a""#, r#"["a"] b"#, "a", "", "[a]", "[ -f x ]"] {
            assert!(matches!(json(text), Json::No), "{text}");
        }
    }
}
