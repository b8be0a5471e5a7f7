//! The text of a `.dockerignore` becomes patterns, as `moby/patternmatcher`
//! reads it. What they match is not decided here.

use crate::pattern::clean;

/// The patterns of an ignore file, in order.
///
/// Lines that begin with `#` are comments. A pattern loses the space around it,
/// is cleaned as a path, and is one from the context's root whether or not it
/// begins with a slash; `!` before it stays.
#[must_use]
pub fn ignore_patterns(text: &str) -> Vec<String> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let lines = text.lines().filter(|line| !line.starts_with('#')).map(str::trim);
    lines.filter(|line| !line.is_empty()).map(pattern).collect()
}

fn pattern(line: &str) -> String {
    let (bang, rest) = match line.strip_prefix('!') {
        Some(rest) => ("!", rest.trim()),
        None => ("", line),
    };
    if rest.is_empty() {
        return bang.to_owned();
    }
    let clean = clean(rest);
    let path = if clean.len() > 1 { clean.strip_prefix('/').unwrap_or(&clean) } else { &clean };
    format!("{bang}{path}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_become_clean_patterns() {
        let text =
            "\u{feff}# comment\n  # none\n\n /a/b/ \n! /c/../d\n!\n/\n./x/./y\n../z\n\tq\r\n";
        assert_eq!(ignore_patterns(text), ["# none", "a/b", "!d", "!", "/", "x/y", "../z", "q"]);
    }
}
