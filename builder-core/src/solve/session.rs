//! What all steps of one build share, and what one step notes down.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use super::agent::Agent;
use super::because::Because;
use super::decide::{Decision, Miss, NoCache, Policy, decide};
use super::error::StepCause;
use super::observed::{Process, Sight};
use super::reason::{Gone, hangs_on, made_alike, stands, unseen};
use super::report::{Detail, StepReport, StepStatus, Wrong};
use super::run_ahead::{Landed, Landings};
use super::supposed::Supposed;
use super::{is_reported, value::Stacked};
use crate::cache::{BuildRecord, Cache, Ended, Outcome, PastStep, Record, Saw, StepRecord, Work};
use crate::daemon;
use crate::digest::{BlobDigest, CacheKey, ChainId, DiffId, VertexId};
use crate::event::{Event, Sink, Status, Trial, Unit};
use crate::exec::{Cancel, Executor};
use crate::image::Platform;
use crate::layer::{Compression, Layer, LayerDesc, Mtime, diff};
use crate::plan::key::Parts;
use crate::plan::op::{ExecKind, Op};
use crate::plan::{Vertex, VertexMeta};
use crate::registry;
use crate::source::debian::{Lock, LockFile, Settings};
use crate::source::local::ContextTree;
use crate::store::Store;
use crate::view::View;
use crate::view::observe::{Blind, Difference};

/// Longest output of a step that is kept in memory; the rest goes to a file.
pub(super) const OUTPUT_IN_MEMORY: usize = 1 << 20;

/// How a recipe's lock is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LockMode {
    /// What the lock pins is used; what it lacks is resolved and added.
    #[default]
    Use,
    /// What the lock lacks is an error (`--locked`).
    Require,
    /// Everything is resolved anew (`phoenix lock`).
    Update,
}

/// The lock of a build: what was pinned, and what the build added.
#[derive(Debug, Default)]
pub struct Locks {
    mode: LockMode,
    file: Mutex<(LockFile, bool)>,
    /// Held while a name of an image is looked up.
    resolving: Mutex<()>,
}

impl Locks {
    /// Starts from what is pinned.
    #[must_use]
    pub fn new(file: LockFile, mode: LockMode) -> Self {
        Self { mode, file: Mutex::new((file, false)), resolving: Mutex::default() }
    }

    /// The lock file, and whether the build changed it.
    #[must_use]
    pub fn state(&self) -> (LockFile, bool) {
        lock(&self.file).clone()
    }

    pub(super) fn mode(&self) -> LockMode {
        self.mode
    }

    pub(super) fn get(&self, stage: &str) -> Option<Lock> {
        lock(&self.file).0.debian.get(stage).cloned()
    }

    pub(super) fn resolving(&self) -> &Mutex<()> {
        &self.resolving
    }

    /// What the image of that name is, for that platform.
    pub(super) fn image(&self, (name, platform): &(String, String)) -> Option<BlobDigest> {
        lock(&self.file).0.images.get(name)?.get(platform).copied()
    }

    pub(super) fn put_image(&self, (name, platform): (String, String), digest: BlobDigest) {
        let mut file = lock(&self.file);
        file.0.images.entry(name).or_default().insert(platform, digest);
        file.1 = true;
    }

    pub(crate) fn put(&self, stage: &str, new: Lock) {
        let mut file = lock(&self.file);
        file.0.debian.insert(stage.to_owned(), new);
        file.1 = true;
    }
}

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

