//! Writes a layer in one pass: tar, hashes, compression and table.

use std::io::Read;

use super::compress::FRAME_LEN;
use super::header;
use super::pipeline::Pipeline;
use super::table::{self, Frame};
use super::table::{Facts, TableBuilder};
use super::{Change, Compression, Entry, Extent, Kind, LayerDesc, LayerError, LayerPath};
use crate::digest::ContentDigest;
use crate::store::Store;

/// A digest that says "not known yet".
const UNKNOWN: ContentDigest = ContentDigest::from_bytes([0; 32]);

/// Writes a layer in one pass. Dropping it leaves nothing behind.
pub struct LayerWriter {
    store: Store,
    pipeline: Pipeline,
    table: TableBuilder,
    last: Option<(LayerPath, bool)>,
    buffer: Vec<u8>,
}

impl LayerWriter {
    /// Begins a layer.
    ///
    /// # Errors
    /// If the store cannot be written.
    pub fn new(store: &Store, compression: Compression) -> Result<Self, LayerError> {
        let width = std::thread::available_parallelism().map_or(1, usize::from);
        Self::with_threads(store, compression, width)
    }

    /// As [`Self::new`], with a number of compressing threads: the layer is the
    /// same whatever it is.
    ///
    /// # Errors
    /// If the store cannot be written.
    pub fn with_threads(
        store: &Store,
        compression: Compression,
        threads: usize,
    ) -> Result<Self, LayerError> {
        Ok(Self {
            store: store.clone(),
            pipeline: Pipeline::new(store, compression, threads.max(1))?,
            table: TableBuilder::default(),
            last: None,
            buffer: Vec::new(),
        })
    }

    /// Appends an entry; paths must come in strictly increasing order, but
    /// [`Change::Opaque`] may follow its directory. For a [`Kind::File`],
    /// exactly `size` bytes are read from `content`, and the digest in the
    /// entry is checked unless it is all zeros, which means "not known yet";
    /// the table gets the true one. Other entries take no content.
    ///
    /// # Errors
    /// If the order is wrong, a tar cannot hold the entry, or the content is
    /// not what the entry says; the layer is to be given up then.
    pub fn append(
        &mut self,
        entry: &Entry,
        content: Option<&mut dyn Read>,
    ) -> Result<(), LayerError> {
        self.check_order(entry)?;
        self.pipeline.write(&header::blocks(entry)?)?;
        let Change::Present { meta, kind: Kind::File { size, content: expected } } = &entry.change
        else {
            self.table.add(entry.clone(), Vec::new());
            return Ok(());
        };
        let offset = self.pipeline.position();
        let empty: &mut dyn Read = &mut std::io::empty();
        let actual = self.copy(&entry.path, *size, content.unwrap_or(empty))?;
        if *expected != UNKNOWN && actual != *expected {
            return Err(LayerError::ContentDigest { path: entry.path.display() });
        }
        let padding = size.next_multiple_of(512) - size;
        self.pipeline.write(&[0; 512][..usize::try_from(padding).expect("below 512")])?;
        let kind = Kind::File { size: *size, content: actual };
        let change = Change::Present { meta: meta.clone(), kind };
        let extent = Extent { at: 0, offset, len: *size };
        let extents = if *size == 0 { Vec::new() } else { vec![extent] };
        self.table.add(Entry { path: entry.path.clone(), change }, extents);
        Ok(())
    }

    fn check_order(&mut self, entry: &Entry) -> Result<(), LayerError> {
        let opaque = entry.change == Change::Opaque;
        if let Some((last, was_opaque)) = &self.last {
            let again = *last == entry.path && opaque && !was_opaque;
            if entry.path <= *last && !again {
                let (path, after) = (entry.path.display(), last.display());
                return Err(LayerError::Order { path, after });
            }
        }
        self.last = Some((entry.path.clone(), opaque));
        Ok(())
    }

    fn copy(
        &mut self,
        path: &LayerPath,
        size: u64,
        content: &mut dyn Read,
    ) -> Result<ContentDigest, LayerError> {
        let mut hasher = blake3::Hasher::new();
        let mut left = size;
        self.buffer.resize(FRAME_LEN / 4, 0);
        while left > 0 {
            let want = usize::try_from(left).unwrap_or(usize::MAX).min(self.buffer.len());
            let read = match content.read(&mut self.buffer[..want]) {
                Ok(read) => read,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
                Err(source) => return Err(LayerError::Content { path: path.display(), source }),
            };
            if read == 0 {
                let (expected, actual) = (size, size - left);
                return Err(LayerError::ContentLength { path: path.display(), expected, actual });
            }
            hasher.update(&self.buffer[..read]);
            self.pipeline.write(&self.buffer[..read])?;
            left -= read as u64;
        }
        Ok(ContentDigest::from_bytes(*hasher.finalize().as_bytes()))
    }

    /// Completes blob and table, durably.
    ///
    /// # Errors
    /// If the store cannot be written.
    pub fn finish(mut self) -> Result<LayerDesc, LayerError> {
        self.pipeline.write(&[0; 1024])?;
        let (header, frames) = self.pipeline.finish()?;
        save_table(&self.store, self.table, header, &frames)
    }
}

/// Writes the table of a blob that is in the store.
pub(super) fn save_table(
    store: &Store,
    table: TableBuilder,
    facts: Facts,
    frames: &[Frame],
) -> Result<LayerDesc, LayerError> {
    let desc = LayerDesc {
        blob: facts.blob,
        diff_id: facts.diff_id,
        size: facts.blob_size,
        compression: facts.compression,
    };
    table::save(store, table, facts, frames)?;
    Ok(desc)
}
