//! Garbage collection: what no image and no record names goes.
//!
//! Builders hold `phoenix/lease.lock` shared for as long as they hold blobs
//! that nothing names yet; collection takes it exclusively, so it runs when no
//! build does. Edges from manifests to blobs come from the caller: the store
//! knows no media types.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};

use super::StoreError;
use super::layout::Layout;
use crate::digest::{BlobDigest, DiffId};

/// Keeps blobs that nothing names yet from being collected, while it lives.
#[derive(Debug)]
pub struct Lease {
    _lock: File,
}

/// What is alive.
#[derive(Debug, Default, Clone)]
pub struct Alive {
    /// Blobs, and with them their tables.
    pub blobs: BTreeSet<BlobDigest>,
    /// Layers whose data may stay.
    pub data: BTreeSet<DiffId>,
}

/// What was, or would be, removed.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Collected {
    /// How many files.
    pub files: u64,
    /// How many bytes they take on disk.
    pub bytes: u64,
}

fn open(layout: &Layout) -> Result<(File, PathBuf), StoreError> {
    let path = layout.private("lease.lock");
    let file = File::options().create(true).truncate(false).write(true).open(&path);
    Ok((file.map_err(StoreError::io("opening", &path))?, path))
}

pub(super) fn lease(layout: &Layout) -> Result<Lease, StoreError> {
    let (lock, path) = open(layout)?;
    let locked = flock(&lock, FlockOperation::LockShared);
    locked.map_err(|error| StoreError::io("locking", &path)(error.into()))?;
    Ok(Lease { _lock: lock })
}

/// Takes the exclusive lock, waiting for builds to end.
pub(super) fn exclusive(layout: &Layout) -> Result<Lease, StoreError> {
    let (lock, path) = open(layout)?;
    let locked = flock(&lock, FlockOperation::LockExclusive);
    locked.map_err(|error| StoreError::io("locking", &path)(error.into()))?;
    Ok(Lease { _lock: lock })
}

pub(super) fn collect(
    layout: &Layout,
    alive: &Alive,
    dry_run: bool,
) -> Result<Collected, StoreError> {
    let mut collected = Collected::default();
    let blobs: BTreeSet<String> = alive.blobs.iter().map(BlobDigest::hex).collect();
    let data: BTreeSet<String> = alive.data.iter().map(DiffId::hex).collect();
    for (directory, keep) in [
        (layout.root.join("blobs/sha256"), &blobs),
        (layout.private("tables"), &blobs),
        (layout.private("data"), &data),
    ] {
        sweep(&directory, keep, dry_run, &mut collected)?;
    }
    Ok(collected)
}

fn sweep(
    directory: &Path,
    keep: &BTreeSet<String>,
    dry_run: bool,
    collected: &mut Collected,
) -> Result<(), StoreError> {
    use std::os::unix::fs::MetadataExt as _;
    for entry in fs::read_dir(directory).map_err(StoreError::io("reading", directory))? {
        let entry = entry.map_err(StoreError::io("reading", directory))?;
        if entry.file_name().to_str().is_some_and(|name| keep.contains(name)) {
            continue;
        }
        let path = entry.path();
        let Ok(meta) = entry.metadata() else { continue };
        if !dry_run {
            fs::remove_file(&path).map_err(StoreError::io("removing", &path))?;
        }
        collected.files += 1;
        collected.bytes += meta.blocks() * 512;
    }
    Ok(())
}
