//! Where things are, and the first opening of a directory.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use super::work::WorkDir;
use super::{StoreError, durable};
use crate::digest::{BlobDigest, DiffId};

/// The layout of `phoenix/`, raised when an older version could not read it.
const VERSION: u32 = 1;

const OCI_LAYOUT: &str = r#"{"imageLayoutVersion":"1.0.0"}"#;
const EMPTY_INDEX: &str =
    r#"{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[]}"#;

/// Paths of a store.
#[derive(Debug, Clone)]
pub(super) struct Layout {
    pub root: PathBuf,
    /// Where this process's temporary files stand; made when first needed.
    scratch: Arc<Mutex<Option<WorkDir>>>,
}

impl Layout {
    /// Makes or checks the directory.
    pub(super) fn open(root: &Path) -> Result<Self, StoreError> {
        let make = |path: &Path| fs::create_dir_all(path).map_err(StoreError::io("making", path));
        make(root)?;
        let root = root.canonicalize().map_err(StoreError::io("opening", root))?;
        let layout = Self { root, scratch: Arc::default() };
        let fresh = !layout.root.join("oci-layout").exists();
        if fresh && !layout.private("version").exists() && layout.is_foreign()? {
            return Err(StoreError::NotAStore { path: layout.root });
        }
        for directory in
            ["work", "tables", "data", "records", "downloads", "captured", "cache-mounts"]
        {
            make(&layout.private(directory))?;
        }
        // Uppers and cache mounts hold set-user-id files of images: nobody else
        // of this host is to come by them.
        let private = layout.root.join("phoenix");
        fs::set_permissions(&private, fs::Permissions::from_mode(0o700))
            .map_err(StoreError::io("closing", &private))?;
        make(&layout.root.join("blobs/sha256"))?;
        layout.check_version()?;
        layout.put_new("index.json", EMPTY_INDEX)?;
        layout.mend_marker()?;
        Ok(layout)
    }

    /// Writes a file of a new store, unless another process does.
    fn put_new(&self, name: &str, text: &str) -> Result<(), StoreError> {
        let path = self.root.join(name);
        if path.exists() {
            return Ok(());
        }
        durable::write_new(&path, text.as_bytes(), &self.scratch()?)
    }

    /// The file by which other tools know a layout. It is the same in every
    /// store, so one that a crash emptied is simply written again.
    fn mend_marker(&self) -> Result<(), StoreError> {
        let path = self.root.join("oci-layout");
        if fs::read(&path).is_ok_and(|bytes| !is_lost(&bytes)) {
            return Ok(());
        }
        durable::write(&path, OCI_LAYOUT.as_bytes(), &self.scratch()?)
    }

    /// A directory on the store's file system for files that are renamed or
    /// go with this process.
    pub(super) fn scratch(&self) -> Result<PathBuf, StoreError> {
        let mut scratch = self.scratch.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(made) = scratch.as_ref() {
            return Ok(made.path().to_owned());
        }
        let made = scratch.insert(WorkDir::new(&self.private("work"))?);
        Ok(made.path().to_owned())
    }

    fn is_foreign(&self) -> Result<bool, StoreError> {
        let entries = fs::read_dir(&self.root).map_err(StoreError::io("reading", &self.root))?;
        // Another process may be making the same store.
        let known = ["phoenix", "blobs", "index.json", "oci-layout"];
        Ok(entries.flatten().any(|e| known.iter().all(|name| e.file_name() != *name)))
    }

    fn check_version(&self) -> Result<(), StoreError> {
        let path = self.private("version");
        match fs::read_to_string(&path) {
            Ok(text) if !is_lost(text.as_bytes()) => match text.trim().parse::<u32>() {
                Ok(found) if found <= VERSION => Ok(()),
                _ => {
                    let found = text.trim().to_owned();
                    Err(StoreError::Version { path: self.root.clone(), found, known: VERSION })
                }
            },
            // A crash emptied it, or the store is new.
            Ok(_) => self.put_version(&path),
            Err(error) if error.kind() == io::ErrorKind::NotFound => self.put_version(&path),
            Err(error) => Err(StoreError::io("reading", &path)(error)),
        }
    }

    fn put_version(&self, path: &Path) -> Result<(), StoreError> {
        durable::write(path, format!("{VERSION}\n").as_bytes(), &self.scratch()?)
    }

    /// Removes that directory.
    pub(super) fn drop_scratch(&self) {
        drop(self.scratch.lock().unwrap_or_else(PoisonError::into_inner).take());
    }

    /// A path in the part that only Phoenix reads.
    pub(super) fn private(&self, name: &str) -> PathBuf {
        self.root.join("phoenix").join(name)
    }

    pub(super) fn blob(&self, digest: &BlobDigest) -> PathBuf {
        self.root.join("blobs/sha256").join(digest.hex())
    }

    pub(super) fn table(&self, blob: &BlobDigest) -> PathBuf {
        self.private("tables").join(blob.hex())
    }

    pub(super) fn data(&self, diff_id: &DiffId) -> PathBuf {
        self.private("data").join(diff_id.hex())
    }
}

/// Whether nothing is left of a file that never was empty: a crash of the host
/// or its disk can leave that.
fn is_lost(bytes: &[u8]) -> bool {
    bytes.iter().all(|byte| *byte == 0)
}
