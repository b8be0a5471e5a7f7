//! What a plan supposes of the steps that it does not run.
//!
//! A plan carries out what changes files, into a store that goes with it, so
//! that what later steps would see is known. A process it does not run: later
//! steps are judged as if it made again what it made before, and that is said
//! of them.
//!
//! Invariant: the real store gets nothing of this but a work directory, which
//! is gone when the session is.

use std::collections::HashMap;
use std::sync::Mutex;

use super::error::StepCause;
use super::session::{Session, lock};
use super::step::Step;
use crate::cache::Outcome;
use crate::digest::{CacheKey, DiffId, VertexId};
use crate::fileop::Prepared;
use crate::layer::{Compression, LayerDesc};
use crate::plan::Vertex;
use crate::store::{Store, WorkDir};

/// What the steps of a plan made up.
#[derive(Default)]
pub(super) struct Supposed {
    /// Made for the first layer.
    store: Mutex<Option<Throwaway>>,
    layers: Mutex<HashMap<DiffId, LayerDesc>>,
    /// Of each vertex, the steps that are taken to make again what they made.
    of: Mutex<HashMap<VertexId, Vec<String>>>,
}

struct Throwaway {
    store: Store,
    #[expect(dead_code, reason = "holds the directory of the store")]
    dir: WorkDir,
}

impl Supposed {
    /// A layer that the plan itself made.
    pub(super) fn layer(&self, diff_id: DiffId) -> Option<LayerDesc> {
        lock(&self.layers).get(&diff_id).cloned()
    }

    /// What the inputs of a vertex hang on.
    pub(super) fn below(&self, vertex: &Vertex) -> Vec<String> {
        let of = lock(&self.of);
        let mut all: Vec<String> = Vec::new();
        for name in vertex.inputs.iter().filter_map(|input| of.get(input)).flatten() {
            if !all.contains(name) {
                all.push(name.clone());
            }
        }
        all
    }

    /// Notes what a vertex hangs on.
    pub(super) fn note(&self, vertex: VertexId, names: Vec<String>) {
        if !names.is_empty() {
            lock(&self.of).insert(vertex, names);
        }
    }

    fn store(&self, session: &Session<'_>) -> Result<Store, StepCause> {
        let mut made = lock(&self.store);
        if let Some(made) = &*made {
            return Ok(made.store.clone());
        }
        let dir = session.store.work_dir()?;
        let store = Store::open(&dir.path().join("store"))?.until(&session.stop);
        *made = Some(Throwaway { store: store.clone(), dir });
        Ok(store)
    }
}

/// Changes files for a plan only.
pub(super) fn written(
    session: &Session<'_>,
    supposed: &Supposed,
    prepared: &Prepared,
) -> Result<Outcome, StepCause> {
    let store = supposed.store(session)?;
    let Some(desc) = prepared.write(&store, Compression::Zstd)? else {
        return Ok(Outcome::Nothing);
    };
    session.open(&store, &desc)?;
    let diff_id = desc.diff_id;
    lock(&supposed.layers).insert(diff_id, desc);
    Ok(Outcome::Layer(diff_id))
}

impl Step<'_> {
    /// What this step made when it ran last: with the same key, or `seen` to be
    /// the same, or in the build before.
    pub(super) fn made_before(
        &self,
        key: CacheKey,
        seen: Option<Outcome>,
    ) -> Result<Option<Outcome>, StepCause> {
        let cache = self.session.cache;
        let known = cache.lookup(key)?.map(|record| record.outcome).or(seen);
        match (known, self.earlier().map(|step| step.key)) {
            (None, Some(earlier)) => Ok(cache.lookup(earlier)?.map(|record| record.outcome)),
            (known, _) => Ok(known),
        }
    }
}
