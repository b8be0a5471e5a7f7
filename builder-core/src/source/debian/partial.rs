//! A file on its way into the store's downloads.
//!
//! In: bytes as they come, from wherever an earlier attempt stopped. Out: a
//! file that has its name only if the caller found its digest right. A lock on
//! the partial file keeps two builds from writing the same one.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

use super::DebianError;
use super::download::{TICK, Wanted};
use crate::digest::BlobDigest;

/// A file that is being downloaded, locked.
pub(super) struct Partial {
    file: File,
    path: PathBuf,
    pub(super) len: u64,
    hash: Sha256,
}

impl Partial {
    /// Opens and locks it, and hashes what is there.
    pub(super) async fn open(path: &Path) -> Result<Self, DebianError> {
        let path = path.to_owned();
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(DebianError::io("writing", &path))?;
        // Asked again and again: a thread that waits could not be stopped.
        while let Err(error) = file.try_lock() {
            match error {
                TryLockError::WouldBlock => tokio::time::sleep(TICK).await,
                TryLockError::Error(error) => {
                    return Err(DebianError::io("locking", &path)(error));
                }
            }
        }
        let opened = tokio::task::spawn_blocking(move || {
            let fail = |e| DebianError::io("writing", &path)(e);
            let mut hash = Sha256::new();
            let len = copy_into(&mut file, &mut hash).map_err(fail)?;
            Ok(Self { file, len, hash, path })
        });
        opened.await.expect("opening does not panic")
    }

    pub(super) fn restart(&mut self) -> Result<(), DebianError> {
        self.file.set_len(0).map_err(DebianError::io("writing", &self.path))?;
        self.file.seek(SeekFrom::Start(0)).map_err(DebianError::io("writing", &self.path))?;
        (self.len, self.hash) = (0, Sha256::new());
        Ok(())
    }

    pub(super) fn append(&mut self, bytes: &[u8]) -> Result<(), DebianError> {
        self.file.write_all(bytes).map_err(DebianError::io("writing", &self.path))?;
        self.hash.update(bytes);
        self.len += bytes.len() as u64;
        Ok(())
    }

    pub(super) fn digest(&self) -> BlobDigest {
        BlobDigest::from_bytes(self.hash.clone().finalize().into())
    }

    /// Gives it its name.
    #[expect(
        clippy::disallowed_methods,
        reason = "it need not last: what a power cut damages is found by its digest, which is \
                  checked at every use, and fetched again"
    )]
    pub(super) fn finish(self, path: &Path) -> Result<(), DebianError> {
        fs::rename(&self.path, path).map_err(DebianError::io("renaming", &self.path))
    }
}

/// Whether the file is there and has the right digest. A wrong one stays: what
/// is fetched takes its place, and another build may just have done so.
pub(super) fn is_good(path: &Path, wanted: &Wanted) -> bool {
    let Ok(mut file) = File::open(path) else { return false };
    let mut hash = Sha256::new();
    copy_into(&mut file, &mut hash).is_ok_and(|len| len == wanted.size)
        && <[u8; 32]>::from(hash.finalize()) == *wanted.sha256.as_bytes()
}

/// Hashes a file to its end; gives its length.
pub(super) fn copy_into(file: &mut File, hash: &mut Sha256) -> io::Result<u64> {
    let mut buffer = vec![0; 256 << 10];
    let mut len = 0;
    loop {
        let n = file.read(&mut buffer)?;
        if n == 0 {
            return Ok(len);
        }
        hash.update(&buffer[..n]);
        len += n as u64;
    }
}
