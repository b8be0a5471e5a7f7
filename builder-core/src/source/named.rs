//! An image by its name: the store's, else a registry's.
//!
//! In: a [`Reference`] and a platform. Out: the image, whole.
//!
//! Limitation: registries are not asked yet.

use crate::image::{Image, ImageError, Platform, blob_digest, read_image_for};
use crate::registry::{Reference, RegistryError};
use crate::store::{Store, StoreError};

/// The whole image of `platform` that the store has under a name, or under the
/// digest where the reference has one. `None` where it has none of that
/// platform, or not all of it.
///
/// # Errors
/// [`RegistryError`] where the store cannot be read.
pub fn in_store(
    store: &Store,
    reference: &Reference,
    platform: &Platform,
) -> Result<Option<Image>, RegistryError> {
    let digest = match reference.digest() {
        Some(digest) => digest,
        None => match store.refs()?.into_iter().find(|(name, _)| is(name, reference)) {
            Some((_, descriptor)) => blob_digest(&descriptor)?,
            None => return Ok(None),
        },
    };
    match read_image_for(store, &digest, platform) {
        Ok(image) => Ok(Some(image).filter(|image| image.config.platform().matches(platform))),
        Err(
            ImageError::Missing { .. }
            | ImageError::Size { .. }
            | ImageError::Platform { .. }
            | ImageError::Store(StoreError::NoBlob { .. } | StoreError::Corrupt { .. }),
        ) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Whether a name of the store means what `reference` means. Other tools write
/// names there that are none.
fn is(name: &str, reference: &Reference) -> bool {
    name.parse::<Reference>().is_ok_and(|known| known == *reference)
}
