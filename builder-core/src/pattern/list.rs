//! A list of globs, as `.dockerignore` and `--exclude` have it.

use super::{Pattern, PatternError};

/// A list of globs: one that matches a directory matches all below it, `!`
/// takes back, the last that matches counts.
#[derive(Debug)]
pub struct Patterns {
    list: Vec<(bool, Pattern)>,
    takes_back: bool,
}

/// What of a list matches a path or a directory above it.
#[derive(Debug, Clone, Default)]
pub struct Matched {
    each: Vec<bool>,
    whole: bool,
}

impl Matched {
    /// Whether the list as a whole matches the path.
    #[must_use]
    pub fn is_match(&self) -> bool {
        self.whole
    }
}

impl Patterns {
    /// Reads a list; empty entries count for nothing.
    ///
    /// # Errors
    /// [`PatternError`].
    pub fn new(texts: &[String]) -> Result<Self, PatternError> {
        let mut list = Vec::new();
        for text in texts.iter().map(|text| text.trim()).filter(|text| !text.is_empty()) {
            let (back, glob) = match text.strip_prefix('!') {
                Some(rest) => (true, rest.trim_start()),
                None => (false, text),
            };
            if glob.is_empty() {
                let reason = "there is nothing after `!`";
                return Err(PatternError { pattern: text.to_owned(), reason });
            }
            list.push((back, Pattern::path(clean(glob).as_bytes())?));
        }
        let takes_back = list.iter().any(|(back, _)| *back);
        Ok(Self { list, takes_back })
    }

    /// Whether it matches nothing whatever.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// What matches `path`, given what matches its parent; nothing is given for
    /// what stands at the top.
    #[must_use]
    pub fn below(&self, parent: &Matched, path: &[u8]) -> Matched {
        let mut whole = false;
        let mut each = Vec::with_capacity(self.list.len());
        for (index, (back, pattern)) in self.list.iter().enumerate() {
            let inherited = parent.each.get(index).copied().unwrap_or(false);
            // What would change nothing is not noted for what is below, either.
            let matched = inherited || *back == whole && pattern.matches(path);
            each.push(matched);
            if matched {
                whole = !back;
            }
        }
        Matched { each, whole }
    }

    /// What matches `path`, which is relative and clean.
    #[must_use]
    pub fn at(&self, path: &[u8]) -> Matched {
        let mut matched = Matched::default();
        for (end, _) in path.iter().enumerate().filter(|(_, byte)| **byte == b'/') {
            matched = self.below(&matched, &path[..end]);
        }
        match path.is_empty() {
            true => matched,
            false => self.below(&matched, path),
        }
    }

    /// Whether something below a directory that matches may be taken back.
    #[must_use]
    pub fn may_take_back_below(&self, directory: &[u8]) -> bool {
        self.takes_back && self.any_below(directory, true)
    }

    /// Whether something below a directory that does not match may match.
    #[must_use]
    pub fn may_match_below(&self, directory: &[u8]) -> bool {
        self.any_below(directory, false)
    }

    fn any_below(&self, directory: &[u8], wanted: bool) -> bool {
        let mut wanted = self.list.iter().filter(|(back, _)| *back == wanted);
        wanted.any(|(_, pattern)| pattern.may_match_below(directory))
    }
}

/// A path without what says nothing, as Go's `filepath.Clean` has it.
#[must_use]
pub fn clean(path: &str) -> String {
    let rooted = path.starts_with('/');
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." if parts.last().is_some_and(|last| *last != "..") => drop(parts.pop()),
            ".." if rooted => {}
            part => parts.push(part),
        }
    }
    let joined = parts.join("/");
    match (rooted, joined.is_empty()) {
        (true, _) => format!("/{joined}"),
        (false, true) => ".".to_owned(),
        (false, false) => joined,
    }
}

