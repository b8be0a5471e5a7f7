//! Parser directives: `# syntax=`, `# escape=`, `# check=` at the very top.
//!
//! In: the text of a file. Out: what they say, and where the rest begins. The
//! first line that is no directive, be it empty, ends them; a byte-order mark
//! and a `#!` line may stand before them.

use crate::frontend::{Diagnostic, SourceFile, Span, Spanned};

use super::ast::{Check, Directives, Rules, Word};
use super::units;

const MARK: char = '\u{feff}';

/// Reads the directives; the second value is where they end.
pub(super) fn parse(source: &SourceFile, faults: &mut Vec<Diagnostic>) -> (Directives, usize) {
    let text = source.text();
    let mut directives = Directives::default();
    let mut at = text.len() - text.strip_prefix(MARK).unwrap_or(text).len();
    if text[at..].starts_with("#!") {
        at = end_of_line(text, at);
    }
    while at < text.len() {
        let end = end_of_line(text, at);
        let Some((name, value)) = directive(&text[at..end], at) else { break };
        let twice = |is: bool| is.then(|| format!("only one {name} parser directive can be used"));
        let fault = match name {
            "syntax" => twice(directives.syntax.is_some()).or_else(|| {
                directives.syntax = Some(first_word(value));
                None
            }),
            "escape" => twice(directives.escape.is_some()).or_else(|| {
                let (escape, fault) = match value.value.as_str() {
                    "\\" => ('\\', None),
                    "`" => ('`', None),
                    other => (
                        '\\',
                        Some(format!("invalid escape token '{other}' does not match ` or \\")),
                    ),
                };
                directives.escape = Some(Spanned::new(escape, value.span));
                fault
            }),
            _ => twice(directives.check.is_some()).or_else(|| {
                let (options, fault) = match check(&first_word(value.clone()).value) {
                    Ok(check) => (check, None),
                    Err(why) => {
                        (Check::default(), Some(format!("failed to parse check options: {why}")))
                    }
                };
                directives.check = Some(Spanned::new(options, value.span));
                fault
            }),
        };
        if let Some(message) = fault {
            let line = text[at..end].trim_end().len();
            faults.push(source.diagnostic(Span::from(at..at + line), message));
        }
        at = end;
    }
    (directives, at)
}

fn end_of_line(text: &str, at: usize) -> usize {
    text[at..].find('\n').map_or(text.len(), |len| at + len + 1)
}

/// Name and value of a directive.
fn directive(line: &str, at: usize) -> Option<(&'static str, Word)> {
    let body = line.trim_start().strip_prefix('#')?.trim_start();
    let (name, value) = body.split_once('=')?;
    let name = match name.trim_end().to_ascii_lowercase().as_str() {
        "syntax" => "syntax",
        "escape" => "escape",
        "check" => "check",
        _ => return None,
    };
    let trimmed = value.trim();
    if trimmed.is_empty() {
        return None;
    }
    let from = at + line.len() - value.trim_start().len();
    Some((name, Word::new(trimmed.to_owned(), from..from + trimmed.len())))
}

/// Of `syntax` and `check` the value ends at a space.
fn first_word(value: Word) -> Word {
    let len = value.value.find(' ').unwrap_or(value.value.len());
    let span = Span { start: value.span.start, end: value.span.start + len };
    Word::new(value.value[..len].to_owned(), span)
}

/// The `check` directive in a comment above an instruction, which counts for
/// it alone. One that cannot be read counts for nothing.
pub(super) fn check_comment(comment: &str) -> Option<Check> {
    let (name, value) = directive(&format!("#{comment}"), 0)?;
    if name != "check" {
        return None;
    }
    check(&first_word(value).value).ok()
}

/// `skip=A,B;experimental=all;error=true`, in any order.
pub(super) fn check(text: &str) -> Result<Check, String> {
    let mut check = Check::default();
    if text.is_empty() {
        return Ok(check);
    }
    for option in text.splitn(3, ';') {
        let Some((name, value)) = option.split_once('=') else {
            return Err(format!("invalid check option {option:?}"));
        };
        let value = value.trim();
        match name.trim() {
            "skip" => check.skip = rules(value),
            "experimental" => check.experimental = rules(value),
            "error" => {
                let parsed = units::boolean(value).ok_or_else(|| {
                    format!("failed to parse check option {option:?}: {value:?} is no boolean")
                })?;
                check.error = parsed;
            }
            other => return Err(format!("invalid check option {other:?}")),
        }
    }
    Ok(check)
}

fn rules(text: &str) -> Rules {
    match text {
        "all" => Rules::All,
        text => Rules::Named(text.split(',').map(|rule| rule.trim().to_owned()).collect()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> (Directives, usize, Vec<String>) {
        let source = SourceFile::new(std::path::Path::new("D"), text);
        let mut faults = Vec::new();
        let (directives, at) = parse(&source, &mut faults);
        (directives, at, faults.into_iter().map(|fault| fault.to_string()).collect())
    }

    #[test]
    fn they_stand_at_the_top_and_nowhere_else() {
        let text =
            "\u{feff}#!/bin/x\n# Syntax = docker/x:1 more\r\n#escape=`\n# check=error=1\nFROM";
        let (found, at, faults) = read(text);
        assert!(faults.is_empty(), "{faults:?}");
        assert_eq!(&text[at..], "FROM");
        assert_eq!(found.syntax.map(|it| it.value), Some("docker/x:1".to_owned()));
        assert_eq!(found.escape.map(|it| it.value), Some('`'));
        assert!(found.check.is_some_and(|it| it.value.error));
        for text in
            ["\n# escape=`", "# a\n# escape=`", "# a=b\n# escape=`", "x\n# escape=`", "# escape=\n"]
        {
            assert_eq!(read(text).0, Directives::default(), "{text:?}");
        }
    }

    #[test]
    fn one_too_many_or_of_a_wrong_value_is_a_mistake() {
        let faults = |text: &str| read(text).2;
        assert_eq!(
            faults("# escape=`\n# escape=`\n"),
            ["D:2:1: only one escape parser directive can be used"]
        );
        assert_eq!(
            faults("# escape=x\n# check=a\n"),
            [
                "D:1:1: invalid escape token 'x' does not match ` or \\",
                "D:2:1: failed to parse check options: invalid check option \"a\""
            ]
        );
        assert!(faults("# check=error=x")[0].contains("failed to parse check option \"error=x\""));
    }

    #[test]
    fn check_names_rules_or_all() {
        let found = check("skip=A,B;experimental=all;error=true").expect("good");
        assert!(found.skip.contains("A") && found.skip.contains("B") && !found.skip.contains("C"));
        assert!(found.experimental.contains("anything") && found.error);
        assert!(check_comment("check=skip=all").is_some_and(|it| it.skip == Rules::All));
        assert_eq!(check_comment("check=skipp"), None);
        assert_eq!(check_comment("escape=`"), None);
    }
}
