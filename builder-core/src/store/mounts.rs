//! Cache mounts: directories that last from build to build.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use super::StoreError;
use super::layout::Layout;
use super::lock::{self, Hold};
use crate::cancel::Cancel;

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
    cancel: &Cancel,
) -> Result<CacheMountGuard, StoreError> {
    // The id is the user's text: its hash is a safe name.
    let home = layout.private("cache-mounts").join(blake3::hash(id.as_bytes()).to_hex().as_str());
    fs::create_dir_all(&home).map_err(StoreError::io("making", &home))?;
    let hold = match sharing {
        MountSharing::Shared => Hold::Shared,
        MountSharing::Locked => Hold::Alone,
        MountSharing::Private => return take_private(&home),
    };
    let lock = lock::take(&home.join("0.lock"), hold, cancel)?;
    Ok(CacheMountGuard { path: home.join("0"), _lock: lock })
}

fn take_private(home: &Path) -> Result<CacheMountGuard, StoreError> {
    for number in 0_u32.. {
        let path = home.join(format!("{number}.lock"));
        let lock = lock::open(&path)?;
        if lock::try_take(&lock, &path, Hold::Alone)? {
            return Ok(CacheMountGuard { path: home.join(number.to_string()), _lock: lock });
        }
    }
    unreachable!("some number below 2^32 is free")
}
