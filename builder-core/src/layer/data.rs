//! The bytes of a layer's tar at an offset, filled and checked as they are used.
//!
//! In: a table, the blob, the sparse data file (`phoenix/data`). Out: bytes.
//! Guards: a frame is believed only after its BLAKE3 matched in this process;
//! where it does not (a hole, a crash, a fault of the disk) it is inflated from
//! the blob, checked, used and written back. Other processes may do the same at
//! the same time: they write the same bytes. A tar that is not compressed needs
//! no data file: the blob is the data.
//!
//! Limitation: what changes on disk after its check, while the process runs, is
//! not noticed.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicU64, Ordering};

use super::compress::{FRAME_LEN, MAX_PACKED, unpack};
use super::table::{Broken, Table};
use super::{Compression, LayerError};
use crate::store::{Store, StoreError};

/// Why bytes could not be had.
pub(super) enum Fault {
    /// What is stored does not fit together: table, data or blob is damaged.
    Broken,
    /// The store failed.
    Store(LayerError),
}

impl From<Broken> for Fault {
    fn from(Broken: Broken) -> Self {
        Self::Broken
    }
}

/// The data of one layer.
#[derive(Debug)]
pub(super) struct Data {
    /// One bit a frame: whether it was checked by this process.
    checked: Box<[AtomicU64]>,
    /// The data file; for an uncompressed blob the blob.
    file: File,
    /// The blob, where single frames can be read from it.
    blob: Option<File>,
    compression: Compression,
    tar_size: u64,
}

impl Data {
    pub(super) fn open(store: &Store, table: &Table) -> Result<Self, LayerError> {
        let facts = &table.header().facts;
        let blob = store.blob_file(&facts.blob)?;
        let plain = facts.compression == Compression::None;
        let (file, blob) = if plain {
            (blob, None)
        } else {
            (open_data(store, &facts.diff_id)?, facts.seekable.then_some(blob))
        };
        let words = frame_count(facts.tar_size).div_ceil(64);
        let checked = (0..words).map(|_| AtomicU64::new(0)).collect();
        let (compression, tar_size) = (facts.compression, facts.tar_size);
        Ok(Self { checked, file, blob, compression, tar_size })
    }

    /// Reads within one frame; short only at its end or that of the tar.
    pub(super) fn read(&self, table: &Table, offset: u64, buf: &mut [u8]) -> Result<usize, Fault> {
        let Some(left) = self.tar_size.checked_sub(offset).filter(|left| *left > 0) else {
            return Ok(0);
        };
        let (index, within) = (offset / FRAME_LEN as u64, (offset % FRAME_LEN as u64) as usize);
        let len = buf.len().min(FRAME_LEN - within).min(usize::try_from(left).unwrap_or(FRAME_LEN));
        let buf = &mut buf[..len];
        if self.is_checked(index) {
            self.file.read_exact_at(buf, offset).map_err(|_| Fault::Broken)?;
        } else {
            let frame = self.frame(table, index)?;
            buf.copy_from_slice(&frame[within..within + len]);
        }
        Ok(len)
    }

    fn is_checked(&self, index: u64) -> bool {
        // Acquire pairs with the release in `frame`: the bytes were written before.
        self.checked[(index / 64) as usize].load(Ordering::Acquire) >> (index % 64) & 1 != 0
    }

    /// A frame's bytes, checked.
    fn frame(&self, table: &Table, index: u64) -> Result<Vec<u8>, Fault> {
        let record = table.frame(index)?;
        let at = index * FRAME_LEN as u64;
        let len = (self.tar_size - at).min(FRAME_LEN as u64) as usize;
        let mut bytes = vec![0; len];
        let good = |bytes: &[u8]| blake3::hash(bytes).as_bytes() == &record.hash;
        let stands = self.file.read_exact_at(&mut bytes, at).is_ok() && good(&bytes);
        if !stands {
            let blob = self.blob.as_ref().ok_or(Fault::Broken)?;
            if record.len > MAX_PACKED {
                return Err(Fault::Broken);
            }
            let mut packed = vec![0; record.len as usize];
            blob.read_exact_at(&mut packed, record.offset).map_err(|_| Fault::Broken)?;
            bytes = unpack(self.compression, &packed, len).map_err(|_| Fault::Broken)?;
            if bytes.len() != len || !good(&bytes) {
                return Err(Fault::Broken);
            }
            // Where it cannot be written (a full disk), it is inflated again next time.
            if self.file.write_all_at(&bytes, at).is_err() {
                return Ok(bytes);
            }
        }
        self.checked[(index / 64) as usize].fetch_or(1 << (index % 64), Ordering::Release);
        Ok(bytes)
    }
}

pub(super) fn frame_count(tar_size: u64) -> u64 {
    tar_size.div_ceil(FRAME_LEN as u64)
}

fn open_data(store: &Store, diff_id: &crate::digest::DiffId) -> Result<File, LayerError> {
    let path = store.data_path(diff_id);
    let opened = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path);
    Ok(opened.map_err(|source| StoreError::Io { action: "opening", path, source })?)
}
