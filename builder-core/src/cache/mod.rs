//! What earlier builds made, by cache key.
//!
//! In: keys and results. Out: records that name layers which are in the store.
//!
//! | record area | name | what |
//! |---|---|---|
//! | `results` | cache key | [`Record`]: the layer (by diffID), when and how long the run was |
//! | `sources` | cache key | [`SourceRecord`]: config and layers that a source gave |
//! | `parts` | cache key | the named parts of that key, to tell why a later key differs |
//! | `layers` | diffID | the blobs that hold this layer, one per compression |
//! | `observed` | weak fingerprint | [`Observed`]: executions of one process, by what they saw |
//! | `pathsets` | hash of the questions | what such an execution asked of its trees |
//! | `answers` | strong fingerprint | what it was told, one hash per question |
//! | `builds` | hash of the recipe's identity | [`BuildRecord`]: which key each step had |
//! | `history` | hash of the recipe's identity | [`History`]: what its last builds did, and why |
//! | `removed` | `results` | the keys whose results were pruned of late |
//!
//! Invariant: a record is written after its layer is durable, and a look-up
//! checks that the blob is still there and as it was written, so a record never
//! promises what the store lacks. Parts, and what executions looked at, are notes:
//! a power cut may lose them, which costs a run and never a result. A failed step leaves no record.

mod builds;
mod edges;
mod history;
mod observed;
mod record;
mod removed;

pub use builds::{BuildRecord, StepRecord};
pub use edges::Named;
pub use history::{Cause, Ended, History, PastBuild, PastStep, Work};
pub use observed::Observed;
pub use record::{LayerIndex, Outcome, Record, Saw, SourceRecord};

use crate::digest::{CacheKey, DiffId, WeakFingerprint};
use crate::layer::{Compression, LayerDesc, LayerError, is_whole};
use crate::plan::key::Parts;
use crate::store::{Store, StoreError};

/// Errors of the cache.
#[derive(Debug, thiserror::Error)]
pub enum CacheError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A layer could not be converted.
    #[error(transparent)]
    Layer(#[from] LayerError),
}

const RESULTS: &str = "results";
const SOURCES: &str = "sources";
const PARTS: &str = "parts";
const LAYERS: &str = "layers";
const BUILDS: &str = "builds";
const HISTORY: &str = "history";
const REMOVED: &str = "removed";
const OBSERVED: &str = "observed";
const PATHSETS: &str = "pathsets";
const ANSWERS: &str = "answers";

/// The cache in one store.
#[derive(Debug, Clone)]
pub struct Cache {
    store: Store,
}

impl Cache {
    /// The cache of `store`.
    #[must_use]
    pub fn new(store: Store) -> Self {
        Self { store }
    }

