//! The digest of a subtree: what it is, wherever and whenever it was made.
//!
//! | enters | never |
//! |---|---|
//! | path below the root, type, mode, owner, time of what is no directory, content, link target, device, xattrs, link groups | inode numbers, times and sizes of directories |
//!
//! The times are those that the tree shows, since a process that reads the tree
//! sees them: a context shows the constant for all its files, a stage those
//! that its layers hold.

use super::{Node, NodeKind, Tree, TreeError, walk::walk};
use crate::digest::ContentDigest;
use crate::layer::LayerPath;

/// The digest of what is at `root` and below.
///
/// # Errors
/// [`TreeError`] where the tree cannot be read.
pub fn subtree(tree: &dyn Tree, root: &LayerPath) -> Result<ContentDigest, TreeError> {
    let mut hasher = blake3::Hasher::new();
    walk(tree, root, &mut |path, node| {
        let relative = path.strip_prefix(root).unwrap_or_default();
        put(&mut hasher, relative.as_bytes());
        put_node(&mut hasher, tree, path, node)?;
        Ok::<bool, TreeError>(true)
    })?;
    Ok(ContentDigest::from_bytes(*hasher.finalize().as_bytes()))
}

fn put(hasher: &mut blake3::Hasher, bytes: &[u8]) {
    hasher.update(&(bytes.len() as u64).to_le_bytes()).update(bytes);
}

fn put_node(
    hasher: &mut blake3::Hasher,
    tree: &dyn Tree,
    path: &LayerPath,
    node: &Node,
) -> Result<(), TreeError> {
    let Node { meta, kind, links } = node;
    for number in [meta.mode, meta.uid, meta.gid] {
        hasher.update(&number.to_le_bytes());
    }
    if !node.is_dir() {
        hasher.update(&meta.mtime.secs.to_le_bytes()).update(&meta.mtime.nanos.to_le_bytes());
    }
    hasher.update(&(meta.xattrs.len() as u64).to_le_bytes());
    for (name, value) in &meta.xattrs {
        put(hasher, name);
        put(hasher, value);
    }
    match kind {
        NodeKind::File { size: _ } => {
            hasher.update(b"f").update(tree.content(path)?.as_bytes());
        }
        NodeKind::Directory => {
            hasher.update(b"d");
        }
        NodeKind::Symlink { target } => {
            hasher.update(b"l");
            put(hasher, target);
        }
        NodeKind::CharDevice { major, minor } => {
            hasher.update(b"c").update(&major.to_le_bytes()).update(&minor.to_le_bytes());
        }
        NodeKind::BlockDevice { major, minor } => {
            hasher.update(b"b").update(&major.to_le_bytes()).update(&minor.to_le_bytes());
        }
        NodeKind::Fifo => {
            hasher.update(b"p");
        }
        NodeKind::Socket => {
            hasher.update(b"s");
        }
    }
    put(hasher, links.as_ref().map_or(b"", |links| links.first.as_bytes()));
    // Names outside the subtree count: a link count shows them.
    hasher.update(&links.as_ref().map_or(1, |links| links.count).to_le_bytes());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::memory::Memory;
    use super::*;

    #[test]
    fn equal_trees_have_equal_digests_and_every_difference_shows() {
        let base = || Memory::new().file("a/b", "x").link("a/l", "b");
        let of = |tree: Memory| subtree(&tree, &LayerPath::root()).expect("read");
        assert_eq!(of(base()), of(base()));
        for other in [
            base().file("a/b", "y"),
            base().file("a/c", ""),
            base().link("a/l", "c"),
            base().mode("a/b", 0o600),
            base().owner("a/b", 1, 0),
            base().directory("a/d"),
            base().time("a/b", 1),
        ] {
            assert_ne!(of(base()), of(other));
        }
        // A directory shows no time of its own.
        assert_eq!(of(base()), of(base().time("a", 1)));
        let below = LayerPath::new("a").expect("a path");
        let moved = Memory::new().file("z/b", "x").link("z/l", "b");
        let other = LayerPath::new("z").expect("a path");
        let (here, there) = (subtree(&base(), &below), subtree(&moved, &other));
        assert_eq!(here.expect("read"), there.expect("read"));
    }
}
