//! What a process will see: its root with mount points, and what is mounted.
//!
//! In: the root and what is mounted where, by words. Out: the trees that are
//! served, each with its number, and what was found out on the way about the
//! root (where a target really is, who owns a tree). The same for a process
//! that is to run and for one that is only thought of.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::points::Points;
use super::{ExecError, Owner};
use crate::layer::LayerPath;
use crate::view::lookup::{resolve, resolve_text};
use crate::view::{NodeKind, Tree, TreeError};

/// What is mounted, as far as it can be seen from the root.
#[derive(Clone, Copy)]
pub enum Mounted<'a> {
    /// A directory of the host or in memory.
    Directory,
    /// A file.
    File,
    /// A part of a tree.
    Tree(&'a Arc<dyn Tree>, &'a LayerPath),
}

/// What a process will see.
#[derive(Default)]
pub struct Shown {
    /// What is served: 0 is the root, the others are mounts.
    pub trees: BTreeMap<u16, Arc<dyn Tree>>,
    /// Of each mount, in order, where it is.
    pub(super) places: Vec<Place>,
    /// The mount points in the root, and whether each is a directory.
    points: BTreeMap<LayerPath, bool>,
}

/// A mount, resolved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    /// Below the root, without symbolic links.
    pub(super) target: LayerPath,
    /// What shows there of a tree.
    pub(super) source: Option<Source>,
}

/// A part of a tree that is mounted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Source {
    /// The tree's number.
    pub(super) tree: u16,
    /// Without symbolic links.
    pub(super) path: LayerPath,
    /// Mode and owner of the tree's root.
    pub(super) root: Owner,
}

/// Mounts that every process has, as they stand before its own.
pub(super) const FILES: [&str; 2] = ["/etc/resolv.conf", "/etc/hosts"];

/// What the fact begins with that tells where in the root a mount is; its number
/// follows.
pub const PLACE_OF_MOUNT: &str = "place of mount ";

/// The number of the tree that the mount of this number shows.
#[must_use]
pub fn tree_of_mount(mount: u16) -> Option<u16> {
    let first = u16::try_from(FILES.len() + 1).ok()?;
    mount.checked_add(first)
}

