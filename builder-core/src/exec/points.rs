//! Mount points that are in the view, and never in what a step writes.
//!
//! In: a tree and where things are to be mounted. Out: the tree with an empty
//! directory or file at each of these paths, and directories on the way.
//!
//! A name of a file with several that a point takes the place of is no name of
//! it any more: the others are counted without it, and their first is another
//! where it was that, since two nodes would have one identity.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, OnceLock};

use crate::digest::ContentDigest;
use crate::layer::{LayerPath, Meta};
use crate::view::walk::walk;
use crate::view::{Links, Node, NodeKind, ReadAt, Tree, TreeError};

/// A tree with mount points.
pub(super) struct Points {
    inner: Arc<dyn Tree>,
    /// Whether each is a directory.
    points: BTreeMap<LayerPath, bool>,
    /// Directories that lead to points.
    parents: BTreeSet<LayerPath>,
    /// What is left of the link groups of which points took names, by the
    /// first name that the tree knows; looked for once.
    groups: OnceLock<BTreeMap<LayerPath, Option<Links>>>,
}

impl Points {
    pub(super) fn new(inner: Arc<dyn Tree>, points: BTreeMap<LayerPath, bool>) -> Self {
        let parents = points.keys().flat_map(LayerPath::ancestors).collect();
        Self { inner, points, parents, groups: OnceLock::new() }
    }

    /// Whether there has to be a directory at `path`, or a file.
    fn wanted(&self, path: &LayerPath) -> Option<bool> {
        let leads = || self.parents.contains(path).then_some(true);
        self.points.get(path).copied().or_else(leads)
    }

    /// Whether what the tree has at `path` does not show.
    fn replaces(&self, path: &LayerPath, kind: &NodeKind) -> bool {
        match self.wanted(path) {
            Some(true) => *kind != NodeKind::Directory,
            Some(false) => !matches!(kind, NodeKind::File { .. }),
            None => false,
        }
    }

    /// What is at `path` instead of `found`.
    fn instead(&self, path: &LayerPath, found: Option<Node>) -> Result<Option<Node>, TreeError> {
        let found = found.filter(|node| !self.replaces(path, &node.kind));
        let is_dir = match found {
            Some(node) => return self.linked(node).map(Some),
            None => self.wanted(path),
        };
        Ok(is_dir.map(|is_dir| {
            if is_dir {
                made(0o755, NodeKind::Directory)
            } else {
                made(0o644, NodeKind::File { size: 0 })
            }
        }))
    }

    /// A node of the tree, with the names that it has here.
    fn linked(&self, mut node: Node) -> Result<Node, TreeError> {
        if let Some(Links { first, .. }) = &node.links
            && let Some(left) = self.groups()?.get(first)
        {
            node.links.clone_from(left);
        }
        Ok(node)
    }

    fn groups(&self) -> Result<&BTreeMap<LayerPath, Option<Links>>, TreeError> {
        if let Some(groups) = self.groups.get() {
            return Ok(groups);
        }
        let mut taken: BTreeMap<LayerPath, (u32, BTreeSet<&LayerPath>)> = BTreeMap::new();
        for path in self.points.keys().chain(&self.parents) {
            if let Some(Node { kind, links: Some(links), .. }) = self.inner.node(path)?
                && self.replaces(path, &kind)
            {
                let (_, names) = taken.entry(links.first).or_insert((links.count, BTreeSet::new()));
                names.insert(path);
            }
        }
        let mut groups = BTreeMap::new();
        for (first, (count, names)) in taken {
            let count = count.saturating_sub(u32::try_from(names.len()).unwrap_or(u32::MAX));
            let left = match count {
                0 | 1 => None,
                _ if !names.contains(&first) => Some(first.clone()),
                _ => self.next_name(&first)?,
            };
            groups.insert(first, left.map(|first| Links { first, count }));
        }
        Ok(self.groups.get_or_init(|| groups))
    }

    /// The first name that shows of a group whose first does not. It is looked
    /// for in all of the tree, which is as rare as a mount on such a name.
    fn next_name(&self, first: &LayerPath) -> Result<Option<LayerPath>, TreeError> {
        let mut next = None;
        walk(self.inner.as_ref(), &LayerPath::root(), &mut |path, node| {
            let is_name = node.links.as_ref().is_some_and(|links| links.first == *first);
            if next.is_none() && is_name && !self.replaces(path, &node.kind) {
                next = Some(path.clone());
            }
            Ok::<bool, TreeError>(next.is_none())
        })?;
        Ok(next)
    }
}

fn made(mode: u32, kind: NodeKind) -> Node {
    Node { meta: Meta::root_owned(mode), kind, links: None }
}

impl Tree for Points {
    fn has_xattrs(&self) -> bool {
        self.inner.has_xattrs()
    }

