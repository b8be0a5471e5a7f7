//! Blobs: written once under the digest of their bytes, verified when read.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::PathBuf;

use sha2::{Digest as _, Sha256};
use tempfile::NamedTempFile;

use super::layout::Layout;
use super::{StoreError, durable};
use crate::cancel::{Cancel, Guarded};
use crate::digest::BlobDigest;

/// A blob being written: hashes as it writes.
#[derive(Debug)]
pub struct BlobWriter {
    layout: Layout,
    cancel: Cancel,
    file: NamedTempFile,
    hasher: Sha256,
    size: u64,
}

impl BlobWriter {
    pub(super) fn new(layout: Layout, cancel: Cancel) -> Result<Self, StoreError> {
        let scratch = layout.scratch()?;
        let file = NamedTempFile::new_in(&scratch)
            .map_err(StoreError::io("making a file in", &scratch))?;
        Ok(Self { layout, cancel, file, hasher: Sha256::new(), size: 0 })
    }

    /// The digest of what was written so far.
    #[must_use]
    pub fn digest(&self) -> BlobDigest {
        BlobDigest::from_bytes(self.hasher.clone().finalize().into())
    }

    /// Makes the blob visible, durably, under its digest. What was there is
    /// replaced: its bytes may have suffered, those of the new copy are known.
    ///
    /// # Errors
    /// If it cannot be written; then there is nothing.
    pub fn commit(self) -> Result<(BlobDigest, u64), StoreError> {
        let digest = BlobDigest::from_bytes(self.hasher.finalize().into());
        durable::persist(self.file, &self.layout.blob(&digest))?;
        Ok((digest, self.size))
    }
}

impl Write for BlobWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.cancel.check()?;
        let written = self.file.write(bytes)?;
        self.hasher.update(&bytes[..written]);
        self.size += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

/// Reads a blob and fails at its end if the bytes were not those of its digest.
pub(super) struct VerifiedReader {
    file: Guarded<File>,
    path: PathBuf,
    expected: BlobDigest,
    hasher: Sha256,
}

impl VerifiedReader {
    pub(super) fn new(
        layout: &Layout,
        digest: &BlobDigest,
        cancel: &Cancel,
    ) -> Result<Self, StoreError> {
        let path = layout.blob(digest);
        let file = cancel.guard(open(layout, digest)?);
        Ok(Self { file, path, expected: *digest, hasher: Sha256::new() })
    }
}

impl Read for VerifiedReader {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read(buf)?;
        self.hasher.update(&buf[..read]);
        if read == 0 && !buf.is_empty() {
            let actual = BlobDigest::from_bytes(self.hasher.clone().finalize().into());
            if actual != self.expected {
                let error = StoreError::Corrupt { expected: self.expected, actual };
                return Err(io::Error::new(
                    io::ErrorKind::InvalidData,
                    format!("{}: {error}", self.path.display()),
                ));
            }
        }
        Ok(read)
    }
}

pub(super) fn open(layout: &Layout, digest: &BlobDigest) -> Result<File, StoreError> {
    let path = layout.blob(digest);
    File::open(&path).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => StoreError::NoBlob { digest: *digest },
        _ => StoreError::io("opening", &path)(error),
    })
}

/// The whole of a blob of at most `limit` bytes, verified.
pub(super) fn read(
    layout: &Layout,
    digest: &BlobDigest,
    limit: u64,
) -> Result<Vec<u8>, StoreError> {
    let path = layout.blob(digest);
    let mut file = open(layout, digest)?;
    let size = file.metadata().map_err(StoreError::io("reading", &path))?.len();
    if size > limit {
        return Err(StoreError::TooLarge { digest: *digest, size, limit });
    }
    let mut bytes = Vec::with_capacity(usize::try_from(size).unwrap_or(0));
    file.read_to_end(&mut bytes).map_err(StoreError::io("reading", &path))?;
    let actual = BlobDigest::of(&bytes);
    if actual != *digest {
        return Err(StoreError::Corrupt { expected: *digest, actual });
    }
    Ok(bytes)
}
