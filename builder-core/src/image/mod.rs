//! Images: config, manifest and index as the OCI image spec has them.
//!
//! In: layers that are in the store, a config, a change of a config. Out:
//! canonical JSON blobs in the store, and images read back from it, checked.
//!
//! Invariants: the same facts give the same bytes (keys sorted, no clock, no
//! host name); what is written passes `validate`; what a base's config holds
//! and this module does not know (Docker's `Shell`, `OnBuild`, `ArgsEscaped`,
//! vendors' own) is carried along unchanged.
//!
//! Limitations: digests other than SHA-256 and encrypted or foreign layers are
//! refused; artifacts that are no images are read only where they have an
//! image as their subject.

mod apply;
mod config;
mod index;
mod manifest;
mod media;
mod platform;
mod reach;
mod referrer;
mod tag;
mod validate;

pub use config::{Healthcheck, History, ImageConfig, RootFs, Runtime};
pub use index::{choose, write_index};
pub use manifest::{
    Image, MAX_DOCUMENT, NewImage, WrittenImage, created_text, read_image, read_image_for,
    write_image, write_with_layers,
};
pub use media::{
    DOCKER_CONFIG, DOCKER_LIST, DOCKER_MANIFEST, blob_digest, canonical_json, descriptor, is_index,
    is_manifest, layer_compression, layer_media_type, parse_json,
};
pub use oci_spec::image::{Descriptor, ImageIndex, ImageManifest, MediaType};
pub use platform::{ParsePlatformError, Platform};
pub use reach::{Reached, reach};
pub use referrer::{
    ARTIFACTS, EMPTY_CONFIG, PAYLOAD, SUBJECT, artifact_of, is_artifact, keep_artifact,
    kept_artifact, parse_artifact, read_artifact, subject_of, write_artifact,
};
pub use tag::{TagError, normalise_tag};
pub use validate::{validate_config, validate_index, validate_manifest};

use crate::digest::BlobDigest;
use crate::store::StoreError;

/// Annotation with the name of an image inside a layout.
pub const REF_NAME: &str = "org.opencontainers.image.ref.name";
/// Annotation with the whole name of an image, as containerd and Docker read it.
pub const CONTAINERD_NAME: &str = "io.containerd.image.name";
/// Annotation with the name of the base image.
pub const BASE_NAME: &str = "org.opencontainers.image.base.name";
/// Annotation with the manifest digest of the base image.
pub const BASE_DIGEST: &str = "org.opencontainers.image.base.digest";

/// Why an image could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A document is not the JSON that it should be.
    #[error("{what} is not valid: {source}")]
    Json {
        /// `image config`, `image manifest`, `image index`.
        what: &'static str,
        /// Where and why.
        source: serde_json::Error,
    },
    /// A document breaks a rule of the OCI image spec.
    #[error("{what} breaks the OCI image spec: {rule}")]
    Invalid {
        /// `image config`, `image manifest`, `image index`.
        what: &'static str,
        /// The rule, with the value that breaks it.
        rule: String,
    },
    /// A media type that cannot be used where it stands.
    #[error("unsupported media type `{media_type}` of {what}{}", hint(media_type))]
    MediaType {
        /// `layer 2`, `manifest`.
        what: String,
        /// As it was found.
        media_type: String,
    },
    /// A digest of an algorithm other than SHA-256.
    #[error("unsupported digest `{digest}`: only sha256 is")]
    Digest {
        /// As it was found.
        digest: String,
    },
    /// A blob that the image names is not in the store.
    #[error("the {what} {digest} is missing")]
    Missing {
        /// `config`, `layer 2`.
        what: String,
        /// Its digest.
        digest: BlobDigest,
    },
    /// A blob has another size than its descriptor says.
    #[error("the {what} {digest} has {actual} bytes, and not {expected}")]
    Size {
        /// `config`, `layer 2`.
        what: String,
        /// Its digest.
        digest: BlobDigest,
        /// As the descriptor says.
        expected: u64,
        /// As it is.
        actual: u64,
    },
    /// An index has no image for the platform.
    #[error("no image for platform {wanted}; there is {}", available.join(", "))]
    Platform {
        /// What was asked for.
        wanted: Platform,
        /// What there is.
        available: Vec<String>,
    },
}

fn hint(media_type: &str) -> &'static str {
    if media_type.ends_with("+encrypted") {
        ": encrypted layers cannot be read"
    } else if media_type.contains("foreign") || media_type.contains("nondistributable") {
        ": the layer's content is not part of the image"
    } else {
        ""
    }
}
