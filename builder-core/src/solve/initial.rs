//! What a cache mount holds at first.
//!
//! Limitation: it is written as this user, so an ordinary user can give it no
//! other owners than root.

use std::fs;
use std::io;
use std::path::Path;

use rustix::fs::{CWD, RenameFlags, renameat_with};

use super::error::StepCause;
use crate::digest::ContentDigest;
use crate::layer::{Change, Entry, LayerPath};
use crate::root::unpacked::Unpacker;
use crate::view::{Node, NodeKind, Tree, walk};

/// Makes the directory `place` with what a directory of a tree holds, if it is
/// not there. `home` is a directory on the same file system.
pub(super) fn fill(
    place: &Path,
    home: &Path,
    tree: &dyn Tree,
    source: &LayerPath,
) -> Result<(), StepCause> {
    if place.exists() {
        return Ok(());
    }
    let failed = |source| StepCause::Io { path: place.to_owned(), source };
    let temp = home.join("initial");
    fs::create_dir(&temp).map_err(failed)?;
    let mut unpacker = Unpacker::new(&temp).map_err(failed)?;
    walk::walk(tree, source, &mut |path, node| put(&mut unpacker, tree, (source, path), node))?;
    unpacker.finish().map_err(failed)?;
    match renameat_with(CWD, &temp, CWD, place, RenameFlags::NOREPLACE) {
        // Another step was quicker.
        Err(rustix::io::Errno::EXIST) => fs::remove_dir_all(&temp).map_err(failed),
        other => other.map_err(|error| failed(error.into())),
    }
}

fn put(
    unpacker: &mut Unpacker,
    tree: &dyn Tree,
    (source, path): (&LayerPath, &LayerPath),
    node: &Node,
) -> Result<bool, StepCause> {
    let base = source.as_bytes().len();
    let below = path.as_bytes().get(base + usize::from(base > 0)..).unwrap_or_default();
    let below =
        LayerPath::new(below).map_err(|source| StepCause::Path { path: path.display(), source })?;
    if below.is_root() && !node.is_dir() {
        let source = io::ErrorKind::NotADirectory.into();
        return Err(StepCause::Io { path: path.display().into(), source });
    }
    if node.kind == NodeKind::Socket {
        return Ok(false);
    }
    let kind = node.kind.clone().with_content(ContentDigest::from_bytes([0; 32]));
    let entry = Entry { path: below, change: Change::Present { meta: node.meta.clone(), kind } };
    let failed = |source| StepCause::Io { path: path.display().into(), source };
    match node.kind {
        NodeKind::File { .. } => unpacker.put(&entry, &mut tree.stream(path)?),
        _ => unpacker.put(&entry, &mut io::empty()),
    }
    .map_err(failed)?;
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::view::memory::Memory;

    #[test]
    fn a_cache_is_filled_once() {
        let home = tempfile::tempdir().expect("a directory");
        let place = home.path().join("cache");
        let tree = Memory::new().file("a/b/f", "one").mode("a/b", 0o711).link("a/l", "b");
        let source = LayerPath::new("a").expect("a path");
        fill(&place, home.path(), &tree, &source).expect("filled");
        assert_eq!(fs::read(place.join("b/f")).expect("read"), b"one");
        assert_eq!(fs::read_link(place.join("l")).expect("read"), Path::new("b"));
        fs::write(place.join("b/f"), "two").expect("written");
        fill(&place, home.path(), &tree, &source).expect("there");
        assert_eq!(fs::read(place.join("b/f")).expect("read"), b"two");
        let file = LayerPath::new("a/b/f").expect("a path");
        assert!(fill(&home.path().join("other"), home.path(), &tree, &file).is_err());
    }
}
