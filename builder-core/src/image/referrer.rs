//! Artifacts beside an image: manifests whose `subject` it is (OCI image spec,
//! "Guidelines for Artifact Usage").
//!
//! In: an image's descriptor and the bytes of one payload. Out: a manifest in
//! the store, and its descriptor for the index of a layout, where an annotation
//! says what it belongs to, so that it is found without reading every artifact.
//! What the annotation says counts for nothing else: [`parse_artifact`] reads
//! the manifest itself.
//!
//! The store's own index does not list it, as tools that are given no name take
//! an image only where it is the one entry: there a record leads from the image
//! to the artifact.

use oci_spec::image::{Descriptor, ImageManifest, ImageManifestBuilder, MediaType};

use super::media::{blob_digest, canonical_json, descriptor, parse_json};
use super::{ImageError, MAX_DOCUMENT};
use crate::digest::BlobDigest;
use crate::store::Store;

/// Annotation of an artifact's descriptor in an index: the digest of its image.
pub const SUBJECT: &str = "vnd.phoenix.subject.digest";

/// Annotation of an artifact's descriptor in an index: the digest of its payload.
pub const PAYLOAD: &str = "vnd.phoenix.payload.digest";

/// The content of a config that says nothing.
pub const EMPTY_CONFIG: &[u8] = b"{}";

/// The area of records that lead from an image to its artifact, by digest of the
/// image's manifest.
pub const ARTIFACTS: &str = "artifacts";

const WHAT: &str = "artifact manifest";

/// An artifact of the kind `kind`, written to the store.
///
/// # Errors
/// [`ImageError`].
///
/// # Panics
/// Never: all required fields are given.
pub fn write_artifact(
    store: &Store,
    kind: &str,
    subject: &Descriptor,
    payload: &[u8],
) -> Result<Descriptor, ImageError> {
    let of = |media_type, bytes: &[u8]| -> Result<Descriptor, ImageError> {
        let digest = store.put_blob(bytes)?;
        Ok(descriptor(media_type, &digest, bytes.len() as u64))
    };
    let image = blob_digest(subject)?;
    let subject = descriptor(subject.media_type().clone(), &image, subject.size());
    let manifest = ImageManifestBuilder::default()
        .schema_version(2_u32)
        .media_type(MediaType::ImageManifest)
        .artifact_type(MediaType::from(kind))
        .config(of(MediaType::EmptyJSON, EMPTY_CONFIG)?)
        .layers(vec![of(MediaType::from(kind), payload)?])
        .subject(subject)
        .build()
        .expect("all required fields are given");
    let content = BlobDigest::of(payload).to_string();
    let mut written = of(MediaType::ImageManifest, &canonical_json(&manifest))?;
    written.set_artifact_type(Some(MediaType::from(kind)));
    let annotations = [(SUBJECT.to_owned(), image.to_string()), (PAYLOAD.to_owned(), content)];
    written.set_annotations(Some(annotations.into()));
    Ok(written)
}

/// Lets [`kept_artifact`] find an artifact of an image of the store. The image
/// has one.
///
/// # Errors
/// If the store cannot be written.
///
/// # Panics
/// Never: a descriptor can be written.
pub fn keep_artifact(
    store: &Store,
    image: BlobDigest,
    artifact: &Descriptor,
) -> Result<(), ImageError> {
    let record = serde_json::to_vec(artifact).expect("a descriptor has string keys only");
    Ok(store.put_record(ARTIFACTS, &image.hex(), &record)?)
}

/// The artifact of that kind that belongs to an image of the store, if there is
/// one. Whether it is whole is seen when it is read.
///
/// # Errors
/// If the store cannot be read.
pub fn kept_artifact(
    store: &Store,
    image: BlobDigest,
    kind: &str,
) -> Result<Option<Descriptor>, ImageError> {
    let record = store.get_record(ARTIFACTS, &image.hex())?;
    let kept = record.and_then(|record| serde_json::from_slice::<Descriptor>(&record).ok());
    Ok(kept.filter(|kept| artifact_of([kept], kind, image).is_some()))
}

/// Whether a descriptor is of an artifact, and of no image.
#[must_use]
pub fn is_artifact(descriptor: &Descriptor) -> bool {
    descriptor.artifact_type().is_some()
}

