//! The `<<NAME` of heredocs.
//!
//! In: an instruction on one line, or a word of it. Out: what heredocs it
//! opens. The contents are read by [`super::lines`].

use super::ast::Heredoc;
use super::expand::Expander;

/// A heredoc that is opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Mark {
    pub(super) name: String,
    pub(super) descriptor: u64,
    pub(super) expand: bool,
    pub(super) chomp: bool,
}

impl Mark {
    /// With its content, which begins at `at` of the file.
    pub(super) fn with(self, content: &str, at: usize) -> Heredoc {
        let Self { name, descriptor, expand, chomp } = self;
        let span = (at..at + content.len()).into();
        Heredoc { name, descriptor, expand, chomp, content: content.to_owned(), span }
    }
}

/// The heredocs that a line opens, in their order. Quoted `<<` are none; a line
/// whose quotes do not end has none.
pub(super) fn marks(line: &str) -> Vec<Mark> {
    if !line.contains("<<") {
        return Vec::new();
    }
    let how =
        Expander { raw_quotes: true, raw_escapes: true, keep_unset: true, ..Expander::new('\\') };
    let words = how.words(line, &()).map(|it| it.words).unwrap_or_default();
    words.iter().filter_map(|word| mark(word)).collect()
}

/// The heredoc that a word is: digits, `<<`, perhaps `-`, and a name that may
/// be quoted.
pub(super) fn mark(word: &str) -> Option<Mark> {
    let (digits, rest) = word.split_once("<<")?;
    if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let (chomp, rest) = match rest.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, rest),
    };
    let rest = rest.trim_start();
    if rest.is_empty() || rest.contains('<') {
        return None;
    }
    let how = Expander { keep_unset: true, ..Expander::new('\\') };
    let name = single(how, rest)?;
    let quotes = |text: &str| text.matches(['\'', '"']).count();
    // Where quotes went away, the name was quoted.
    let raw = single(Expander { raw_quotes: true, ..how }, rest)?;
    let expand = quotes(&name) == quotes(&raw);
    Some(Mark { name, descriptor: digits.parse().unwrap_or_default(), expand, chomp })
}

fn single(how: Expander, text: &str) -> Option<String> {
    let mut words = how.words(text, &()).ok()?.words;
    match words.len() {
        1 => words.pop(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_opens_a_heredoc_or_does_not() {
        let table = [
            ("<<EOF", Some(("EOF", 0, true, false))),
            ("<<-EOF", Some(("EOF", 0, true, true))),
            ("3<<EOF", Some(("EOF", 3, true, false))),
            ("<<'EOF'", Some(("EOF", 0, false, false))),
            ("<<-\"E F\"", Some(("E F", 0, false, true))),
            ("<<E\"O\"F", Some(("EOF", 0, false, false))),
            ("<<E\\'F", Some(("E'F", 0, true, false))),
            ("<< EOF", Some(("EOF", 0, true, false))),
            ("<<$x", Some(("$x", 0, true, false))),
            ("<<", None),
            ("<<-", None),
            ("<<<EOF", None),
            ("<<a<<b", None),
            ("x<<EOF", None),
            ("<<a b", None),
            ("<<'a", None),
            ("<EOF", None),
        ];
        for (word, expected) in table {
            let found = mark(word);
            let found = found.as_ref();
            let found = found.map(|it| (it.name.as_str(), it.descriptor, it.expand, it.chomp));
            assert_eq!(found, expected, "{word}");
        }
    }

    #[test]
    fn a_line_opens_all_that_are_not_quoted() {
        let names = |line: &str| marks(line).into_iter().map(|it| it.name).collect::<Vec<_>>();
        assert_eq!(names("RUN cat <<a - <<'b' > x && cat << c"), ["a", "b", "c"]);
        assert_eq!(names("RUN echo '<<a' \"<<b\" \\<<c"), Vec::<String>::new());
        assert_eq!(names("RUN echo 'a <<b"), Vec::<String>::new());
        assert_eq!(names("COPY <<a 4<<b /"), ["a", "b"]);
    }
}
