//! Private directories of running builds, and what crashed ones left.
//!
//! A directory is live while the lock on the file beside it (`NAME.lock`) is
//! held; the kernel drops the lock with the process, however it ends. Temporary
//! files stand in such a directory too, so that none outlives its process by
//! more than the time to the next open.
//!
//! Invariant: a lock file is removed by who holds its lock only, and a new
//! lock counts only if the file is still in its place; so no directory is ever
//! swept that is in use, and nothing depends on anyone's clock.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

use super::StoreError;
use crate::digest::BlobDigest;

/// How often removing a directory is tried whose process was killed just now:
/// what it had started may still be about to end.
const TRIES: u32 = 40;
/// The file of a work directory that names the image it needs.
const PIN: &str = "pin";
const PAUSE: Duration = Duration::from_millis(25);

/// A private directory that is removed on drop.
#[derive(Debug)]
pub struct WorkDir {
    path: PathBuf,
    lock_path: PathBuf,
    // Held until the directory is gone.
    #[cfg_attr(not(test), expect(dead_code, reason = "the lock is what it is for"))]
    lock: File,
}

impl WorkDir {
    /// A new one below `work`.
    pub(super) fn new(work: &Path) -> Result<Self, StoreError> {
        let mut tries = TRIES;
        loop {
            let named = tempfile::Builder::new().prefix("dir-").suffix(".lock").tempfile_in(work);
            let named = named.map_err(StoreError::io("making a file in", work))?;
            let (lock, lock_path) =
                named.keep().map_err(|error| StoreError::io("keeping", work)(error.error))?;
            match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) if is_at(&lock, &lock_path) => {}
                // A sweep came between making and locking it.
                Ok(()) | Err(Errno::WOULDBLOCK | Errno::INTR) if tries > 0 => {
                    tries -= 1;
                    continue;
                }
                result => {
                    let _ = fs::remove_file(&lock_path);
                    let error = result.err().unwrap_or(Errno::STALE);
                    return Err(StoreError::io("locking", &lock_path)(error.into()));
                }
            }
            let made = Self { path: lock_path.with_extension("d"), lock_path, lock };
            fs::create_dir(&made.path).map_err(StoreError::io("making", &made.path))?;
            return Ok(made);
        }
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Keeps the image of that manifest from being collected while this lives.
    /// To be called under a lease.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn pin(&self, manifest: &BlobDigest) -> Result<(), StoreError> {
        let path = self.path.join(PIN);
        fs::write(&path, manifest.to_string()).map_err(StoreError::io("writing", &path))
    }

    #[cfg(test)]
    pub(super) fn lock_for_test(&self) -> &File {
        &self.lock
    }
}

impl Drop for WorkDir {
    fn drop(&mut self) {
        // What cannot be removed (files of subordinate ids) is swept later.
        if remove(&self.path).is_ok() {
            let _ = fs::remove_file(&self.lock_path);
        }
    }
}

/// The blobs that are pinned.
pub(super) fn pinned(work: &Path) -> Vec<BlobDigest> {
    let entries = fs::read_dir(work).into_iter().flatten().flatten();
    let pins = entries.filter_map(|entry| fs::read_to_string(entry.path().join(PIN)).ok());
    pins.filter_map(|pin| pin.parse().ok()).collect()
}

/// Removes what crashed processes left. What this user cannot remove is given
/// back: it belongs to subordinate ids.
pub(super) fn sweep(work: &Path) -> Vec<PathBuf> {
    let mut left = Vec::new();
    for entry in fs::read_dir(work).into_iter().flatten().flatten() {
        let path = entry.path();
        match path.extension().and_then(|e| e.to_str()) {
            Some("lock") => left.extend(sweep_locked(&path)),
            // Its lock is made before it and removed after it.
            Some("d") if path.with_extension("lock").exists() => {}
            Some("d") => drop(fs::remove_dir_all(&path)),
            // Nothing makes files here.
            _ => drop(fs::remove_file(&path)),
        }
    }
    left
}

fn sweep_locked(lock_path: &Path) -> Option<PathBuf> {
    let lock = File::open(lock_path).ok()?;
    flock(&lock, FlockOperation::NonBlockingLockExclusive).ok()?;
    if !is_at(&lock, lock_path) {
        return None;
    }
    let path = lock_path.with_extension("d");
    for _ in 0..TRIES {
        match remove(&path) {
            Ok(()) => {
                let _ = fs::remove_file(lock_path);
                return None;
            }
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => break,
            // A step that is being killed still writes.
            Err(_) => std::thread::sleep(PAUSE),
        }
    }
    Some(path)
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound && !path.exists() => Ok(()),
        other => other,
    }
}

/// Whether `file` is what stands at `path`.
fn is_at(file: &File, path: &Path) -> bool {
    let identity = |meta: fs::Metadata| (meta.dev(), meta.ino());
    let here = file.metadata().map(identity);
    here.is_ok_and(|here| path.metadata().is_ok_and(|there| identity(there) == here))
}
