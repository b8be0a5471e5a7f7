//! A `.dockerignore` and paths: what stands behind the first NUL of the input,
//! one a line, and where there is none the patterns themselves.
//!
//! The answers are compared with [`like`], which tries all ways, by the rules of
//! `moby/patternmatcher`; and what is said of a directory with what is below.

use std::collections::HashSet;

use builder_core::dockerfile::ignore_patterns;
use builder_core::pattern::{Matched, Patterns, clean};

/// How long what is compared may be: trying all ways takes its time.
const COMPARED: usize = 64;

/// All that is done with a list and paths.
pub fn ignore(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let (text, paths) = text.split_once('\0').unwrap_or((&text, ""));
    let patterns = ignore_patterns(text);
    for pattern in &patterns {
        assert!(!pattern.is_empty());
        assert_eq!(clean(&clean(pattern)), clean(pattern));
    }
    let Ok(list) = Patterns::new(&patterns) else { return };
    // Space that a slash stood before is no pattern.
    let patterns: Vec<String> =
        patterns.into_iter().filter(|pattern| !pattern.trim().is_empty()).collect();
    let own = || patterns.iter().map(|pattern| pattern.trim_start_matches('!'));
    let paths: Vec<&str> = if paths.is_empty() { own().collect() } else { paths.lines().collect() };
    for path in paths.iter().take(16) {
        let path = clean(path);
        let path = path.trim_start_matches('/');
        if !matches!(path, "" | "." | "..") && !path.starts_with("../") {
            one(&list, &patterns, path);
        }
    }
}

fn one(list: &Patterns, patterns: &[String], path: &str) {
    let ends = path.match_indices('/').map(|(at, _)| at).chain([path.len()]);
    let mut above: Vec<(&str, bool)> = Vec::new();
    let (mut matched, mut expected) = (Matched::default(), vec![false; patterns.len()]);
    let compare = patterns.len() <= COMPARED / 4 && path.len() <= COMPARED;
    for end in ends.take(COMPARED) {
        let path = &path[..end];
        matched = list.below(&matched, path.as_bytes());
        let whole = matched.is_match();
        if compare && patterns.iter().all(|pattern| pattern.len() <= COMPARED) {
            assert_eq!(whole, below(patterns, &mut expected, path), "{patterns:?} {path:?}");
        }
        // Who says that nothing below a directory can matter must be right.
        for (directory, before) in &above {
            let known = match (before, whole) {
                (true, false) => list.may_take_back_below(directory.as_bytes()),
                (false, true) => list.may_match_below(directory.as_bytes()),
                _ => true,
            };
            assert!(known, "{patterns:?} {directory:?} {path:?}");
        }
        above.push((path, whole));
    }
    if path.matches('/').count() < COMPARED {
        assert_eq!(list.at(path.as_bytes()).is_match(), matched.is_match());
    }
}

/// Whether a list matches a path, given which of it match the parent.
fn below(patterns: &[String], each: &mut [bool], path: &str) -> bool {
    let mut whole = false;
    for (pattern, matched) in patterns.iter().zip(each) {
        let (back, pattern) = match pattern.trim().strip_prefix('!') {
            Some(rest) => (true, rest),
            None => (false, pattern.trim()),
        };
        if !*matched && back == whole {
            *matched = like(&clean(pattern.trim()), path);
        }
        if *matched {
            whole = !back;
        }
    }
    whole
}

/// Whether a path is like a pattern.
fn like(pattern: &str, path: &str) -> bool {
    let plain = |text: &str| !text.contains(['*', '?', '[', ']', '\\']);
    if let Some(rest) = pattern.strip_prefix("**")
        && plain(rest)
    {
        return path.ends_with(rest) || rest.strip_prefix('/') == Some(path);
    }
    if let Some(front) = pattern.strip_suffix("**")
        && plain(front)
    {
        return path.starts_with(front);
    }
    let (pattern, path): (Vec<char>, Vec<char>) =
        (pattern.chars().collect(), path.chars().collect());
    like_from(&pattern, &path, &mut HashSet::new())
}

/// Tries all ways, none of them twice.
fn like_from(pattern: &[char], path: &[char], dead: &mut HashSet<(usize, usize)>) -> bool {
    if !dead.insert((pattern.len(), path.len())) {
        return false;
    }
    let one = |here: bool, rest: &[char], dead: &mut HashSet<_>| match path {
        [_, after @ ..] if here => like_from(rest, after, dead),
        _ => false,
    };
    let first = path.first().copied();
    match pattern {
        [] => path.is_empty(),
        ['*', '*'] | ['*', '*', '/'] => true,
        ['*', '*', '/', rest @ ..] | ['*', '*', rest @ ..] => {
            let starts = (0..=path.len()).filter(|at| *at == 0 || path[at - 1] == '/');
            starts.into_iter().any(|at| like_from(rest, &path[at..], dead))
        }
        ['*', rest @ ..] => like_from(rest, path, dead) || one(first != Some('/'), pattern, dead),
        ['?', rest @ ..] => one(first != Some('/'), rest, dead),
        ['[', rest @ ..] => {
            let (inside, rest) = class(rest, first);
            one(inside, rest, dead)
        }
        ['\\', letter, rest @ ..] | [letter, rest @ ..] => one(first == Some(*letter), rest, dead),
    }
}

/// Whether a letter is in the class that begins a pattern, and what follows it.
fn class(mut rest: &[char], letter: Option<char>) -> (bool, &[char]) {
    let mut negated = false;
    if let ['^', after @ ..] = rest {
        (negated, rest) = (true, after);
    }
    let mut inside = false;
    let mut count = 0;
    loop {
        let from = match rest {
            [']', after @ ..] if count > 0 => return (inside != negated, after),
            ['\\', from, after @ ..] | [from, after @ ..] => {
                rest = after;
                *from
            }
            [] => unreachable!("it was read"),
        };
        let to = match rest {
            ['-', '\\', to, after @ ..] | ['-', to, after @ ..] => {
                rest = after;
                *to
            }
            _ => from,
        };
        inside |= letter.is_some_and(|letter| (from..=to).contains(&letter));
        count += 1;
    }
}
