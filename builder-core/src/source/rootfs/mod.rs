//! Root file systems: a tar (plain, gzip, xz, zstd) or a directory, as a base.
//!
//! In: a path. Out: one layer, sorted, and an otherwise empty config.
//!
//! Owners, modes, times and attributes are kept as the tar has them; a
//! directory's mtime is the constant, as everywhere. Of a directory of this
//! host owners are kept if root reads it; else what belongs to the caller
//! becomes root's. Whiteouts mean nothing in a root file system and are left
//! out; so are sockets and what is mounted below the directory.
//!
//! Memory grows with the number of names, never with their content: a tar's
//! content is spooled to the store's work directory.
//!
//! Limitations: a change between `pin` and `fetch` is not noticed here, unless a
//! file's size is no longer what it was; the caller pins once more.

mod directory;
mod pin;
mod sort;
mod spool;

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

pub use pin::AREA;

use super::{Fetched, Source};
use crate::image::{History, ImageConfig, Platform};
use crate::layer::{Compression, LayerDesc, LayerError};
use crate::store::{Store, StoreError};

/// The most bytes that a compressed tar may inflate to.
const MAX_INFLATED: u64 = 256 << 30;

/// Why a root file system could not be taken in.
#[derive(Debug, thiserror::Error)]
pub enum RootfsError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The tar is bad, or the layer could not be written.
    #[error("{}: {source}", path.display())]
    Layer {
        /// The root file system.
        path: PathBuf,
        /// Why.
        source: LayerError,
    },
    /// It could not be read.
    #[error("reading {}: {source}", path.display())]
    Io {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A name of the directory cannot be one of a layer.
    #[error("the name {} is refused: {source}", path.display())]
    Name {
        /// Which.
        path: PathBuf,
        /// Why.
        source: crate::layer::PathError,
    },
}

/// A root file system on this host.
#[derive(Debug, Clone)]
pub struct Rootfs {
    /// Where it goes.
    pub store: Store,
    /// A tar or a directory.
    pub path: PathBuf,
    /// Of the layer's blob.
    pub compression: Compression,
    /// Nothing in the files tells it.
    pub platform: Platform,
}

/// The layer of a tar's files as it streams by.
pub(super) fn layer_of(
    store: &Store,
    path: &Path,
    tar: Box<dyn io::Read + Send>,
    compression: Compression,
) -> Result<LayerDesc, RootfsError> {
    spool::layer_of(store, path, tar, compression)
}

impl Source for Rootfs {
    type Error = RootfsError;

    fn pin(&self) -> Result<String, RootfsError> {
        let file = self.open()?;
        match file.metadata().map_err(self.io())?.is_dir() {
            true => directory::pin(&self.store, &self.path, file),
            false => pin::pin(&self.store, &self.path, &file),
        }
    }

    fn fetch(&self) -> Result<Fetched, RootfsError> {
        let file = self.open()?;
        let layer = match file.metadata().map_err(self.io())?.is_dir() {
            true => directory::layer(&self.store, &self.path, file, self.compression)?,
            false => spool::layer(&self.store, &self.path, file, self.compression)?,
        };
        let config = self.config(&layer);
        Ok(Fetched { config, layers: vec![layer], base: None })
    }
}

impl Rootfs {
    fn open(&self) -> Result<File, RootfsError> {
        super::open_input(&self.path).map_err(self.io())
    }

    fn io(&self) -> impl FnOnce(io::Error) -> RootfsError + '_ {
        |source| RootfsError::Io { path: self.path.clone(), source }
    }

    fn config(&self, layer: &LayerDesc) -> ImageConfig {
        let mut config = ImageConfig::empty(&self.platform);
        config.rootfs.diff_ids.push(layer.diff_id);
        // Not the file's name: the same content is the same image.
        let created_by = Some("rootfs".to_owned());
        config.history.push(History { created_by, ..History::default() });
        config
    }
}