/// The image that an artifact says it belongs to, by its descriptor.
#[must_use]
pub fn subject_of(descriptor: &Descriptor) -> Option<BlobDigest> {
    let annotations = descriptor.annotations().as_ref()?;
    annotations.get(SUBJECT)?.parse().ok()
}

/// The first artifact of the kind `kind` that says it belongs to `image`.
#[must_use]
pub fn artifact_of<'a>(
    index: impl IntoIterator<Item = &'a Descriptor>,
    kind: &str,
    image: BlobDigest,
) -> Option<&'a Descriptor> {
    let is_kind = |d: &Descriptor| d.artifact_type().as_ref().is_some_and(|t| t.as_ref() == kind);
    index.into_iter().find(|d| is_kind(d) && subject_of(d) == Some(image))
}

/// The payload of an artifact whose manifest is `bytes`, which must be of that
/// kind and belong to that image.
///
/// # Errors
/// [`ImageError::Json`], [`ImageError::Invalid`] and [`ImageError::Digest`].
pub fn parse_artifact(
    bytes: &[u8],
    kind: &str,
    image: BlobDigest,
) -> Result<Descriptor, ImageError> {
    let invalid = |rule: String| ImageError::Invalid { what: WHAT, rule };
    let manifest: ImageManifest = parse_json(WHAT, bytes)?;
    let found = manifest.artifact_type().as_ref().map(ToString::to_string);
    if found.as_deref() != Some(kind) {
        return Err(invalid(format!("its type is not `{kind}`")));
    }
    let subject = manifest.subject().as_ref().map(blob_digest).transpose()?;
    if subject != Some(image) {
        let other = subject.map_or_else(|| "no image".to_owned(), |digest| digest.to_string());
        return Err(invalid(format!("it belongs to {other}, and not to {image}")));
    }
    match &manifest.layers()[..] {
        [payload] => Ok(payload.clone()),
        layers => Err(invalid(format!("it has {} layers, and not one", layers.len()))),
    }
}

/// Reads the payload of an artifact of the store, of at most `limit` bytes.
///
/// # Errors
/// As [`parse_artifact`], and where a blob is missing, damaged or too large.
pub fn read_artifact(
    store: &Store,
    artifact: &Descriptor,
    (kind, image): (&str, BlobDigest),
    limit: u64,
) -> Result<Vec<u8>, ImageError> {
    let manifest = store.read_blob(&blob_digest(artifact)?, MAX_DOCUMENT)?;
    let payload = parse_artifact(&manifest, kind, image)?;
    Ok(store.read_blob(&blob_digest(&payload)?, limit)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    const KIND: &str = "application/vnd.phoenix.test.v1";

    #[test]
    fn an_artifact_is_found_by_its_image_and_read_for_no_other() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let store = Store::open(&dir.path().join("store")).expect("a store");
        let (image, other) = (BlobDigest::of(b"image"), BlobDigest::of(b"other"));
        let subject = descriptor(MediaType::ImageManifest, &image, 5);
        let written = write_artifact(&store, KIND, &subject, b"payload").expect("written");
        let index = [subject.clone(), written.clone()];
        assert!(is_artifact(&written) && !is_artifact(&subject));
        assert_eq!(artifact_of(&index, KIND, image), Some(&written));
        assert_eq!(artifact_of(&index, KIND, other), None);
        assert_eq!(artifact_of(&index, "another/kind", image), None);
        assert_eq!(kept_artifact(&store, image, KIND).expect("asked"), None);
        keep_artifact(&store, image, &written).expect("kept");
        let kept = |image, kind| kept_artifact(&store, image, kind).expect("asked");
        assert_eq!(kept(image, KIND), Some(written.clone()));
        assert_eq!((kept(other, KIND), kept(image, "another/kind")), (None, None));
        let read = |kind, image, limit| read_artifact(&store, &written, (kind, image), limit);
        assert_eq!(read(KIND, image, 7).expect("there"), b"payload");
        for (kind, image, limit) in [(KIND, other, 7), ("another/kind", image, 7), (KIND, image, 6)]
        {
            assert!(read(kind, image, limit).is_err());
        }
        // What the index says of it does not count.
        let mut moved = written.clone();
        moved.set_annotations(Some([(SUBJECT.to_owned(), other.to_string())].into()));
        let error = read_artifact(&store, &moved, (KIND, other), 7).expect_err("another image's");
        assert!(error.to_string().contains("and not to"), "{error}");
    }
}
