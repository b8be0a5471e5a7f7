//! apt's configuration files (apt.conf(5)).
//!
//! In: the text of one file. Out: its options, names in lower case and joined
//! by `::`, in the order of the file; of equal names the last counts.
//!
//! Limitations: `#clear` and `#include` are skipped as comments are; of a list
//! each value has the list's name.

/// The options of a file. What cannot be read ends the reading: apt refuses
/// such a file, and what came before it may still help.
pub(super) fn options(text: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut scopes: Vec<String> = Vec::new();
    let mut words: Vec<String> = Vec::new();
    let mut rest = text;
    while let Some((token, after)) = token(rest) {
        rest = after;
        match token {
            Token::Word(word) => {
                words.push(word);
                continue;
            }
            Token::Open => scopes.push(name(&scopes, words.first())),
            Token::End => {
                let value = match &words[..] {
                    [_, value] => Some((name(&scopes, words.first()), value.clone())),
                    // An element of a list.
                    [value] => scopes.last().map(|list| (list.clone(), value.clone())),
                    _ => None,
                };
                found.extend(value);
            }
            Token::Close => drop(scopes.pop()),
        }
        words.clear();
    }
    found
}

enum Token {
    Word(String),
    Open,
    Close,
    End,
}

/// The name of an option within the innermost scope.
fn name(scopes: &[String], own: Option<&String>) -> String {
    let own = own.map_or("", String::as_str).trim_end_matches("::").to_ascii_lowercase();
    match scopes.last() {
        Some(scope) => format!("{scope}::{own}"),
        None => own,
    }
}

/// The first token and what follows it; `None` at the end.
fn token(text: &str) -> Option<(Token, &str)> {
    let mut text = text.trim_start();
    loop {
        let skipped = if text.starts_with("//") || text.starts_with('#') {
            text.find('\n').map_or("", |end| &text[end..])
        } else if let Some(comment) = text.strip_prefix("/*") {
            comment.find("*/").map_or("", |end| &comment[end + 2..])
        } else {
            break;
        };
        text = skipped.trim_start();
    }
    let first = text.chars().next()?;
    match first {
        '{' => Some((Token::Open, &text[1..])),
        '}' => Some((Token::Close, &text[1..])),
        ';' => Some((Token::End, &text[1..])),
        '"' => {
            let (word, rest) = text[1..].split_once('"')?;
            Some((Token::Word(word.to_owned()), rest))
        }
        _ => {
            let ends = |c: char| c.is_whitespace() || matches!(c, '{' | '}' | ';' | '"');
            let end = text.find(ends).unwrap_or(text.len());
            Some((Token::Word(text[..end].to_owned()), &text[end..]))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_forms_of_an_option_are_read() {
        let text = "// comment\n# another\nAcquire::HTTP::Proxy \"http://one:3128\";\n\
                    Acquire { /* inside\n */ http { Proxy \"http://two/\"; Pipeline-Depth 5; };\n\
                    https::Proxy::Host.example DIRECT; }\n\
                    DPkg::Post-Invoke { \"a; b\"; \"c\"; };\nBare;\n";
        let expected = [
            ("acquire::http::proxy", "http://one:3128"),
            ("acquire::http::proxy", "http://two/"),
            ("acquire::http::pipeline-depth", "5"),
            ("acquire::https::proxy::host.example", "DIRECT"),
            ("dpkg::post-invoke", "a; b"),
            ("dpkg::post-invoke", "c"),
        ];
        let found = options(text);
        let found: Vec<_> = found.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn nothing_that_a_file_holds_is_a_panic() {
        for text in ["\"", "}}};", "a {", "/*", "{;}", "::;", "é{ü \"ö\";}", "a b c;", ";;", "#"]
        {
            options(text);
        }
    }
}