/// `path` as seen from `base`, absolute and clean.
#[must_use]
pub fn absolute(base: &str, path: &str) -> String {
    match path.starts_with('/') {
        true => clean(path),
        false => clean(&format!("/{base}/{path}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mutate::{as_it_is, hammer};

    fn list(texts: &[&str]) -> Patterns {
        let texts: Vec<String> = texts.iter().map(|text| (*text).to_owned()).collect();
        Patterns::new(&texts).expect("well-formed")
    }

    #[test]
    fn lists_leave_out_what_dockerignore_does() {
        let table: &[(&[&str], &str, bool)] = &[
            (&["*.o"], "a.o", true),
            (&["*.o"], "d/a.o", false),
            (&["**/*.o"], "d/a.o", true),
            (&["**/*.o"], "a.o", true),
            (&["node_modules/"], "node_modules/x/y", true),
            (&["./a//b/../c"], "a/c/d", true),
            // Paths are relative: nothing begins with a slash.
            (&["/a"], "a", false),
            (&["../a"], "a", false),
            (&["node_modules", "!node_modules/x"], "node_modules/x/y", false),
            (&["node_modules", "!node_modules/x"], "node_modules/z", true),
            (&["!a", "a"], "a", true),
            (&["*", "!a"], "a", false),
            (&["*", "!a"], "a/b", false),
            (&["*", "!a/b"], "a/b", false),
            (&["*", "!a/b"], "a/c", true),
            (&["", "  ", "."], "a", false),
            (&["**"], "a", true),
            (&["a/**"], "a", false),
            (&["a/**"], "a/b", true),
            (&["**/a"], "x/a/y", true),
            (&["a", "!**/keep"], "a/b/keep", false),
            (&["a", "!a/b", "a/b/c"], "a/b/c", true),
            (&["a", "!a/b", "a/b/c"], "a/b/d", false),
            // A second match of the directory is not noted, so it does not
            // reach below what was taken back.
            (&["a", "!a/b", "*"], "a/b", false),
        ];
        for (texts, path, expected) in table {
            let matched = list(texts).at(path.as_bytes());
            assert_eq!(matched.is_match(), *expected, "{texts:?} {path}");
        }
        assert!(Patterns::new(&["!".to_owned()]).is_err());
    }

    #[test]
    fn what_cannot_matter_below_a_directory_is_known() {
        let table: &[(&[&str], &str, bool)] = &[
            (&["a", "!a/b/c"], "a", true),
            (&["a", "!a/b/c"], "a/b", true),
            (&["a", "!a/b/c"], "a/b/c", false),
            (&["a", "!a/b/c"], "a/x", false),
            (&["a", "!b"], "a", false),
            (&["a", "!ab"], "a", false),
            (&["a", "!**/x"], "a/b/c", true),
            (&["a", "!*/x"], "a", true),
            (&["a", "!*/x"], "a/b", false),
            (&["a"], "a", false),
            (&["a", "!a/**"], "a/b", true),
        ];
        for (texts, directory, expected) in table {
            let known = list(texts).may_take_back_below(directory.as_bytes());
            assert_eq!(known, *expected, "{texts:?} {directory}");
        }
        assert!(list(&["a/*/c"]).may_match_below(b""));
        assert!(list(&["a/*/c"]).may_match_below(b"a/b"));
        assert!(!list(&["a/*/c"]).may_match_below(b"b"));
    }

    #[test]
    fn no_mutation_of_a_list_makes_it_panic() {
        let seeds = [&b"a\n!a/b\n**/*.o\n"[..], b"*\n!x/[a-c]?\n..\n"].map(<[u8]>::to_vec);
        hammer("patterns", &seeds, &as_it_is, &|bytes| {
            let lines: Vec<String> =
                String::from_utf8_lossy(bytes).lines().map(str::to_owned).collect();
            let Ok(list) = Patterns::new(&lines) else { return };
            let matched = list.at(bytes);
            // Who says that nothing below can matter must be right.
            if let Some(at) = bytes.iter().rposition(|byte| *byte == b'/')
                && list.at(&bytes[..at]).is_match()
                && !matched.is_match()
            {
                assert!(list.may_take_back_below(&bytes[..at]));
            }
        });
    }
}
