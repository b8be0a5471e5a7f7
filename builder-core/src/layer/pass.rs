//! One pass over a blob: inflated, hashed, parsed, kept.
//!
//! In: a blob as a stream. Out: what its tar holds, the hash of each frame, a
//! file with the uncompressed bytes. The caller's thread reads and inflates; a
//! second one hashes, parses and writes the data, unless the tar is of one
//! frame. Guards: a blob that expands like a bomb is given up in time.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread;

use sha2::{Digest as _, Sha256};
use tempfile::NamedTempFile;

use super::compress::FRAME_LEN;
use super::inflate::{Inflater, Members, Tee};
use super::table::TableBuilder;
use super::untar::{self, Found};
use super::{Change, Compression, Kind, LayerError};
use crate::digest::{ContentDigest, DiffId};
use crate::store::Store;

/// How far a layer may expand.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    /// A tar of up to this size is never a bomb.
    pub(super) free: u64,
    /// A larger one may be so many times its blob. (Gzip cannot do more than
    /// 1,032, a Debian root file system is at 3.)
    pub(super) ratio: u64,
    pub(super) tar: untar::Limits,
}

impl Default for Limits {
    fn default() -> Self {
        Self { free: 4 << 30, ratio: 250, tar: untar::Limits::default() }
    }
}

/// What one pass over a blob found.
pub(super) struct Passed {
    pub(super) tar: TarFacts,
    pub(super) table: TableBuilder,
    pub(super) members: Members,
}

/// Reads the whole of a blob.
pub(super) fn pass(
    store: &Store,
    input: &mut dyn Read,
    seen: &mut dyn FnMut(&[u8]) -> io::Result<()>,
    compression: Compression,
    limits: Limits,
) -> Result<Passed, LayerError> {
    let data = match compression {
        Compression::None => None,
        _ => Some(store.temp_file()?),
    };
    let mut input = store.cancel().guard(input);
    let mut chunks = Chunks {
        inflater: Inflater::new(Tee::new(&mut input, seen), compression),
        total: 0,
        compression,
        limits,
    };
    let first = chunks.next()?;
    let parsed = match first {
        Some(chunk) if chunk.len() == FRAME_LEN => thread::scope(|scope| {
            let (sender, receiver) = sync_channel(4);
            let parser = scope.spawn(move || parse(receiver.into_iter(), data, limits.tar));
            let sent = send_all(chunk, &mut chunks, &sender);
            drop(sender);
            let parsed = parser.join().expect("the parser does not panic");
            sent.and(parsed)
        }),
        chunk => parse(chunk.into_iter(), data, limits.tar),
    };
    let (tar, table) = parsed?;
    Ok(Passed { tar, table, members: chunks.inflater.into_members() })
}

fn send_all(
    first: Vec<u8>,
    chunks: &mut Chunks<'_>,
    sender: &SyncSender<Vec<u8>>,
) -> Result<(), LayerError> {
    let mut next = Some(first);
    while let Some(chunk) = next {
        // The parser stops listening where the tar is malformed.
        if sender.send(chunk).is_err() {
            break;
        }
        next = chunks.next()?;
    }
    Ok(())
}

/// The tar in pieces of [`FRAME_LEN`].
struct Chunks<'a> {
    inflater: Inflater<'a>,
    total: u64,
    compression: Compression,
    limits: Limits,
}

impl Chunks<'_> {
    fn next(&mut self) -> Result<Option<Vec<u8>>, LayerError> {
        let mut chunk = vec![0; FRAME_LEN];
        let mut filled = 0;
        while filled < FRAME_LEN {
            let read = self.inflater.read(&mut chunk[filled..]);
            match read.map_err(|source| self.failed(source))? {
                0 => break,
                len => filled += len,
            }
        }
        chunk.truncate(filled);
        self.total += filled as u64;
        let compressed = self.inflater.consumed();
        let limit = self.limits.free.max(compressed.saturating_mul(self.limits.ratio));
        if self.total > limit {
            return Err(LayerError::Bomb { limit, compressed });
        }
        Ok((filled > 0).then_some(chunk))
    }

    fn failed(&self, source: io::Error) -> LayerError {
        match self.compression {
            Compression::None => LayerError::Io { action: "reading the blob", source },
            _ => LayerError::Decompress { source },
        }
    }
}

/// What is known of the tar.
pub(super) struct TarFacts {
    pub(super) diff_id: DiffId,
    pub(super) tar_size: u64,
    pub(super) hashes: Vec<[u8; 32]>,
    pub(super) data: Option<NamedTempFile>,
}

/// Hashes, keeps and parses the tar.
fn parse(
    chunks: impl Iterator<Item = Vec<u8>>,
    data: Option<NamedTempFile>,
    limits: untar::Limits,
) -> Result<(TarFacts, TableBuilder), LayerError> {
    let mut tar = Tar {
        chunks,
        chunk: vec![],
        at: 0,
        size: 0,
        diff_id: Sha256::new(),
        hashes: vec![],
        data: data.as_ref().map(NamedTempFile::as_file),
    };
    let mut table = TableBuilder::default();
    let mut buf = vec![0; 256 * 1024];
    untar::walk(&mut tar, limits, &mut |found, content| {
        let Found { mut entry, extents } = found;
        if let Change::Present { kind: Kind::File { content: digest, .. }, .. } = &mut entry.change
        {
            *digest = digest_of(content, &mut buf).map_err(LayerError::io("reading the tar"))?;
        }
        table.add(entry, extents);
        Ok(())
    })?;
    // What follows the end mark belongs to the diffID all the same.
    while tar.next_chunk().map_err(LayerError::io("writing the data"))? {}
    let diff_id = DiffId::from_bytes(tar.diff_id.finalize().into());
    let (tar_size, hashes) = (tar.size, tar.hashes);
    if let Some(file) = tar.data {
        file.set_len(tar_size).map_err(LayerError::io("writing the data"))?;
    }
    Ok((TarFacts { diff_id, tar_size, hashes, data }, table))
}

fn digest_of(content: &mut dyn Read, buf: &mut [u8]) -> io::Result<ContentDigest> {
    let mut hasher = blake3::Hasher::new();
    loop {
        match content.read(buf)? {
            0 => return Ok(ContentDigest::from_bytes(*hasher.finalize().as_bytes())),
            len => hasher.update(&buf[..len]),
        };
    }
}

struct Tar<'a, I> {
    chunks: I,
    chunk: Vec<u8>,
    at: usize,
    size: u64,
    diff_id: Sha256,
    hashes: Vec<[u8; 32]>,
    data: Option<&'a File>,
}

impl<I: Iterator<Item = Vec<u8>>> Tar<'_, I> {
    fn next_chunk(&mut self) -> io::Result<bool> {
        let Some(chunk) = self.chunks.next() else { return Ok(false) };
        self.diff_id.update(&chunk);
        self.hashes.push(*blake3::hash(&chunk).as_bytes());
        if let Some(file) = self.data {
            file.write_all_at(&chunk, self.size)?;
        }
        self.size += chunk.len() as u64;
        (self.chunk, self.at) = (chunk, 0);
        Ok(true)
    }
}

impl<I: Iterator<Item = Vec<u8>>> Read for Tar<'_, I> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if self.at == self.chunk.len() && !self.next_chunk()? {
            return Ok(0);
        }
        let len = buf.len().min(self.chunk.len() - self.at);
        buf[..len].copy_from_slice(&self.chunk[self.at..self.at + len]);
        self.at += len;
        Ok(len)
    }
}
