//! Takes foreign layers in, and makes tables again from blobs.
//!
//! In: a blob as a stream, plain or compressed. Out: the blob as it was, its
//! table, its data file: all from one pass. The caller's thread reads, digests
//! and inflates; a second one hashes, parses and writes the data, unless the tar
//! is of one frame. Guards: nothing is in the store before the whole blob was
//! read, parsed and found to have the expected digest.

use std::fs::File;
use std::io::{self, BufReader, Read, Write};
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread;

use sha2::{Digest as _, Sha256};
use tempfile::NamedTempFile;

use super::compress::FRAME_LEN;
use super::inflate::{Inflater, Members, Tee};
use super::pipeline::{Pipeline, Written, cores};
use super::table::{Draft, Facts, Frame, TableBuilder};
use super::untar::{self, Found};
use super::{Change, Compression, Entry, Kind, Layer, LayerDesc, LayerError};
use crate::digest::{BlobDigest, ContentDigest, DiffId};
use crate::store::{Store, StoreError};

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

/// Takes a foreign layer blob into the store as it is (the blob keeps its
/// digest), verifying `expected`, and makes its table and data in the same pass.
///
/// # Errors
/// If the blob is not what is expected, is no tar, or expands like a bomb;
/// nothing is left in the store then.
pub fn import(
    store: &Store,
    blob: &mut dyn Read,
    compression: Compression,
    expected: Option<&BlobDigest>,
) -> Result<LayerDesc, LayerError> {
    import_within(store, blob, compression, expected, Limits::default())
}

pub(super) fn import_within(
    store: &Store,
    blob: &mut dyn Read,
    compression: Compression,
    expected: Option<&BlobDigest>,
    limits: Limits,
) -> Result<LayerDesc, LayerError> {
    let (mut writer, mut size) = (store.blob_writer()?, 0);
    let mut seen = |bytes: &[u8]| {
        size += bytes.len() as u64;
        writer.write_all(bytes)
    };
    let passed = pass(store, blob, &mut seen, compression, limits);
    let check = |actual: BlobDigest| match expected {
        Some(expected) if *expected != actual => Err(LayerError::Digest {
            what: "blob digest",
            expected: expected.to_string(),
            actual: actual.to_string(),
        }),
        _ => Ok(()),
    };
    if expected.is_some() && !matches!(passed, Ok(_) | Err(LayerError::Bomb { .. })) {
        // That the bytes are not the expected ones explains more than how they fail.
        io::copy(blob, &mut writer).map_err(LayerError::io("reading the blob"))?;
        check(writer.digest())?;
    }
    let passed = passed?;
    check(writer.digest())?;
    let desc = LayerDesc { blob: writer.digest(), diff_id: passed.tar.diff_id, size, compression };
    let drafts = passed.draft(store, &desc)?;
    writer.commit()?;
    drafts.place()?;
    Ok(desc)
}

/// Makes the table and data of a blob of the store again.
pub(super) fn index(
    store: &Store,
    blob: &BlobDigest,
    compression: Compression,
) -> Result<LayerDesc, LayerError> {
    let mut input = store.blob_file(blob)?;
    let (mut hasher, mut size) = (Sha256::new(), 0);
    let mut seen = |bytes: &[u8]| {
        hasher.update(bytes);
        size += bytes.len() as u64;
        Ok(())
    };
    let passed = pass(store, &mut input, &mut seen, compression, Limits::default());
    if passed.is_err() {
        let mut rest = BufReader::new(store.cancel().guard(input));
        let copied = io::copy(&mut rest, &mut Seen(&mut seen));
        copied.map_err(LayerError::io("reading the blob"))?;
    }
    if BlobDigest::from_bytes(hasher.finalize().into()) != *blob {
        return Err(LayerError::Damaged { what: "blob", layer: blob.short() });
    }
    let passed = passed?;
    let desc = LayerDesc { blob: *blob, diff_id: passed.tar.diff_id, size, compression };
    passed.draft(store, &desc)?.place()?;
    Ok(desc)
}

struct Seen<'a>(&'a mut dyn FnMut(&[u8]) -> io::Result<()>);

impl Write for Seen<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        (self.0)(bytes)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What one pass over a blob found.
struct Passed {
    tar: TarFacts,
    table: TableBuilder,
    members: Members,
}

