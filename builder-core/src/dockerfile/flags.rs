//! The `--flags` of an instruction.
//!
//! In: the flags as scanned and those that the instruction knows. Out: their
//! values, or what is wrong with the first bad one.

use crate::frontend::{Diagnostic, SourceFile, Span};

use super::ast::Word;

/// What a flag takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Takes {
    /// `true`, `false`, or nothing.
    Bool,
    /// A value, once.
    Text,
    /// A value, as often as wanted.
    Texts,
}

/// The flags that an instruction was given.
#[derive(Debug, Default)]
pub(super) struct Flags {
    given: Vec<(&'static str, Word)>,
}

impl Flags {
    /// Reads `raw` by what the instruction knows.
    pub(super) fn parse(
        source: &SourceFile,
        raw: &[Word],
        known: &[(&'static str, Takes)],
    ) -> Result<Self, Diagnostic> {
        let mut flags = Self::default();
        for flag in raw {
            let (name, value) = match flag.value.split_once('=') {
                Some((name, value)) => (name, Some(value)),
                None => (flag.value.as_str(), None),
            };
            let fail = |message: String| source.diagnostic(flag.span, message);
            let bare = name.strip_prefix("--").unwrap_or(name);
            let Some((known_name, takes)) = known.iter().find(|(known, _)| *known == bare) else {
                let names = known.iter().map(|(known, _)| *known);
                return Err(fail(format!("unknown flag: {name}")).suggest(bare, names));
            };
            if *takes != Takes::Texts && flags.word(known_name).is_some() {
                return Err(fail(format!("duplicate flag specified: {name}")));
            }
            let value = match (takes, value) {
                (Takes::Bool, None) => "true".to_owned(),
                (_, None) => return Err(fail(format!("missing a value on flag: {name}"))),
                (Takes::Bool, Some("")) => {
                    return Err(fail(format!("missing a value on flag: {name}")));
                }
                (Takes::Bool, Some(value)) => match value.to_ascii_lowercase().as_str() {
                    value @ ("true" | "false") => value.to_owned(),
                    _ => {
                        let what = "expecting boolean value for flag";
                        return Err(fail(format!("{what} {name}, not: {value}")));
                    }
                },
                (_, Some(value)) => value.to_owned(),
            };
            flags
                .given
                .push((known_name, Word::new(value.clone(), value_span(source, flag, &value))));
        }
        Ok(flags)
    }

    /// The value of a flag, given or empty.
    pub(super) fn word(&self, name: &str) -> Option<&Word> {
        self.given.iter().find(|(known, _)| *known == name).map(|(_, word)| word)
    }

    /// The value of a flag; an empty one is as none.
    pub(super) fn text(&self, name: &str) -> Option<Word> {
        self.word(name).filter(|word| !word.value.is_empty()).cloned()
    }

    /// The value of a flag that is on or off.
    pub(super) fn switch(&self, name: &str) -> Option<bool> {
        self.word(name).map(|word| word.value == "true")
    }

    /// All values of a flag.
    pub(super) fn texts(&self, name: &str) -> Vec<Word> {
        let these = self.given.iter().filter(|(known, _)| *known == name);
        these.map(|(_, word)| word.clone()).collect()
    }
}

/// Where the value stands: the end of the flag, unless quotes or escapes were
/// taken away.
fn value_span(source: &SourceFile, flag: &Word, value: &str) -> Span {
    match source.slice(flag.span).ends_with(value) && !value.is_empty() {
        true => Span { start: flag.span.end - value.len(), end: flag.span.end },
        false => flag.span,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KNOWN: &[(&str, Takes)] =
        &[("link", Takes::Bool), ("chown", Takes::Text), ("exclude", Takes::Texts)];

    fn parse(flags: &[&str]) -> Result<Flags, Diagnostic> {
        let text = flags.join(" ");
        let source = SourceFile::new(std::path::Path::new("D"), &text);
        let mut at = 0;
        let words: Vec<_> = flags
            .iter()
            .map(|flag| {
                let word = Word::new((*flag).to_owned(), at..at + flag.len());
                at += flag.len() + 1;
                word
            })
            .collect();
        Flags::parse(&source, &words, KNOWN)
    }

    #[test]
    fn values_are_found_by_name() {
        let flags = parse(&["--link", "--chown=a=b", "--exclude=x", "--exclude=y"]).expect("good");
        assert_eq!(flags.switch("link"), Some(true));
        assert_eq!(
            flags.text("chown").map(|it| (it.value, it.span)),
            Some(("a=b".into(), (15..18).into()))
        );
        assert_eq!(flags.texts("exclude").len(), 2);
        assert_eq!(parse(&["--link=False"]).expect("good").switch("link"), Some(false));
        assert!(parse(&["--chown="]).expect("good").text("chown").is_none());
    }

    #[test]
    fn what_is_wrong_is_said() {
        let table = [
            ("--nope", "unknown flag: --nope"),
            ("--chown", "missing a value on flag: --chown"),
            ("--link=", "missing a value on flag: --link"),
            ("--link=1", "expecting boolean value for flag --link, not: 1"),
            ("--", "unknown flag: --"),
        ];
        for (flag, message) in table {
            assert_eq!(parse(&[flag]).expect_err(flag).message, message);
        }
        let twice = parse(&["--link", "--link"]).expect_err("twice");
        assert_eq!(twice.message, "duplicate flag specified: --link");
        let near = parse(&["--chwon=a"]).expect_err("unknown");
        assert_eq!(near.help.as_deref(), Some("did you mean `chown`?"));
    }
}
