//! An image by its name: the store's, else a registry's.
//!
//! In: a [`Reference`] and a platform. Out: which image that is, and, where it
//! is wanted, the whole of it in the store. Layers come in parallel, each
//! through one pass that verifies it and makes its table; one that the store
//! has is not fetched.
//!
//! Invariant: a layer is in the store whole or not at all.

use std::io::{self, Read};
use std::time::{Duration, Instant};

use crate::digest::BlobDigest;
use crate::image::{
    Image, ImageConfig, ImageError, Platform, blob_digest, layer_compression, read_image_for,
};
use crate::layer::{self, LayerDesc};
use crate::registry::{
    Access, Body, Fit, Reference, Registry, RegistryError, Repository, Resolved, Stop, each,
};
use crate::store::{Store, StoreError};

/// How often progress is told.
const TICK: Duration = Duration::from_millis(100);

/// The image that a name means.
#[derive(Debug, Clone, PartialEq)]
pub enum Found {
    /// The store has the whole of it.
    Here(Box<Image>),
    /// A registry has it; manifest and config are in the store.
    There(Box<Resolved>),
}

impl Found {
    /// Digest of its manifest.
    #[must_use]
    pub fn digest(&self) -> BlobDigest {
        match self {
            Self::Here(image) => image.digest,
            Self::There(resolved) => resolved.digest,
        }
    }

    /// Its config.
    #[must_use]
    pub fn into_config(self) -> ImageConfig {
        match self {
            Self::Here(image) => image.config,
            Self::There(resolved) => resolved.config,
        }
    }
}

/// What becomes of a layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fetching {
    /// The store has it.
    Known,
    /// It is asked for, and has so many bytes.
    Began(u64),
    /// So many bytes of it came.
    Came(u64),
    /// It is in the store.
    Done,
}

/// Is told of layers by their places in the image; from many threads.
pub type Report<'a> = &'a (dyn Fn(usize, Fetching) + Sync);

