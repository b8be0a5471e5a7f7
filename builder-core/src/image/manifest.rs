//! Manifests: an image written to the store, and read from it.

use std::collections::BTreeMap;

use jiff::Timestamp;
use oci_spec::image::{Descriptor, ImageManifest, MediaType};

use super::media::{
    blob_digest, canonical_json, descriptor, is_index, layer_compression, layer_media_type,
    parse_json,
};
use super::{
    History, ImageConfig, ImageError, Platform, choose, validate_config, validate_index,
    validate_manifest,
};
use crate::digest::BlobDigest;
use crate::layer::{CONSTANT_MTIME, LayerDesc};
use crate::store::Store;

/// The largest config, manifest or index that is read, in bytes (registries
/// refuse manifests of more than 4 MiB).
pub const MAX_DOCUMENT: u64 = 8 << 20;

/// How deep an index may lie in an index.
const MAX_NESTING: u32 = 4;

/// What an image is made of.
#[derive(Debug, Clone)]
pub struct NewImage<'a> {
    /// Everything but layers, history and time, which the fields below replace.
    pub config: &'a ImageConfig,
    /// Lowest first; their blobs are in the store.
    pub layers: &'a [LayerDesc],
    /// Oldest first; one line without `empty_layer` for each layer.
    pub history: &'a [History],
    /// Annotations of the manifest.
    pub annotations: &'a BTreeMap<String, String>,
    /// Seconds since the Unix epoch (`SOURCE_DATE_EPOCH`);
    /// [`CONSTANT_MTIME`] where there is none. Lines of the history that have
    /// no time get it too.
    pub created: Option<i64>,
}

/// An image as it was written.
#[derive(Debug, Clone, PartialEq)]
pub struct WrittenImage {
    /// Of the manifest, with the platform.
    pub manifest: Descriptor,
    /// Of the manifest's bytes.
    pub digest: BlobDigest,
    /// Of the config's bytes: what Docker calls the image's id.
    pub config_digest: BlobDigest,
    /// Manifest, config and layers together, in bytes.
    pub size: u64,
}

/// An image as it was read.
#[derive(Debug, Clone, PartialEq)]
pub struct Image {
    /// Digest of the manifest.
    pub digest: BlobDigest,
    /// The manifest.
    pub manifest: ImageManifest,
    /// Digest of the config.
    pub config_digest: BlobDigest,
    /// The config.
    pub config: ImageConfig,
    /// The layers, lowest first. That their blobs are in the store is checked,
    /// their content is not.
    pub layers: Vec<LayerDesc>,
}

/// A time as the config has it: RFC 3339, UTC, whole seconds.
///
/// # Errors
/// [`ImageError::Invalid`] for times outside the years -9999 to 9999.
pub fn created_text(seconds: Option<i64>) -> Result<String, ImageError> {
    let seconds = seconds.unwrap_or(CONSTANT_MTIME);
    let time = Timestamp::from_second(seconds).map_err(|_| ImageError::Invalid {
        what: "image config",
        rule: format!("`created` of {seconds} seconds is out of range"),
    })?;
    Ok(time.to_string())
}

/// Writes config and manifest. The same image gives the same digest.
///
/// # Errors
/// [`ImageError`]; then no manifest was written.
pub fn write_image(store: &Store, image: &NewImage<'_>) -> Result<WrittenImage, ImageError> {
    let NewImage { config, layers, history, annotations, created } = image;
    let created = created_text(*created)?;
    let mut config = (*config).clone();
    config.rootfs.diff_ids = layers.iter().map(|layer| layer.diff_id).collect();
    config.history = history.to_vec();
    for line in &mut config.history {
        line.created.get_or_insert_with(|| created.clone());
    }
    config.created = Some(created);
    config.pad_history();
    validate_config(&config)?;
    let bytes = config.to_json();
    let config_digest = store.put_blob(&bytes)?;

    let config_descriptor = descriptor(MediaType::ImageConfig, &config_digest, bytes.len() as u64);
    let manifest = new_manifest(config_descriptor, layers, annotations);
    validate_manifest(&manifest)?;
    let document = canonical_json(&manifest);
    let digest = store.put_blob(&document)?;
    let mut manifest = descriptor(MediaType::ImageManifest, &digest, document.len() as u64);
    manifest.set_platform(Some(config.platform().into()));
    let blobs: u64 = layers.iter().map(|layer| layer.size).sum();
    let size = blobs + (bytes.len() + document.len()) as u64;
    Ok(WrittenImage { manifest, digest, config_digest, size })
}

