//! The layer that an operation would write, while it is being resolved.
//!
//! Invariant: entries are changes that apply to the target: a parent is there
//! or made, and no directory and other file replace each other.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::sync::Arc;

use super::FileOpError;
use crate::digest::ContentDigest;
use crate::layer::{Change, Kind, LayerPath, Meta, Mtime};
use crate::view::{HostFile, Node, NodeKind, Tree, TreeError, lookup};

/// Where the bytes of an entry come from.
#[derive(Clone)]
pub(super) enum Content {
    /// There are none.
    Nothing,
    /// The operation holds them.
    Inline(Arc<[u8]>),
    /// A file of an input that is copied from.
    Copied(usize, LayerPath),
}

/// An entry with its content.
#[derive(Clone)]
pub(super) struct Item {
    pub change: Change,
    pub content: Content,
    /// Whose names become links to one another.
    pub group: Option<Group>,
}

/// A file of which a source has several names. Names that other sources of the
/// same copy have of it are files of their own, as under BuildKit, which makes
/// one copy after the other.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(super) struct Group {
    /// Which of the sources, in the order in which they are copied.
    pub source: usize,
    pub file: Linked,
}

/// What such a file is known by.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(super) enum Linked {
    /// Its first name in a tree that knows all of them.
    First(LayerPath),
    /// That of the host, where they are found one by one.
    Host(HostFile),
}

/// A digest that is not known yet.
pub(super) const UNKNOWN: ContentDigest = ContentDigest::from_bytes([0; 32]);

pub(super) struct Draft<'a> {
    pub target: &'a dyn Tree,
    pub mtime: Mtime,
    pub items: BTreeMap<LayerPath, Item>,
    /// Paths whose place something of another kind takes: of what the target
    /// has there and below nothing is left.
    replaced: BTreeSet<LayerPath>,
}

impl<'a> Draft<'a> {
    pub(super) fn new(target: &'a dyn Tree, mtime: Mtime) -> Self {
        Self { target, mtime, items: BTreeMap::new(), replaced: BTreeSet::new() }
    }

    /// Mode, owner and the constant time.
    pub(super) fn meta(&self, mode: u32, owner: Option<(u32, u32)>) -> Meta {
        let (uid, gid) = owner.unwrap_or((0, 0));
        Meta { uid, gid, mtime: self.mtime, ..Meta::root_owned(mode) }
    }

    /// Where a path of the target leads, links followed.
    pub(super) fn resolve(&self, path: &LayerPath) -> Result<lookup::Resolved, TreeError> {
        lookup::resolve(self.target, path)
    }

    /// Whether there will be a directory (or else something other), if anything.
    fn is_directory(&self, path: &LayerPath) -> Result<Option<bool>, FileOpError> {
        match self.items.get(path) {
            Some(Item { change: Change::Present { kind, .. }, .. }) => Ok(Some(kind.is_dir())),
            Some(_) => Ok(None),
            None if self.is_replaced(path) => Ok(None),
            None => Ok(self.target.node(path)?.map(|node| node.is_dir())),
        }
    }

    /// What a directory has that will be there.
    pub(super) fn existing(&self, path: &LayerPath) -> Result<Option<Meta>, FileOpError> {
        match self.items.get(path) {
            Some(Item { change: Change::Present { meta, kind }, .. }) => {
                Ok(kind.is_dir().then(|| meta.clone()))
            }
            Some(_) => Ok(None),
            None if self.is_replaced(path) => Ok(None),
            None => Ok(self.target.node(path)?.filter(Node::is_dir).map(|node| node.meta)),
        }
    }

    /// Makes what is missing of the directories above `path`: 0755, 0:0.
    pub(super) fn parents(&mut self, path: &LayerPath) -> Result<(), FileOpError> {
        self.parents_as(path, &self.meta(0o755, None))
    }

    /// The same, with another mode and owner.
    pub(super) fn parents_as(&mut self, path: &LayerPath, meta: &Meta) -> Result<(), FileOpError> {
        // Most often the nearest is there.
        let Some(parent) = path.parent() else { return Ok(()) };
        if self.is_directory(&parent)? == Some(true) {
            return Ok(());
        }
        let ancestors: Vec<LayerPath> = path.ancestors().collect();
        let mut missing = Vec::new();
        for ancestor in ancestors.into_iter().rev() {
            match self.is_directory(&ancestor)? {
                Some(true) => break,
                Some(false) => {
                    let (path, parent) = (path.display(), ancestor.display());
                    return Err(FileOpError::Parent { path, parent });
                }
                None => missing.push(ancestor),
            }
        }
        for path in missing {
            self.insert(path, meta.clone(), Kind::Directory, Content::Nothing);
        }
        Ok(())
    }

