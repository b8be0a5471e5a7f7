//! The docker-archive, as `docker save` wrote it before it wrote OCI layouts,
//! and as Podman and skopeo still do.

use std::path::Path;

use serde::Deserialize;

use super::files::{Files, verify};
use super::select::{Candidate, select};
use super::{OciError, Wanted, take};
use crate::digest::BlobDigest;
use crate::image::{ImageConfig, ImageError, parse_json};
use crate::source::{Base, Fetched};
use crate::store::Store;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Item {
    pub(super) config: String,
    #[serde(default)]
    repo_tags: Option<Vec<String>>,
    pub(super) layers: Vec<String>,
}

/// The image that was chosen.
pub(super) struct Found {
    pub(super) config: Vec<u8>,
    layers: Vec<String>,
    name: Option<String>,
}

/// Chooses by name. Reads documents only.
pub(super) fn find(files: &Files, path: &Path, tag: Option<&str>) -> Result<Found, OciError> {
    let bytes = files.document("docker-archive manifest", "manifest.json")?;
    let items: Vec<Item> = parse_json("docker-archive manifest", &bytes)?;
    let candidates = items.into_iter().map(|item| Candidate {
        names: item.repo_tags.clone().unwrap_or_default(),
        digest: digest_in(&item.config).map(|digest| digest.to_string()),
        item,
    });
    let mut chosen = select(path, candidates.collect(), tag)?;
    let item = chosen.swap_remove(0);
    let config = files.document("config", &item.config)?;
    if let Some(digest) = digest_in(&item.config) {
        verify("config", &digest, &config)?;
    }
    let name = item.repo_tags.and_then(|tags| tags.into_iter().next());
    Ok(Found { config, layers: item.layers, name })
}

/// The digest that is part of a config's name: `HEX.json`, `blobs/sha256/HEX`.
pub(super) fn digest_in(name: &str) -> Option<BlobDigest> {
    let name = name.rsplit('/').next()?;
    BlobDigest::from_hex(name.strip_suffix(".json").unwrap_or(name)).ok()
}

/// Takes config and layers into the store.
pub(super) fn fetch(store: &Store, files: &Files, found: &Found) -> Result<Fetched, OciError> {
    let config = ImageConfig::parse(&found.config)?;
    let (names, diff_ids) = (&found.layers, &config.rootfs.diff_ids);
    if names.len() != diff_ids.len() {
        let rule = format!("{} layers, but the config has {}", names.len(), diff_ids.len());
        return Err(ImageError::Invalid { what: "docker-archive manifest", rule }.into());
    }
    let mut layers = Vec::with_capacity(names.len());
    for (at, (name, diff_id)) in names.iter().zip(diff_ids).enumerate() {
        let what = format!("layer {}", at + 1);
        let (blob, size, compression) = (None, None, None);
        let wanted = Wanted { what, name, blob, size, diff_id: *diff_id, compression };
        layers.push(take(store, files, &wanted)?);
    }
    store.put_blob(&found.config)?;
    let base = Some(Base { name: found.name.clone(), digest: None });
    Ok(Fetched { config: config.into_base(), layers, base })
}
