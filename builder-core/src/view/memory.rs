//! A tree in memory, for tests: its own and those of other modules.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use super::{Node, NodeKind, ReadAt, Tree, TreeError};
use crate::digest::ContentDigest;
use crate::layer::{LayerPath, Meta};

/// A tree in memory, built by chained calls. Parents are made.
#[derive(Debug, Clone, Default)]
pub struct Memory {
    nodes: BTreeMap<LayerPath, (Node, Arc<Vec<u8>>)>,
}

impl Memory {
    /// An empty tree.
    #[must_use]
    pub fn new() -> Self {
        Self::default().directory("")
    }

    /// Puts any node.
    ///
    /// # Panics
    /// If the path is not valid.
    #[must_use]
    pub fn put(mut self, path: &str, node: Node, content: &[u8]) -> Self {
        let path = LayerPath::new(path).expect("a test's path is valid");
        for ancestor in path.ancestors() {
            self.nodes
                .entry(ancestor)
                .or_insert_with(|| (plain(NodeKind::Directory, 0o755), Arc::default()));
        }
        self.nodes.insert(path, (node, Arc::new(content.to_vec())));
        self
    }

    /// Puts a regular file of mode 0644.
    #[must_use]
    pub fn file(self, path: &str, content: impl AsRef<[u8]>) -> Self {
        let content = content.as_ref();
        self.put(path, plain(NodeKind::File { size: content.len() as u64 }, 0o644), content)
    }

    /// Puts a directory of mode 0755.
    #[must_use]
    pub fn directory(self, path: &str) -> Self {
        self.put(path, plain(NodeKind::Directory, 0o755), b"")
    }

    /// Puts a symbolic link.
    #[must_use]
    pub fn link(self, path: &str, target: &str) -> Self {
        self.put(path, plain(NodeKind::Symlink { target: target.into() }, 0o777), b"")
    }

    /// Changes the mode of what is there.
    #[must_use]
    pub fn mode(self, path: &str, mode: u32) -> Self {
        self.change(path, |meta| meta.mode = mode)
    }

    /// Changes the owner of what is there.
    #[must_use]
    pub fn owner(self, path: &str, uid: u32, gid: u32) -> Self {
        self.change(path, |meta| (meta.uid, meta.gid) = (uid, gid))
    }

    /// Changes the modification time of what is there, to whole seconds.
    #[must_use]
    pub fn time(self, path: &str, secs: i64) -> Self {
        self.change(path, |meta| meta.mtime = crate::layer::Mtime { secs, nanos: 0 })
    }

    fn change(mut self, path: &str, change: impl FnOnce(&mut Meta)) -> Self {
        let path = LayerPath::new(path).expect("a test's path is valid");
        change(&mut self.nodes.get_mut(&path).expect("a test changes what is there").0.meta);
        self
    }

    fn bytes(&self, path: &LayerPath) -> Result<&Arc<Vec<u8>>, TreeError> {
        match self.nodes.get(path) {
            Some((Node { kind: NodeKind::File { .. }, .. }, content)) => Ok(content),
            _ => Err(TreeError::Type { path: path.display(), expected: "file" }),
        }
    }
}

fn plain(kind: NodeKind, mode: u32) -> Node {
    Node { meta: Meta::root_owned(mode), kind, links: None }
}

impl Tree for Memory {
    fn node(&self, path: &LayerPath) -> Result<Option<Node>, TreeError> {
        Ok(self.nodes.get(path).map(|(node, _)| node.clone()))
    }

    fn list(&self, path: &LayerPath) -> Result<Vec<(Vec<u8>, Node)>, TreeError> {
        if !self.nodes.get(path).is_some_and(|(node, _)| node.is_dir()) {
            return Err(TreeError::Type { path: path.display(), expected: "directory" });
        }
        let below = self.nodes.iter().filter(|(child, _)| child.parent().as_ref() == Some(path));
        let mut names: Vec<_> =
            below.map(|(child, (node, _))| (child.name().to_vec(), node.clone())).collect();
        names.sort_by(|a, b| a.0.cmp(&b.0));
        Ok(names)
    }

    fn content(&self, path: &LayerPath) -> Result<ContentDigest, TreeError> {
        self.bytes(path).map(|bytes| ContentDigest::of(bytes))
    }

    fn open(&self, path: &LayerPath) -> Result<Arc<dyn ReadAt>, TreeError> {
        Ok(Arc::new(Bytes(Arc::clone(self.bytes(path)?))))
    }
}

struct Bytes(Arc<Vec<u8>>);

impl ReadAt for Bytes {
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        let from = usize::try_from(offset).unwrap_or(usize::MAX).min(self.0.len());
        let len = buf.len().min(self.0.len() - from);
        buf[..len].copy_from_slice(&self.0[from..from + len]);
        Ok(len)
    }
}