impl Passed {
    /// Writes table and data, beside their places.
    fn draft(self, store: &Store, desc: &LayerDesc) -> Result<Drafts, LayerError> {
        let Self { tar: TarFacts { diff_id, tar_size, hashes, data }, table, members } = self;
        let (compression, blob_size) = (desc.compression, desc.size);
        let plain = compression == Compression::None;
        // A last member without content leaves the counts unequal.
        let seekable = plain || (members.even && members.places.len() == hashes.len());
        let place = |at: usize| match (plain, seekable) {
            (true, _) => {
                let offset = (at * FRAME_LEN) as u64;
                (offset, (tar_size - offset).min(FRAME_LEN as u64))
            }
            (_, true) => members.places[at],
            (_, false) => (0, 0),
        };
        let frames = hashes.iter().enumerate().map(|(at, hash)| {
            let (offset, len) = place(at);
            Frame { offset, len, hash: *hash }
        });
        let frames: Vec<Frame> = frames.collect();
        let blob = desc.blob;
        let facts = Facts { blob, diff_id, blob_size, tar_size, compression, seekable };
        let table = Draft::new(store, table, facts, &frames)?;
        Ok(Drafts { table, data: data.map(|data| (data, store.data_path(&diff_id))) })
    }
}

/// Table and data of a layer, not yet in their places.
struct Drafts {
    table: Draft,
    data: Option<(NamedTempFile, PathBuf)>,
}

impl Drafts {
    fn place(self) -> Result<(), LayerError> {
        if let Some((data, path)) = self.data {
            data.persist(&path).map_err(|error| StoreError::Io {
                action: "writing",
                path,
                source: error.error,
            })?;
        }
        self.table.place()
    }
}

/// Reads the whole of a blob.
fn pass(
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

struct TarFacts {
    diff_id: DiffId,
    tar_size: u64,
    hashes: Vec<[u8; 32]>,
    data: Option<NamedTempFile>,
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

/// The layer as another compression has it: the same diffID.
///
/// # Errors
/// If the layer is damaged or the store cannot be written.
pub fn recompress(
    store: &Store,
    desc: &LayerDesc,
    to: Compression,
) -> Result<LayerDesc, LayerError> {
    if desc.compression == to {
        return Ok(desc.clone());
    }
    let layer = Layer::open(store, desc)?;
    let mut tar = layer.tar()?;
    let mut pipeline = Pipeline::new(store, to, cores())?;
    let reading = LayerError::io("reading the layer");
    loop {
        match pipeline.read_from(&mut tar, FRAME_LEN as u64, &mut |_| {})? {
            Ok(0) => break,
            Ok(_) => {}
            Err(error) => return Err(reading(error)),
        }
    }
    let written = pipeline.finish()?;
    let facts = Facts {
        blob: written.blob,
        diff_id: written.diff_id,
        blob_size: written.blob_size,
        tar_size: written.tar_size,
        compression: to,
        seekable: true,
    };
    // The tar is the same, so all but header and frames is.
    layer.copy_table(facts, &written.frames)?;
    let Written { blob, diff_id, blob_size: size, .. } = written;
    Ok(LayerDesc { blob, diff_id, size, compression: to })
}

/// The uncompressed tar of a layer, compared with the diffID at its end.
pub(super) fn tar_of(store: &Store, desc: &LayerDesc) -> Result<Box<dyn Read + Send>, LayerError> {
    let blob = BufReader::with_capacity(128 * 1024, store.blob_reader(&desc.blob)?);
    let inner: Box<dyn Read + Send> = match desc.compression {
        Compression::None => Box::new(blob),
        Compression::Gzip => Box::new(flate2::bufread::MultiGzDecoder::new(blob)),
        Compression::Zstd => Box::new(
            zstd::stream::read::Decoder::with_buffer(blob)
                .map_err(|source| LayerError::Decompress { source })?,
        ),
    };
    Ok(Box::new(VerifiedTar { inner, hasher: Sha256::new(), expected: desc.diff_id }))
}

struct VerifiedTar {
    inner: Box<dyn Read + Send>,
    hasher: Sha256,
    expected: DiffId,
}

impl Read for VerifiedTar {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let len = self.inner.read(buf)?;
        self.hasher.update(&buf[..len]);
        if len == 0 && !buf.is_empty() {
            let actual = DiffId::from_bytes(self.hasher.clone().finalize().into());
            if actual != self.expected {
                let text = format!("the diffID is {actual} instead of {}", self.expected);
                return Err(io::Error::new(io::ErrorKind::InvalidData, text));
            }
        }
        Ok(len)
    }
}

/// Reads a foreign tar (PAX, GNU, sparse) and gives its entries to `sink`,
/// content as a stream with holes as zeros, digests unknown (all zeros). They
/// come in the order of the archive: a path may come twice (the last one
/// counts), a hard link before its target. Content that `sink` leaves is passed
/// over. Bytes after the end mark are not read.
///
/// # Errors
/// If the tar is malformed or `sink` fails.
pub fn read_tar(
    tar: &mut dyn Read,
    sink: &mut dyn FnMut(Entry, &mut dyn Read) -> Result<(), LayerError>,
) -> Result<(), LayerError> {
    untar::walk(tar, untar::Limits::default(), &mut |found, content| sink(found.entry, content))
}
