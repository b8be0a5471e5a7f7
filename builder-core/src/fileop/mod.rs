//! Changes of files without running anything: copy, write, mkdir, symlink, remove.
//!
//! In: an operation's description, the tree that is changed and the one that is
//! copied from. Out: the sorted entries of a layer, first as names and hashes
//! for a key, then as a blob. Both are made from the same entries, so a key
//! holds all that the layer will.
//!
//! Invariant: paths of the target are resolved inside it, sources inside theirs;
//! content that is not what the key says is an error and leaves no layer.
//!
//! Limitations: hard links are kept among the regular files of one source;
//! sockets are left out.

mod copy;
mod draft;
mod error;
mod name;
mod prepared;
mod simple;
#[cfg(test)]
mod tests;
mod unpack;
mod walk;

use std::collections::BTreeMap;
use std::sync::Arc;

pub use error::FileOpError;
pub use prepared::Prepared;
pub use unpack::{Archive, Unpacker};

use self::draft::Draft;
use crate::layer::{LayerPath, Mtime};
use crate::plan::op::FileOp;
use crate::view::{Tree, View};

/// What an operation depends on beside its trees.
#[derive(Clone, Copy)]
pub struct Settings<'a> {
    /// The config's working directory: what relative paths of the target begin at.
    pub cwd: &'a str,
    /// The time that everything gets which does not keep its own.
    pub mtime: Mtime,
    /// What reads archives that are to be unpacked.
    pub unpacker: Unpacker<'a>,
}

/// A tree to copy from.
#[derive(Clone)]
pub struct Input {
    /// Its files.
    pub tree: Arc<dyn Tree>,
    /// Whether it is a context, whose files may change meanwhile.
    pub is_context: bool,
}

/// What an operation copies from, by the index of the vertex's input.
pub type Inputs = BTreeMap<usize, Input>;

/// Where a copy's destination is, before links are followed.
///
/// # Errors
/// [`FileOpError`] where it is no path.
pub fn destination(cwd: &str, dest: &str) -> Result<LayerPath, FileOpError> {
    name::path(dest, &name::absolute(cwd, dest))
}

/// Resolves `op` over `target`, without writing anything. `inputs` are what a
/// copy copies from; other operations take none.
///
/// # Errors
/// [`FileOpError`].
pub fn prepare(
    op: &FileOp,
    target: &dyn Tree,
    mut inputs: Inputs,
    settings: &Settings<'_>,
) -> Result<Prepared, FileOpError> {
    let Settings { cwd, mtime, unpacker } = *settings;
    let nothing = View::new(Vec::new());
    let stands_alone = matches!(op, FileOp::Copy(copy) if copy.link);
    let mut draft = Draft::new(if stands_alone { &nothing } else { target }, mtime);
    match op {
        FileOp::Copy(op) => {
            let archives = copy::copy(op, (&inputs, unpacker), cwd, (target, &mut draft))?;
            inputs.extend(archives.into_inputs());
        }
        FileOp::Write { path, content, owner, mode } => {
            simple::write(&mut draft, cwd, path, content, (owner.as_deref(), *mode))?;
        }
        FileOp::Mkdir { path, owner, mode, applies } => {
            simple::mkdir(&mut draft, cwd, path, (owner.as_deref(), *mode), *applies)?;
        }
        FileOp::Symlink { target, path } => simple::symlink(&mut draft, cwd, target, path)?,
        FileOp::Remove { paths, required } => {
            simple::remove(&mut draft, target, cwd, paths, *required)?;
        }
    }
    Prepared::new(draft.items.into_iter().collect(), inputs)
}
