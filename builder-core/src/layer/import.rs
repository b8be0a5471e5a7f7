//! Foreign layer blobs: taken as they are, in one pass.
//!
//! The blob keeps its bytes and its digest. The same pass decompresses it,
//! reads its tar into a table, hashes it, and keeps the tar as the layer's
//! data. Guards: nothing is named before the blob's digest was verified.

use std::fs::File;
use std::io::{self, Read, Write};
use std::sync::{Arc, Mutex, PoisonError};

use sha2::{Digest as _, Sha256};

use super::compress::{self, FRAME_LEN};
use super::table::{Facts, Frame, TableBuilder};
use super::writer::save_table;
use super::{Change, Compression, Entry, Extent, Kind, LayerDesc, LayerError, read_tar};
use crate::digest::{BlobDigest, ContentDigest, DiffId};
use crate::store::{BlobWriter, Store};

/// Most bytes that a layer may expand to.
const MAX_TAR: u64 = 1 << 40;
/// Below this a layer is no bomb, whatever its ratio.
const HARMLESS: u64 = 1 << 30;
/// Highest ratio of a layer that is larger (deflate reaches 1,032).
const MAX_RATIO: u64 = 2000;

/// Takes a foreign layer blob into the store as it is (the blob keeps its
/// digest), verifying `expected`, and makes its table and data in the same pass.
///
/// # Errors
/// [`LayerError`]; then at most a blob that nothing names is left.
pub fn import(
    store: &Store,
    blob: &mut (dyn Read + Send),
    compression: Compression,
    expected: Option<&BlobDigest>,
) -> Result<LayerDesc, LayerError> {
    let copied = Arc::new(Mutex::new(Copied { writer: store.blob_writer()?, size: 0 }));
    let tee = Tee { blob, copied: Arc::clone(&copied) };
    let found = index(store, Box::new(tee), compression, &copied)?;
    let copied = Arc::into_inner(copied).expect("the reader is gone");
    let copied = copied.into_inner().unwrap_or_else(PoisonError::into_inner);
    let (digest, blob_size) = copied.writer.commit()?;
    if let Some(expected) = expected.filter(|expected| **expected != digest) {
        let (expected, actual) = (expected.to_string(), digest.to_string());
        return Err(LayerError::Digest { what: "blob digest", expected, actual });
    }
    found.save(store, digest, blob_size, compression)
}

/// Makes table and data of a blob that is in the store again.
pub(super) fn reindex(store: &Store, desc: &LayerDesc) -> Result<(), LayerError> {
    let mut blob = store.blob_reader(&desc.blob)?;
    let made = import(store, &mut blob, desc.compression, Some(&desc.blob))?;
    if made.diff_id == desc.diff_id {
        return Ok(());
    }
    let (expected, actual) = (desc.diff_id.to_string(), made.diff_id.to_string());
    Err(LayerError::Digest { what: "diffID", expected, actual })
}

struct Copied {
    writer: BlobWriter,
    size: u64,
}

/// Passes a blob on and keeps a copy.
struct Tee<'a> {
    blob: &'a mut (dyn Read + Send),
    copied: Arc<Mutex<Copied>>,
}

impl Read for Tee<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let read = self.blob.read(buf)?;
        let mut copied = self.copied.lock().unwrap_or_else(PoisonError::into_inner);
        copied.writer.write_all(&buf[..read])?;
        copied.size += read as u64;
        Ok(read)
    }
}

/// The uncompressed tar on its way to the parser.
struct Tar<'a> {
    tar: Box<dyn Read + Send + 'a>,
    data: Option<File>,
    hasher: Sha256,
    frame: Vec<u8>,
    frames: Vec<Frame>,
    size: u64,
    copied: &'a Mutex<Copied>,
    bomb: Option<(u64, u64)>,
}

impl Tar<'_> {
    fn close_frame(&mut self) {
        let hash = *blake3::hash(&self.frame).as_bytes();
        self.frames.push(Frame { offset: 0, len: 0, hash });
        self.frame.clear();
    }

    fn limit(&mut self) -> io::Result<()> {
        let compressed = self.copied.lock().unwrap_or_else(PoisonError::into_inner).size;
        let limit = MAX_TAR.min(compressed.saturating_mul(MAX_RATIO).max(HARMLESS));
        if self.size > limit {
            self.bomb = Some((limit, compressed));
            return Err(io::Error::other("decompression bomb"));
        }
        Ok(())
    }
}

