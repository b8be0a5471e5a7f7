//! Why an image could not be had by its name.

use crate::image::{ImageError, ParsePlatformError, TagError};
use crate::store::StoreError;

/// Why an image could not be had by its name, or not be brought to a registry.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    /// What was given names no image.
    #[error(transparent)]
    Name(#[from] TagError),
    /// What was given is no platform.
    #[error(transparent)]
    Platform(#[from] ParsePlatformError),
    /// A document of the image is bad, or asks for what is not supported.
    #[error(transparent)]
    Image(#[from] ImageError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Nobody has the image.
    #[error("there is no image `{name}` in the store")]
    NotFound {
        /// Its name in full.
        name: String,
    },
}
