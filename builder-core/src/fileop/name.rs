//! Paths as a user wrote them.

use super::FileOpError;
use crate::layer::LayerPath;
use crate::pattern::{self, Pattern, is_glob};
use crate::view::{Tree, TreeError, lookup};

/// Joins `text` to `cwd` (where it is relative) and cleans it as Docker does:
/// by its letters, `..` of the root being the root.
pub(super) fn absolute(cwd: &str, text: &str) -> Vec<u8> {
    pattern::absolute(cwd, text).trim_start_matches('/').as_bytes().to_vec()
}

/// As [`absolute`] below the root of what is copied from, which it may not leave.
pub(super) fn within(text: &str) -> Result<Vec<u8>, FileOpError> {
    let mut depth = 0_usize;
    for part in text.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                depth = depth
                    .checked_sub(1)
                    .ok_or_else(|| FileOpError::Escapes { path: text.to_owned() })?;
            }
            _ => depth += 1,
        }
    }
    Ok(absolute("", text))
}

/// A cleaned name as a path.
pub(super) fn path(text: &str, clean: &[u8]) -> Result<LayerPath, FileOpError> {
    LayerPath::new(clean).map_err(|source| FileOpError::Path { path: text.to_owned(), source })
}

/// Whether a path can name nothing but a directory.
pub(super) fn says_directory(text: &str) -> bool {
    text.is_empty() || text.ends_with('/') || matches!(text.rsplit('/').next(), Some("." | ".."))
}

/// Whether a part of a cleaned name is more than itself.
pub(super) fn has_glob(clean: &[u8]) -> bool {
    clean.split(|b| *b == b'/').any(is_glob)
}

/// Every path that a cleaned name or glob names, in order; links on the way are
/// followed, the last one is not. A `**` at the end is a `*`: what is named is
/// taken with all below it in any case.
pub(super) fn expand(tree: &dyn Tree, clean: &[u8]) -> Result<Vec<LayerPath>, FileOpError> {
    let mut found = vec![LayerPath::root()];
    let mut parts = clean.split(|b| *b == b'/').filter(|part| !part.is_empty()).peekable();
    while let Some(part) = parts.next() {
        let mut next = Vec::new();
        let matcher = if is_glob(part) { Some(Pattern::name(part)?) } else { None };
        let deep = part == b"**" && parts.peek().is_some();
        for at in &found {
            match &matcher {
                _ if deep => directories(tree, at, &mut next)?,
                Some(pattern) => matching(tree, at, pattern, &mut next)?,
                None => next.extend(child(tree, at, part)?),
            }
        }
        next.sort();
        next.dedup();
        found = next;
    }
    Ok(found)
}

/// The directory behind `at`, if it is one.
fn directory(tree: &dyn Tree, at: &LayerPath) -> Result<Option<LayerPath>, TreeError> {
    let resolved = lookup::resolve(tree, at)?;
    Ok(resolved.node.filter(crate::view::Node::is_dir).map(|_| resolved.path))
}

fn child(tree: &dyn Tree, at: &LayerPath, name: &[u8]) -> Result<Option<LayerPath>, FileOpError> {
    let Some(at) = directory(tree, at)? else { return Ok(None) };
    let child = at.join(name).map_err(|source| FileOpError::Path {
        path: String::from_utf8_lossy(name).into_owned(),
        source,
    })?;
    Ok(tree.node(&child)?.map(|_| child))
}

fn matching(
    tree: &dyn Tree,
    at: &LayerPath,
    pattern: &Pattern,
    next: &mut Vec<LayerPath>,
) -> Result<(), FileOpError> {
    let Some(at) = directory(tree, at)? else { return Ok(()) };
    let names = tree.list(&at)?.into_iter().filter(|(name, _)| pattern.matches(name));
    next.extend(names.filter_map(|(name, _)| at.join(&name).ok()));
    Ok(())
}

/// `at` and every directory below it; links are not followed.
fn directories(
    tree: &dyn Tree,
    at: &LayerPath,
    next: &mut Vec<LayerPath>,
) -> Result<(), FileOpError> {
    let Some(at) = directory(tree, at)? else { return Ok(()) };
    let mut todo = vec![at];
    while let Some(at) = todo.pop() {
        let below = tree.list(&at)?.into_iter().filter(|(_, node)| node.is_dir());
        todo.extend(below.filter_map(|(name, _)| at.join(&name).ok()));
        next.push(at);
    }
    Ok(())
}

/// Whether the directory is there that the first glob of a cleaned name looks in.
pub(super) fn has_place(tree: &dyn Tree, clean: &[u8]) -> Result<bool, FileOpError> {
    let parts = clean.split(|b| *b == b'/').take_while(|part| !is_glob(part));
    let place = parts.collect::<Vec<_>>().join(&b'/');
    let place = path(&String::from_utf8_lossy(&place), &place)?;
    Ok(directory(tree, &place)?.is_some())
}

/// The error for a name that names nothing, with names that look alike.
pub(super) fn no_match(tree: &dyn Tree, text: &str, clean: &[u8]) -> FileOpError {
    FileOpError::NoMatch { pattern: text.to_owned(), near: near(tree, clean).unwrap_or_default() }
}

fn near(tree: &dyn Tree, clean: &[u8]) -> Option<Vec<String>> {
    let clean = String::from_utf8_lossy(clean);
    let (parent, wanted) = clean.rsplit_once('/').unwrap_or(("", &clean));
    let parent = LayerPath::new(parent).ok()?;
    let at = directory(tree, &parent).ok()??;
    let mut near: Vec<(usize, String)> = Vec::new();
    for (name, _) in tree.list(&at).ok()? {
        let Ok(name) = String::from_utf8(name) else { continue };
        let distance = strsim::damerau_levenshtein(&name.to_lowercase(), &wanted.to_lowercase());
        if distance <= (wanted.chars().count() / 3).max(1) {
            near.push((distance, name));
        }
    }
    near.sort();
    let shown = |name: &String| match parent.is_root() {
        true => format!("`{name}`"),
        false => format!("`{}/{name}`", String::from_utf8_lossy(parent.as_bytes())),
    };
    Some(near.iter().take(3).map(|(_, name)| shown(name)).collect())
}
