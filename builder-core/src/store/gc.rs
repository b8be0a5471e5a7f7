//! Garbage collection: what no image and no record names goes.
//!
//! Builders hold `phoenix/lease.lock` shared for as long as they hold blobs
//! that nothing names yet; collection takes it exclusively, so it runs when no
//! build does. Who reads an image for long without a lease pins it in its work
//! directory ([`WorkDir::pin`](super::WorkDir::pin)). Edges from manifests and
//! records to blobs come from the caller: the store knows no media types.
//!
//! Invariant: records go before what they name, so that a collection that is
//! killed leaves garbage and never a promise without content.
//!
//! Limitation: other tools that write blobs into the layout take no lease.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::StoreError;
use super::layout::Layout;
use super::lock::{self, Hold};
use crate::cancel::Cancel;
use crate::digest::{BlobDigest, ContentDigest, DiffId};

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
    /// Captured files that may stay.
    pub captured: BTreeSet<ContentDigest>,
    /// Names of records that may stay, by area; an area that is not here stays
    /// as it is.
    pub records: BTreeMap<String, BTreeSet<String>>,
    /// Downloads that were used since then stay; all of them where absent.
    pub downloads_since: Option<SystemTime>,
}

/// What was, or would be, removed.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Collected {
    /// How many files.
    pub files: u64,
    /// How many bytes they take on disk.
    pub bytes: u64,
}

/// The kinds of things that are collected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// Entries of the index without a name.
    Images,
    /// Cache records and what was seen of contexts.
    Records,
    /// Layers, configs and manifests.
    Blobs,
    /// Tables of contents of layers.
    Tables,
    /// Uncompressed data of layers.
    Data,
    /// Captured files of contexts.
    Captured,
    /// Fetched files.
    Downloads,
    /// Cache mounts.
    CacheMounts,
}

fn path(layout: &Layout) -> PathBuf {
    layout.private("lease.lock")
}

pub(super) fn lease(layout: &Layout, cancel: &Cancel) -> Result<Lease, StoreError> {
    Ok(Lease { _lock: lock::take(&path(layout), Hold::Shared, cancel)? })
}

/// Takes the exclusive lock, waiting for builds to end.
pub(super) fn exclusive(layout: &Layout, cancel: &Cancel) -> Result<Lease, StoreError> {
    Ok(Lease { _lock: lock::take(&path(layout), Hold::Alone, cancel)? })
}

/// The exclusive lock, if no build holds a lease just now.
pub(super) fn try_exclusive(layout: &Layout) -> Result<Option<Lease>, StoreError> {
    let path = path(layout);
    let lock = lock::open(&path)?;
    Ok(lock::try_take(&lock, &path, Hold::Alone)?.then_some(Lease { _lock: lock }))
}

pub(super) fn collect(
    layout: &Layout,
    alive: &Alive,
    dry_run: bool,
) -> Result<BTreeMap<Kind, Collected>, StoreError> {
    let Alive { blobs, data, captured, records, downloads_since } = alive;
    let mut all = BTreeMap::new();
    let mut sweep = |kind: Kind, dir: &Path, stays: &dyn Fn(&str, &fs::Metadata) -> bool| {
        sweep(dir, stays, dry_run, all.entry(kind).or_default())
    };
    for (area, names) in records {
        let dir = layout.private("records").join(area);
        sweep(Kind::Records, &dir, &|name, _| names.contains(name))?;
    }
    let hex: BTreeSet<String> = blobs.iter().map(BlobDigest::hex).collect();
    sweep(Kind::Blobs, &layout.root.join("blobs/sha256"), &|name, _| hex.contains(name))?;
    sweep(Kind::Tables, &layout.private("tables"), &|name, _| hex.contains(name))?;
    let hex: BTreeSet<String> = data.iter().map(DiffId::hex).collect();
    sweep(Kind::Data, &layout.private("data"), &|name, _| hex.contains(name))?;
    let hex: BTreeSet<String> = captured.iter().map(ContentDigest::hex).collect();
    sweep(Kind::Captured, &layout.private("captured"), &|name, _| hex.contains(name))?;
    if let Some(since) = downloads_since {
        let used = |meta: &fs::Metadata| [meta.modified(), meta.accessed()].map(Result::ok);
        sweep(Kind::Downloads, &layout.private("downloads").join("sha256"), &|_, meta| {
            used(meta).into_iter().flatten().any(|time| time >= *since)
        })?;
    }
    Ok(all)
}

fn sweep(
    directory: &Path,
    stays: &dyn Fn(&str, &fs::Metadata) -> bool,
    dry_run: bool,
    collected: &mut Collected,
) -> Result<(), StoreError> {
    let entries = match fs::read_dir(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries.map_err(StoreError::io("reading", directory))?,
    };
    for entry in entries {
        let entry = entry.map_err(StoreError::io("reading", directory))?;
        let path = entry.path();
        let Ok(meta) = entry.metadata() else { continue };
        // Nothing of ours.
        if meta.is_dir() {
            continue;
        }
        if entry.file_name().to_str().is_some_and(|name| stays(name, &meta)) {
            continue;
        }
        if !dry_run {
            fs::remove_file(&path).map_err(StoreError::io("removing", &path))?;
        }
        collected.files += 1;
        collected.bytes += meta.blocks() * 512;
    }
    Ok(())
}

/// The directories of all cache mounts, each with what it takes, as far as this
/// user may see that.
pub(super) fn cache_mounts(layout: &Layout) -> Vec<(PathBuf, Collected)> {
    let entries = fs::read_dir(layout.private("cache-mounts")).into_iter().flatten().flatten();
    let size = |path: PathBuf| {
        let mut taken = Collected::default();
        measure(&path, &mut taken);
        (path, taken)
    };
    entries.map(|entry| size(entry.path())).collect()
}

fn measure(dir: &Path, taken: &mut Collected) {
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        let Ok(meta) = entry.metadata() else { continue };
        taken.bytes += meta.blocks() * 512;
        if meta.is_dir() {
            measure(&entry.path(), taken);
        } else {
            taken.files += 1;
        }
    }
}
