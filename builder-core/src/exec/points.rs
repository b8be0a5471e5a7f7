//! Mount points that are in the view, and never in what a step writes.
//!
//! In: a tree and where things are to be mounted. Out: the tree with an empty
//! directory or file at each of these paths, and directories on the way.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::digest::ContentDigest;
use crate::layer::{LayerPath, Meta};
use crate::view::{Node, NodeKind, ReadAt, Tree, TreeError};

/// A tree with mount points.
pub(super) struct Points {
    inner: Arc<dyn Tree>,
    /// Whether each is a directory.
    points: BTreeMap<LayerPath, bool>,
    /// Directories that lead to points.
    parents: BTreeSet<LayerPath>,
}

impl Points {
    pub(super) fn new(inner: Arc<dyn Tree>, points: BTreeMap<LayerPath, bool>) -> Self {
        let parents = points.keys().flat_map(LayerPath::ancestors).collect();
        Self { inner, points, parents }
    }

    /// What is at `path` instead of `found`.
    fn instead(&self, path: &LayerPath, found: Option<Node>) -> Option<Node> {
        let is_dir = match self.points.get(path) {
            Some(is_dir) => *is_dir,
            None if self.parents.contains(path) => true,
            None => return found,
        };
        match found {
            Some(node) if is_dir && node.kind == NodeKind::Directory => Some(node),
            Some(node) if !is_dir && matches!(node.kind, NodeKind::File { .. }) => Some(node),
            _ if is_dir => Some(made(0o755, NodeKind::Directory)),
            _ => Some(made(0o644, NodeKind::File { size: 0 })),
        }
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
        Ok(self.instead(path, self.inner.node(path)?))
    }

    fn list(&self, path: &LayerPath) -> Result<Vec<(Vec<u8>, Node)>, TreeError> {
        if !self.parents.contains(path) {
            // A point that the tree lacks is empty.
            let there = self.inner.node(path)?.is_some_and(|n| n.kind == NodeKind::Directory);
            let point = self.points.get(path) == Some(&true);
            return if point && !there { Ok(Vec::new()) } else { self.inner.list(path) };
        }
        let there = self.inner.node(path)?.is_some_and(|n| n.kind == NodeKind::Directory);
        let found = if there { self.inner.list(path)? } else { Vec::new() };
        let mut names: BTreeMap<Vec<u8>, Option<Node>> =
            found.into_iter().map(|(name, node)| (name, Some(node))).collect();
        let ours = self.points.keys().chain(&self.parents);
        for child in ours.filter(|child| child.parent().as_ref() == Some(path)) {
            names.entry(child.name().to_vec()).or_default();
        }
        let with = |(name, node): (Vec<u8>, Option<Node>)| {
            let child = path.join(&name).ok()?;
            Some((name, self.instead(&child, node)?))
        };
        Ok(names.into_iter().filter_map(with).collect())
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
