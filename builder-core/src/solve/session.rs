//! What all steps of one build share.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::SystemTime;

use super::agent::Agent;
use super::decide::NoCache;
use super::error::StepCause;
use super::locks::Locks;
use super::report::{StepReport, Wrong};
use super::run_ahead::{Landed, Landings};
use super::supposed::Supposed;
use super::value::Stacked;
use crate::cache::{BuildRecord, Cache, Outcome, PastStep, StepRecord};
use crate::daemon;
use crate::digest::{BlobDigest, CacheKey, DiffId, VertexId};
use crate::event::{Event, Sink};
use crate::exec::{Cancel, Executor};
use crate::image::Platform;
use crate::layer::{Compression, Layer, LayerDesc, Mtime, diff};
use crate::plan::{Vertex, VertexMeta};
use crate::registry::{self, RegistryError};
use crate::source::debian::Settings;
use crate::source::local::ContextTree;
use crate::store::Store;
use crate::view::View;
use crate::view::observe::Blind;

/// What all steps of one build share.
pub(crate) struct Session<'a> {
    pub store: &'a Store,
    pub cache: &'a Cache,
    pub executor: &'a dyn Executor,
    pub sink: &'a dyn Sink,
    /// Set when the caller cancels or a step fails; ends work with the store.
    pub stop: Cancel,
    pub jobs: usize,
    pub platform: Platform,
    pub compression: Compression,
    /// The constant that files get.
    pub mtime: Mtime,
    pub no_cache: &'a NoCache,
    pub retest: bool,
    /// What stands is made again, and compared.
    pub paranoid: bool,
    /// Whether steps may be tried before those above them have ended.
    pub run_ahead: bool,
    /// For tests of tests.
    pub blind: Option<Blind>,
    /// Nothing is run: keys and decisions only.
    pub dry: bool,
    pub secrets: &'a BTreeMap<String, Vec<u8>>,
    pub agents: &'a BTreeMap<String, Agent>,
    /// Whether steps may be insecure that ask for it.
    pub allow_insecure: bool,
    /// Variables for steps that are in no key and in no image.
    pub proxy_env: &'a [(String, String)],
    pub debian: &'a Settings,
    /// Where container engines are.
    pub daemon: &'a daemon::Settings,
    pub registry: &'a registry::Settings,
    /// Whether registries are asked for what the store or the lock has.
    pub pull: bool,
    pub locks: &'a Locks,
    pub earlier: Option<BuildRecord>,
    pub shared: Shared,
}

/// A directory, and what of it is left out.
type ContextKey = (PathBuf, Vec<String>);

/// A blob, and what it is said to hold. Images that share a blob need not say the
/// same of it, and only one of them can be right: each is held to its own words.
type Claim = (BlobDigest, DiffId);

fn claim(desc: &LayerDesc) -> Claim {
    (desc.blob, desc.diff_id)
}

/// What the threads of a session write to.
#[derive(Default)]
pub(crate) struct Shared {
    layers: Mutex<HashMap<Claim, Layer>>,
    /// One view for each stack, so that what is on another one shares with it.
    views: Mutex<HashMap<Vec<Claim>, Arc<View>>>,
    contexts: Mutex<HashMap<ContextKey, Arc<ContextTree>>>,
    running: Mutex<HashMap<CacheKey, Arc<Mutex<()>>>>,
    pub(super) reports: Mutex<Vec<StepReport>>,
    pub(super) steps: Mutex<Vec<(VertexId, StepRecord)>>,
    /// What became of steps, as history keeps it.
    pub(super) past: Mutex<Vec<(VertexId, PastStep)>>,
    /// The keys whose work this build did, or a plan would do.
    pub(super) made: Mutex<HashSet<CacheKey>>,
    /// The vertices that are being worked on, as nothing stands for them.
    pub(super) executing: Mutex<HashSet<VertexId>>,
    /// Trials of steps whose turn has not come.
    landings: Mutex<Landings>,
    /// How many run, and did.
    pub(super) trials: Trials,
    /// Set once it was said that steps are not watched.
    told_blind: Mutex<Option<()>>,
    /// Results that stand and should not.
    wrong: Mutex<Vec<Wrong>>,
    /// Layers of an image that is taken to another base, which the cache may
    /// know nothing of.
    taken_in: Mutex<HashMap<DiffId, LayerDesc>>,
    /// Of a plan.
    pub(super) supposed: Supposed,
}

/// The trials of a build, counted.
#[derive(Default)]
pub(crate) struct Trials {
    stop: OnceLock<Cancel>,
    begun: AtomicUsize,
    running: AtomicUsize,
}

/// A trial, for as long as it runs.
pub(super) struct Counted<'a>(&'a Trials);

