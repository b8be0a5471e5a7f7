//! Media types, descriptors and the canonical form of JSON documents.

use std::str::FromStr as _;

use oci_spec::image::{Descriptor, Digest, MediaType, Sha256Digest};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::ImageError;
use crate::digest::BlobDigest;
use crate::layer::Compression;

/// Docker's manifest, schema 2.
pub const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
/// Docker's manifest list.
pub const DOCKER_LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
/// Docker's image config.
pub const DOCKER_CONFIG: &str = "application/vnd.docker.container.image.v1+json";

/// The one byte form of a document: keys sorted at every depth, no spaces.
///
/// # Panics
/// Never for the types of this crate: their keys are strings.
#[must_use]
pub fn canonical_json<T: Serialize>(document: &T) -> Vec<u8> {
    let mut value = serde_json::to_value(document).expect("keys of documents are strings");
    value.sort_all_objects();
    serde_json::to_vec(&value).expect("a JSON value can be written")
}

/// Reads a document.
///
/// # Errors
/// [`ImageError::Json`] that names `what`.
pub fn parse_json<T: DeserializeOwned>(what: &'static str, bytes: &[u8]) -> Result<T, ImageError> {
    serde_json::from_slice(bytes).map_err(|source| ImageError::Json { what, source })
}

/// A descriptor of a blob.
///
/// # Panics
/// Never: the text form of a [`BlobDigest`] is always a digest.
#[must_use]
pub fn descriptor(media_type: MediaType, digest: &BlobDigest, size: u64) -> Descriptor {
    let digest = Sha256Digest::from_str(&digest.hex()).expect("64 hex digits are a digest");
    Descriptor::new(media_type, size, Digest::from(digest))
}

/// The digest that a descriptor names.
///
/// # Errors
/// [`ImageError::Digest`] for other algorithms than SHA-256.
pub fn blob_digest(descriptor: &Descriptor) -> Result<BlobDigest, ImageError> {
    let text = descriptor.digest().to_string();
    text.parse().map_err(|_| ImageError::Digest { digest: text })
}

/// The media type of a layer that Phoenix writes.
#[must_use]
pub fn layer_media_type(compression: Compression) -> MediaType {
    match compression {
        Compression::None => MediaType::ImageLayer,
        Compression::Gzip => MediaType::ImageLayerGzip,
        Compression::Zstd => MediaType::ImageLayerZstd,
    }
}

/// The compression that a layer's media type declares; OCI's types and Docker's.
///
/// # Errors
/// [`ImageError::MediaType`] for foreign, non-distributable, encrypted and
/// unknown ones. `what` names the layer.
pub fn layer_compression(what: &str, media_type: &MediaType) -> Result<Compression, ImageError> {
    match media_type.as_ref() {
        "application/vnd.oci.image.layer.v1.tar"
        | "application/vnd.docker.image.rootfs.diff.tar" => Ok(Compression::None),
        "application/vnd.oci.image.layer.v1.tar+gzip"
        | "application/vnd.docker.image.rootfs.diff.tar.gzip" => Ok(Compression::Gzip),
        "application/vnd.oci.image.layer.v1.tar+zstd"
        | "application/vnd.docker.image.rootfs.diff.tar.zstd" => Ok(Compression::Zstd),
        other => Err(ImageError::MediaType { what: what.to_owned(), media_type: other.to_owned() }),
    }
}

/// Whether this is the type of an image manifest, OCI's or Docker's.
#[must_use]
pub fn is_manifest(media_type: &MediaType) -> bool {
    matches!(media_type, MediaType::ImageManifest) || media_type.as_ref() == DOCKER_MANIFEST
}

/// Whether this is the type of an index, OCI's or Docker's.
#[must_use]
pub fn is_index(media_type: &MediaType) -> bool {
    matches!(media_type, MediaType::ImageIndex) || media_type.as_ref() == DOCKER_LIST
}
