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

mod blob;
mod durable;
mod error;
mod gc;
mod layout;
mod lock;
mod mounts;
mod refs;
#[cfg(test)]
mod tests;
mod work;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

pub use blob::BlobWriter;
pub use error::StoreError;
pub use gc::{Alive, Collected, Kind, Lease};
pub use mounts::{CacheMountGuard, MountSharing};
use oci_spec::image::Descriptor;
pub use work::WorkDir;

use self::layout::Layout;
use crate::cancel::Cancel;
use crate::digest::{BlobDigest, ContentDigest, DiffId};

/// A handle on a store; cheap to clone, safe to use from many threads and
/// beside any number of other processes.
#[derive(Debug, Clone)]
pub struct Store {
    inner: Arc<Inner>,
    cancel: Cancel,
}

#[derive(Debug)]
struct Inner {
    layout: Layout,
}

impl Store {
    /// Opens the store at `root`, making it if it is not there; sweeps what
    /// crashed processes left in `phoenix/work`.
    ///
    /// # Errors
    /// If the directory cannot be made or read, holds something else, or was
    /// written by a newer version.
    pub fn open(root: &Path) -> Result<Self, StoreError> {
        let layout = Layout::open(root)?;
        work::sweep(&layout.private("work"));
        Ok(Self { inner: Arc::new(Inner { layout }), cancel: Cancel::new() })
    }

    /// The same store for work that ends once `cancel` is set: blobs are then
    /// neither read nor written on, and nothing is waited for.
    #[must_use]
    pub fn until(&self, cancel: &Cancel) -> Self {
        Self { inner: Arc::clone(&self.inner), cancel: cancel.clone() }
    }

    /// What ends the work with this store.
    #[must_use]
    pub fn cancel(&self) -> &Cancel {
        &self.cancel
    }

