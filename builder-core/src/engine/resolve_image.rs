//! What a frontend must know of an image before it can plan with it.

use super::Inner;
use crate::digest::BlobDigest;
use crate::error::Result;
use crate::exec::Cancel;
use crate::image::{ImageConfig, Platform};
use crate::registry::{Reference, RegistryError};
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
    let ImageQuery { reference, platform, pull: _ } = query;
    let reference: Reference = reference.parse()?;
    let platform: Platform = match platform {
        Some(text) => text.parse().map_err(RegistryError::from)?,
        None => inner.platform.clone(),
    };
    let inner = &inner.until(cancel);
    let _lease = inner.store.lease()?;
    let found = named::in_store(&inner.store, &reference, &platform)?;
    let image = found.ok_or_else(|| RegistryError::NotFound { name: reference.to_string() })?;
    Ok(ResolvedImage { name: reference.name(), digest: image.digest, config: image.config })
}