/// Writes the manifest of the same image with other blobs of its layers, say of
/// another compression. The config, and so the image's id, stays.
///
/// # Errors
/// [`ImageError`].
pub fn write_with_layers(
    store: &Store,
    image: &Image,
    layers: &[LayerDesc],
) -> Result<WrittenImage, ImageError> {
    let annotations = image.manifest.annotations().clone().unwrap_or_default();
    let config = image.manifest.config().clone();
    let config_size = config.size();
    let manifest = new_manifest(config, layers, &annotations.into_iter().collect());
    validate_manifest(&manifest)?;
    let document = canonical_json(&manifest);
    let digest = store.put_blob(&document)?;
    let mut manifest = descriptor(MediaType::ImageManifest, &digest, document.len() as u64);
    manifest.set_platform(Some(image.config.platform().into()));
    let size = layers.iter().map(|layer| layer.size).sum::<u64>() + config_size;
    let size = size + document.len() as u64;
    Ok(WrittenImage { manifest, digest, config_digest: image.config_digest, size })
}

fn new_manifest(
    config: Descriptor,
    layers: &[LayerDesc],
    annotations: &BTreeMap<String, String>,
) -> ImageManifest {
    let layers = layers
        .iter()
        .map(|layer| descriptor(layer_media_type(layer.compression), &layer.blob, layer.size))
        .collect::<Vec<_>>();
    let mut manifest = oci_spec::image::ImageManifestBuilder::default()
        .schema_version(2_u32)
        .media_type(MediaType::ImageManifest)
        .config(config)
        .layers(layers)
        .build()
        .expect("all required fields are given");
    if !annotations.is_empty() {
        manifest.set_annotations(Some(annotations.clone().into_iter().collect()));
    }
    manifest
}

/// Reads the image of this machine's platform: `digest` is that of a manifest
/// or an index in the store.
///
/// # Errors
/// [`ImageError`].
pub fn read_image(store: &Store, digest: &BlobDigest) -> Result<Image, ImageError> {
    read_image_for(store, digest, &Platform::host())
}

/// Reads an image: `digest` is that of a manifest or an index in the store. A
/// manifest is read whatever its platform.
///
/// # Errors
/// [`ImageError`].
pub fn read_image_for(
    store: &Store,
    digest: &BlobDigest,
    platform: &Platform,
) -> Result<Image, ImageError> {
    let mut digest = *digest;
    for _ in 0..MAX_NESTING {
        let bytes = store.read_blob(&digest, MAX_DOCUMENT)?;
        let Some(index) = as_index(&bytes)? else {
            return read_manifest(store, digest, &bytes);
        };
        validate_index(&index)?;
        digest = blob_digest(choose(&index, platform)?)?;
    }
    let rule = format!("it nests more than {MAX_NESTING} deep");
    Err(ImageError::Invalid { what: "image index", rule })
}

/// The index that `bytes` are, or `None` if they are something else.
fn as_index(bytes: &[u8]) -> Result<Option<oci_spec::image::ImageIndex>, ImageError> {
    #[derive(serde::Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Probe {
        media_type: Option<MediaType>,
        manifests: Option<serde::de::IgnoredAny>,
    }
    let probe: Probe = parse_json("image manifest", bytes)?;
    let typed = probe.media_type.as_ref().is_some_and(is_index);
    match typed || (probe.media_type.is_none() && probe.manifests.is_some()) {
        true => parse_json("image index", bytes).map(Some),
        false => Ok(None),
    }
}

fn read_manifest(store: &Store, digest: BlobDigest, bytes: &[u8]) -> Result<Image, ImageError> {
    let manifest: ImageManifest = parse_json("image manifest", bytes)?;
    validate_manifest(&manifest)?;
    let config_digest = present(store, "config", manifest.config())?;
    let config = ImageConfig::parse(&store.read_blob(&config_digest, MAX_DOCUMENT)?)?;
    let layers = layer_descs(&manifest, &config)?;
    for (at, layer) in manifest.layers().iter().enumerate() {
        present(store, &format!("layer {}", at + 1), layer)?;
    }
    Ok(Image { digest, manifest, config_digest, config, layers })
}

