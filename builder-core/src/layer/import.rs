//! Takes foreign layers in, and makes tables again from blobs.
//!
//! In: a blob as a stream, plain or compressed. Out: the blob as it was, its
//! table, its data file: all from one pass. Guards: nothing is in the store
//! before the whole blob was read, parsed and found to have the expected digest.

use std::io::{self, BufReader, Read, Write};
use std::path::PathBuf;

use sha2::{Digest as _, Sha256};
use tempfile::NamedTempFile;

use super::compress::FRAME_LEN;
use super::pass::{Limits, Passed, TarFacts, pass};
use super::table::{Draft, Facts, Frame};
use super::{Compression, Entry, LayerDesc, LayerError, untar};
use crate::digest::BlobDigest;
use crate::store::{Store, StoreError};

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

/// Whether a stream begins with the header of a tar's member.
pub fn begins_tar(tar: &mut dyn Read) -> bool {
    untar::begins(tar)
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
