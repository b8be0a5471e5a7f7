//! What is asked of a name of an image before anything is built.

use super::Inner;
use crate::digest::BlobDigest;
use crate::error::Result;
use crate::exec::Cancel;
use crate::image::{ImageConfig, Platform};
use crate::registry::{Reference, Registry, RegistryError};
use crate::source::debian::LockFile;
use crate::source::named;

/// An image that is asked for by name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageQuery {
    /// As a user writes it: `debian`, `localhost:5000/app:1`, `app@sha256:...`.
    pub reference: String,
    /// `os/arch[/variant]`; this machine's where absent.
    pub platform: Option<String>,
    /// Whether the registry is asked although the store has the name.
    pub pull: bool,
}

/// The image that a name means.
#[derive(Debug, Clone, PartialEq)]
pub struct ResolvedImage {
    /// The whole name: `docker.io/library/debian:latest`, without the digest.
    pub name: String,
    /// Of the manifest of the wanted platform.
    pub digest: BlobDigest,
    /// Its config.
    pub config: ImageConfig,
}

pub(super) fn resolve(inner: &Inner, query: &ImageQuery, cancel: &Cancel) -> Result<ResolvedImage> {
    let ImageQuery { reference, platform, pull } = query;
    let reference: Reference = reference.parse()?;
    let platform = platform_of(inner, platform.as_deref())?;
    let inner = &inner.until(cancel);
    let _lease = inner.store.lease()?;
    let registry = Registry::new(&inner.registry, cancel)?;
    let found = named::find(&inner.store, &registry, &reference, &platform, *pull)?;
    let (name, digest) = (reference.name(), found.digest());
    Ok(ResolvedImage { name, digest, config: found.into_config() })
}

/// Pins an image in `lock`: to what its registry has now; one that was built
/// here, to what it is.
pub(super) fn lock(
    inner: &Inner,
    reference: &str,
    platform: Option<&str>,
    cancel: &Cancel,
    lock: &mut LockFile,
) -> Result<()> {
    let reference: Reference = reference.parse()?;
    if reference.digest().is_some() {
        return Ok(());
    }
    let platform = platform_of(inner, platform)?;
    let registry = Registry::new(&inner.registry, cancel)?;
    let pull = !named::is_own(&inner.store, &reference)?;
    let found = named::find(&inner.store, &registry, &reference, &platform, pull)?;
    let platforms = lock.images.entry(reference.name()).or_default();
    platforms.insert(platform.to_string(), found.digest());
    Ok(())
}

pub(super) fn platform_of(inner: &Inner, text: Option<&str>) -> Result<Platform> {
    Ok(match text {
        Some(text) => text.parse::<Platform>().map_err(RegistryError::from)?.normalised(),
        None => inner.platform.clone(),
    })
}
