//! A tree that notes what is asked of it: for those that read trees without a
//! kernel between, as file operations do.

use std::io;
use std::sync::Arc;

use super::pathset::Question;
use super::recorder::Recorder;
use crate::digest::ContentDigest;
use crate::layer::{LayerPath, Mtime};
use crate::view::{HostFile, Node, ReadAt, Tree, TreeError};

/// A tree whose questions a [`Recorder`] gets, as those of one number.
pub struct Watched<'a> {
    tree: &'a dyn Tree,
    recorder: &'a Recorder,
    number: u16,
}

impl<'a> Watched<'a> {
    /// Watches `tree`.
    #[must_use]
    pub fn new(tree: &'a dyn Tree, recorder: &'a Recorder, number: u16) -> Self {
        recorder.begin(number);
        Self { tree, recorder, number }
    }

    fn note(&self, path: &LayerPath, question: Question) {
        self.recorder.note(self.number, path, question, true);
    }
}

impl Tree for Watched<'_> {
    fn node(&self, path: &LayerPath) -> Result<Option<Node>, TreeError> {
        let node = self.tree.node(path)?;
        self.recorder.note(self.number, path, Question::Node, node.is_some());
        if let Some(Node { kind: crate::view::NodeKind::Symlink { .. }, .. }) = &node {
            self.note(path, Question::Link);
        }
        Ok(node)
    }

    /// All that a listing of this trait says: names and the nodes of each.
    fn list(&self, path: &LayerPath) -> Result<Vec<(Vec<u8>, Node)>, TreeError> {
        self.note(path, Question::List);
        let all = self.tree.list(path)?;
        for (name, node) in &all {
            let Ok(child) = path.join(name) else { continue };
            self.note(&child, Question::Node);
            if let crate::view::NodeKind::Symlink { .. } = node.kind {
                self.note(&child, Question::Link);
            }
        }
        Ok(all)
    }

    fn content(&self, path: &LayerPath) -> Result<ContentDigest, TreeError> {
        self.note(path, Question::Content);
        self.tree.content(path)
    }

    fn at_hand(&self, path: &LayerPath) -> Option<ContentDigest> {
        self.note(path, Question::Content);
        self.tree.at_hand(path)
    }

    fn open(&self, path: &LayerPath) -> Result<Arc<dyn ReadAt>, TreeError> {
        self.note(path, Question::Content);
        self.tree.open(path)
    }

    fn stream(&self, path: &LayerPath) -> Result<Box<dyn io::Read + Send>, TreeError> {
        self.note(path, Question::Content);
        self.tree.stream(path)
    }

    fn has_xattrs(&self) -> bool {
        self.tree.has_xattrs()
    }

    fn host_mtime(&self, path: &LayerPath) -> Result<Option<Mtime>, TreeError> {
        self.tree.host_mtime(path)
    }

    fn host_file(&self, path: &LayerPath) -> Result<Option<HostFile>, TreeError> {
        self.tree.host_file(path)
    }
}
