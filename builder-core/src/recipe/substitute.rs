//! `${{ name }}` in a value becomes the parameter's value.
//!
//! `$${{` is a literal `${{`. Shells, Go templates and Jinja have other
//! brackets, so a script needs no escaping; the value is put in as text and
//! not substituted again.

use std::collections::BTreeMap;

/// What is wrong with a substitution.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Mistake {
    pub(super) message: String,
    /// Which `${{` of the text, escaped ones included.
    pub(super) nth: usize,
    /// How many bytes it takes.
    pub(super) length: usize,
    /// The unknown name, to suggest another.
    pub(super) unknown: Option<String>,
}

/// Whether a text is a parameter's name.
pub(super) fn is_name(text: &str) -> bool {
    let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    text.chars().all(word) && text.starts_with(|c: char| word(c) && !c.is_ascii_digit())
}

/// The text with values put in; `None` if it has none of it.
pub(super) fn substitute(
    text: &str,
    params: &BTreeMap<String, String>,
) -> Result<Option<String>, Mistake> {
    if !text.contains("${{") {
        return Ok(None);
    }
    let mut made = String::with_capacity(text.len());
    let mut rest = text;
    let mut nth = 0;
    while let Some(at) = rest.find("${{") {
        let (before, opening) = rest.split_at(at);
        if let Some(before) = before.strip_suffix('$') {
            made.push_str(before);
            made.push_str("${{");
            rest = &opening[3..];
        } else {
            made.push_str(before);
            let (value, length) = value(opening, params, nth)?;
            made.push_str(value);
            rest = &opening[length..];
        }
        nth += 1;
    }
    made.push_str(rest);
    Ok(Some(made))
}

/// The value that an opening stands for, and how long its text is.
fn value<'p>(
    opening: &str,
    params: &'p BTreeMap<String, String>,
    nth: usize,
) -> Result<(&'p str, usize), Mistake> {
    let mistake = |message: String, length| Mistake { message, nth, length, unknown: None };
    let line = opening.lines().next().unwrap_or_default();
    let Some(end) = line.find("}}") else {
        return Err(mistake("`${{` without `}}`".to_owned(), 3));
    };
    let (name, length) = (line[3..end].trim(), end + 2);
    if !is_name(name) {
        return Err(mistake(format!("`{name}` is not a parameter's name"), length));
    }
    match params.get(name) {
        Some(value) => Ok((value, length)),
        None => Err(Mistake {
            unknown: Some(name.to_owned()),
            ..mistake(format!("unknown parameter `{name}`"), length)
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_put_in_once_and_escapes_stay() {
        let params =
            [("a", "1"), ("b", "${{ a }}")].map(|(n, v)| (n.to_owned(), v.to_owned())).into();
        for (text, made) in [
            ("x ${HOME} {{ .X }}", None),
            ("${{a}}${{ a }}", Some("11")),
            ("${{ b }}", Some("${{ a }}")),
            ("$${{ a }}", Some("${{ a }}")),
            ("é${{ a }}é", Some("é1é")),
        ] {
            assert_eq!(substitute(text, &params), Ok(made.map(str::to_owned)), "{text}");
        }
        for (text, nth, message) in [
            ("$${{ ${{ c }}", 1, "unknown parameter `c`"),
            ("${{ a", 0, "`${{` without `}}`"),
            ("${{ }}", 0, "`` is not a parameter's name"),
        ] {
            let mistake = substitute(text, &params).expect_err(text);
            assert_eq!((mistake.nth, mistake.message.as_str()), (nth, message), "{text}");
        }
    }
}
