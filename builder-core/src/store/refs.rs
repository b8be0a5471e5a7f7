//! Names of images: entries of `index.json` with the annotation
//! `org.opencontainers.image.ref.name` (OCI image spec, "Image Layout").
//!
//! The annotation holds the whole `NAME:TAG`, which skopeo takes after the
//! layout's path: `skopeo inspect oci:STORE:NAME:TAG`. An image that was built
//! without a name is an entry without the annotation, which newer versions of
//! skopeo take by its place (`oci:STORE:@3`).

use std::fs;
use std::path::PathBuf;

use oci_spec::image::{Descriptor, ImageIndex};

use super::layout::Layout;
use super::lock::{self, Hold};
use super::{StoreError, durable};
use crate::cancel::Cancel;

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

/// All images: those with a name, sorted by it, then those without.
pub(super) fn images(layout: &Layout) -> Result<Vec<(Option<String>, Descriptor)>, StoreError> {
    let named = list(layout)?.into_iter().map(|(name, image)| (Some(name), image));
    let index = load(layout)?;
    let others = index.manifests().iter().filter(|image| name(image).is_none());
    Ok(named.chain(others.map(|image| (None, image.clone()))).collect())
}

/// Adds an image without a name, unless it is there under one or none.
pub(super) fn add(layout: &Layout, new: Descriptor) -> Result<(), StoreError> {
    change(layout, |manifests| {
        if manifests.iter().all(|old| old.digest() != new.digest()) {
            manifests.push(new);
        }
    })
}

/// Takes an image without a name away; whether it was there.
pub(super) fn remove_nameless(layout: &Layout, gone: &Descriptor) -> Result<bool, StoreError> {
    change(layout, |manifests| {
        let before = manifests.len();
        manifests.retain(|old| name(old).is_some() || old.digest() != gone.digest());
        manifests.len() < before
    })
}

/// Changes the index under a lock that all processes respect.
pub(super) fn change<T>(
    layout: &Layout,
    change: impl FnOnce(&mut Vec<Descriptor>) -> T,
) -> Result<T, StoreError> {
    // Held for a moment only, so nobody need be able to stop waiting.
    let _lock = lock::take(&layout.private("index.lock"), Hold::Alone, &Cancel::new())?;
    let mut index = load(layout)?;
    let mut manifests = index.manifests().clone();
    let before = manifests.clone();
    let result = change(&mut manifests);
    if manifests != before {
        index.set_manifests(manifests);
        // Through a value, whose maps are sorted: the same names are the same bytes.
        let value = serde_json::to_value(&index).expect("an index has string keys only");
        durable::write(&path(layout), value.to_string().as_bytes(), &layout.scratch()?)?;
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
        let same_name = |old: &Descriptor| name(old).is_some_and(|old| old == new);
        // In its old place, so that the same names again are the same index,
        // which need not be written.
        let (mut kept, mut at) = (Vec::with_capacity(manifests.len() + 1), None);
        for old in manifests.drain(..) {
            if same_name(&old) {
                at.get_or_insert(kept.len());
            } else if name(&old).is_some() || old.digest() != descriptor.digest() {
                // What had no name and is this image has one now.
                kept.push(old);
            }
        }
        kept.insert(at.unwrap_or(kept.len()), descriptor);
        *manifests = kept;
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
