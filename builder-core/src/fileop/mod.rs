//! Changes of files without running anything: copy, write, mkdir, symlink, remove.
//!
//! In: an operation's description, the tree that is changed and the one that is
//! copied from. Out: the sorted entries of a layer, first as names and hashes
//! for a key, then as a blob.

mod error;

use std::sync::Arc;

pub use error::FileOpError;

use crate::layer::{Compression, LayerDesc, Mtime};
use crate::plan::op::FileOp;
use crate::store::Store;
use crate::view::Tree;

/// What an operation depends on beside its trees.
#[derive(Debug, Clone, Copy)]
pub struct Settings<'a> {
    /// The config's working directory: what relative paths of the target begin at.
    pub cwd: &'a str,
    /// The time that everything gets which does not keep its own.
    pub mtime: Mtime,
    /// Whether what is copied from is a context, whose files may change meanwhile.
    pub from_context: bool,
}

/// An operation resolved: every entry of its layer, content named by digest.
pub struct Prepared {}

/// Resolves `op` over `target`, without writing anything.
///
/// # Errors
/// [`FileOpError`].
#[expect(clippy::todo, reason = "skeleton")]
pub fn prepare(
    _op: &FileOp,
    _target: &dyn Tree,
    _source: Option<Arc<dyn Tree>>,
    _settings: &Settings<'_>,
) -> Result<Prepared, FileOpError> {
    todo!()
}

impl Prepared {
    /// Named hashes for the operation's key.
    pub fn entries(&self) -> impl Iterator<Item = (String, String)> {
        std::iter::empty()
    }

    /// Writes the layer; `None` where nothing changes.
    ///
    /// # Errors
    /// [`FileOpError`].
    #[expect(clippy::todo, reason = "skeleton")]
    pub fn write(
        &self,
        _store: &Store,
        _compression: Compression,
    ) -> Result<Option<LayerDesc>, FileOpError> {
        todo!()
    }
}
