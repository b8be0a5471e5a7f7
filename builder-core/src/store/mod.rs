//! The store: an OCI image layout on disk, and beside it what only Phoenix reads.
//!
//! | path | what | lost or broken |
//! |---|---|---|
//! | `oci-layout`, `index.json`, `blobs/sha256/HEX` | the OCI image layout, as any tool reads it | an image is lost |
//! | `phoenix/version` | layout version of this directory | refused if newer |
//! | `phoenix/tables/HEX` | table of contents of the layer blob `sha256:HEX` | made again from the blob |
//! | `phoenix/data/HEX` | sparse file: uncompressed bytes of the layer with diffID `sha256:HEX`, as far as read; every frame is checked when used | made again from the blob |
//! | `phoenix/records/AREA/NAME` | small durable values: cache records, builds, locks of sources | the step runs again |
//! | `phoenix/downloads/ALGO/HEX` | fetched files by digest | fetched again |
//! | `phoenix/captured/HEX` | context files read through bind mounts, by BLAKE3 | captured again |
//! | `phoenix/cache-mounts/ID/` | writable cache mounts of steps | as the user expects of a cache |
//! | `phoenix/work/` | uppers and temporary files of running builds, each locked by its owner | swept at the next open |

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use crate::digest::{BlobDigest, DiffId};

/// Errors of the store.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// A file could not be read or written.
    #[error("{action} {}: {source}", path.display())]
    Io {
        /// What was tried, as a participle: `writing`.
        action: &'static str,
        /// On which file.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
}

/// A handle on a store; cheap to clone, safe to use from many threads and
/// beside any number of other processes.
#[derive(Debug, Clone)]
pub struct Store {
    root: PathBuf,
}

impl Store {
    /// Opens the store at `root`, making it if it is not there; sweeps what
    /// crashed processes left in `phoenix/work`.
    pub fn open(_root: &Path) -> Result<Self, StoreError> {
        todo!()
    }
    /// The directory.
    pub fn root(&self) -> &Path {
        &self.root
    }
    /// Begins a new blob. Nothing is visible until `commit`.
    pub fn blob_writer(&self) -> Result<BlobWriter, StoreError> {
        todo!()
    }
    /// Stores `bytes` as a blob, durably. Nothing is written if it is there.
    pub fn put_blob(&self, _bytes: &[u8]) -> Result<BlobDigest, StoreError> {
        todo!()
    }
    /// The size of a blob, or `None` if the store lacks it.
    pub fn blob_size(&self, _digest: &BlobDigest) -> Result<Option<u64>, StoreError> {
        todo!()
    }
    /// The whole of a small blob, verified; an error if larger than `limit`.
    pub fn read_blob(&self, _digest: &BlobDigest, _limit: u64) -> Result<Vec<u8>, StoreError> {
        todo!()
    }
    /// A blob as a stream that is verified: reading to its end fails if size or digest differ.
    pub fn blob_reader(
        &self,
        _digest: &BlobDigest,
    ) -> Result<Box<dyn io::Read + Send>, StoreError> {
        todo!()
    }
    /// The blob's file, unverified: the caller checks what it reads (frames of
    /// a layer have digests of their own in the table).
    pub fn blob_file(&self, _digest: &BlobDigest) -> Result<File, StoreError> {
        todo!()
    }
    /// Where the table of contents of a layer blob stands (`phoenix/tables`).
    pub fn table_path(&self, _blob: &BlobDigest) -> PathBuf {
        todo!()
    }
    /// Where a layer's uncompressed data stands (`phoenix/data`).
    pub fn data_path(&self, _diff_id: &DiffId) -> PathBuf {
        todo!()
    }
    /// A new private directory below `phoenix/work`, removed on drop, swept
    /// after a crash.
    pub fn work_dir(&self) -> Result<WorkDir, StoreError> {
        todo!()
    }
    /// Writes a file durably: temp file beside it, fsync, rename, fsync of the directory.
    pub fn write_durably(&self, _path: &Path, _bytes: &[u8]) -> Result<(), StoreError> {
        todo!()
    }
    /// Stores a small value durably, replacing what was there.
    pub fn put_record(&self, _area: &str, _name: &str, _bytes: &[u8]) -> Result<(), StoreError> {
        todo!()
    }
    /// Reads a small value; `None` if it is not there.
    pub fn get_record(&self, _area: &str, _name: &str) -> Result<Option<Vec<u8>>, StoreError> {
        todo!()
    }
    /// Removes a small value; fine if it is not there.
    pub fn remove_record(&self, _area: &str, _name: &str) -> Result<(), StoreError> {
        todo!()
    }
    /// Names in an area, sorted.
    pub fn list_records(&self, _area: &str) -> Result<Vec<String>, StoreError> {
        todo!()
    }
}

/// A blob being written: hashes as it writes.
#[derive(Debug)]
pub struct BlobWriter {}

impl BlobWriter {
    /// Makes the blob visible, durably, under its digest. If the same blob is
    /// there already, the new copy is dropped.
    pub fn commit(self) -> Result<(BlobDigest, u64), StoreError> {
        todo!()
    }
}

impl Write for BlobWriter {
    fn write(&mut self, _bytes: &[u8]) -> io::Result<usize> {
        todo!()
    }
    fn flush(&mut self) -> io::Result<()> {
        todo!()
    }
}

/// A private directory that is removed on drop.
#[derive(Debug)]
pub struct WorkDir {}

impl WorkDir {
    /// Where it is.
    pub fn path(&self) -> &Path {
        todo!()
    }
}