impl Trials {
    pub(super) fn begin(&self) -> Counted<'_> {
        self.begun.fetch_add(1, Ordering::SeqCst);
        self.running.fetch_add(1, Ordering::SeqCst);
        Counted(self)
    }

    /// How many had begun when none ran; `None` while one does.
    pub(super) fn quiet(&self) -> Option<usize> {
        let begun = self.begun.load(Ordering::SeqCst);
        (self.running.load(Ordering::SeqCst) == 0).then_some(begun)
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.running.fetch_sub(1, Ordering::SeqCst);
    }
}

/// The names of the steps of each stage that is built.
pub(crate) type Names = HashMap<String, HashSet<String>>;

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Seconds since the Unix epoch.
pub(super) fn now() -> i64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}

impl Session<'_> {
    /// The platform that a text names; the build's where there is none.
    pub(super) fn platform_or(&self, text: Option<&str>) -> Result<Platform, StepCause> {
        let named = text.map(|text| text.parse::<Platform>().map_err(RegistryError::from));
        Ok(named.transpose()?.unwrap_or_else(|| self.platform.clone()))
    }

    /// The layer, opened once for all views of the session.
    pub(super) fn layer(&self, desc: &LayerDesc) -> Result<Layer, StepCause> {
        let mut layers = lock(&self.shared.layers);
        if let Some(layer) = layers.get(&claim(desc)) {
            return Ok(layer.clone());
        }
        let layer = Layer::open(self.store, desc)?;
        layers.insert(claim(desc), layer.clone());
        Ok(layer)
    }

    /// Opens a layer that lies in another store.
    pub(super) fn open(&self, store: &Store, desc: &LayerDesc) -> Result<(), StepCause> {
        let layer = Layer::open(store, desc)?;
        lock(&self.shared.layers).insert(claim(desc), layer);
        Ok(())
    }

    /// The layer that a step or a base of this build made, in the wanted
    /// compression; in a plan, which converts nothing, in any.
    pub(super) fn made(&self, diff_id: DiffId) -> Result<LayerDesc, StepCause> {
        if let Some(desc) = lock(&self.shared.taken_in).get(&diff_id) {
            return Ok(desc.clone());
        }
        if let Some(desc) = self.shared.supposed.layer(diff_id) {
            return Ok(desc);
        }
        let found = match self.dry {
            true => self.cache.layer_as_it_is(diff_id, self.compression)?,
            false => self.cache.layer(diff_id, self.compression)?,
        };
        found.ok_or(StepCause::LayerGone { diff_id })
    }

    /// Lets a layer of the store be stacked that no step of this store made.
    pub(super) fn take_in(&self, desc: &LayerDesc) {
        lock(&self.shared.taken_in).insert(desc.diff_id, desc.clone());
    }

    /// The same for other secrets, and for a plan or for more than that. What
    /// its steps note down is its own.
    pub(super) fn but<'b>(
        &'b self,
        dry: bool,
        secrets: &'b BTreeMap<String, Vec<u8>>,
    ) -> Session<'b> {
        Session {
            store: self.store,
            cache: self.cache,
            executor: self.executor,
            sink: self.sink,
            stop: self.stop.clone(),
            jobs: self.jobs,
            platform: self.platform.clone(),
            compression: self.compression,
            mtime: self.mtime,
            no_cache: self.no_cache,
            retest: self.retest,
            paranoid: self.paranoid,
            run_ahead: self.run_ahead,
            blind: self.blind,
            dry,
            secrets,
            agents: self.agents,
            allow_insecure: self.allow_insecure,
            proxy_env: self.proxy_env,
            debian: self.debian,
            daemon: self.daemon,
            registry: self.registry,
            pull: self.pull,
            locks: self.locks,
            earlier: None,
            shared: Shared::default(),
        }
    }

    pub(super) fn view(&self, stack: &[Stacked]) -> Result<Arc<View>, StepCause> {
        let claims: Vec<Claim> = stack.iter().map(|stacked| claim(&stacked.desc)).collect();
        let known = |claims: &[Claim]| lock(&self.shared.views).get(claims).cloned();
        if let Some(view) = known(&claims) {
            return Ok(view);
        }
        let below = claims.split_last().and_then(|(_, below)| known(below));
        let view = match (below, stack.last()) {
            (Some(below), Some(top)) => View::on(below, self.layer(&top.desc)?),
            _ => {
                let layers = stack.iter().map(|stacked| self.layer(&stacked.desc));
                View::new(layers.collect::<Result<Vec<Layer>, StepCause>>()?)
            }
        };
        let view = Arc::new(view);
        lock(&self.shared.views).insert(claims, Arc::clone(&view));
        Ok(view)
    }

    /// The context at `path` without what `ignore` leaves out, one for all that
    /// use it, so that what was seen of a file first holds for the whole build.
    pub(super) fn context(
        &self,
        path: &std::path::Path,
        ignore: &[String],
    ) -> Result<Arc<ContextTree>, StepCause> {
        let mut contexts = lock(&self.shared.contexts);
        let key = (path.to_owned(), ignore.to_vec());
        if let Some(tree) = contexts.get(&key) {
            return Ok(Arc::clone(tree));
        }
        let mut tree = ContextTree::open_without(Some(self.store), path, ignore)?;
        if *self.no_cache == NoCache::All {
            tree.forget();
        }
        let tree = Arc::new(tree);
        contexts.insert(key, Arc::clone(&tree));
        Ok(tree)
    }

    pub(crate) fn contexts(&self) -> Vec<Arc<ContextTree>> {
        lock(&self.shared.contexts).values().cloned().collect()
    }

    pub(super) fn take_reports(&self) -> Vec<StepReport> {
        std::mem::take(&mut lock(&self.shared.reports))
    }

    /// The keys that the steps of this build had, in no particular order.
    pub(super) fn take_keys(&self) -> Vec<(VertexId, StepRecord)> {
        std::mem::take(&mut lock(&self.shared.steps))
    }

    /// What became of the steps, in no particular order.
    pub(super) fn take_past(&self) -> Vec<(VertexId, PastStep)> {
        std::mem::take(&mut lock(&self.shared.past))
    }

    /// Whether what a step looks at can be recorded here. Where it cannot, that
    /// is said once.
    pub(super) fn observes(&self) -> bool {
        let Err(why) = self.executor.observes() else { return true };
        if !self.dry && lock(&self.shared.told_blind).replace(()).is_none() {
            let message = format!(
                "what steps look at is not recorded ({why}): they run again if anything below them changes"
            );
            self.sink.event(Event::Warning { vertex: None, message });
        }
        false
    }

    /// Whether a vertex is being worked on.
    pub(super) fn is_executing(&self, vertex: VertexId) -> bool {
        lock(&self.shared.executing).contains(&vertex)
    }

    /// Ends all trials of this build once it is set; there are none after that.
    pub(super) fn trials_stop(&self) -> &Cancel {
        self.shared.trials.stop.get_or_init(|| self.stop.child())
    }

    /// Notes that a vertex is being worked on.
    pub(super) fn executes(&self, vertex: VertexId) {
        lock(&self.shared.executing).insert(vertex);
    }

    /// Keeps a trial until the step's turn.
    pub(super) fn land(&self, vertex: VertexId, landed: Landed) {
        lock(&self.shared.landings).insert(vertex, landed);
    }

    /// The trial of a step whose turn has come.
    pub(super) fn landed(&self, vertex: VertexId) -> Option<Landed> {
        lock(&self.shared.landings).remove(&vertex)
    }

    /// Whether the request forbids reuse of a vertex's result.
    pub(super) fn forbids(&self, vertex: &Vertex) -> bool {
        let forbids =
            |place: &VertexMeta| self.no_cache.forbids(place.step.as_deref(), &place.stage);
        vertex.places().any(forbids)
    }

    /// A step in the build before.
    pub(super) fn counterpart(
        &self,
        meta: &VertexMeta,
        position: usize,
        names: &Names,
    ) -> Option<&StepRecord> {
        let named =
            |stage: &str, name: &str| names.get(stage).is_some_and(|names| names.contains(name));
        let wanted = (meta.stage.as_str(), meta.name.as_str(), position);
        self.earlier.as_ref().and_then(|build| build.counterpart(wanted, &named))
    }

    /// How two results differ, by path.
    pub(super) fn differing(
        &self,
        first: Outcome,
        second: Outcome,
    ) -> Result<Vec<String>, StepCause> {
        let open = |outcome| match outcome {
            Outcome::Layer(diff_id) => self.layer(&self.made(diff_id)?).map(Some),
            Outcome::Nothing => Ok(None),
        };
        let all = |layer: &Layer| -> Result<Vec<String>, StepCause> {
            Ok(layer.entries()?.iter().map(|entry| entry.path.display()).collect())
        };
        match (open(first)?, open(second)?) {
            (Some(first), Some(second)) => {
                Ok(diff(&first, &second)?.iter().map(ToString::to_string).collect())
            }
            (Some(one), None) | (None, Some(one)) => all(&one),
            (None, None) => Ok(Vec::new()),
        }
    }

    pub(super) fn note_wrong(&self, wrong: Wrong) {
        lock(&self.shared.wrong).push(wrong);
    }

    pub(super) fn take_wrong(&self) -> Vec<Wrong> {
        std::mem::take(&mut lock(&self.shared.wrong))
    }

    pub(super) fn is_made(&self, key: CacheKey) -> bool {
        lock(&self.shared.made).contains(&key)
    }

    /// Held while the work of `key` is looked up or done: of equal keys only
    /// one runs, and the others find its record.
    pub(super) fn exclusive(&self, key: CacheKey) -> Arc<Mutex<()>> {
        Arc::clone(lock(&self.shared.running).entry(key).or_default())
    }
}
