//! Names of images: entries of `index.json` with the annotation
//! `org.opencontainers.image.ref.name` (OCI image spec, "Image Layout").
//!
//! The annotation holds the whole `NAME:TAG`, which skopeo takes after the
//! layout's path: `skopeo inspect oci:STORE:NAME:TAG`.

use std::fs::{self, File};
use std::path::PathBuf;

use oci_spec::image::{Descriptor, ImageIndex};
use rustix::fs::{FlockOperation, flock};

use super::layout::Layout;
use super::{StoreError, durable};

const REF_NAME: &str = "org.opencontainers.image.ref.name";

fn path(layout: &Layout) -> PathBuf {
    layout.root.join("index.json")
}

fn load(layout: &Layout) -> Result<ImageIndex, StoreError> {
    let path = path(layout);
    let bytes = fs::read(&path).map_err(StoreError::io("reading", &path))?;
    serde_json::from_slice(&bytes).map_err(|source| StoreError::Index { path, source })
}

fn name(descriptor: &Descriptor) -> Option<&String> {
    descriptor.annotations().as_ref()?.get(REF_NAME)
}

/// All named images, sorted by name.
pub(super) fn list(layout: &Layout) -> Result<Vec<(String, Descriptor)>, StoreError> {
    let index = load(layout)?;
    let named = index.manifests().iter().filter_map(|d| Some((name(d)?.clone(), d.clone())));
    let mut named: Vec<_> = named.collect();
    named.sort_by(|a, b| a.0.cmp(&b.0));
    Ok(named)
}

/// Changes the index under a lock that all processes respect.
pub(super) fn change<T>(
    layout: &Layout,
    change: impl FnOnce(&mut Vec<Descriptor>) -> T,
) -> Result<T, StoreError> {
    let lock_path = layout.private("index.lock");
    let lock = File::options().create(true).truncate(false).write(true).open(&lock_path);
    let lock = lock.map_err(StoreError::io("opening", &lock_path))?;
    let locked = flock(&lock, FlockOperation::LockExclusive);
    locked.map_err(|error| StoreError::io("locking", &lock_path)(error.into()))?;
    let mut index = load(layout)?;
    let mut manifests = index.manifests().clone();
    let before = manifests.clone();
    let result = change(&mut manifests);
    if manifests != before {
        index.set_manifests(manifests);
        // Through a value, whose maps are sorted: the same names are the same bytes.
        let value = serde_json::to_value(&index).expect("an index has string keys only");
        durable::write(&path(layout), value.to_string().as_bytes(), &layout.private("work"))?;
    }
    Ok(result)
}

/// Points `new` at the descriptor, replacing what had the name.
pub(super) fn set(
    layout: &Layout,
    new: &str,
    mut descriptor: Descriptor,
) -> Result<(), StoreError> {
    let mut annotations = descriptor.annotations().clone().unwrap_or_default();
    annotations.insert(REF_NAME.to_owned(), new.to_owned());
    descriptor.set_annotations(Some(annotations));
    change(layout, |manifests| {
        manifests.retain(|old| name(old).is_none_or(|old| old != new));
        manifests.push(descriptor);
    })
}

/// Takes a name away; whether it was there.
pub(super) fn remove(layout: &Layout, gone: &str) -> Result<bool, StoreError> {
    change(layout, |manifests| {
        let before = manifests.len();
        manifests.retain(|old| name(old).is_none_or(|old| old != gone));
        manifests.len() < before
    })
}