    /// Opens a second, otherwise empty store that shares the fetched files of
    /// `other`.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn open_beside(root: &Path, other: &Self) -> Result<Self, StoreError> {
        let store = Self::open(root)?;
        let downloads = store.inner.layout.private("downloads");
        let linked = fs::remove_dir(&downloads).and_then(|()| {
            std::os::unix::fs::symlink(other.inner.layout.private("downloads"), &downloads)
        });
        linked.map_err(StoreError::io("sharing", &downloads))?;
        Ok(store)
    }

    /// The directory.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.inner.layout.root
    }

    /// Removes what crashed processes left, and gives the directories that
    /// this user cannot remove: files in them belong to subordinate ids, so it
    /// takes a user namespace. Call it again after that.
    #[must_use]
    pub fn stale_work_dirs(&self) -> Vec<PathBuf> {
        work::sweep(&self.inner.layout.private("work"))
    }

    /// Begins a new blob. Nothing is visible until `commit`.
    ///
    /// # Errors
    /// If no temp file can be made.
    pub fn blob_writer(&self) -> Result<BlobWriter, StoreError> {
        BlobWriter::new(self.inner.layout.clone(), self.cancel.clone())
    }

    /// Stores `bytes` as a blob, durably. Nothing is written if they are there.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn put_blob(&self, bytes: &[u8]) -> Result<BlobDigest, StoreError> {
        let digest = BlobDigest::of(bytes);
        let path = self.inner.layout.blob(&digest);
        if fs::read(&path).ok().as_deref() != Some(bytes) {
            durable::write(&path, bytes, &self.inner.layout.scratch()?)?;
        }
        Ok(digest)
    }

    /// The size of a blob, or `None` if the store lacks it.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub fn blob_size(&self, digest: &BlobDigest) -> Result<Option<u64>, StoreError> {
        let path = self.inner.layout.blob(digest);
        match fs::metadata(&path) {
            Ok(meta) => Ok(Some(meta.len())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(StoreError::io("reading", &path)(error)),
        }
    }

    /// The whole of a small blob, verified; an error if larger than `limit`.
    ///
    /// # Errors
    /// If it is missing, corrupt or too large.
    pub fn read_blob(&self, digest: &BlobDigest, limit: u64) -> Result<Vec<u8>, StoreError> {
        blob::read(&self.inner.layout, digest, limit)
    }

    /// A blob as a stream: reading to its end fails if its digest differs.
    ///
    /// # Errors
    /// If it is missing.
    pub fn blob_reader(&self, digest: &BlobDigest) -> Result<Box<dyn io::Read + Send>, StoreError> {
        Ok(Box::new(blob::VerifiedReader::new(&self.inner.layout, digest, &self.cancel)?))
    }

    /// The blob's file, unverified: the caller checks what it reads (frames of
    /// a layer have digests of their own in the table).
    ///
    /// # Errors
    /// If it is missing.
    pub fn blob_file(&self, digest: &BlobDigest) -> Result<File, StoreError> {
        blob::open(&self.inner.layout, digest)
    }

    /// Where a blob stands, if it does.
    #[must_use]
    pub fn blob_path(&self, digest: &BlobDigest) -> PathBuf {
        self.inner.layout.blob(digest)
    }

    /// Where the table of contents of a layer blob stands (`phoenix/tables`).
    #[must_use]
    pub fn table_path(&self, blob: &BlobDigest) -> PathBuf {
        self.inner.layout.table(blob)
    }

    /// Where a layer's uncompressed data stands (`phoenix/data`).
    #[must_use]
    pub fn data_path(&self, diff_id: &DiffId) -> PathBuf {
        self.inner.layout.data(diff_id)
    }

    /// Where a fetched file of that digest stands (`phoenix/downloads`). It is
    /// verified by whoever uses it.
    #[must_use]
    pub fn download_path(&self, digest: &BlobDigest) -> PathBuf {
        self.inner.layout.private("downloads").join("sha256").join(digest.hex())
    }

    /// Where a captured context file stands (`phoenix/captured`).
    #[must_use]
    pub fn captured_path(&self, content: &ContentDigest) -> PathBuf {
        self.inner.layout.private("captured").join(content.hex())
    }

    /// A new private directory below `phoenix/work`, removed on drop, swept
    /// after a crash.
    ///
    /// # Errors
    /// If it cannot be made.
    pub fn work_dir(&self) -> Result<WorkDir, StoreError> {
        WorkDir::new(&self.inner.layout.private("work"))
    }

    /// Removes this handle's temporary files now: for who ends and cannot wait
    /// for the last clone to go. A clone that goes on gets a new place for them.
    pub fn drop_temporary(&self) {
        self.inner.layout.drop_scratch();
    }

    /// Writes a file durably: temp file, fsync, rename, fsync of the directory.
    ///
    /// # Errors
    /// If it cannot be written; then the old content is there.
    pub fn write_durably(&self, path: &Path, bytes: &[u8]) -> Result<(), StoreError> {
        durable::write(path, bytes, &self.inner.layout.scratch()?)
    }

    /// Puts a written temp file of this store at `path`, durably.
    ///
    /// # Errors
    /// If it cannot be renamed; then the old content is there.
    pub fn persist(&self, temp: tempfile::NamedTempFile, path: &Path) -> Result<(), StoreError> {
        durable::persist(temp, path)
    }

    /// A temp file on the store's file system, removed on drop.
    ///
    /// # Errors
    /// If it cannot be made.
    pub fn temp_file(&self) -> Result<tempfile::NamedTempFile, StoreError> {
        let scratch = self.inner.layout.scratch()?;
        let made = tempfile::NamedTempFile::new_in(&scratch);
        made.map_err(StoreError::io("making a file in", &scratch))
    }

    fn record(&self, area: &str, name: &str) -> PathBuf {
        self.inner.layout.private("records").join(area).join(name)
    }

    /// Replaces a small value by what `change` makes of it, durably, while no
    /// other process does the same; `None` leaves it as it is.
    ///
    /// # Errors
    /// If it cannot be read or written.
    pub fn update_record(
        &self,
        area: &str,
        name: &str,
        change: impl FnOnce(Option<Vec<u8>>) -> Option<Vec<u8>>,
    ) -> Result<(), StoreError> {
        self.update(area, name, change, Self::put_record)
    }

    /// As [`Self::update_record`], as [`Self::put_note`] writes.
    ///
    /// # Errors
    /// If it cannot be read or written.
    pub fn update_note(
        &self,
        area: &str,
        name: &str,
        change: impl FnOnce(Option<Vec<u8>>) -> Option<Vec<u8>>,
    ) -> Result<(), StoreError> {
        self.update(area, name, change, Self::put_note)
    }

    fn update(
        &self,
        area: &str,
        name: &str,
        change: impl FnOnce(Option<Vec<u8>>) -> Option<Vec<u8>>,
        put: fn(&Self, &str, &str, &[u8]) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        let lock = self.inner.layout.private("records.lock");
        let _lock = lock::take(&lock, lock::Hold::Alone, &self.cancel)?;
        match change(self.get_record(area, name)?) {
            Some(new) => put(self, area, name, &new),
            None => Ok(()),
        }
    }

    /// Stores a small value durably, replacing what was there. Area and name
    /// are plain file names. Nothing is written where the same value is there:
    /// who wrote it has made, or is about to make, it last.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn put_record(&self, area: &str, name: &str, bytes: &[u8]) -> Result<(), StoreError> {
        if self.get_record(area, name)?.is_some_and(|there| there == bytes) {
            return Ok(());
        }
        self.write_durably(&self.record(area, name), bytes)
    }

    /// Stores a small value that a power cut may lose or leave in part: what is
    /// read again must be checked, and be dispensable. Else as
    /// [`Self::put_record`], and much faster.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn put_note(&self, area: &str, name: &str, bytes: &[u8]) -> Result<(), StoreError> {
        if self.get_record(area, name)?.is_some_and(|there| there == bytes) {
            return Ok(());
        }
        let scratch = self.inner.layout.scratch()?;
        durable::write_lazily(&self.record(area, name), bytes, &scratch)
    }

    /// Reads a small value; `None` if it is not there.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub fn get_record(&self, area: &str, name: &str) -> Result<Option<Vec<u8>>, StoreError> {
        let path = self.record(area, name);
        match fs::read(&path) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(StoreError::io("reading", &path)(error)),
        }
    }

    /// Removes a small value; fine if it is not there.
    ///
    /// # Errors
    /// If it cannot be removed.
    pub fn remove_record(&self, area: &str, name: &str) -> Result<(), StoreError> {
        let path = self.record(area, name);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(StoreError::io("removing", &path)(error))
            }
            _ => Ok(()),
        }
    }

    /// Names in an area, sorted.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub fn list_records(&self, area: &str) -> Result<Vec<String>, StoreError> {
        let path = self.inner.layout.private("records").join(area);
        let entries = match fs::read_dir(&path) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(StoreError::io("reading", &path)(error)),
        };
        let mut names: Vec<String> =
            entries.flatten().filter_map(|e| e.file_name().into_string().ok()).collect();
        names.sort();
        Ok(names)
    }

    /// When a small value was written or [touched](Self::touch_record) last.
    #[must_use]
    pub fn record_used(&self, area: &str, name: &str) -> Option<SystemTime> {
        self.record(area, name).metadata().and_then(|meta| meta.modified()).ok()
    }

    /// Notes that a small value is of use still; not durable, and no error
    /// where that cannot be done.
    pub fn touch_record(&self, area: &str, name: &str) {
        let file = File::options().write(true).open(self.record(area, name));
        let _ = file.and_then(|file| file.set_modified(SystemTime::now()));
    }

    /// All named images, sorted by name.
    ///
    /// # Errors
    /// If the index cannot be read.
    pub fn refs(&self) -> Result<Vec<(String, Descriptor)>, StoreError> {
        refs::list(&self.inner.layout)
    }

    /// All images: those with a name, sorted by it, then those without.
    ///
    /// # Errors
    /// If the index cannot be read.
    pub fn images(&self) -> Result<Vec<(Option<String>, Descriptor)>, StoreError> {
        refs::images(&self.inner.layout)
    }

    /// Adds an image without a name to the index, durably; one that is there,
    /// under whatever name, stays as it is.
    ///
    /// # Errors
    /// If the index cannot be read or written.
    pub fn add_image(&self, image: Descriptor) -> Result<(), StoreError> {
        refs::add(&self.inner.layout, image)
    }

    /// Takes an image without a name away; whether it was there. Blobs stay
    /// until collected.
    ///
    /// # Errors
    /// If the index cannot be read or written.
    pub fn remove_image(&self, image: &Descriptor) -> Result<bool, StoreError> {
        refs::remove_nameless(&self.inner.layout, image)
    }

    /// What a name points at.
    ///
    /// # Errors
    /// If the index cannot be read.
    pub fn get_ref(&self, name: &str) -> Result<Option<Descriptor>, StoreError> {
        let mut named = self.refs()?.into_iter();
        Ok(named.find(|(known, _)| known == name).map(|(_, descriptor)| descriptor))
    }

    /// Points a name at a descriptor, keeping its annotations, durably.
    ///
    /// # Errors
    /// If the index cannot be read or written.
    pub fn set_ref(&self, name: &str, descriptor: Descriptor) -> Result<(), StoreError> {
        refs::set(&self.inner.layout, name, descriptor)
    }

    /// Takes a name away; whether it was there. Blobs stay until collected.
    ///
    /// # Errors
    /// If the index cannot be read or written.
    pub fn remove_ref(&self, name: &str) -> Result<bool, StoreError> {
        refs::remove(&self.inner.layout, name)
    }

    /// Keeps new blobs from being collected while it lives.
    ///
    /// # Errors
    /// If the lock cannot be taken.
    pub fn lease(&self) -> Result<Lease, StoreError> {
        gc::lease(&self.inner.layout, &self.cancel)
    }

    /// Keeps builds out while it lives: taken before the caller reads the edges
    /// that [`Self::gc`] is given.
    ///
    /// # Errors
    /// If the lock cannot be taken.
    pub fn exclusive(&self) -> Result<Lease, StoreError> {
        gc::exclusive(&self.inner.layout, &self.cancel)
    }

    /// As [`Self::exclusive`], or `None` where builds run.
    ///
    /// # Errors
    /// If the lock cannot be taken.
    pub fn try_exclusive(&self) -> Result<Option<Lease>, StoreError> {
        gc::try_exclusive(&self.inner.layout)
    }

    /// Removes what is not alive; with `dry_run` it only says what that is.
    ///
    /// # Errors
    /// If a file cannot be removed.
    pub fn gc(
        &self,
        alive: &Alive,
        dry_run: bool,
    ) -> Result<BTreeMap<Kind, Collected>, StoreError> {
        gc::collect(&self.inner.layout, alive, dry_run)
    }

    /// The directories of all cache mounts, with what they take. Files in them
    /// may belong to subordinate ids.
    #[must_use]
    pub fn cache_mounts(&self) -> Vec<(PathBuf, Collected)> {
        gc::cache_mounts(&self.inner.layout)
    }

    /// The blobs that users without a lease have pinned.
    #[must_use]
    pub fn pinned(&self) -> Vec<BlobDigest> {
        work::pinned(&self.inner.layout.private("work"))
    }

    /// Takes the cache mount of `id`, waiting for others where it is locked.
    ///
    /// # Errors
    /// If it cannot be made or locked.
    pub fn cache_mount(
        &self,
        id: &str,
        sharing: MountSharing,
    ) -> Result<CacheMountGuard, StoreError> {
        mounts::take(&self.inner.layout, id, sharing, &self.cancel)
    }
}