impl Read for Tar<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let read = self.tar.read(buf)?;
        let mut bytes = &buf[..read];
        self.hasher.update(bytes);
        self.size += read as u64;
        if let Some(data) = &mut self.data {
            data.write_all(bytes)?;
        }
        while !bytes.is_empty() {
            let (now, later) = bytes.split_at(bytes.len().min(FRAME_LEN - self.frame.len()));
            self.frame.extend_from_slice(now);
            bytes = later;
            if self.frame.len() == FRAME_LEN {
                self.close_frame();
            }
        }
        self.limit()?;
        Ok(read)
    }
}

/// What one pass over a blob found.
struct Found {
    table: TableBuilder,
    diff_id: DiffId,
    tar_size: u64,
    frames: Vec<Frame>,
    data: Option<tempfile::NamedTempFile>,
}

impl Found {
    fn save(
        self,
        store: &Store,
        blob: BlobDigest,
        blob_size: u64,
        compression: Compression,
    ) -> Result<LayerDesc, LayerError> {
        let facts = Facts {
            blob,
            diff_id: self.diff_id,
            blob_size,
            tar_size: self.tar_size,
            compression,
            seekable: false,
        };
        if let Some(data) = self.data {
            store.persist(data, &store.data_path(&self.diff_id))?;
        }
        save_table(store, self.table, facts, &self.frames)
    }
}

fn index<'a>(
    store: &Store,
    blob: Box<dyn Read + Send + 'a>,
    compression: Compression,
    copied: &'a Mutex<Copied>,
) -> Result<Found, LayerError> {
    let data = if compression == Compression::None { None } else { Some(store.temp_file()?) };
    let handle = data.as_ref().map(tempfile::NamedTempFile::reopen).transpose();
    let mut tar = Tar {
        tar: compress::decoder(blob, compression)?,
        data: handle.map_err(LayerError::io("opening a layer's data"))?,
        hasher: Sha256::new(),
        frame: Vec::with_capacity(FRAME_LEN),
        frames: Vec::new(),
        size: 0,
        copied,
        bomb: None,
    };
    let mut table = TableBuilder::default();
    let rest = entries(&mut tar, &mut table);
    if let Some((limit, compressed)) = tar.bomb {
        return Err(LayerError::Bomb { limit, compressed });
    }
    rest?;
    if !tar.frame.is_empty() {
        tar.close_frame();
    }
    let diff_id = DiffId::from_bytes(tar.hasher.finalize().into());
    Ok(Found { table, diff_id, tar_size: tar.size, frames: tar.frames, data })
}

/// Reads all of a tar into a table, and to its very end: what follows the end
/// mark belongs to the layer's digest.
pub(super) fn entries(tar: &mut dyn Read, table: &mut TableBuilder) -> Result<(), LayerError> {
    read_tar::read(tar, false, &mut |entry, at, content| {
        let (entry, extents) = with_digest(entry, at, content)?;
        table.add(entry, extents);
        Ok(())
    })?;
    let drained = io::copy(tar, &mut io::sink());
    drained.map_err(|source| LayerError::Decompress { source })?;
    Ok(())
}

fn with_digest(
    mut entry: Entry,
    at: u64,
    content: &mut dyn Read,
) -> Result<(Entry, Vec<Extent>), LayerError> {
    let path = entry.path.display();
    let Change::Present { kind: Kind::File { size, content: digest }, .. } = &mut entry.change
    else {
        return Ok((entry, Vec::new()));
    };
    let mut hasher = blake3::Hasher::new();
    let read = io::copy(content, &mut hasher);
    let read = read.map_err(|source| LayerError::Content { path: path.clone(), source })?;
    if read != *size {
        return Err(LayerError::ContentLength { path, expected: *size, actual: read });
    }
    *digest = ContentDigest::from_bytes(*hasher.finalize().as_bytes());
    let extent = Extent { at: 0, offset: at, len: *size };
    let extents = if *size == 0 { Vec::new() } else { vec![extent] };
    Ok((entry, extents))
}
