//! One word, expanded in every way. What stands before a NUL in the input is
//! the value of `V`.

use std::collections::BTreeMap;

use builder_core::dockerfile::expand::Expander;
use builder_core::frontend::{Diagnostic, SourceFile};

/// Some that are set, empty, with wildcards in them.
pub(crate) fn variables() -> BTreeMap<String, String> {
    let pairs = [("A", "a b"), ("B", ""), ("PATH", "/bin:/x*y"), ("X", "x/y/x"), ("P", "*/")];
    pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).into()
}

/// A diagnostic says something, and about a line that there is.
pub(crate) fn diagnosed(source: &SourceFile, wrong: &Diagnostic) {
    assert!(!wrong.message.is_empty() && wrong.width > 0, "{wrong:?}");
    if let Some(at) = &wrong.location {
        let last = source.line(source.text().len());
        assert!(at.line > 0 && at.column > 0 && at.line <= last, "{wrong:?}");
    }
}

/// All that is done with a word.
pub fn words(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let (value, word) = text.split_once('\0').unwrap_or(("", &text));
    let mut variables = variables();
    variables.insert("V".to_owned(), value.to_owned());
    for how in [Expander::new('\\'), Expander::new('`'), Expander::heredoc()] {
        one(how, word, &variables);
        one(Expander { keep_unset: true, raw_escapes: true, ..how }, word, &variables);
        one(Expander { raw_quotes: true, ..how }, word, &variables);
    }
}

fn one(how: Expander, word: &str, variables: &BTreeMap<String, String>) {
    let words = how.words(word, variables);
    let expanded = match how.word(word, variables) {
        Ok(expanded) => expanded,
        Err(error) => {
            assert!(words.is_err(), "{word:?}");
            let at = error.at;
            assert!(at.start <= at.end && word.get(at).is_some(), "{word:?}");
            return;
        }
    };
    let words = words.expect("what makes one word makes several");
    assert_eq!((&words.matched, &words.unmatched), (&expanded.matched, &expanded.unmatched));
    assert!(expanded.matched.iter().all(|name| variables.contains_key(name)));
    assert!(!expanded.unmatched.iter().any(|name| variables.contains_key(name)));
    assert!(words.words.iter().all(|word| !word.is_empty()), "{word:?}");
    // What asks for nothing and has no quotes stays as it is.
    if !word.contains(['$', '\'', '"', '\\', '`']) {
        assert_eq!(expanded.text, word);
        let glued = |text: &str| text.split_whitespace().collect::<String>();
        assert_eq!(glued(&words.words.concat()), glued(word));
    }
}
