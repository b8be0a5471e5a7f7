//! Path resolution inside a tree, as a kernel would do it in a chroot.
//!
//! Invariant: nothing outside the tree is ever looked at; `..` of the root is
//! the root, absolute links start at the root.

use super::{Node, NodeKind, Tree, TreeError};
use crate::layer::LayerPath;

/// Most links that are followed for one path, as in Linux.
const MAX_LINKS: usize = 40;

/// Where a path leads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resolved {
    /// The path without links. Where something is absent, what follows it is
    /// appended as it is.
    pub path: LayerPath,
    /// What is there; `None` if nothing is.
    pub node: Option<Node>,
}

/// Follows every link of `path`, the last one too.
///
/// # Errors
/// [`TreeError`]: the tree failed, a link loops, or is not a valid path.
pub fn resolve(tree: &dyn Tree, path: &LayerPath) -> Result<Resolved, TreeError> {
    resolve_text(tree, path.as_bytes())
}

/// Follows every link of a path as it is written, absolute or not, which may
/// hold `.` and `..`.
///
/// # Errors
/// As [`resolve`].
pub fn resolve_text(tree: &dyn Tree, path: &[u8]) -> Result<Resolved, TreeError> {
    Walk::new(tree).go(path, true)
}

/// Follows every link of `path` but the last.
///
/// # Errors
/// As [`resolve`].
pub fn resolve_parent(tree: &dyn Tree, path: &LayerPath) -> Result<Resolved, TreeError> {
    Walk::new(tree).go(path.as_bytes(), false)
}

struct Walk<'a> {
    tree: &'a dyn Tree,
    links: usize,
}

impl<'a> Walk<'a> {
    fn new(tree: &'a dyn Tree) -> Self {
        Self { tree, links: 0 }
    }

    fn go(&mut self, text: &[u8], follow_last: bool) -> Result<Resolved, TreeError> {
        let mut todo: Vec<Vec<u8>> = components(text).rev().collect();
        let mut at = LayerPath::root();
        let mut node = self.tree.node(&at)?;
        while let Some(name) = todo.pop() {
            if name == b".." {
                at = at.parent().unwrap_or_default();
                node = self.tree.node(&at)?;
                continue;
            }
            let child = at.join(&name).map_err(|_| bad(text, "path"))?;
            let found = match &node {
                Some(node) if node.is_dir() => self.tree.node(&child)?,
                Some(_) | None => None,
            };
            match &found {
                Some(Node { kind: NodeKind::Symlink { target }, .. })
                    if follow_last || !todo.is_empty() =>
                {
                    self.links += 1;
                    if self.links > MAX_LINKS {
                        return Err(bad(text, "path without a loop of symbolic links"));
                    }
                    if target.starts_with(b"/") {
                        at = LayerPath::root();
                        node = self.tree.node(&at)?;
                    }
                    todo.extend(components(target).rev());
                }
                _ => (at, node) = (child, found),
            }
        }
        Ok(Resolved { path: at, node })
    }
}

fn components(text: &[u8]) -> impl DoubleEndedIterator<Item = Vec<u8>> {
    text.split(|b| *b == b'/').filter(|c| !c.is_empty() && *c != b".").map(<[u8]>::to_vec)
}

fn bad(text: &[u8], expected: &'static str) -> TreeError {
    TreeError::Type { path: String::from_utf8_lossy(text).into_owned(), expected }
}

#[cfg(test)]
mod tests {
    use super::super::memory::Memory;
    use super::*;

    fn path(text: &str) -> LayerPath {
        LayerPath::new(text).expect("a path")
    }

    #[test]
    fn links_are_followed_inside_the_root() {
        let tree = Memory::new()
            .file("usr/bin/tool", "x")
            .link("bin", "usr/bin")
            .link("up", "../../../usr")
            .link("abs", "/bin/tool")
            .link("a", "b")
            .link("b", "a");
        let to =
            |text: &str| resolve(&tree, &path(text)).map(|r| (r.path.display(), r.node.is_some()));
        assert_eq!(to("bin/tool").expect("resolved"), ("/usr/bin/tool".into(), true));
        assert_eq!(to("up/bin").expect("resolved"), ("/usr/bin".into(), true));
        assert_eq!(to("abs").expect("resolved"), ("/usr/bin/tool".into(), true));
        assert_eq!(to("bin/new/er").expect("resolved"), ("/usr/bin/new/er".into(), false));
        assert_eq!(to("abs/below").expect("resolved"), ("/usr/bin/tool/below".into(), false));
        assert!(to("a").is_err());
        let parent = resolve_parent(&tree, &path("bin")).expect("resolved");
        assert_eq!(parent.path, path("bin"));
    }
}
