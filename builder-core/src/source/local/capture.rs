//! A context file's bytes, checked as they are read or kept as they were.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt as _;

use super::ContextTree;
use crate::digest::ContentDigest;
use crate::layer::LayerPath;
use crate::view::ReadAt;

/// A file that nobody changes.
pub(super) struct Captured(pub File);

impl ReadAt for Captured {
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        let mut done = 0;
        while done < buf.len() {
            match self.0.read_at(&mut buf[done..], offset + done as u64) {
                Ok(0) => break,
                Ok(read) => done += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(done)
    }
}

/// A file's bytes; fails at the end where they are not what was told.
pub(super) struct Checked {
    pub expected: ContentDigest,
    pub file: File,
    pub hasher: blake3::Hasher,
    pub tree: ContextTree,
    pub path: LayerPath,
}

impl Read for Checked {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read(buf)?;
        self.hasher.update(&buf[..read]);
        let end = read == 0 && !buf.is_empty();
        if end && self.hasher.finalize().as_bytes() != self.expected.as_bytes() {
            return Err(io::Error::other(self.tree.changed(&self.path)));
        }
        Ok(read)
    }
}