/// What the threads of a session write to.
#[derive(Default)]
pub(crate) struct Shared {
    layers: Mutex<HashMap<BlobDigest, Layer>>,
    /// One view for each stack, so that what is on another one shares with it.
    views: Mutex<HashMap<Vec<BlobDigest>, Arc<View>>>,
    contexts: Mutex<HashMap<ContextKey, Arc<ContextTree>>>,
    running: Mutex<HashMap<CacheKey, Arc<Mutex<()>>>>,
    reports: Mutex<Vec<StepReport>>,
    steps: Mutex<Vec<(VertexId, StepRecord)>>,
    /// What became of steps, as history keeps it.
    past: Mutex<Vec<(VertexId, PastStep)>>,
    /// The keys whose work this build did, or a plan would do.
    made: Mutex<HashSet<CacheKey>>,
    /// The vertices that are being worked on, as nothing stands for them.
    executing: Mutex<HashSet<VertexId>>,
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
    pub(super) fn step<'s>(
        &'s self,
        vertex: &'s Vertex,
        position: usize,
        names: &'s Names,
    ) -> Step<'s> {
        let output = Output::default();
        let supposes = self.shared.supposed.below(vertex);
        let (done, noted, on, told, runs) = (None, None, None, None, false);
        Step {
            session: self,
            vertex,
            position,
            names,
            output,
            told,
            done,
            noted,
            on,
            supposes,
            runs,
        }
    }

    /// The layer, opened once for all views of the session.
    pub(super) fn layer(&self, desc: &LayerDesc) -> Result<Layer, StepCause> {
        let mut layers = lock(&self.shared.layers);
        if let Some(layer) = layers.get(&desc.blob) {
            return Ok(layer.clone());
        }
        let layer = Layer::open(self.store, desc)?;
        layers.insert(desc.blob, layer.clone());
        Ok(layer)
    }

    /// Opens a layer that lies in another store.
    pub(super) fn open(&self, store: &Store, desc: &LayerDesc) -> Result<(), StepCause> {
        let layer = Layer::open(store, desc)?;
        lock(&self.shared.layers).insert(desc.blob, layer);
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
        let blobs: Vec<BlobDigest> = stack.iter().map(|stacked| stacked.desc.blob).collect();
        let known = |blobs: &[BlobDigest]| lock(&self.shared.views).get(blobs).cloned();
        if let Some(view) = known(&blobs) {
            return Ok(view);
        }
        let below = blobs.split_last().and_then(|(_, below)| known(below));
        let view = match (below, stack.last()) {
            (Some(below), Some(top)) => View::on(below, self.layer(&top.desc)?),
            _ => {
                let layers = stack.iter().map(|stacked| self.layer(&stacked.desc));
                View::new(layers.collect::<Result<Vec<Layer>, StepCause>>()?)
            }
        };
        let view = Arc::new(view);
        lock(&self.shared.views).insert(blobs, Arc::clone(&view));
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

    fn is_made(&self, key: CacheKey) -> bool {
        lock(&self.shared.made).contains(&key)
    }

    /// Held while the work of `key` is looked up or done: of equal keys only
    /// one runs, and the others find its record.
    pub(super) fn exclusive(&self, key: CacheKey) -> Arc<Mutex<()>> {
        Arc::clone(lock(&self.shared.running).entry(key).or_default())
    }
}

/// One vertex at work.
pub(super) struct Step<'s> {
    pub session: &'s Session<'s>,
    pub vertex: &'s Vertex,
    position: usize,
    names: &'s Names,
    pub output: Output,
    /// Why it runs, where that is known better than its records tell.
    pub told: Option<(String, Vec<Difference>)>,
    done: Option<Done>,
    /// Where its key stands among those of this build.
    noted: Option<usize>,
    /// The layers of its root, for a process.
    on: Option<ChainId>,
    /// A plan only: what its inputs hang on.
    supposes: Vec<String>,
    /// A plan only: what hangs on it, hangs on what it makes.
    runs: bool,
}

/// What will be reported of a step.
struct Done {
    status: StepStatus,
    reason: String,
    layer: Option<DiffId>,
    saw: Option<Saw>,
    because: Vec<Difference>,
    detail: Option<Detail>,
    /// How long its trial took, if that is what it has its result of.
    ahead: Option<Duration>,
    /// When the run behind its result began.
    ran_at: Option<i64>,
}

impl Done {
    fn new(status: StepStatus, reason: String) -> Self {
        let (layer, saw, because, detail) = (None, None, Vec::new(), None);
        Self { status, reason, layer, saw, because, detail, ahead: None, ran_at: None }
    }
}

