//! The OCI layout, in a directory or an archive.

use std::path::Path;

use super::files::{Files, blob_name};
use super::select::{Candidate, select};
use super::{OciError, Wanted, take};
use crate::digest::BlobDigest;
use crate::image::{
    ARTIFACTS, CONTAINERD_NAME, Descriptor, ImageConfig, ImageError, ImageIndex, ImageManifest,
    Platform, REF_NAME, artifact_of, blob_digest, choose, is_artifact, is_index, is_manifest,
    layer_compression, parse_artifact, parse_json, validate_index, validate_manifest,
};
use crate::source::{Base, Fetched};
use crate::store::Store;

/// How deep an index may lie in an index.
const MAX_NESTING: u32 = 4;

/// The manifest that was chosen.
pub(super) struct Found {
    pub(super) digest: BlobDigest,
    bytes: Vec<u8>,
    name: Option<String>,
}

/// Chooses by name, then by platform. Reads documents only.
pub(super) fn find(
    files: &Files,
    path: &Path,
    tag: Option<&str>,
    platform: &Platform,
) -> Result<Found, OciError> {
    let mut index: ImageIndex = parse_json("image index", &files.document("index", "index.json")?)?;
    validate_index(&index)?;
    let manifests = index.manifests().clone().into_iter().filter(|d| !is_artifact(d));
    let candidates: Vec<_> = manifests
        .map(|item| Candidate {
            names: names(&item),
            digest: Some(item.digest().to_string()),
            item,
        })
        .collect();
    let chosen = select(path, candidates, tag)?;
    let mut descriptor = match &chosen[..] {
        [only] => only.clone(),
        _ => {
            index.set_manifests(chosen);
            choose(&index, platform)?.clone()
        }
    };
    let name = names(&descriptor).into_iter().next();
    for _ in 0..MAX_NESTING {
        let digest = blob_digest(&descriptor)?;
        let media_type = descriptor.media_type();
        if is_manifest(media_type) {
            let bytes = files.blob("manifest", &digest)?;
            return Ok(Found { digest, bytes, name });
        }
        if !is_index(media_type) {
            let media_type = media_type.to_string();
            return Err(ImageError::MediaType { what: "image".into(), media_type }.into());
        }
        let nested: ImageIndex = parse_json("image index", &files.blob("index", &digest)?)?;
        validate_index(&nested)?;
        descriptor = choose(&nested, platform)?.clone();
    }
    let rule = format!("it nests more than {MAX_NESTING} deep");
    Err(ImageError::Invalid { what: "image index", rule }.into())
}

/// The payload of the artifact of that kind that belongs to the manifest, of at
/// most `limit` bytes; `None` where there is none. In another store it is where
/// that store keeps it.
pub(super) fn artifact(
    files: &Files,
    found: &Found,
    kind: &str,
    limit: u64,
) -> Result<Option<Vec<u8>>, OciError> {
    let index: ImageIndex = parse_json("image index", &files.document("index", "index.json")?)?;
    validate_index(&index)?;
    let record = format!("phoenix/records/{ARTIFACTS}/{}", found.digest.hex());
    let artifact = match artifact_of(index.manifests(), kind, found.digest) {
        Some(artifact) => artifact.clone(),
        None if files.exists(&record)? => {
            parse_json("record of an artifact", &files.document("record", &record)?)?
        }
        None => return Ok(None),
    };
    let manifest = files.blob("artifact manifest", &blob_digest(&artifact)?)?;
    let payload = parse_artifact(&manifest, kind, found.digest)?;
    files.blob_within("artifact", &blob_digest(&payload)?, limit).map(Some)
}

/// The names that annotations give, the whole one first.
fn names(descriptor: &Descriptor) -> Vec<String> {
    let annotations = descriptor.annotations().as_ref();
    let get = |key| annotations.and_then(|all| all.get(key)).cloned();
    let mut names: Vec<_> = [CONTAINERD_NAME, REF_NAME].into_iter().filter_map(get).collect();
    names.dedup();
    names
}

/// Takes documents and layers into the store.
pub(super) fn fetch(store: &Store, files: &Files, found: &Found) -> Result<Fetched, OciError> {
    let manifest: ImageManifest = parse_json("image manifest", &found.bytes)?;
    validate_manifest(&manifest)?;
    let config_bytes = files.blob("config", &blob_digest(manifest.config())?)?;
    let config = ImageConfig::parse(&config_bytes)?;
    let (blobs, diff_ids) = (manifest.layers(), &config.rootfs.diff_ids);
    if blobs.len() != diff_ids.len() {
        let rule = format!("{} layers, but the config has {}", blobs.len(), diff_ids.len());
        return Err(ImageError::Invalid { what: "image manifest", rule }.into());
    }
    let mut layers = Vec::with_capacity(blobs.len());
    for (at, (blob, diff_id)) in blobs.iter().zip(diff_ids).enumerate() {
        let what = format!("layer {}", at + 1);
        let digest = blob_digest(blob)?;
        let wanted = Wanted {
            name: &blob_name(&digest),
            blob: Some(digest),
            size: Some(blob.size()),
            diff_id: *diff_id,
            compression: Some(layer_compression(&what, blob.media_type())?),
            what,
        };
        layers.push(take(store, files, &wanted)?);
    }
    store.put_blob(&config_bytes)?;
    store.put_blob(&found.bytes)?;
    let base = Some(Base { name: found.name.clone(), digest: Some(found.digest) });
    Ok(Fetched { config: config.into_base(), layers, base })
}
