//! A tree that a step mounted or copied from where its image was made, and that
//! is not here.
//!
//! Of it is known what a process was given of it (where its parts are, who owns
//! it, hashes of what is in it), and nothing else: that is enough to prepare the
//! process as it was prepared there, and too little to run it.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use crate::chain::{Input, Part};
use crate::digest::ContentDigest;
use crate::layer::{LayerPath, Meta};
use crate::view::{Node, NodeKind, ReadAt, Tree, TreeError};

/// Such a tree.
pub(crate) struct Elsewhere {
    input: Input,
    nodes: BTreeMap<LayerPath, NodeKind>,
}

impl Elsewhere {
    pub(super) fn new(input: &Input) -> Self {
        let mut nodes = BTreeMap::new();
        for part in &input.parts {
            place(&mut nodes, part);
        }
        Self { input: input.clone(), nodes }
    }

    /// What was known of it.
    pub(super) fn input(&self) -> &Input {
        &self.input
    }

    /// The hash of a part, as the step names it.
    pub(super) fn content_of(&self, source: &str) -> Option<String> {
        let part = self.input.parts.iter().find(|part| part.source == source);
        part.map(|part| part.content.clone())
    }
}

/// Puts a part where it is, and where the step looks for it a link to that.
fn place(nodes: &mut BTreeMap<LayerPath, NodeKind>, part: &Part) {
    let Part { source, path, is_dir, content: _ } = part;
    let kind = if *is_dir { NodeKind::Directory } else { NodeKind::File { size: 0 } };
    let mut above = |path: &LayerPath| {
        for above in path.ancestors() {
            nodes.entry(above).or_insert(NodeKind::Directory);
        }
    };
    above(path);
    let link = LayerPath::new(source).ok().filter(|named| named != path);
    if let Some(named) = &link {
        above(named);
    }
    nodes.entry(path.clone()).or_insert(kind);
    if let Some(named) = link {
        // Also where a part below it was found first.
        nodes.insert(named, NodeKind::Symlink { target: [b"/", path.as_bytes()].concat() });
    }
}

/// Whoever wants more than is known is told so.
fn not_here(path: &LayerPath) -> TreeError {
    let source = io::Error::other("it is not here, but where its image was made");
    TreeError::Io { path: path.display(), source }
}

impl Tree for Elsewhere {
    fn node(&self, path: &LayerPath) -> Result<Option<Node>, TreeError> {
        let (mode, uid, gid) = self.input.root;
        let meta = Meta { uid, gid, ..Meta::root_owned(mode) };
        let kind = match path.is_root() {
            true => Some(NodeKind::Directory),
            false => self.nodes.get(path).cloned(),
        };
        Ok(kind.map(|kind| Node { meta, kind, links: None }))
    }

    fn list(&self, path: &LayerPath) -> Result<Vec<(Vec<u8>, Node)>, TreeError> {
        Err(not_here(path))
    }

    fn content(&self, path: &LayerPath) -> Result<ContentDigest, TreeError> {
        Err(not_here(path))
    }

    fn open(&self, path: &LayerPath) -> Result<Arc<dyn ReadAt>, TreeError> {
        Err(not_here(path))
    }

    fn has_xattrs(&self) -> bool {
        self.input.xattrs
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::view::lookup::resolve;

    fn path(text: &str) -> LayerPath {
        LayerPath::new(text).expect("a test's path is valid")
    }

    #[test]
    fn parts_are_found_where_they_were_and_nothing_is_read() {
        let part = |source: &str, at: &str, is_dir| Part {
            source: source.to_owned(),
            path: path(at),
            is_dir,
            content: format!("hash of {at}"),
        };
        let parts = vec![
            part("a/b", "x/b", true),
            part("a", "x", true),
            part("c", "c", false),
            part("", "", true),
        ];
        let tree = Elsewhere::new(&Input { root: (0o700, 7, 8), parts, ..Input::default() });
        for (named, at) in [("a/b", "x/b"), ("a", "x"), ("c", "c"), ("", "")] {
            let found = resolve(&tree, &path(named)).expect("it can be asked");
            assert_eq!((found.path, found.node.is_some()), (path(at), true), "{named}");
        }
        let root = tree.node(&path("")).expect("asked").expect("there").meta;
        assert_eq!((root.mode, root.uid, root.gid), (0o700, 7, 8));
        assert_eq!(tree.content_of("c").as_deref(), Some("hash of c"));
        assert!(tree.content(&path("c")).is_err() && tree.list(&path("x")).is_err());
        assert!(tree.node(&path("d")).expect("asked").is_none());
    }
}