impl Step<'_> {
    /// Decides whether `record` stands for `key`. Tells the sink if the step will run.
    pub(super) fn decide(
        &mut self,
        key: CacheKey,
        record: Option<Record>,
        parts: &Parts,
        origins: &[String],
    ) -> Result<Decision, StepCause> {
        self.decide_seeing(key, record, (parts, origins), None)
    }

    /// As [`Self::decide`] for a process: where no record of `key` stands, what
    /// is known of executions that saw the same (`sight`) decides.
    pub(super) fn decide_seeing(
        &mut self,
        key: CacheKey,
        record: Option<Record>,
        (parts, origins): (&Parts, &[String]),
        sight: Option<(&Process, &Sight)>,
    ) -> Result<Decision, StepCause> {
        let session = self.session;
        let seen = match sight {
            Some((process, Sight::Same(observed))) => Some(observed.record_of(process.weak)),
            _ => None,
        };
        let reused = record.is_none() && seen.is_some();
        let decision = decide(record.or(seen), self.policy());
        match &decision {
            Decision::Hit(record) => {
                let (status, reason) = match (reused, session.is_made(key)) {
                    (true, _) => (StepStatus::Reused, self.reused(record, parts, origins)?),
                    (false, true) => (StepStatus::Cached, made_alike()),
                    (false, false) => (StepStatus::Cached, stands()),
                };
                let (saw, ran_at) = (record.saw.clone(), Some(record.ran_at));
                self.done = Some(Done { saw, ran_at, ..Done::new(status, reason) });
                self.made(record.outcome);
                if reused && !session.dry {
                    session.cache.save_reused(key, parts, record)?;
                }
            }
            // What the first of equal steps will make stands for the others.
            Decision::Run(Miss::NoRecord | Miss::TooOld { .. })
                if session.dry && session.is_made(key) =>
            {
                self.done = Some(Done::new(StepStatus::Cached, made_alike()));
            }
            Decision::Run(miss) => {
                lock(&session.shared.made).insert(key);
                let Because { reason, differences, detail } = match self.told.take() {
                    Some((reason, differences)) => Because { reason, differences, detail: None },
                    None => self.because(miss, key, (parts, origins), sight)?,
                };
                if !session.dry {
                    session.cache.save_parts(key, parts)?;
                    let vertex = self.vertex.id;
                    session.executes(vertex);
                    session.sink.event(Event::Started { vertex, reason: reason.clone() });
                }
                let told = Done::new(StepStatus::Ran, reason);
                self.done = Some(Done { because: differences, detail, ..told });
            }
        }
        self.note(key);
        Ok(decision)
    }

    pub(super) fn policy(&self) -> Policy {
        let session = self.session;
        Policy {
            forbidden: session.forbids(self.vertex),
            retest: session.retest && self.is_test(),
            paranoid: session.paranoid && matches!(self.vertex.op, Op::Exec(_)),
            max_age: self.vertex.meta.max_age,
            now: now(),
        }
    }

    /// Why a result stands although the input is another.
    fn reused(
        &self,
        record: &Record,
        parts: &Parts,
        origins: &[String],
    ) -> Result<String, StepCause> {
        let then = match &record.saw {
            Some(saw) => self.session.cache.parts(saw.execution)?,
            None => None,
        };
        Ok(unseen(parts, then.as_ref(), origins))
    }

    fn is_test(&self) -> bool {
        matches!(&self.vertex.op, Op::Exec(exec) if exec.kind == ExecKind::Test)
    }

    /// What became of an earlier result of this very key.
    pub(super) fn gone(&self, key: CacheKey) -> Result<Option<Gone>, StepCause> {
        if self.session.cache.was_removed(key)? {
            return Ok(Some(Gone::Removed));
        }
        let failed = self.earlier().is_some_and(|step| step.key == key && step.failed);
        Ok(failed.then_some(Gone::Failed))
    }

    /// This step in the build before.
    pub(super) fn earlier(&self) -> Option<&StepRecord> {
        self.session.counterpart(&self.vertex.meta, self.position, self.names)
    }

    fn note(&mut self, key: CacheKey) {
        let meta = &self.vertex.meta;
        let mut steps = lock(&self.session.shared.steps);
        self.noted = Some(steps.len());
        let record = StepRecord {
            stage: meta.stage.clone(),
            name: meta.name.clone(),
            position: self.position,
            key,
            saw: self.done.as_ref().and_then(|done| done.saw.clone()),
            // Until it has ended well.
            failed: self.done.as_ref().is_some_and(|done| done.status == StepStatus::Ran),
        };
        steps.push((self.vertex.id, record));
    }

    /// Notes what a process stands on, the lowest layer first.
    pub(super) fn stands_on(&mut self, layers: &[DiffId]) {
        self.on = ChainId::of(layers);
    }

    /// The execution of the earlier build whose result this step had then.
    pub(super) fn earlier_execution(&self) -> Option<CacheKey> {
        self.earlier().map(|step| step.saw.as_ref().map_or(step.key, |saw| saw.execution))
    }

    /// A result that was found elsewhere than in the cache stands.
    pub(super) fn stood(&mut self, status: StepStatus, why: String, outcome: Outcome) {
        self.done = Some(Done::new(status, why));
        self.made(outcome);
    }

    /// A plan only: this step waits for another one.
    pub(super) fn waits_for(&mut self, step: &str) {
        let reason = format!("`{step}` runs before it; the result stands if that makes the same");
        self.done = Some(Done::new(StepStatus::Waits, reason));
    }

    /// A plan only: this step would run, and make what it made before.
    pub(super) fn supposed_to_run(&mut self) {
        self.runs = true;
    }

    /// Keeps what a run made.
    pub(super) fn save(
        &mut self,
        key: CacheKey,
        parts: &Parts,
        outcome: Outcome,
        ran_at: i64,
        took: Duration,
    ) -> Result<(), StepCause> {
        let duration_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        self.keep(key, parts, &Record::new(outcome, ran_at, duration_ms))
    }

    /// As [`Self::save`], with all that is known of the run.
    pub(super) fn keep(
        &mut self,
        key: CacheKey,
        parts: &Parts,
        record: &Record,
    ) -> Result<(), StepCause> {
        self.session.cache.save(key, parts, record)?;
        self.made(record.outcome);
        let saw = record.saw.clone();
        if let Some(done) = &mut self.done {
            done.saw.clone_from(&saw);
            done.ran_at = Some(record.ran_at);
        }
        if let Some(noted) = self.noted {
            lock(&self.session.shared.steps)[noted].1.saw = saw;
        }
        Ok(())
    }

    /// Takes what a trial of the step made for what it makes.
    pub(super) fn adopt(
        &mut self,
        key: CacheKey,
        parts: &Parts,
        process: &Process,
        landed: Landed,
    ) -> Result<Record, StepCause> {
        let (session, vertex) = (self.session, self.vertex.id);
        session.sink.event(Event::Ahead { vertex, trial: Trial::Taken });
        landed.output.replay(&mut |stream, bytes| {
            self.output.push(bytes);
            session.sink.event(Event::Output { vertex, stream, bytes: bytes.to_vec() });
        });
        let record = landed.observed.record_of(process.weak);
        self.keep(key, parts, &record)?;
        if let Some(done) = &mut self.done {
            done.ahead = Some(landed.took);
        }
        Ok(record)
    }

    /// Notes what the step made, for its report.
    pub(super) fn made(&mut self, outcome: Outcome) {
        if let Some(done) = &mut self.done {
            done.layer = layer_of(outcome);
        }
    }

    pub(super) fn progress(&self, what: &str, done: u64, total: Option<u64>, unit: Unit) {
        let vertex = self.vertex.id;
        self.session.sink.event(Event::Progress {
            vertex,
            what: what.to_owned(),
            done,
            total,
            unit,
        });
    }

    pub(super) fn finish(self, began: Instant) {
        let id = self.vertex.id;
        lock(&self.session.shared.executing).remove(&id);
        self.remember_end(began);
        let supposes = self.supposes;
        let mut hang = supposes.clone();
        hang.extend(self.runs.then(|| self.vertex.meta.name.clone()));
        self.session.shared.supposed.note(id, hang);
        let Some(Done { status, reason, layer, saw, because, detail, ahead, ran_at: _ }) =
            self.done
        else {
            return;
        };
        if !is_reported(&self.vertex.op) {
            return;
        }
        let stands = matches!(status, StepStatus::Cached | StepStatus::Reused);
        let (status, reason) = match stands && !supposes.is_empty() {
            true => (StepStatus::Waits, hangs_on(&supposes, saw.is_some())),
            false => (status, reason),
        };
        let duration = ahead.unwrap_or_else(|| began.elapsed());
        let told = match status {
            StepStatus::Cached => Status::Cached,
            StepStatus::Reused => Status::Reused,
            StepStatus::Ran | StepStatus::Waits => Status::Ran,
        };
        if !self.session.dry {
            let reason = reason.clone();
            let event = Event::Finished { vertex: id, status: told, reason, duration, layer };
            self.session.sink.event(event);
        }
        let meta = &self.vertex.meta;
        let (name, stage) = (meta.name.clone(), meta.stage.clone());
        let report = StepReport {
            id,
            name,
            stage,
            status,
            reason,
            duration,
            layer,
            saw,
            because,
            ahead: ahead.is_some(),
            detail,
            supposes,
        };
        lock(&self.session.shared.reports).push(report);
    }

    fn remember_end(&self, began: Instant) {
        match self.done.as_ref().map(|done| done.status) {
            None | Some(StepStatus::Waits) => {}
            Some(StepStatus::Cached) => self.remember(Ended::Cached, began),
            Some(StepStatus::Reused) => self.remember(Ended::Reused, began),
            Some(StepStatus::Ran) => self.remember(Ended::Ran, began),
        }
    }

    /// It ended in an error, or was stopped.
    pub(super) fn failed(&self, began: Instant) {
        let stopped = self.session.stop.is_canceled();
        self.remember(if stopped { Ended::Stopped } else { Ended::Failed }, began);
    }

    /// Notes what became of it, where that was decided by its key.
    fn remember(&self, ended: Ended, began: Instant) {
        let (Some(noted), Some(done)) = (self.noted, &self.done) else { return };
        let mut steps = lock(&self.session.shared.steps);
        let StepRecord { stage, name, position, key, saw, failed } = &mut steps[noted].1;
        *failed = matches!(ended, Ended::Failed | Ended::Stopped);
        let took = done.ahead.unwrap_or_else(|| began.elapsed());
        let mut past = PastStep {
            stage: stage.clone(),
            name: name.clone(),
            position: *position,
            work: work(&self.vertex.op),
            key: *key,
            ended,
            reason: done.reason.clone(),
            causes: Vec::new(),
            causes_in_all: 0,
            ran_at: done.ran_at,
            duration_ms: u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
            layer: done.layer,
            on: self.on,
            saw: saw.clone(),
        };
        past.because(&done.because);
        lock(&self.session.shared.past).push((self.vertex.id, past));
    }
}

