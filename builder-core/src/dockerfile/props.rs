//! What holds of every file and of every word.

use std::path::Path;

use proptest::prelude::*;

use super::ast::*;
use super::expand::Expander;
use super::*;

/// What an instruction says, without where it stands.
fn said(text: &str) -> Option<String> {
    let source = SourceFile::new(Path::new("D"), text);
    let file = parse(&source).ok()?;
    let kinds = file.stages[0].instructions.iter().map(|it| format!("{:?}", it.kind));
    let places = regex::Regex::new(r"Span \{[^}]*\}").expect("it is a constant");
    Some(places.replace_all(&kinds.collect::<String>(), "").into_owned())
}

/// `text` in the quotes that keep it as it is.
fn double(text: &str) -> String {
    let escaped = text.replace('\\', "\\\\").replace('"', "\\\"").replace('$', "\\$");
    format!("\"{escaped}\"")
}

proptest! {
    #[test]
    fn a_line_may_be_broken_at_any_blank(
        words in proptest::collection::vec("[a-z=/.]{1,6}", 1..8),
        breaks in proptest::collection::vec(0..4_usize, 8),
        keyword in prop::sample::select(vec!["RUN", "ENV", "COPY", "LABEL", "ARG", "VOLUME"]),
    ) {
        let blanks = [" ", " \\\n", " \\ \t\n", " \\\n# comment\n"];
        let mut broken = format!("FROM a\n{keyword}");
        let mut whole = broken.clone();
        for (word, at) in words.iter().zip(breaks) {
            whole.push(' ');
            broken.push_str(blanks[at]);
            whole.push_str(word);
            broken.push_str(word);
        }
        prop_assert_eq!(said(&broken), said(&whole));
    }

    #[test]
    fn what_is_quoted_stays(text in "[^\n]{0,40}") {
        let expand = |word: &str| Expander::new('\\').word(word, &()).map(|it| it.text);
        prop_assert_eq!(expand(&double(&text)), Ok(text.clone()));
        let single = format!("'{}'", text.replace('\'', "'\\''"));
        prop_assert_eq!(expand(&single), Ok(text.clone()));
        let words = Expander::new('\\').words(&double(&text), &()).map(|it| it.words);
        let expected = if text.is_empty() { Vec::new() } else { vec![text] };
        prop_assert_eq!(words, Ok(expected));
    }

    #[test]
    fn a_place_holds_what_it_is_the_place_of(
        pairs in proptest::collection::vec(("[a-z]{1,4}", "[a-z \"]{0,6}"), 1..5),
    ) {
        let pairs: Vec<_> = pairs
            .iter()
            .map(|(name, value)| format!("{name}={}", double(value)))
            .collect();
        let text = format!("FROM a\nENV {}\n", pairs.join(" "));
        let source = SourceFile::new(Path::new("D"), &text);
        let file = parse(&source).expect("it is good");
        let InstructionKind::Env(found) = &file.stages[0].instructions[0].kind else {
            panic!("it is ENV")
        };
        prop_assert_eq!(found.len(), pairs.len());
        for Pair { key, value, .. } in found {
            prop_assert_eq!(source.slice(key.span), &key.value);
            prop_assert_eq!(source.slice(value.span), &value.value);
        }
    }

    #[test]
    fn trimmed_and_cut_give_the_whole(value in "[ab*?]{0,12}", pattern in "[ab*?]{0,5}") {
        let set = std::collections::BTreeMap::from([("V".to_owned(), value.clone())]);
        let expand = |word: String| {
            Expander::new('\\').word(&word, &set).map(|it| it.text).expect("it is good")
        };
        let short = expand(format!("${{V#{pattern}}}"));
        let long = expand(format!("${{V##{pattern}}}"));
        prop_assert!(value.ends_with(&short) && short.ends_with(&long));
        let short = expand(format!("${{V%{pattern}}}"));
        let long = expand(format!("${{V%%{pattern}}}"));
        prop_assert!(value.starts_with(&short) && short.starts_with(&long));
    }
}
