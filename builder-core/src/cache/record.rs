//! The result of one execution.

use serde::{Deserialize, Serialize};

use crate::digest::{BlobDigest, CacheKey, DiffId, PathsetId, StrongFingerprint, WeakFingerprint};
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
    /// The execution that made it, and what that looked at. Its key may be
    /// another than that of this record: nothing that it looked at differs
    /// between the two. None for what is no process, or was not watched.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub saw: Option<Saw>,
}

/// What the execution behind a result saw.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Saw {
    /// What its process was given.
    pub weak: WeakFingerprint,
    /// What it asked.
    pub pathset: PathsetId,
    /// With the answers.
    pub strong: StrongFingerprint,
    /// The execution.
    pub execution: CacheKey,
}

impl Record {
    /// Of an execution that began at `ran_at`.
    #[must_use]
    pub fn new(outcome: Outcome, ran_at: i64, duration_ms: u64) -> Self {
        Self { outcome, ran_at, duration_ms, saw: None }
    }

    /// The execution behind the record of `key`.
    #[must_use]
    pub fn execution(&self, key: CacheKey) -> CacheKey {
        self.saw.as_ref().map_or(key, |saw| saw.execution)
    }
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