    /// The record of `key`, if its layer is still in the store. A record that
    /// does not parse counts as absent: it was written by another version.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub fn lookup(&self, key: CacheKey) -> Result<Option<Record>, CacheError> {
        let Some(record) = self.read::<Record>(RESULTS, &key.hex())? else { return Ok(None) };
        let stands = self.stands(&record)?;
        if stands {
            self.store.touch_record(RESULTS, &key.hex());
        }
        Ok(stands.then_some(record))
    }

    /// Keeps a result and the parts of its key. The layer must be durable.
    ///
    /// # Errors
    /// If the store cannot be written.
    pub fn save(&self, key: CacheKey, parts: &Parts, record: &Record) -> Result<(), CacheError> {
        self.note(PARTS, &key.hex(), parts)?;
        self.write(RESULTS, &key.hex(), record)
    }

    /// Keeps under one more key what an execution made: [`Self::observed`] would
    /// find it again, so it need not last.
    ///
    /// # Errors
    /// If the store cannot be written.
    pub fn save_reused(
        &self,
        key: CacheKey,
        parts: &Parts,
        record: &Record,
    ) -> Result<(), CacheError> {
        self.note(PARTS, &key.hex(), parts)?;
        self.note(RESULTS, &key.hex(), record)
    }

    /// What the source of `key` gave, if all its layers are still in the store.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub fn source(&self, key: CacheKey) -> Result<Option<SourceRecord>, CacheError> {
        let Some(record) = self.read::<SourceRecord>(SOURCES, &key.hex())? else { return Ok(None) };
        for desc in &record.layers {
            if !is_whole(&self.store, desc)? {
                return Ok(None);
            }
        }
        self.store.touch_record(SOURCES, &key.hex());
        Ok(Some(record))
    }

    /// Keeps what a source gave. The layers must be durable. Those that were
    /// compressed elsewhere stay out of the index of layers: a step that makes
    /// the same layer has the blob that it would have in an empty store.
    ///
    /// # Errors
    /// If the store cannot be written.
    pub fn save_source(
        &self,
        key: CacheKey,
        parts: &Parts,
        record: &SourceRecord,
    ) -> Result<(), CacheError> {
        self.note(PARTS, &key.hex(), parts)?;
        self.write(SOURCES, &key.hex(), record)
    }

    /// Keeps the parts of a key whose step did not succeed, so that the next
    /// build can say what changed since.
    ///
    /// # Errors
    /// If the store cannot be written.
    pub fn save_parts(&self, key: CacheKey, parts: &Parts) -> Result<(), CacheError> {
        self.note(PARTS, &key.hex(), parts)
    }

    /// Keeps the parts of a weak fingerprint.
    ///
    /// # Errors
    /// If the store cannot be written.
    pub fn save_weak(&self, weak: WeakFingerprint, parts: &Parts) -> Result<(), CacheError> {
        self.note(PARTS, &weak.hex(), parts)
    }

    /// The parts of an earlier weak fingerprint, if they are still known.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub fn weak_parts(&self, weak: WeakFingerprint) -> Result<Option<Parts>, CacheError> {
        self.read(PARTS, &weak.hex())
    }

    /// The parts of an earlier key, if they are still known.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub fn parts(&self, key: CacheKey) -> Result<Option<Parts>, CacheError> {
        self.read(PARTS, &key.hex())
    }

    /// Remembers that `desc` holds its layer.
    ///
    /// # Errors
    /// If the store cannot be written.
    pub fn add_layer(&self, desc: &LayerDesc) -> Result<(), CacheError> {
        let change = |old: Option<Vec<u8>>| {
            let mut index: LayerIndex = old.and_then(|old| parse(&old)).unwrap_or_default();
            index.add(desc.clone()).then(|| encode(&index))
        };
        // Another process may be adding another compression of it.
        Ok(self.store.update_record(LAYERS, &desc.diff_id.hex(), change)?)
    }

    /// The layer in the wanted compression; it is converted where the store has
    /// it in another one only. `None` if the store lacks it.
    ///
    /// # Errors
    /// If the store cannot be read, or the conversion fails.
    pub fn layer(
        &self,
        diff_id: DiffId,
        wanted: Compression,
    ) -> Result<Option<LayerDesc>, CacheError> {
        let Some(found) = self.layer_prefer(diff_id, Some(wanted))? else { return Ok(None) };
        if found.compression == wanted {
            return Ok(Some(found));
        }
        let converted = crate::layer::recompress(&self.store, &found, wanted)?;
        self.add_layer(&converted)?;
        Ok(Some(converted))
    }

    /// The layer in whatever compression the store has it, preferably in the
    /// wanted one. `None` if the store lacks it.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub fn layer_as_it_is(
        &self,
        diff_id: DiffId,
        wanted: Compression,
    ) -> Result<Option<LayerDesc>, CacheError> {
        self.layer_prefer(diff_id, Some(wanted))
    }

    /// The layer in whatever compression the store has it, those included that
    /// a source gave. `None` if the store lacks it.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub fn any_layer(&self, diff_id: DiffId) -> Result<Option<LayerDesc>, CacheError> {
        if let Some(found) = self.layer_prefer(diff_id, None)? {
            return Ok(Some(found));
        }
        for name in self.store.list_records(SOURCES)? {
            let source = self.read::<SourceRecord>(SOURCES, &name)?;
            for desc in source.into_iter().flat_map(|source| source.layers) {
                if desc.diff_id == diff_id && is_whole(&self.store, &desc)? {
                    return Ok(Some(desc));
                }
            }
        }
        Ok(None)
    }

    fn layer_prefer(
        &self,
        diff_id: DiffId,
        wanted: Option<Compression>,
    ) -> Result<Option<LayerDesc>, CacheError> {
        let index = self.read::<LayerIndex>(LAYERS, &diff_id.hex())?.unwrap_or_default();
        for desc in index.preferring(wanted) {
            if is_whole(&self.store, desc)? {
                return Ok(Some(desc.clone()));
            }
        }
        Ok(None)
    }

    /// What the last build of this recipe did, if there was one.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub fn last_build(&self, recipe: &str) -> Result<Option<BuildRecord>, CacheError> {
        let found = self.read(BUILDS, &recipe_name(recipe))?;
        if found.is_some() {
            self.store.touch_record(BUILDS, &recipe_name(recipe));
        }
        Ok(found)
    }

    /// Puts a build over what [`Self::last_build`] gives, whatever other builds
    /// have put there since ([`BuildRecord::over`]).
    ///
    /// # Errors
    /// If the store cannot be written.
    pub fn save_build(
        &self,
        recipe: &str,
        build: BuildRecord,
        whole: &dyn Fn(&str) -> bool,
    ) -> Result<(), CacheError> {
        let change = |old: Option<Vec<u8>>| {
            Some(encode(&build.over(old.and_then(|old| parse(&old)), whole)))
        };
        Ok(self.store.update_record(BUILDS, &recipe_name(recipe), change)?)
    }

    fn read<T: serde::de::DeserializeOwned>(
        &self,
        area: &str,
        name: &str,
    ) -> Result<Option<T>, CacheError> {
        let bytes = self.store.get_record(area, name)?;
        Ok(bytes.and_then(|bytes| parse(&bytes)))
    }

    /// Writes what only helps to be quick, or to say why.
    fn note<T: serde::Serialize>(
        &self,
        area: &str,
        name: &str,
        value: &T,
    ) -> Result<(), CacheError> {
        Ok(self.store.put_note(area, name, &encode(value))?)
    }

    fn write<T: serde::Serialize>(
        &self,
        area: &str,
        name: &str,
        value: &T,
    ) -> Result<(), CacheError> {
        Ok(self.store.put_record(area, name, &encode(value))?)
    }
}

fn parse<T: serde::de::DeserializeOwned>(bytes: &[u8]) -> Option<T> {
    serde_json::from_slice(bytes).ok()
}

fn encode<T: serde::Serialize>(value: &T) -> Vec<u8> {
    serde_json::to_vec(value).expect("records have string keys only")
}

fn recipe_name(recipe: &str) -> String {
    blake3::hash(recipe.as_bytes()).to_hex().to_string()
}
