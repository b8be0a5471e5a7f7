//! What is asked of a name of an image before anything is built.

use super::Inner;
use crate::digest::BlobDigest;
use crate::error::Result;
use crate::exec::Cancel;
use crate::image::{ImageConfig, Platform};
use crate::registry::{Fit, Reference, Registry, RegistryError};
use crate::solve::{self, Locks, Meant};
use crate::source::named;

/// An image that is asked for by name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageQuery {
    /// As a user writes it: `debian`, `localhost:5000/app:1`, `app@sha256:...`.
    pub reference: String,
    /// `os/arch[/variant]`; this machine's where absent. An image that is not one
    /// of several is taken whatever it is for; its config tells.
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

pub(super) fn resolve(
    inner: &Inner,
    query: &ImageQuery,
    locks: &Locks,
    cancel: &Cancel,
) -> Result<ResolvedImage> {
    let ImageQuery { reference, platform, pull } = query;
    let reference: Reference = reference.parse()?;
    let platform = platform_of(inner, platform.as_deref())?;
    let inner = &inner.until(cancel);
    let _lease = inner.store.lease()?;
    let registry = Registry::new(&inner.registry, cancel)?;
    let name = reference.name();
    let of = (&platform, Fit::Lone);
    let found = match solve::find(&inner.store, &registry, locks, (&reference, of), *pull)? {
        Meant::Found(found) => found,
        Meant::Pinned(digest) => {
            let pinned = reference.with_digest(digest);
            named::find(&inner.store, &registry, &pinned, of, false)?
        }
    };
    let digest = found.digest();
    Ok(ResolvedImage { name, digest, config: found.into_config() })
}

/// Pins an image in `locks`, which are made anew: to what its registry has now;
/// one that was built here, to what it is.
pub(super) fn lock(
    inner: &Inner,
    reference: &str,
    platform: Option<&str>,
    cancel: &Cancel,
    locks: &Locks,
) -> Result<()> {
    let reference: Reference = reference.parse()?;
    let platform = platform_of(inner, platform)?;
    let registry = Registry::new(&inner.registry, cancel)?;
    let of = (&platform, Fit::Exact);
    solve::find(&inner.store, &registry, locks, (&reference, of), false)?;
    Ok(())
}

pub(super) fn platform_of(inner: &Inner, text: Option<&str>) -> Result<Platform> {
    Ok(match text {
        Some(text) => text.parse::<Platform>().map_err(RegistryError::from)?.normalised(),
        None => inner.platform.clone(),
    })
}
