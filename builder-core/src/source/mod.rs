//! Sources: what a build brings in from outside.
//!
//! In: an operation's description (`plan::op`). Out: layers in the store and
//! the config that belongs to them. Every byte is verified before it counts.

use std::fs::File;
use std::io;
use std::path::Path;

use rustix::fs::{Mode, OFlags};

use crate::digest::BlobDigest;
use crate::image::ImageConfig;
use crate::layer::LayerDesc;

pub mod archive;
pub mod debian;
pub mod engine;
pub mod git;
pub mod http;
mod inflate;
pub mod local;
pub mod named;
pub mod oci;
pub mod rootfs;

/// Opens a file or directory that a recipe names. Anything else (a fifo would
/// keep the build waiting for ever) is refused.
fn open_input(path: &Path) -> io::Result<File> {
    // Without waiting for the other end of a fifo.
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK;
    let file = File::from(rustix::fs::open(path, flags, Mode::empty())?);
    let kind = file.metadata()?.file_type();
    if kind.is_file() || kind.is_dir() {
        return Ok(file);
    }
    Err(io::Error::new(io::ErrorKind::InvalidInput, "neither a regular file nor a directory"))
}

/// What a source gave.
#[derive(Debug, Clone, PartialEq)]
pub struct Fetched {
    /// The config to start from; its layers are `layers`.
    pub config: ImageConfig,
    /// In the store, lowest first.
    pub layers: Vec<LayerDesc>,
    /// What the image says of its base, if it has one.
    pub base: Option<Base>,
}

/// The image that a build stands on, for annotations.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Base {
    /// Its name, where it has one.
    pub name: Option<String>,
    /// Digest of its manifest, where it has one.
    pub digest: Option<BlobDigest>,
}

/// A source of the kind that is first pinned (cheaply) and then fetched.
pub trait Source {
    /// How it fails.
    type Error: std::error::Error + Send + Sync + 'static;
    /// Names the content that [`fetch`](Self::fetch) would bring: equal pins
    /// mean equal content. It enters cache keys. Cheap where nothing changed.
    ///
    /// # Errors
    /// If the source cannot be read or is not what it should be.
    fn pin(&self) -> Result<String, Self::Error>;
    /// Brings the content into the store. Repeating it is harmless.
    ///
    /// # Errors
    /// If anything cannot be read, verified or stored; then no more than blobs
    /// that nothing names is left.
    fn fetch(&self) -> Result<Fetched, Self::Error>;
}
