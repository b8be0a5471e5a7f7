//! Removing from the store what nothing needs.
//!
//! In: the names of images, the records of the cache, pins of running images.
//! Out: what was removed, by kind. Invariant: nothing that a named image, a
//! running build or a record that stays needs is ever removed, also if this is
//! killed in the middle.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use super::Inner;
use crate::cache::Named;
use crate::chain;
use crate::digest::{BlobDigest, CacheKey, DiffId};
use crate::error::Result;
use crate::event::Event;
use crate::image::{ARTIFACTS, blob_digest, kept_artifact, reach};
use crate::layer::LayerDesc;
use crate::source::{http, local, oci, rootfs};
use crate::store::{Alive, Collected, Kind, Store};

/// What only saves time and is named by nothing goes when it was of no use for
/// this long.
const UNUSED: Duration = Duration::from_secs(30 * 24 * 3600);

/// What is to be removed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PruneRequest {
    /// All that no image needs, and not only what no image and no record does:
    /// results of steps, downloads, cache mounts.
    pub all: bool,
    /// Keep results, those of use last first, while what they and the images
    /// need is not more than this many bytes. Goes before `all`.
    pub keep: Option<u64>,
    /// Only say what would be removed.
    pub dry_run: bool,
}

/// What was, or would be, removed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Pruned {
    /// By kind; kinds of which nothing was removed are not listed.
    pub kinds: BTreeMap<Kind, Collected>,
}

impl Pruned {
    /// All kinds together.
    #[must_use]
    pub fn total(&self) -> Collected {
        let add = |sum: Collected, one: &Collected| Collected {
            files: sum.files + one.files,
            bytes: sum.bytes + one.bytes,
        };
        self.kinds.values().fold(Collected::default(), add)
    }
}

pub(super) fn prune(inner: &Inner, request: &PruneRequest) -> Result<Pruned> {
    let store = &inner.store;
    // Whoever only looks need not keep builds out.
    let _lease = match request.dry_run {
        true => store.lease()?,
        false => alone(inner)?,
    };
    let (alive, removed) = alive(inner, request)?;
    if !request.dry_run {
        inner.cache.note_removed(&removed)?;
    }
    let nameless = nameless(store, request.dry_run)?;
    let mut kinds = store.gc(&alive, request.dry_run)?;
    kinds.insert(Kind::Images, nameless);
    if request.all && request.keep.is_none() {
        kinds.insert(Kind::CacheMounts, cache_mounts(inner, request.dry_run)?);
    }
    kinds.retain(|_, collected| *collected != Collected::default());
    Ok(Pruned { kinds })
}

/// What belongs to images that stay, stays with them. The names of its records.
fn artifacts(store: &Store, images: &mut BTreeSet<BlobDigest>) -> Result<BTreeSet<String>> {
    let mut kept = BTreeSet::new();
    for name in store.list_records(ARTIFACTS)? {
        let Ok(image) = BlobDigest::from_hex(&name) else { continue };
        let Some(artifact) = kept_artifact(store, image, chain::KIND)? else { continue };
        if images.contains(&image) {
            images.extend(reach(store, [blob_digest(&artifact)?])?.blobs);
            kept.insert(name);
        }
    }
    Ok(kept)
}

/// Images that have no name go, as in other builders.
fn nameless(store: &Store, dry_run: bool) -> Result<Collected> {
    let mut collected = Collected::default();
    for (_, descriptor) in store.images()?.into_iter().filter(|(name, _)| name.is_none()) {
        collected.files += 1;
        if !dry_run {
            store.remove_image(&descriptor)?;
        }
    }
    Ok(collected)
}

fn alone(inner: &Inner) -> Result<crate::store::Lease> {
    if let Some(lease) = inner.store.try_exclusive()? {
        return Ok(lease);
    }
    let message = "waiting for running builds to end".to_owned();
    inner.sink.event(Event::Warning { vertex: None, message });
    Ok(inner.store.exclusive()?)
}

