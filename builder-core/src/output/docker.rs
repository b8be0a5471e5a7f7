//! A docker-archive, which `docker load` and `podman load` read.
//!
//! It is an OCI archive with a `manifest.json` beside it, as BuildKit writes
//! it, so old and new engines find what they know. Engines older than Docker
//! 23 cannot read layers of zstd.

use serde::Serialize;

use super::layout::{Parts, blob_name, index};
use super::place::write_to;
use super::tarball::Tarball;
use super::{Dest, Export, Output, OutputError, Written, names};
use crate::image::canonical_json;

/// Writes a docker-archive.
#[derive(Debug, Clone)]
pub struct Docker {
    /// Where to.
    pub dest: Dest,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Item {
    config: String,
    repo_tags: Option<Vec<String>>,
    layers: Vec<String>,
}

impl Output for Docker {
    fn describe(&self) -> String {
        format!("docker {}", self.dest)
    }

    fn write(&self, export: &Export<'_>) -> Result<Written, OutputError> {
        let parts = Parts::of(export)?;
        let tags: Vec<_> = export.names.iter().map(|name| names::familiar(name)).collect();
        let item = Item {
            config: blob_name(&parts.config),
            repo_tags: (!tags.is_empty()).then_some(tags),
            layers: parts.layers.iter().map(blob_name).collect(),
        };
        write_to(&self.dest, |out| {
            let mut tarball = Tarball::new(out);
            tarball.layout(export.store, &parts, &index(None, &parts.descriptors))?;
            tarball.document("manifest.json", &canonical_json(&[item]))?;
            tarball.finish()
        })?;
        Ok(Written::default())
    }
}
