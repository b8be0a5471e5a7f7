//! Deterministic tar archives: regular files and directories of no owner.

use std::io::{Read, Write};

use super::OutputError;
use crate::digest::BlobDigest;
use crate::store::Store;

use super::layout::{OCI_LAYOUT, Parts, blob_name};

/// A tar being written.
pub(super) struct Tarball<W: Write> {
    builder: tar::Builder<W>,
}

impl<W: Write> Tarball<W> {
    pub(super) fn new(out: W) -> Self {
        Self { builder: tar::Builder::new(out) }
    }

    fn header(kind: tar::EntryType, mode: u32, size: u64) -> tar::Header {
        let mut header = tar::Header::new_ustar();
        header.set_entry_type(kind);
        header.set_mode(mode);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(0);
        header.set_size(size);
        header
    }

    pub(super) fn directory(&mut self, name: &str) -> Result<(), OutputError> {
        let mut header = Self::header(tar::EntryType::Directory, 0o755, 0);
        let written = self.builder.append_data(&mut header, name, std::io::empty());
        written.map_err(OutputError::io("writing", name))
    }

    /// Exactly `size` bytes are taken from `content`; where it has fewer, the
    /// archive is unfinished and the error says so.
    pub(super) fn file(
        &mut self,
        name: &str,
        size: u64,
        content: &mut dyn Read,
    ) -> Result<(), OutputError> {
        let mut header = tar::Header::new_gnu();
        header.clone_from(&Self::header(tar::EntryType::Regular, 0o644, 0));
        // Sizes of 8 GiB and more are written in binary, as GNU and Go read them.
        header.set_size(size);
        let mut content = Exactly { inner: content, left: size };
        let written = self.builder.append_data(&mut header, name, &mut content);
        written.map_err(OutputError::io("writing", name))
    }

    pub(super) fn document(&mut self, name: &str, bytes: &[u8]) -> Result<(), OutputError> {
        self.file(name, bytes.len() as u64, &mut &bytes[..])
    }

    /// A blob, verified as `reader` gives it.
    fn blob(
        &mut self,
        mut reader: impl Read,
        digest: &BlobDigest,
        size: u64,
    ) -> Result<(), OutputError> {
        self.file(&blob_name(digest), size, &mut reader)?;
        // Reading to the end is what checks the digest.
        let mut more = [0];
        match reader.read(&mut more) {
            Ok(0) => Ok(()),
            Ok(_) => Err(OutputError::Missing(*digest)),
            Err(error) => Err(OutputError::io("reading blob", digest)(error)),
        }
    }

    /// The whole layout; `index` is the content of `index.json`.
    pub(super) fn layout(
        &mut self,
        store: &Store,
        parts: &Parts,
        index: &[u8],
    ) -> Result<(), OutputError> {
        self.directory("blobs/")?;
        self.directory("blobs/sha256/")?;
        for (digest, size) in &parts.blobs {
            match parts.inflated.get(digest) {
                Some(layer) => self.blob(layer.tar()?, digest, *size)?,
                None => self.blob(store.blob_reader(digest)?, digest, *size)?,
            }
        }
        self.document("index.json", index)?;
        self.document("oci-layout", OCI_LAYOUT)
    }

    pub(super) fn finish(self) -> Result<(), OutputError> {
        let mut out = self.builder.into_inner().map_err(OutputError::io("writing", "the end"))?;
        out.flush().map_err(OutputError::io("writing", "the end"))
    }
}

/// A reader that fails if it ends early, and ends where it should.
struct Exactly<'a> {
    inner: &'a mut dyn Read,
    left: u64,
}

impl Read for Exactly<'_> {
    fn read(&mut self, buf: &mut [u8]) -> std::io::Result<usize> {
        let most = buf.len().min(usize::try_from(self.left).unwrap_or(usize::MAX));
        let read = self.inner.read(&mut buf[..most])?;
        if read == 0 && most > 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        self.left -= read as u64;
        Ok(read)
    }
}