    fn node(&self, path: &LayerPath) -> Result<Option<Node>, TreeError> {
        self.instead(path, self.inner.node(path)?)
    }

    fn list(&self, path: &LayerPath) -> Result<Vec<(Vec<u8>, Node)>, TreeError> {
        if !self.parents.contains(path) {
            // A point that the tree lacks is empty.
            let there = self.inner.node(path)?.is_some_and(|n| n.kind == NodeKind::Directory);
            let point = self.points.get(path) == Some(&true);
            if point && !there {
                return Ok(Vec::new());
            }
            let found = self.inner.list(path)?.into_iter();
            return found.map(|(name, node)| Ok((name, self.linked(node)?))).collect();
        }
        let there = self.inner.node(path)?.is_some_and(|n| n.kind == NodeKind::Directory);
        let found = if there { self.inner.list(path)? } else { Vec::new() };
        let mut names: BTreeMap<Vec<u8>, Option<Node>> =
            found.into_iter().map(|(name, node)| (name, Some(node))).collect();
        let ours = self.points.keys().chain(&self.parents);
        for child in ours.filter(|child| child.parent().as_ref() == Some(path)) {
            names.entry(child.name().to_vec()).or_default();
        }
        let mut shown = Vec::with_capacity(names.len());
        for (name, node) in names {
            let Ok(child) = path.join(&name) else { continue };
            if let Some(node) = self.instead(&child, node)? {
                shown.push((name, node));
            }
        }
        Ok(shown)
    }

    fn content(&self, path: &LayerPath) -> Result<ContentDigest, TreeError> {
        if self.is_made(path)? { Ok(ContentDigest::of(b"")) } else { self.inner.content(path) }
    }

    fn open(&self, path: &LayerPath) -> Result<Arc<dyn ReadAt>, TreeError> {
        if self.is_made(path)? { Ok(Arc::new(Empty)) } else { self.inner.open(path) }
    }
}

impl Points {
    fn is_made(&self, path: &LayerPath) -> Result<bool, TreeError> {
        let made = self.points.get(path) == Some(&false);
        let is_file = |node: &Node| matches!(node.kind, NodeKind::File { .. });
        Ok(made && !self.inner.node(path)?.is_some_and(|node| is_file(&node)))
    }
}

struct Empty;

impl ReadAt for Empty {
    fn read_at(&self, _offset: u64, _buf: &mut [u8]) -> std::io::Result<usize> {
        Ok(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::view::memory::Memory;

    fn path(text: &str) -> LayerPath {
        LayerPath::new(text).expect("a test's path is valid")
    }

    /// Files with as many names as there are, the first one's identity.
    fn linked(tree: Memory, names: &[&str]) -> Memory {
        let count = u32::try_from(names.len()).expect("few");
        let node = Node {
            links: Some(Links { first: path(names[0]), count }),
            ..made(0o644, NodeKind::File { size: 1 })
        };
        names.iter().fold(tree, |tree, name| tree.put(name, node.clone(), b"x"))
    }

    #[test]
    fn a_name_that_a_point_takes_is_no_name_of_its_file() {
        let tree = linked(Memory::new(), &["2/a", "2/b"]);
        let tree = linked(tree, &["3/a", "3/b", "3/c"]);
        let tree = linked(tree, &["4/a", "4/b", "4/c", "4/d"]);
        let tree = linked(tree, &["kept/a", "kept/b"]);
        let points = [("2/a", true), ("3/a", true), ("4/b", true), ("4/c/in", false)];
        let points = points.into_iter().chain([("kept/a", false)]);
        let points = points.map(|(at, is_dir)| (path(at), is_dir)).collect();
        let points = Points::new(Arc::new(tree), points);
        let left = |at: &str| {
            let at = path(at);
            let node = points.node(&at).expect("readable").expect("there");
            let (parent, name) = at.split().expect("not the root");
            let list = points.list(&parent).expect("readable");
            let listed = list.iter().find(|(listed, _)| listed == name).map(|(_, node)| node);
            assert_eq!(listed, Some(&node), "a listing says the same");
            node.links.map(|links| (links.first.display(), links.count))
        };
        for (at, wanted) in [
            ("2/a", None),
            ("2/b", None),
            ("3/a", None),
            ("3/b", Some(("/3/b", 2))),
            ("3/c", Some(("/3/b", 2))),
            ("4/a", Some(("/4/a", 2))),
            ("4/c", None),
            ("4/d", Some(("/4/a", 2))),
            ("kept/a", Some(("/kept/a", 2))),
            ("kept/b", Some(("/kept/a", 2))),
        ] {
            assert_eq!(left(at), wanted.map(|(first, count)| (first.to_owned(), count)), "{at}");
        }
    }
}
