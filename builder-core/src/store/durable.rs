//! Writes that last: temp file, fsync, rename, fsync of the directory.
//!
//! Invariant: at a path there is the old content or the new one, whole, at
//! every moment and after a power cut.

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;

use tempfile::NamedTempFile;

use super::StoreError;

/// Makes the names in `directory` last.
pub(super) fn sync_directory(directory: &Path) -> Result<(), StoreError> {
    let opened = File::open(directory).and_then(|dir| dir.sync_all());
    opened.map_err(StoreError::io("syncing", directory))
}

/// Replaces `path` by `bytes`; its directory is made.
pub(super) fn write(path: &Path, bytes: &[u8], scratch: &Path) -> Result<(), StoreError> {
    let mut temp =
        NamedTempFile::new_in(scratch).map_err(StoreError::io("making a file in", scratch))?;
    temp.write_all(bytes).map_err(StoreError::io("writing", path))?;
    persist(temp, path)
}

/// As [`write()`], but a power cut may lose what is written, or leave a part: for
/// what its readers check and can do without.
pub(super) fn write_lazily(path: &Path, bytes: &[u8], scratch: &Path) -> Result<(), StoreError> {
    let directory = path.parent().unwrap_or(Path::new("."));
    if !directory.is_dir() {
        fs::create_dir_all(directory).map_err(StoreError::io("making", directory))?;
    }
    let mut temp =
        NamedTempFile::new_in(scratch).map_err(StoreError::io("making a file in", scratch))?;
    temp.write_all(bytes).map_err(StoreError::io("writing", path))?;
    temp.persist(path).map(drop).map_err(|error| StoreError::io("writing", path)(error.error))
}

/// Writes `path` unless it is there by then; its directory exists.
pub(super) fn write_new(path: &Path, bytes: &[u8], scratch: &Path) -> Result<(), StoreError> {
    let mut temp =
        NamedTempFile::new_in(scratch).map_err(StoreError::io("making a file in", scratch))?;
    temp.write_all(bytes).map_err(StoreError::io("writing", path))?;
    temp.as_file().sync_data().map_err(StoreError::io("syncing", path))?;
    match temp.persist_noclobber(path) {
        Ok(_) => sync_directory(path.parent().unwrap_or(Path::new("."))),
        Err(error) if error.error.kind() == std::io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(StoreError::io("writing", path)(error.error)),
    }
}

/// Puts a written temp file at `path`, durably; its directory is made.
pub(super) fn persist(temp: NamedTempFile, path: &Path) -> Result<(), StoreError> {
    let directory = path.parent().unwrap_or(Path::new("."));
    if !directory.is_dir() {
        fs::create_dir_all(directory).map_err(StoreError::io("making", directory))?;
    }
    temp.as_file().sync_data().map_err(StoreError::io("syncing", path))?;
    temp.persist(path).map_err(|error| StoreError::io("writing", path)(error.error))?;
    sync_directory(directory)
}