/// The whole image that the store has under a name, or under the digest where
/// the reference has one. `None` where it has none that fits the platform, or
/// not all of it.
///
/// # Errors
/// [`RegistryError`] where the store cannot be read.
pub fn in_store(
    store: &Store,
    reference: &Reference,
    (platform, fit): (&Platform, Fit),
) -> Result<Option<Image>, RegistryError> {
    let digest = match reference.digest() {
        Some(digest) => digest,
        None => match store.refs()?.into_iter().find(|(name, _)| is(name, reference)) {
            Some((_, descriptor)) => blob_digest(&descriptor)?,
            None => return Ok(None),
        },
    };
    match read_image_for(store, &digest, platform) {
        Ok(image) => Ok(Some(image).filter(|image| {
            let is_lone = fit == Fit::Lone && image.digest == digest;
            is_lone || image.config.platform().matches(platform)
        })),
        Err(
            ImageError::Missing { .. }
            | ImageError::Size { .. }
            | ImageError::Platform { .. }
            | ImageError::Store(StoreError::NoBlob { .. } | StoreError::Corrupt { .. }),
        ) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// The annotation, in the store's index, of an image that came from a registry
/// under the name that it says.
pub const PULLED: &str = "vnd.phoenix.pulled";

/// Whether the store has the name for an image that did not come from there.
///
/// # Errors
/// [`RegistryError::Store`].
pub fn is_own(store: &Store, reference: &Reference) -> Result<bool, RegistryError> {
    let named = store.refs()?.into_iter().find(|(name, _)| is(name, reference));
    let annotations = named.map(|(_, descriptor)| descriptor.annotations().clone());
    Ok(annotations.is_some_and(|annotations| {
        annotations.as_ref().and_then(|all| all.get(PULLED)) != Some(&reference.name())
    }))
}

/// Whether a name of the store means what `reference` means. Other tools write
/// names there that are none.
fn is(name: &str, reference: &Reference) -> bool {
    name.parse::<Reference>().is_ok_and(|known| known == *reference)
}

/// Says which image a name means: the store's, unless the registry is to be
/// asked anyway (`pull`), else the registry's. One of the store that came from a
/// registry is of the platform, whatever `fit` says: there may be a better one.
///
/// # Errors
/// [`RegistryError`] where nobody has it.
pub fn find(
    store: &Store,
    registry: &Registry,
    reference: &Reference,
    (platform, fit): (&Platform, Fit),
    pull: bool,
) -> Result<Found, RegistryError> {
    // What has a digest cannot be another one at the registry.
    let is_pinned = reference.digest().is_some();
    if !pull || is_pinned {
        let is_final = fit == Fit::Lone && (is_pinned || is_own(store, reference)?);
        let fit = if is_final { fit } else { Fit::Exact };
        if let Some(image) = in_store(store, reference, (platform, fit))? {
            return Ok(Found::Here(Box::new(image)));
        }
    }
    let repository = registry.repository(reference, Access::Pull)?;
    Ok(Found::There(Box::new(repository.resolve(store, platform, fit)?)))
}

/// Brings the whole image into the store, unless it is there.
///
/// # Errors
/// [`RegistryError`]; then no more than blobs that nothing names is left.
pub fn fetch(
    store: &Store,
    registry: &Registry,
    reference: &Reference,
    (platform, fit): (&Platform, Fit),
    report: Report<'_>,
) -> Result<Image, RegistryError> {
    if reference.digest().is_some()
        && let Some(image) = in_store(store, reference, (platform, fit))?
        && is_as_told(store, &image)?
    {
        return Ok(image);
    }
    let repository = registry.repository(reference, Access::Pull)?;
    let resolved = repository.resolve(store, platform, fit)?;
    layers(store, &repository, &resolved, report)?;
    Ok(read_image_for(store, &resolved.digest, platform)?)
}

/// Whether the layers, which may have come with another image, hold what this one
/// says.
fn is_as_told(store: &Store, image: &Image) -> Result<bool, RegistryError> {
    for (at, desc) in image.layers.iter().enumerate() {
        let unreadable = |source| RegistryError::Layer { what: name(at), source };
        if !layer::is_whole(store, desc).map_err(unreadable)? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// The layers of an image, as its manifest and its config tell.
///
/// # Errors
/// [`ImageError`] for one that cannot be used.
pub fn described(resolved: &Resolved) -> Result<Vec<LayerDesc>, ImageError> {
    let blobs = resolved.manifest.layers().iter().zip(&resolved.config.rootfs.diff_ids);
    let described = blobs.enumerate().map(|(at, (blob, diff_id))| {
        Ok(LayerDesc {
            blob: blob_digest(blob)?,
            diff_id: *diff_id,
            size: blob.size(),
            compression: layer_compression(&name(at), blob.media_type())?,
        })
    });
    described.collect()
}

fn name(at: usize) -> String {
    format!("layer {}", at + 1)
}

/// Brings the layers of an image into the store, several at a time.
///
/// # Errors
/// The first [`RegistryError`]; it stops the other layers.
pub fn layers(
    store: &Store,
    repository: &Repository<'_>,
    resolved: &Resolved,
    report: Report<'_>,
) -> Result<(), RegistryError> {
    let wanted = described(resolved)?;
    each(wanted.len(), repository.concurrency(), store.cancel(), &|at, stop| {
        // A layer may stand in an image twice.
        let first = wanted.iter().find(|known| known.blob == wanted[at].blob);
        let first = first.filter(|first| !std::ptr::eq(*first, &wanted[at]));
        if let Some(first) = first {
            if first.diff_id != wanted[at].diff_id {
                let (expected, actual) =
                    (wanted[at].diff_id.to_string(), first.diff_id.to_string());
                return Err(RegistryError::DiffId { what: name(at), expected, actual });
            }
            report(at, Fetching::Known);
            return Ok(());
        }
        one(store, repository, (at, &wanted[at]), stop, report)
    })
}

fn one(
    store: &Store,
    repository: &Repository<'_>,
    (at, desc): (usize, &LayerDesc),
    stop: Stop<'_>,
    report: Report<'_>,
) -> Result<(), RegistryError> {
    let what = name(at);
    let unreadable = |source| RegistryError::Layer { what: what.clone(), source };
    if layer::is_whole(store, desc).map_err(unreadable)? {
        report(at, Fetching::Known);
        return Ok(());
    }
    report(at, Fetching::Began(desc.size));
    take(store, repository, (at, desc), stop, report)?;
    report(at, Fetching::Done);
    Ok(())
}

fn take(
    store: &Store,
    repository: &Repository<'_>,
    (at, desc): (usize, &LayerDesc),
    stop: Stop<'_>,
    report: Report<'_>,
) -> Result<(), RegistryError> {
    let LayerDesc { blob, diff_id, size, compression } = desc;
    let what = name(at);
    let body = repository.blob(&what, blob, *size)?;
    let mut told = Told { body, at, stop, report, last: Instant::now() };
    let made = layer::import(store, &mut told, *compression, Some(blob));
    let made = made.map_err(|source| {
        // What the registry did wrong explains more than what came of it.
        let failure = told.body.failure();
        failure.unwrap_or(RegistryError::Layer { what: what.clone(), source })
    })?;
    if made.size != *size {
        return Err(RegistryError::Size { what, expected: *size, actual: made.size });
    }
    if made.diff_id != *diff_id {
        let (expected, actual) = (diff_id.to_string(), made.diff_id.to_string());
        return Err(RegistryError::DiffId { what, expected, actual });
    }
    Ok(())
}

/// A layer's stream that tells how far it is.
struct Told<'a, 'b> {
    body: Body<'a>,
    at: usize,
    stop: Stop<'b>,
    report: Report<'b>,
    last: Instant,
}

impl Read for Told<'_, '_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let read = self.body.read(buf)?;
        if self.last.elapsed() >= TICK {
            self.last = Instant::now();
            if (self.stop)() {
                return Err(io::Error::other("another layer has failed"));
            }
            (self.report)(self.at, Fetching::Came(self.body.done()));
        }
        Ok(read)
    }
}