fn present(store: &Store, what: &str, descriptor: &Descriptor) -> Result<BlobDigest, ImageError> {
    let digest = blob_digest(descriptor)?;
    let expected = descriptor.size();
    match store.blob_size(&digest)? {
        None => Err(ImageError::Missing { what: what.to_owned(), digest }),
        Some(actual) if actual != expected => {
            Err(ImageError::Size { what: what.to_owned(), digest, expected, actual })
        }
        Some(_) => Ok(digest),
    }
}

/// What a manifest and its config say of the layers.
fn layer_descs(
    manifest: &ImageManifest,
    config: &ImageConfig,
) -> Result<Vec<LayerDesc>, ImageError> {
    let (blobs, diff_ids) = (manifest.layers(), &config.rootfs.diff_ids);
    if blobs.len() != diff_ids.len() {
        let rule = format!("{} layers, but the config has {}", blobs.len(), diff_ids.len());
        return Err(ImageError::Invalid { what: "image manifest", rule });
    }
    let layers = blobs.iter().zip(diff_ids).enumerate();
    layers
        .map(|(at, (blob, diff_id))| {
            Ok(LayerDesc {
                blob: blob_digest(blob)?,
                diff_id: *diff_id,
                size: blob.size(),
                compression: layer_compression(&format!("layer {}", at + 1), blob.media_type())?,
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn store() -> (tempfile::TempDir, Store) {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let store = Store::open(&dir.path().join("store")).expect("a new store opens");
        (dir, store)
    }

    fn write(store: &Store, created: Option<i64>) -> WrittenImage {
        let config = ImageConfig::empty(&Platform::host());
        let annotations: BTreeMap<_, _> =
            ["z", "a", "m", "b"].map(|key| (key.to_owned(), "x".to_owned())).into();
        let line = |empty_layer| History { empty_layer, ..History::default() };
        let (layers, history) = (&[][..], &[line(true)][..]);
        let annotations = &annotations;
        let image = NewImage { config: &config, layers, history, annotations, created };
        write_image(store, &image).expect("a good image")
    }

    #[test]
    fn what_is_written_is_read_and_is_the_same_in_another_store() {
        let ((_a, first), (_b, second)) = (store(), store());
        let written = write(&first, None);
        assert_eq!(write(&second, None), written);
        assert_ne!(write(&second, Some(0)).digest, written.digest);
        let image = read_image(&first, &written.digest).expect("it is there");
        assert_eq!(image.config.created.as_deref(), Some("2000-01-01T00:00:00Z"));
        assert_eq!(image.config.history[0].created, image.config.created);
        assert_eq!(image.config_digest, written.config_digest);
    }

    #[test]
    fn an_image_is_found_through_an_index() {
        let (_dir, store) = store();
        let written = write(&store, None);
        let manifests = [written.manifest.clone()];
        let index = super::super::write_index(&store, &manifests, &BTreeMap::new());
        let index = blob_digest(&index.expect("a good index")).expect("of SHA-256");
        assert_eq!(read_image(&store, &index).expect("there").digest, written.digest);
        let other = "linux/riscv64".parse().expect("a platform");
        let error = read_image_for(&store, &index, &other).expect_err("there is none");
        assert!(matches!(error, ImageError::Platform { .. }), "{error}");
    }

    #[test]
    fn a_layer_without_blob_or_of_a_foreign_type_is_refused() {
        let (_dir, store) = store();
        let image = read_image(&store, &write(&store, None).digest).expect("there");
        for media_type in [
            "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip",
            "application/vnd.oci.image.layer.nondistributable.v1.tar",
            "application/vnd.oci.image.layer.v1.tar+gzip+encrypted",
            "text/plain",
        ] {
            let mut manifest = image.manifest.clone();
            let digest = BlobDigest::of(b"x");
            manifest.set_layers(vec![descriptor(media_type.into(), &digest, 1)]);
            let digest = store.put_blob(&canonical_json(&manifest)).expect("stored");
            let error = read_image(&store, &digest).expect_err("refused");
            assert!(matches!(error, ImageError::MediaType { .. }), "{media_type}: {error}");
        }
    }
}
