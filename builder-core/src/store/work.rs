//! Private directories of running builds, and what crashed ones left.
//!
//! A directory is live while the lock on the file beside it (`NAME.lock`) is
//! held; the kernel drops the lock with the process, however it ends.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use rustix::fs::{FlockOperation, flock};

use super::StoreError;
use super::layout::Layout;

/// Loose temp files older than this belong to nobody.
const STALE: Duration = Duration::from_secs(24 * 3600);

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
    pub(super) fn new(layout: &Layout) -> Result<Self, StoreError> {
        let work = layout.private("work");
        let named = tempfile::Builder::new().prefix("dir-").suffix(".lock").tempfile_in(&work);
        let named = named.map_err(StoreError::io("making a file in", &work))?;
        let (lock, lock_path) =
            named.keep().map_err(|error| StoreError::io("keeping", &work)(error.error))?;
        let locked = flock(&lock, FlockOperation::LockExclusive);
        locked.map_err(|error| StoreError::io("locking", &lock_path)(error.into()))?;
        let path = lock_path.with_extension("d");
        fs::create_dir(&path).map_err(StoreError::io("making", &path))?;
        Ok(Self { path, lock_path, lock })
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    #[cfg(test)]
    pub(super) fn lock_for_test(&self) -> &File {
        &self.lock
    }
}

impl Drop for WorkDir {
    fn drop(&mut self) {
        // What cannot be removed (files of subordinate ids) is swept later.
        if fs::remove_dir_all(&self.path).is_ok() {
            let _ = fs::remove_file(&self.lock_path);
        }
    }
}

/// Removes what crashed processes left. What this user cannot remove is given
/// back: it belongs to subordinate ids.
pub(super) fn sweep(layout: &Layout) -> Vec<PathBuf> {
    let work = layout.private("work");
    let mut left = Vec::new();
    for entry in fs::read_dir(&work).into_iter().flatten().flatten() {
        let path = entry.path();
        match path.extension().and_then(|e| e.to_str()) {
            Some("d") => {}
            Some("lock") => left.extend(sweep_locked(&path)),
            _ => sweep_loose(&path),
        }
    }
    left
}

fn sweep_locked(lock_path: &Path) -> Option<PathBuf> {
    let lock = File::open(lock_path).ok()?;
    flock(&lock, FlockOperation::NonBlockingLockExclusive).ok()?;
    let path = lock_path.with_extension("d");
    if path.exists() && fs::remove_dir_all(&path).is_err() {
        return Some(path);
    }
    // A process that has made the lock file and not locked it yet is between
    // two system calls: leave young files alone.
    if is_older(lock_path, Duration::from_secs(10)) {
        let _ = fs::remove_file(lock_path);
    }
    None
}

fn sweep_loose(path: &Path) {
    if is_older(path, STALE) {
        let _ = fs::remove_file(path);
    }
}

fn is_older(path: &Path, than: Duration) -> bool {
    let age = |meta: fs::Metadata| SystemTime::now().duration_since(meta.modified().ok()?).ok();
    path.metadata().ok().and_then(age).is_some_and(|age| age > than)
}