    /// Puts a directory over nothing or a directory.
    pub(super) fn put_directory(
        &mut self,
        path: &LayerPath,
        meta: Meta,
    ) -> Result<(), FileOpError> {
        self.parents(path)?;
        if self.is_directory(path)? == Some(false) {
            return Err(FileOpError::NotADirectory { path: path.display() });
        }
        self.insert(path.clone(), meta, Kind::Directory, Content::Nothing);
        Ok(())
    }

    /// Puts anything else over nothing or something that is no directory.
    pub(super) fn put(
        &mut self,
        path: &LayerPath,
        meta: Meta,
        kind: Kind,
        content: Content,
    ) -> Result<(), FileOpError> {
        self.parents(path)?;
        if self.is_directory(path)? == Some(true) {
            let wanted =
                if matches!(kind, Kind::Symlink { .. }) { "symbolic link" } else { "file" };
            return Err(FileOpError::IsDirectory { path: path.display(), wanted });
        }
        self.insert(path.clone(), meta, kind, content);
        Ok(())
    }

    fn insert(&mut self, path: LayerPath, meta: Meta, kind: Kind, content: Content) {
        let change = Change::Present { meta, kind };
        self.items.insert(path, Item { change, content, group: None });
    }

    /// Whether nothing is left of what the target has at `path`.
    pub(super) fn is_replaced(&self, path: &LayerPath) -> bool {
        !self.replaced.is_empty()
            && (self.replaced.contains(path)
                || path.ancestors().any(|above| self.replaced.contains(&above)))
    }

    /// Makes room for something of another kind than what is at `path`; a
    /// directory stays where there is to be one.
    pub(super) fn replace(&mut self, path: &LayerPath, is_dir: bool) -> Result<(), FileOpError> {
        let Some(was_dir) = self.is_directory(path)? else { return Ok(()) };
        if was_dir == is_dir {
            return Ok(());
        }
        if was_dir {
            let below: Vec<LayerPath> = self.below(path).cloned().collect();
            for path in below {
                self.items.remove(&path);
            }
        }
        self.items.remove(path);
        self.replaced.insert(path.clone());
        Ok(())
    }

    /// The entries below `path`: in the order of paths they follow it at once.
    fn below<'b>(&'b self, path: &'b LayerPath) -> impl Iterator<Item = &'b LayerPath> {
        let after = self.items.range((Bound::Excluded(path), Bound::Unbounded));
        after.map(|(other, _)| other).take_while(|other| other.starts_with(path))
    }

    /// Takes away what the target has at `path`, all below it included.
    pub(super) fn remove(&mut self, path: LayerPath) {
        let item = Item { change: Change::Whiteout, content: Content::Nothing, group: None };
        self.items.insert(path, item);
    }
}

/// A node as an entry's kind; `None` for a socket, which no layer holds.
pub(super) fn kind(node: &Node) -> Option<Kind> {
    (node.kind != NodeKind::Socket).then(|| node.kind.clone().with_content(UNKNOWN))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::view::memory::Memory;

    proptest! {
        #[test]
        fn what_is_below_a_path_is_what_has_it_as_an_ancestor(
            names in proptest::collection::vec("[-.a0]{1,2}(/[-.a0]{1,2}){0,4}", 1..80),
        ) {
            let target = Memory::new();
            let mut draft = Draft::new(&target, Mtime { secs: 0, nanos: 0 });
            let paths = names.iter().filter_map(|name| LayerPath::new(name).ok());
            let paths: Vec<LayerPath> = paths.chain([LayerPath::root()]).collect();
            for path in &paths {
                draft.remove(path.clone());
            }
            let others = ["a", "a/a", "-", "0/0"].map(|name| LayerPath::new(name).expect(name));
            for path in paths.iter().chain(&others) {
                let is_below =
                    |other: &&LayerPath| other.ancestors().any(|above| above == *path);
                let wanted: Vec<_> = draft.items.keys().filter(is_below).collect();
                prop_assert_eq!(draft.below(path).collect::<Vec<_>>(), wanted);
            }
        }
    }

    #[test]
    fn a_directory_that_a_file_replaces_is_gone_with_all_below_it() {
        let target = Memory::new();
        let mut draft = Draft::new(&target, Mtime { secs: 0, nanos: 0 });
        let path = |name: &str| LayerPath::new(name).expect(name);
        let meta = draft.meta(0o755, None);
        for name in ["a", "a/b", "a/b/c", "a.b", "b"] {
            draft.insert(path(name), meta.clone(), Kind::Directory, Content::Nothing);
        }
        draft.replace(&path("a"), false).expect("nothing is read");
        assert_eq!(draft.items.keys().cloned().collect::<Vec<_>>(), [path("a.b"), path("b")]);
        assert!(draft.is_replaced(&path("a/b")) && !draft.is_replaced(&path("a.b")));
        draft.replace(&path("b"), true).expect("nothing is read");
        assert!(draft.items.contains_key(&path("b")));
    }
}