/// What stays, and the keys whose results do not.
fn alive(inner: &Inner, request: &PruneRequest) -> Result<(Alive, Vec<CacheKey>)> {
    let store = &inner.store;
    let mut roots = store.pinned();
    for (_, descriptor) in store.refs()? {
        roots.push(blob_digest(&descriptor)?);
    }
    let mut images = reach(store, roots)?;
    let artifacts = artifacts(store, &mut images.blobs)?;
    let mut named = inner.cache.named()?;
    let mut removed: BTreeSet<CacheKey> = named.iter().filter_map(Named::key).collect();
    let all = request.all && request.keep.is_none();
    let kept = match request.keep {
        Some(most) => within(store, &images.blobs, named, most),
        None if all => Vec::new(),
        None => std::mem::take(&mut named),
    };
    for key in kept.iter().filter_map(Named::key) {
        removed.remove(&key);
    }
    let mut alive = Alive {
        blobs: images.blobs,
        data: images.diff_ids,
        records: inner.cache.records_of(&kept, !all)?,
        ..Alive::default()
    };
    for layer in kept.iter().flat_map(|named| &named.layers) {
        alive.blobs.insert(layer.blob);
        alive.data.insert(layer.diff_id);
    }
    let now = SystemTime::now();
    let since = if all { now + UNUSED } else { now - UNUSED };
    alive.downloads_since = Some(since);
    for area in [local::AREA, rootfs::AREA, http::AREA] {
        let names = store.list_records(area)?.into_iter();
        let used = |name: &String| store.record_used(area, name).is_some_and(|at| at >= since);
        alive.records.insert(area.to_owned(), names.filter(used).collect());
    }
    alive.records.insert(ARTIFACTS.to_owned(), artifacts);
    let imports = alive.blobs.iter().map(BlobDigest::hex).collect();
    alive.records.insert(oci::IMPORTS.to_owned(), imports);
    for context in &alive.records[local::AREA] {
        alive.captured.extend(local::remembered(store, context)?);
    }
    Ok((alive, removed.into_iter().collect()))
}

/// The records that were of use last, while what they need besides `images`
/// fits.
fn within(
    store: &Store,
    images: &BTreeSet<BlobDigest>,
    mut named: Vec<Named>,
    most: u64,
) -> Vec<Named> {
    named.sort_by_key(|named| std::cmp::Reverse(named.used));
    let mut counted: HashMap<BlobDigest, u64> = HashMap::new();
    let of_images = images.iter().map(|blob| on_disk(&store.blob_path(blob)));
    let mut sum: u64 = of_images.sum();
    named.retain(|named| {
        let new: BTreeMap<BlobDigest, u64> = named
            .layers
            .iter()
            .filter(|layer| !counted.contains_key(&layer.blob))
            .map(|layer| (layer.blob, taken(store, images, layer)))
            .collect();
        let more: u64 = new.values().sum();
        let fits = sum + more <= most;
        if fits {
            sum += more;
            counted.extend(new);
        }
        fits
    });
    named
}

/// What a layer takes: blob (unless an image needs it anyhow), table, data.
fn taken(store: &Store, images: &BTreeSet<BlobDigest>, layer: &LayerDesc) -> u64 {
    let blob = match images.contains(&layer.blob) {
        true => 0,
        false => on_disk(&store.blob_path(&layer.blob)),
    };
    let data: &DiffId = &layer.diff_id;
    blob + on_disk(&store.table_path(&layer.blob)) + on_disk(&store.data_path(data))
}

fn on_disk(path: &Path) -> u64 {
    use std::os::unix::fs::MetadataExt as _;
    path.metadata().map_or(0, |meta| meta.blocks() * 512)
}

/// No build runs, so none is in use.
fn cache_mounts(inner: &Inner, dry_run: bool) -> Result<Collected> {
    let found = inner.store.cache_mounts();
    let sum = |sum: Collected, (_, one): &(PathBuf, Collected)| Collected {
        files: sum.files + one.files,
        bytes: sum.bytes + one.bytes,
    };
    let total = found.iter().fold(Collected::default(), sum);
    if !dry_run {
        let mut left = Vec::new();
        for (path, _) in &found {
            match std::fs::remove_dir_all(path) {
                Ok(()) => {}
                // Of subordinate ids, or deep beyond measure.
                Err(_) => left.push(path.as_path()),
            }
        }
        if !left.is_empty() {
            inner.sandbox.clean(&left)?;
        }
    }
    Ok(total)
}
