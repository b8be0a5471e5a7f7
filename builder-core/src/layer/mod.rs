//! Layers: a blob and its table of contents.

mod entry;
mod error;
mod path;

use std::io::{self, Read};
use std::sync::Arc;

pub use entry::{CONSTANT_MTIME, Change, Entry, Kind, Meta, Mtime, Xattrs};
pub use error::LayerError;
pub use path::{LayerPath, MAX_PATH, PathError};
use serde::{Deserialize, Serialize};

use crate::digest::{BlobDigest, DiffId};
use crate::store::Store;

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

/// Writes a layer in one pass: tar, hashes, compression and table.
pub struct LayerWriter {}

impl LayerWriter {
    /// Begins a layer.
    pub fn new(_store: &Store, _compression: Compression) -> Result<Self, LayerError> {
        todo!()
    }
    /// Appends an entry; paths must come in strictly increasing order. For a
    /// `Kind::File`, exactly `size` bytes are read from `content`, and the
    /// digest in the entry is checked unless it is all zeros, which means "not
    /// known yet"; the table gets the true one. Other entries take no content.
    pub fn append(
        &mut self,
        _entry: &Entry,
        _content: Option<&mut dyn Read>,
    ) -> Result<(), LayerError> {
        todo!()
    }
    /// Completes blob and table, durably.
    pub fn finish(self) -> Result<LayerDesc, LayerError> {
        todo!()
    }
}

/// An open layer; cheap to clone.
#[derive(Debug, Clone)]
pub struct Layer {
    inner: Arc<()>,
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

impl Layer {
    /// Opens a layer: constant time, whatever its size. A missing or broken
    /// table is made again from the blob.
    pub fn open(_store: &Store, _desc: &LayerDesc) -> Result<Self, LayerError> {
        todo!()
    }
    /// What names it.
    pub fn desc(&self) -> &LayerDesc {
        todo!()
    }
    /// Mode, owner, time, attributes of the layer's root, where it says so.
    pub fn root_meta(&self) -> Result<Option<Meta>, LayerError> {
        todo!()
    }
    /// One directory of the table; `None` if the layer holds nothing there.
    pub fn directory(&self, _path: &LayerPath) -> Result<Option<Arc<Directory>>, LayerError> {
        todo!()
    }
    /// Uncompressed bytes of the tar at `offset`: fills and checks as far as
    /// needed. Short only at the end of the tar.
    pub fn read_at(&self, _offset: u64, _buf: &mut [u8]) -> Result<usize, LayerError> {
        todo!()
    }
    /// All entries in order of paths (walks the table).
    pub fn entries(&self) -> Result<Vec<Entry>, LayerError> {
        todo!()
    }
    /// The uncompressed tar as a stream, verified against the diffID.
    pub fn tar(&self) -> Result<Box<dyn Read + Send>, LayerError> {
        todo!()
    }
}

/// Takes a foreign layer blob into the store as it is (the blob keeps its
/// digest), verifying `expected`, and makes its table and data in the same pass.
pub fn import(
    _store: &Store,
    _blob: &mut dyn Read,
    _compression: Compression,
    _expected: Option<&BlobDigest>,
) -> Result<LayerDesc, LayerError> {
    todo!()
}

/// The layer as another compression has it: the same diffID.
pub fn recompress(
    _store: &Store,
    _desc: &LayerDesc,
    _to: Compression,
) -> Result<LayerDesc, LayerError> {
    todo!()
}

/// Reads a foreign tar (any order, hard links before or after, PAX, GNU,
/// sparse) and gives its entries to `sink`, content as a stream.
pub fn read_tar(
    _tar: &mut dyn Read,
    _sink: &mut dyn FnMut(Entry, &mut dyn Read) -> Result<(), LayerError>,
) -> Result<(), LayerError> {
    todo!()
}

#[allow(dead_code, reason = "skeleton")]
fn _unused(_: io::Error) {}
