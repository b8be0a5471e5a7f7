//! What flows along the edges of the graph.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::config::Config;
use super::elsewhere::Elsewhere;
use super::grown::Grown;
use crate::digest::{BlobDigest, CacheKey};
use crate::image::History;
use crate::layer::LayerDesc;
use crate::source::local::ContextTree;
use crate::view::Tree;

/// The result of a vertex.
pub(crate) enum Value {
    /// A root file system with its config.
    State(Box<State>),
    /// A tree to copy from or to mount.
    Tree(Arc<ContextTree>),
    /// A tree of which only that is known which a process was given of it.
    Elsewhere(Arc<Elsewhere>),
    /// A plan only: what this would be is known when the named step has run.
    Unknown {
        /// Display name of that step.
        step: String,
    },
}

/// A layer of a state, and what made it.
#[derive(Debug, Clone)]
pub(crate) struct Stacked {
    pub desc: LayerDesc,
    /// For reasons: `copy . /app`, `base`.
    pub origin: String,
}

/// The base that a state began with, for annotations.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Base {
    /// The name of it: `debian:bookworm`, a tag.
    pub name: String,
    /// Its manifest's digest, where it was an image.
    pub digest: Option<BlobDigest>,
}

/// A root file system with its config.
#[derive(Clone)]
pub(crate) struct State {
    /// Lowest first.
    pub layers: Vec<Stacked>,
    /// Its `history` says how all layers but those of `history` came to be.
    pub config: Config,
    /// For the base and for each step on it, how many layers there were then.
    pub marks: Grown<usize>,
    /// What this build added, oldest first.
    pub history: Grown<History>,
    /// Where it began.
    pub base: Option<Base>,
    /// For each cache mount that an ancestor could write: those executions.
    pub caches: BTreeMap<String, BTreeSet<CacheKey>>,
    /// The merged layers.
    pub view: Arc<dyn Tree>,
}

impl State {
    pub(crate) fn origins(&self) -> Vec<String> {
        self.layers.iter().map(|layer| layer.origin.clone()).collect()
    }
}

/// The executions behind the cache mounts of all inputs.
pub(crate) fn merged_caches(inputs: &[Arc<Value>]) -> BTreeMap<String, BTreeSet<CacheKey>> {
    let mut merged: BTreeMap<String, BTreeSet<CacheKey>> = BTreeMap::new();
    for input in inputs {
        let caches = match input.as_ref() {
            Value::State(state) => &state.caches,
            Value::Elsewhere(tree) => &tree.input().caches,
            Value::Tree(_) | Value::Unknown { .. } => continue,
        };
        for (id, keys) in caches {
            merged.entry(id.clone()).or_default().extend(keys);
        }
    }
    merged
}

/// A plan only: the step that an input still waits for.
pub(crate) fn unknown(inputs: &[Arc<Value>]) -> Option<&str> {
    inputs.iter().find_map(|input| match input.as_ref() {
        Value::Unknown { step } => Some(step.as_str()),
        _ => None,
    })
}
