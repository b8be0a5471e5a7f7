//! Locks between processes, on files that stay.

use std::fs::File;
use std::path::Path;
use std::time::Duration;

use rustix::fs::{FlockOperation, flock};

use super::StoreError;
use crate::cancel::Cancel;

/// How often a lock that others hold is asked for.
const PAUSE: Duration = Duration::from_millis(20);

/// How a lock is held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Hold {
    /// Beside any number of others that share it.
    Shared,
    /// Alone.
    Alone,
}

impl Hold {
    fn operation(self) -> FlockOperation {
        match self {
            Self::Shared => FlockOperation::NonBlockingLockShared,
            Self::Alone => FlockOperation::NonBlockingLockExclusive,
        }
    }
}

/// Opens the file of a lock.
pub(super) fn open(path: &Path) -> Result<File, StoreError> {
    let file = File::options().create(true).truncate(false).write(true).open(path);
    file.map_err(StoreError::io("opening", path))
}

/// Takes the lock if that is possible at once.
pub(super) fn try_take(file: &File, path: &Path, hold: Hold) -> Result<bool, StoreError> {
    match flock(file, hold.operation()) {
        Ok(()) => Ok(true),
        Err(rustix::io::Errno::WOULDBLOCK | rustix::io::Errno::INTR) => Ok(false),
        Err(error) => Err(StoreError::io("locking", path)(error.into())),
    }
}

/// Takes the lock at `path`, waiting for others until `cancel` is set.
pub(super) fn take(path: &Path, hold: Hold, cancel: &Cancel) -> Result<File, StoreError> {
    let file = open(path)?;
    // Asked again and again: a call that waits in the kernel cannot be canceled.
    while !try_take(&file, path, hold)? {
        if cancel.wait(PAUSE) {
            return Err(StoreError::Canceled);
        }
    }
    Ok(file)
}
