//! Cache mounts: directories that last from build to build.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};

use super::StoreError;
use super::layout::Layout;

/// How concurrent users share a directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MountSharing {
    /// Any number at the same time.
    Shared,
    /// One after the other.
    Locked,
    /// Each concurrent one has its own.
    Private,
}

/// A cache mount in use; let go on drop.
#[derive(Debug)]
pub struct CacheMountGuard {
    path: PathBuf,
    _lock: File,
}

impl CacheMountGuard {
    /// The directory. It may not be there yet: whoever makes it says its owner.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// Takes the directory of `id`, waiting for others where it is locked.
pub(super) fn take(
    layout: &Layout,
    id: &str,
    sharing: MountSharing,
) -> Result<CacheMountGuard, StoreError> {
    // The id is the user's text: its hash is a safe name.
    let home = layout.private("cache-mounts").join(blake3::hash(id.as_bytes()).to_hex().as_str());
    fs::create_dir_all(&home).map_err(StoreError::io("making", &home))?;
    let operation = match sharing {
        MountSharing::Shared => FlockOperation::LockShared,
        MountSharing::Locked => FlockOperation::LockExclusive,
        MountSharing::Private => return take_private(&home),
    };
    let (lock, lock_path) = lock_file(&home, 0)?;
    flock(&lock, operation).map_err(|error| StoreError::io("locking", &lock_path)(error.into()))?;
    Ok(CacheMountGuard { path: home.join("0"), _lock: lock })
}

fn take_private(home: &Path) -> Result<CacheMountGuard, StoreError> {
    for number in 0_u32.. {
        let (lock, _) = lock_file(home, number)?;
        if flock(&lock, FlockOperation::NonBlockingLockExclusive).is_ok() {
            return Ok(CacheMountGuard { path: home.join(number.to_string()), _lock: lock });
        }
    }
    unreachable!("some number below 2^32 is free")
}

fn lock_file(home: &Path, number: u32) -> Result<(File, PathBuf), StoreError> {
    let path = home.join(format!("{number}.lock"));
    let file = File::options().create(true).truncate(false).write(true).open(&path);
    Ok((file.map_err(StoreError::io("opening", &path))?, path))
}
