//! Layers: a blob and its table of contents.
//!
//! In: entries in order, or a foreign blob. Out: a blob in the store, a table
//! that says what is where in its tar, and bytes at any offset.
//!
//! Invariants: the same entries are the same bytes, on any machine and any
//! number of cores; no byte leaves that was not checked against a digest.
//!
//! Limitations: sparse files of foreign layers are refused; frames of foreign
//! blobs cannot be read on their own, so the first read of one streams it once.

mod compress;
mod data;
mod entry;
mod error;
mod header;
mod import;
mod open;
mod path;
mod pipeline;
mod read_tar;
mod table;
mod writer;

use std::sync::Arc;

pub use entry::{CONSTANT_MTIME, Change, Entry, Kind, Meta, Mtime, Xattrs};
pub use error::LayerError;
pub use import::import;
pub use open::{Layer, diff, recompress};
pub use path::{LayerPath, MAX_PATH, PathError};
pub use read_tar::read_tar;
use serde::{Deserialize, Serialize};
pub use writer::LayerWriter;

use crate::digest::{BlobDigest, DiffId};

/// How a layer's tar is compressed in its blob.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Compression {
    /// Not at all.
    None,
    /// gzip (RFC 1952), many members where Phoenix made it.
    #[default]
    Gzip,
    /// Zstandard (RFC 8878), many frames where Phoenix made it.
    Zstd,
}

/// What names a layer: enough to write a manifest and to open it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct LayerDesc {
    /// Digest of the blob.
    pub blob: BlobDigest,
    /// Digest of the uncompressed tar.
    pub diff_id: DiffId,
    /// Size of the blob in bytes.
    pub size: u64,
    /// Compression of the blob.
    pub compression: Compression,
}

/// What a layer's table says of one directory.
#[derive(Debug, Clone, Default)]
pub struct Directory {
    /// Whether layers below are hidden inside it.
    pub opaque: bool,
    /// Its names, sorted by bytes. A directory that exists only because
    /// something is below it (tar needs no entry for it) is listed as `Implied`.
    pub children: Vec<(Vec<u8>, Item)>,
}

/// What a table says of one name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Item {
    /// A file of any kind. For a hard link, what its first name is.
    Present {
        /// Owner, mode, time, attributes.
        meta: Meta,
        /// What it is.
        kind: Kind,
        /// Where a file's bytes stand in the uncompressed tar, sorted; holes read as zeros.
        extents: Vec<Extent>,
        /// All names of the link group, sorted, this one included; empty if it has one name only.
        links: Arc<[LayerPath]>,
    },
    /// A hard link to something that this layer does not hold.
    LinkBelow {
        /// The other name.
        target: LayerPath,
    },
    /// The name is gone.
    Whiteout,
    /// A directory that the layer says nothing of itself.
    Implied,
}

/// A run of a file's bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Extent {
    /// Offset in the file.
    pub at: u64,
    /// Offset in the layer's uncompressed tar.
    pub offset: u64,
    /// Length in bytes.
    pub len: u64,
}
