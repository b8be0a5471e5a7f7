//! Layers: a blob and its table of contents.

mod compress;
mod data;
mod diff;
mod entry;
mod error;
mod header;
mod import;
mod inflate;
mod open;
mod pass;
mod path;
mod pax;
mod pipeline;
mod recompress;
mod sparse;
mod table;
mod untar;
mod writer;

use std::sync::Arc;

pub use diff::{Difference, diff};
pub use entry::{CONSTANT_MTIME, Change, Entry, Kind, Meta, Mtime, Xattrs};
pub use error::LayerError;
pub use import::{begins_tar, import, read_tar};
pub use open::{Layer, is_whole};
pub use path::{LayerPath, MAX_PATH, PathError};
pub use recompress::recompress;
use serde::{Deserialize, Serialize};
pub(crate) use untar::{MAX_EXTENDED, MAX_EXTENSION};
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

#[cfg(test)]
mod tests;