fn work(op: &Op) -> Work {
    match op {
        Op::Exec(exec) if exec.kind == ExecKind::Test => Work::Test,
        Op::Exec(_) => Work::Process,
        Op::File(_) | Op::Config(_) => Work::Files,
        Op::Source(_) => Work::Source,
    }
}

fn layer_of(outcome: Outcome) -> Option<DiffId> {
    match outcome {
        Outcome::Layer(diff_id) => Some(diff_id),
        Outcome::Nothing => None,
    }
}

/// All that a step writes to its standard streams, whole.
#[derive(Default)]
pub(super) struct Output {
    kept: Option<tempfile::SpooledTempFile>,
}

impl Output {
    /// Keeps more. A full disk loses the rest; the sink has had it.
    pub(super) fn push(&mut self, bytes: &[u8]) {
        let kept = self.kept.get_or_insert_with(|| tempfile::spooled_tempfile(OUTPUT_IN_MEMORY));
        let _ = kept.write_all(bytes);
    }

    pub(super) fn finish(&mut self) -> Vec<u8> {
        let mut all = Vec::new();
        if let Some(mut kept) = self.kept.take() {
            let _ = kept.seek(SeekFrom::Start(0)).and_then(|_| kept.read_to_end(&mut all));
        }
        all
    }
}
