//! What came of a case beside what was to come of it.

use std::fmt::Write as _;

use crate::case::Case;
use crate::differences;
use crate::peer::Outcome;

/// What differs between the expectation of a case and what `who` made; `None`
/// where nothing does.
pub(crate) fn differs(case: &Case, who: &str, made: &Outcome) -> Option<String> {
    let (mut expected, mut made) = (case.expect.clone(), made.clone());
    for difference in differences::of(who, "") {
        (difference.apply)(&mut expected, &mut made);
    }
    let named: Vec<_> = case.differs.iter().filter(|(whose, _)| whose == who).collect();
    if !named.is_empty() && compared(case, who, &expected, &made).is_none() {
        return Some(format!("differs in nothing, but the case names {named:?}\n"));
    }
    for (_, name) in named {
        for difference in differences::of(who, name) {
            (difference.apply)(&mut expected, &mut made);
        }
    }
    compared(case, who, &expected, &made)
}

fn compared(case: &Case, who: &str, expected: &Outcome, made: &Outcome) -> Option<String> {
    let mut text = String::new();
    let mut sections: Vec<_> = expected.keys().chain(made.keys()).collect();
    sections.sort();
    sections.dedup();
    for section in sections {
        let (Some(a), Some(b)) = (expected.get(section), made.get(section)) else {
            let (sign, which) = match made.get(section) {
                Some(made) => ('+', made),
                None => ('-', &expected[section]),
            };
            write!(text, "{sign}[{section}] {which}").expect("a string takes all");
            continue;
        };
        let difference = match section.as_str() {
            "error" => error(case, who, a, b),
            "targets" | "outline" => lines(&spaced(a), &spaced(b)),
            "check" => lines(&in_order(a), &in_order(b)),
            _ => lines(a, b),
        };
        if let Some(difference) = difference {
            write!(text, "[{section}]\n{difference}").expect("a string takes all");
        }
    }
    (!text.is_empty()).then_some(text)
}

/// Tables are the same however wide their columns are.
fn spaced(text: &str) -> String {
    text.lines().fold(String::new(), |mut text, line| {
        let words: Vec<_> = line.split_whitespace().collect();
        if !words.is_empty() {
            writeln!(text, "{}", words.join(" ")).expect("a string takes all");
        }
        text
    })
}

/// Findings of one line have no order.
fn in_order(text: &str) -> String {
    let number = |line: &str| line.split(' ').next().and_then(|word| word.parse::<u32>().ok());
    let mut lines: Vec<_> = text.split_inclusive('\n').collect();
    lines.sort_by_key(|line| (number(line), *line));
    lines.concat()
}

fn lines(expected: &str, made: &str) -> Option<String> {
    if expected == made {
        return None;
    }
    let diff = similar::TextDiff::from_lines(expected, made);
    Some(diff.unified_diff().context_radius(0).to_string())
}

/// The words of the case, and the line, which Docker of that time did not tell.
fn error(case: &Case, who: &str, expected: &str, made: &str) -> Option<String> {
    let lower = made.to_lowercase();
    let words = if who == "phoenix" && !case.ours.is_empty() { &case.ours } else { &case.words };
    let mut missing: Vec<String> =
        words.iter().filter(|word| !lower.contains(&word.to_lowercase())).cloned().collect();
    if let (Some(line), true) = (line(expected), who != "docker") {
        let place = format!(":{line}");
        if !made.match_indices(&place).any(|(at, _)| stands(made, at, &place)) {
            missing.push(place);
        }
    }
    (!missing.is_empty()).then(|| format!("without {missing:?}: {made}\n"))
}

/// Whether `:LINE` at a place is behind a file's name, not a column, and whole.
fn stands(text: &str, at: usize, place: &str) -> bool {
    let digit = |c: Option<char>| c.is_some_and(|c| c.is_ascii_digit());
    !digit(text[..at].chars().next_back()) && !digit(text[at + place.len()..].chars().next())
}

fn line(expected: &str) -> Option<&str> {
    expected.lines().next()?.strip_prefix("line ")
}

#[test]
fn an_error_needs_its_words_and_its_line() {
    let file = tempfile::NamedTempFile::new().expect("a temporary file");
    let text = "title: t\nwords: one | Two\n-- expect error --\nline 3\none two\n";
    std::fs::write(file.path(), text).expect("it can be written");
    let case = Case::read("group/name".to_owned(), file.path());
    let made = |text: &str| Outcome::from([("error".to_owned(), text.to_owned())]);
    assert_eq!(differs(&case, "phoenix", &made("Dockerfile:3: one TWO")), None);
    assert_eq!(differs(&case, "docker", &made("one two")), None);
    let wrong = ["Dockerfile:3: one", "Dockerfile:33: one two", "File:1:3: one two", "one two"];
    for wrong in wrong {
        assert!(differs(&case, "phoenix", &made(wrong)).is_some(), "{wrong}");
    }
}
