//! A docker-archive, which `docker load` and `podman load` read.
//!
//! It is an OCI archive with a `manifest.json` beside it, as BuildKit writes
//! it, so old and new engines find what they know. The format has no layers of
//! zstd: they are compressed anew with gzip, which changes the manifest's
//! digest and not the image's id.

use std::io::Write;

use serde::Serialize;

use super::layout::{Parts, blob_name, index};
use super::place::write_to;
use super::tarball::Tarball;
use super::{Dest, Export, Output, OutputError, Written, names};
use crate::image::{WrittenImage, canonical_json, read_image, write_with_layers};
use crate::layer::{Compression, LayerDesc, recompress};

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
        let gzip = without_zstd(export)?;
        let image = gzip.as_ref().unwrap_or(export.image);
        let export = &Export { image, ..*export };
        let parts = Parts::of(export)?;
        write_to(&self.dest, |out| archive(export, &parts, names::familiar, out))?;
        Ok(Written::default())
    }
}

/// The whole archive, with names in the form that `named` gives them.
pub(super) fn archive(
    export: &Export<'_>,
    parts: &Parts,
    named: fn(&str) -> String,
    out: &mut dyn Write,
) -> Result<(), OutputError> {
    let tags: Vec<_> = export.names.iter().map(|name| named(name)).collect();
    let item = Item {
        config: blob_name(&parts.config),
        repo_tags: (!tags.is_empty()).then_some(tags),
        layers: parts.layers.iter().map(blob_name).collect(),
    };
    let mut tarball = Tarball::new(out);
    tarball.layout(export.store, parts, &index(None, &parts.descriptors))?;
    tarball.document("manifest.json", &canonical_json(&[item]))?;
    tarball.finish()
}

/// The image with gzip in place of zstd, if it has any.
fn without_zstd(export: &Export<'_>) -> Result<Option<WrittenImage>, OutputError> {
    let image = read_image(export.store, &export.image.digest)?;
    if image.layers.iter().all(|layer| layer.compression != Compression::Zstd) {
        return Ok(None);
    }
    let anew = |layer: &LayerDesc| match layer.compression {
        Compression::Zstd => recompress(export.store, layer, Compression::Gzip),
        Compression::None | Compression::Gzip => Ok(layer.clone()),
    };
    let layers: Vec<LayerDesc> = image.layers.iter().map(anew).collect::<Result<_, _>>()?;
    Ok(Some(write_with_layers(export.store, &image, &layers)?))
}
