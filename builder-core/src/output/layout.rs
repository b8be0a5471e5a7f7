//! What an OCI layout of one image consists of.

use std::collections::BTreeMap;

use oci_spec::image::ImageIndexBuilder;

use super::{Export, OutputError, names};
use crate::digest::BlobDigest;
use crate::image::{
    CONTAINERD_NAME, Descriptor, Image, ImageIndex, MediaType, REF_NAME, blob_digest,
    canonical_json, kept_artifact, reach, read_image, write_with_layers,
};
use crate::layer::{Compression, Layer, LayerDesc};

/// The content of `oci-layout`.
pub(super) const OCI_LAYOUT: &[u8] = br#"{"imageLayoutVersion":"1.0.0"}"#;

/// The blobs of one image, with their sizes, and its descriptors.
pub(super) struct Parts {
    pub(super) blobs: BTreeMap<BlobDigest, u64>,
    /// Those that the store has compressed, and that are written without it.
    pub(super) inflated: BTreeMap<BlobDigest, Layer>,
    pub(super) config: BlobDigest,
    pub(super) layers: Vec<BlobDigest>,
    /// One for each name, or one.
    pub(super) descriptors: Vec<Descriptor>,
}

impl Parts {
    pub(super) fn of(export: &Export<'_>) -> Result<Self, OutputError> {
        let image = read_image(export.store, &export.image.digest)?;
        Self::with(export, &image, BTreeMap::new())
    }

    /// As [`Parts::of`], with layers of zstd as plain tars, in a manifest of
    /// their own. Nothing is compressed, and no blob is written but the manifest.
    pub(super) fn without_zstd(export: &Export<'_>) -> Result<Self, OutputError> {
        let image = read_image(export.store, &export.image.digest)?;
        let mut inflated = BTreeMap::new();
        let mut layers = image.layers.clone();
        for desc in layers.iter_mut().filter(|desc| desc.compression == Compression::Zstd) {
            let layer = Layer::open(export.store, desc)?;
            // Where nothing is compressed the diffID is the blob's digest.
            let blob = BlobDigest::from_bytes(*desc.diff_id.as_bytes());
            let (size, compression) = (layer.tar_size(), Compression::None);
            *desc = LayerDesc { blob, size, compression, ..desc.clone() };
            inflated.insert(blob, layer);
        }
        if inflated.is_empty() {
            return Self::with(export, &image, inflated);
        }
        let written = write_with_layers(export.store, &image, &layers)?;
        let image = Image { digest: written.digest, layers, ..image };
        Self::with(&Export { image: &written, ..*export }, &image, inflated)
    }

    fn with(
        export: &Export<'_>,
        image: &Image,
        inflated: BTreeMap<BlobDigest, Layer>,
    ) -> Result<Self, OutputError> {
        let layers: Vec<_> = image.layers.iter().map(|layer| layer.blob).collect();
        let mut blobs = BTreeMap::new();
        for digest in layers.iter().chain([&image.digest, &image.config_digest]) {
            let size = match inflated.get(digest) {
                Some(layer) => Some(layer.tar_size()),
                None => export.store.blob_size(digest)?,
            };
            blobs.insert(*digest, size.ok_or(OutputError::Missing(*digest))?);
        }
        let descriptors = descriptors(export);
        Ok(Self { blobs, inflated, config: image.config_digest, layers, descriptors })
    }

    /// Adds the artifact of that kind that belongs to the image, if there is one.
    pub(super) fn with_artifact(
        &mut self,
        export: &Export<'_>,
        kind: &str,
    ) -> Result<(), OutputError> {
        let artifact = kept_artifact(export.store, export.image.digest, kind)?;
        let Some(artifact) = artifact else { return Ok(()) };
        let manifest = blob_digest(&artifact)?;
        let reached = reach(export.store, [manifest])?.blobs;
        for digest in reached {
            let size = export.store.blob_size(&digest)?.ok_or(OutputError::Missing(digest))?;
            self.blobs.insert(digest, size);
        }
        self.descriptors.push(artifact);
        Ok(())
    }
}

/// Where a layout keeps a blob.
pub(super) fn blob_name(digest: &BlobDigest) -> String {
    format!("blobs/sha256/{}", digest.hex())
}

fn descriptors(export: &Export<'_>) -> Vec<Descriptor> {
    let with = |name: Option<&String>| {
        let mut annotations = export.annotations.clone();
        if let Some(name) = name {
            annotations.insert(CONTAINERD_NAME.to_owned(), names::whole(name));
            annotations.insert(REF_NAME.to_owned(), names::tag(name).to_owned());
        }
        let mut descriptor = export.image.manifest.clone();
        let annotations = (!annotations.is_empty()).then(|| annotations.into_iter().collect());
        descriptor.set_annotations(annotations);
        descriptor
    };
    match export.names {
        [] => vec![with(None)],
        names => names.iter().map(|name| with(Some(name))).collect(),
    }
}

/// `index.json` with `descriptors`, and what `old` holds under other names.
pub(super) fn index(old: Option<ImageIndex>, descriptors: &[Descriptor]) -> Vec<u8> {
    let key = |d: &Descriptor| {
        let get = |name| d.annotations().as_ref().and_then(|a| a.get(name)).cloned();
        (get(CONTAINERD_NAME), get(REF_NAME))
    };
    let replaced = |old: &Descriptor| {
        let unnamed = key(old) == (None, None);
        descriptors.iter().any(|new| match unnamed {
            true => blob_digest(new).ok() == blob_digest(old).ok(),
            false => key(new) == key(old),
        })
    };
    let kept = old.map(|old| old.manifests().clone()).unwrap_or_default();
    let kept = kept.into_iter().filter(|old| !replaced(old));
    let manifests: Vec<_> = kept.chain(descriptors.iter().cloned()).collect();
    let index = ImageIndexBuilder::default()
        .schema_version(2_u32)
        .media_type(MediaType::ImageIndex)
        .manifests(manifests)
        .build()
        .expect("all required fields are given");
    canonical_json(&index)
}
