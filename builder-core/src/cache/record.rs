//! The result of one execution.

use serde::{Deserialize, Serialize};

use crate::digest::{BlobDigest, DiffId};
use crate::image::ImageConfig;
use crate::layer::{Compression, LayerDesc};

/// What a vertex made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// A layer.
    Layer(DiffId),
    /// Nothing: a test that passed, or a step that changed no file.
    Nothing,
}

/// A result that stands for a cache key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// What was made.
    pub outcome: Outcome,
    /// When the run that made it began, in seconds since the Unix epoch: the
    /// age that `max_age` looks at.
    pub ran_at: i64,
    /// How long it took.
    pub duration_ms: u64,
}

/// What a source gave.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SourceRecord {
    /// The config to start from.
    pub config: ImageConfig,
    /// Its layers, lowest first.
    pub layers: Vec<LayerDesc>,
    /// Digest of the image's manifest, where it was an image.
    pub digest: Option<BlobDigest>,
    /// Its name, where it has one.
    pub name: Option<String>,
    /// When and how long the fetch ran.
    pub run: Record,
}

/// The blobs that hold one layer.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct LayerIndex(Vec<LayerDesc>);

impl LayerIndex {
    /// Adds a blob; whether it was new.
    pub fn add(&mut self, desc: LayerDesc) -> bool {
        let new = !self.0.contains(&desc);
        if new {
            self.0.push(desc);
        }
        new
    }

    /// The blobs, those of the wanted compression first.
    pub fn preferring(&self, wanted: Option<Compression>) -> impl Iterator<Item = &LayerDesc> {
        let is_wanted = move |desc: &&LayerDesc| Some(desc.compression) == wanted;
        let first = self.0.iter().filter(is_wanted);
        first.chain(self.0.iter().filter(move |desc| !is_wanted(desc)))
    }
}