/// Resolves what a process will see.
///
/// # Errors
/// [`ExecError::Mount`] where a target or a source cannot be; [`ExecError::Tree`]
/// where a tree cannot be read.
pub fn shown(root: &Arc<dyn Tree>, mounts: &[(&str, Mounted<'_>)]) -> Result<Shown, ExecError> {
    let mut shown = Shown::default();
    let mut points = BTreeMap::new();
    for dir in ["proc", "sys", "dev"] {
        points.insert(LayerPath::new(dir).expect("a plain name"), true);
    }
    let all = FILES.iter().map(|target| (*target, Mounted::File)).chain(mounts.iter().copied());
    for (at, (target, mounted)) in all.enumerate() {
        let number = u16::try_from(at + 1).map_err(|_| ExecError::Mount {
            target: target.to_owned(),
            why: "there are too many mounts".to_owned(),
        })?;
        let (is_dir, source) = match mounted {
            Mounted::Directory => (true, None),
            Mounted::File => (false, None),
            Mounted::Tree(tree, path) => {
                let (is_dir, source) = source(number, target, tree.as_ref(), path)?;
                shown.trees.insert(number, Arc::clone(tree));
                (is_dir, Some(source))
            }
        };
        let target = point(root.as_ref(), target, is_dir, &mut points)?;
        shown.places.push(Place { target, source });
    }
    shown.trees.insert(0, Arc::new(Points::new(Arc::clone(root), points.clone())));
    shown.points = points;
    Ok(shown)
}

impl Shown {
    /// The same trees with another root, if mounts are where they are in this one.
    #[must_use]
    pub fn over(&self, root: Arc<dyn Tree>) -> BTreeMap<u16, Arc<dyn Tree>> {
        let mut trees = self.trees.clone();
        trees.insert(0, Arc::new(Points::new(root, self.points.clone())));
        trees
    }

    /// Where the process sees a path of a tree; `None` where it does not.
    #[must_use]
    pub fn seen_at(&self, tree: u16, path: &LayerPath) -> Option<LayerPath> {
        let Some(at) = tree.checked_sub(1) else { return Some(path.clone()) };
        let Place { target, source } = self.places.get(usize::from(at))?;
        Some(target.concat(&path.strip_prefix(&source.as_ref()?.path)?))
    }

    /// What was found out about the trees by name, for a fingerprint: a process
    /// for which one of these differs is another process.
    #[must_use]
    pub fn facts(&self) -> Vec<(String, String)> {
        let mut facts = Vec::new();
        for (at, Place { target, source }) in self.places.iter().enumerate().skip(FILES.len()) {
            let at = at - FILES.len();
            facts.push((format!("{PLACE_OF_MOUNT}{at}"), told(target)));
            if let Some(Source { tree: _, path, root: Owner { mode, uid, gid } }) = source {
                facts.push((format!("source of mount {at}"), told(path)));
                let owner = format!("{mode:o} {uid}:{gid}");
                facts.push((format!("owner of the tree of mount {at}"), owner));
            }
        }
        for (at, file) in self.places.iter().zip(FILES).map(|(place, file)| (&place.target, file)) {
            facts.push((format!("place of {file}"), told(at)));
        }
        for (number, tree) in &self.trees {
            let has = if tree.has_xattrs() { "some" } else { "none" };
            facts.push((format!("extended attributes of tree {number}"), has.to_owned()));
        }
        facts
    }
}

/// A path in words, no two the same.
fn told(path: &LayerPath) -> String {
    format!("/{}", path.as_bytes().escape_ascii())
}

/// Whether a part of a tree is a directory, and where it is.
fn source(
    number: u16,
    target: &str,
    tree: &dyn Tree,
    path: &LayerPath,
) -> Result<(bool, Source), ExecError> {
    let found = resolve(tree, path)?;
    let Some(node) = found.node else {
        let why = format!("{} is not there", path.display());
        return Err(ExecError::Mount { target: target.to_owned(), why });
    };
    let root = owner(tree, &LayerPath::root())?;
    Ok((node.kind == NodeKind::Directory, Source { tree: number, path: found.path, root }))
}

/// Where a target really is; the view gets a mount point there.
fn point(
    root: &dyn Tree,
    target: &str,
    is_dir: bool,
    points: &mut BTreeMap<LayerPath, bool>,
) -> Result<LayerPath, ExecError> {
    let refuse = |why: &str| ExecError::Mount { target: target.to_owned(), why: why.to_owned() };
    let path = match resolve_text(root, target.as_bytes()) {
        Ok(resolved) => resolved.path,
        Err(TreeError::Type { .. }) => {
            return Err(refuse("too many symbolic links, or a name that cannot be"));
        }
        Err(error) => return Err(error.into()),
    };
    if path.is_root() {
        return Err(refuse("it is the root"));
    }
    // Below another mount the point is made there, not in the view.
    if !points.iter().any(|(point, dir)| *dir && path != *point && path.starts_with(point)) {
        points.insert(path.clone(), is_dir);
    }
    Ok(path)
}

pub(super) fn owner(tree: &dyn Tree, path: &LayerPath) -> Result<Owner, TreeError> {
    let meta = tree.node(path)?.map(|node| node.meta);
    Ok(meta.map_or(Owner { mode: 0o755, uid: 0, gid: 0 }, |meta| Owner {
        mode: meta.mode,
        uid: meta.uid,
        gid: meta.gid,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::view::memory::Memory;

    #[test]
    fn places_that_only_look_alike_are_told_apart() {
        let at =
            |bytes: &[u8]| Place { target: LayerPath::new(bytes).expect("valid"), source: None };
        let facts = |bytes: &[u8]| {
            let places = vec![at(b"etc/resolv.conf"), at(b"etc/hosts"), at(bytes)];
            let trees = BTreeMap::from([(0, Arc::new(Memory::new()) as Arc<dyn Tree>)]);
            Shown { places, trees, points: BTreeMap::new() }.facts()
        };
        let names: [&[u8]; 4] = [b"\xff", b"\xfe", "\u{fffd}".as_bytes(), br"\xff"];
        for (at, name) in names.iter().enumerate() {
            assert!(names[..at].iter().all(|other| facts(other) != facts(name)), "{name:?}");
        }
        assert_eq!(facts(b"var/cache")[0].1, "/var/cache");
    }
}
