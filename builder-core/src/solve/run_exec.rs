//! Runs a process, or finds that an earlier run of it stands.

use std::collections::BTreeMap;
use std::io::{self, Read};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use super::decide::Decision;
use super::error::StepCause;
use super::exec_key::{Seen, environment, parts};
use super::run_config::state;
use super::session::{Session, Step, lock, now};
use super::value::{Stacked, State, Value, merged_caches, unknown};
use super::{chain, secrets};
use crate::cache::Outcome;
use crate::digest::CacheKey;
use crate::event::{Event, Stream};
use crate::exec::{self, Job, JobMount, JobMountKind, JobSink, Keep, Owner, Process, Stdio};
use crate::image::History;
use crate::layer::{Change, Entry, LayerError, LayerPath, LayerWriter, Mtime};
use crate::plan::key::Parts;
use crate::plan::op::{Exec, ExecKind, Mount, MountKind, Sharing};
use crate::store::{CacheMountGuard, MountSharing};
use crate::view::{self, Tree, passwd};

/// Times of files come from a clock that ticks more slowly than ours.
const CLOCK_LAG: Duration = Duration::from_millis(50);

pub(super) fn run(
    step: &mut Step<'_>,
    exec: &Exec,
    inputs: &[Arc<Value>],
) -> Result<Value, StepCause> {
    if let Some(waits) = unknown(inputs) {
        step.waits_for(waits);
        return Ok(Value::Unknown { step: waits.to_owned() });
    }
    let state = state(inputs)?.map_err(|_| StepCause::Input { index: 0, expected: "known" })?;
    let session = step.session;
    let prepared = Prepared::new(session, exec, state, inputs)?;
    let key = prepared.parts.key();
    let exclusive = session.exclusive(key);
    let _alone = lock(&exclusive);
    let record = session.cache.lookup(key)?;
    let decision = step.decide(key, record, &prepared.parts, &state.origins())?;
    let outcome = match decision {
        Decision::Hit(record) => record.outcome,
        Decision::Run(_) if session.dry => {
            return Ok(Value::Unknown { step: step.vertex.meta.name.clone() });
        }
        Decision::Run(_) => execute(step, exec, inputs, state, prepared, key)?,
    };
    next_state(step, exec, inputs, state, outcome, key)
}

/// All that a process is given, resolved against the state.
struct Prepared {
    parts: Parts,
    user: passwd::User,
    env: Vec<(String, String)>,
    cwd: String,
}

impl Prepared {
    fn new(
        session: &Session<'_>,
        exec: &Exec,
        state: &State,
        inputs: &[Arc<Value>],
    ) -> Result<Self, StepCause> {
        let config = &state.config;
        let spec = exec.user.as_deref().or(config.config.user.as_deref()).unwrap_or_default();
        let user = passwd::resolve(&*state.view, spec)?;
        let env = environment(config.env_pairs(), &exec.env, &user.home, session.mtime);
        let cwd = working_directory(config.workdir(), exec.workdir.as_deref());
        let bound: Result<Vec<Option<String>>, StepCause> =
            exec.mounts.iter().map(|mount| bound_content(mount, inputs)).collect();
        let seen = Seen {
            platform: &session.platform,
            mtime: session.mtime,
            env: &env,
            user: spec,
            cwd: &cwd,
            layers: state.layers.iter().map(|l| l.desc.diff_id.to_string()).collect(),
            bound: &bound?,
            secrets: &secrets::given(exec, session.secrets)?,
            caches: &merged_caches(inputs),
        };
        let parts = parts(exec, &seen);
        Ok(Self { parts, user, env, cwd })
    }
}

/// `step` relative to `config`, as an absolute path.
pub(super) fn working_directory(config: &str, step: Option<&str>) -> String {
    let joined = match step {
        Some(dir) if dir.starts_with('/') => dir.to_owned(),
        Some(dir) => format!("{}/{dir}", config.trim_end_matches('/')),
        None => config.to_owned(),
    };
    if joined.starts_with('/') { joined } else { format!("/{joined}") }
}

/// A further input of an operation, as a tree.
pub(super) fn tree(inputs: &[Arc<Value>], index: usize) -> Result<Arc<dyn Tree>, StepCause> {
    match inputs.get(index).map(AsRef::as_ref) {
        Some(Value::State(state)) => Ok(Arc::clone(&state.view)),
        Some(Value::Tree(tree)) => Ok(Arc::clone(tree) as Arc<dyn Tree>),
        _ => Err(StepCause::Input { index, expected: "a tree" }),
    }
}

pub(super) fn path(text: &str) -> Result<LayerPath, StepCause> {
    LayerPath::new(text).map_err(|source| StepCause::Path { path: text.to_owned(), source })
}

/// The content of a bind mount, by which it enters the key.
fn bound_content(mount: &Mount, inputs: &[Arc<Value>]) -> Result<Option<String>, StepCause> {
    let MountKind::Bind { input, source, .. } = &mount.kind else { return Ok(None) };
    let tree = tree(inputs, *input)?;
    let source = view::lookup::resolve(&*tree, &path(source)?)?.path;
    Ok(Some(view::digest::subtree(&*tree, &source)?.to_string()))
}

fn execute(
    step: &mut Step<'_>,
    exec: &Exec,
    inputs: &[Arc<Value>],
    state: &State,
    prepared: Prepared,
    key: CacheKey,
) -> Result<Outcome, StepCause> {
    let session = step.session;
    let work = session.store.work_dir()?;
    let mut guards = Vec::new();
    let mounts = mounts(session, exec, inputs, &prepared.cwd, &mut guards)?;
    let keep = if exec.kind == ExecKind::Test { Keep::Discard } else { Keep::Capture };
    let process = process(session, exec, &prepared);
    let upper = work.path().join("root");
    std::fs::create_dir(&upper).map_err(|source| StepCause::Io { path: upper.clone(), source })?;
    let job = Job { root: Arc::clone(&state.view), work: upper, process, mounts, keep };
    let (ran_at, began) = (now(), Instant::now());
    let mut sink = Capture { step, layer: None, error: None, since: since() };
    let ended = session.executor.run(job, &mut sink, &session.stop);
    let Capture { layer, error, .. } = sink;
    context_is_unchanged(session)?;
    if let Some(error) = error {
        return Err(error.into());
    }
    let exit = ended?;
    if !exit.success() {
        return Err(StepCause::Exit(exit.status));
    }
    let outcome = match layer {
        Some(writer) => {
            let desc = writer.finish()?;
            session.cache.add_layer(&desc)?;
            Outcome::Layer(desc.diff_id)
        }
        None => Outcome::Nothing,
    };
    step.save(key, &prepared.parts, outcome, ran_at, began.elapsed())?;
    Ok(outcome)
}

/// A file that was served to a step was found to differ from what the key
/// says: nothing that the step made may be kept.
fn context_is_unchanged(session: &Session<'_>) -> Result<(), StepCause> {
    let changed = session.contexts().iter().find_map(|context| context.violation());
    changed.map_or(Ok(()), |path| Err(StepCause::ContextChanged { path: path.display() }))
}

fn process(session: &Session<'_>, exec: &Exec, prepared: &Prepared) -> Process {
    let mut env = super::with_proxies(prepared.env.clone(), session.proxy_env);
    env.extend(secrets::variables(exec, session.secrets));
    Process {
        argv: exec.command.argv(),
        env,
        cwd: prepared.cwd.clone(),
        uid: prepared.user.uid,
        gid: prepared.user.gid,
        groups: prepared.user.groups.clone(),
        network: exec.network,
        timeout: exec.timeout,
        hostname: exec::HOSTNAME.to_owned(),
        stdio: Stdio::Piped,
        needs_ids: exec.kind == ExecKind::Packages,
    }
}

fn mounts(
    session: &Session<'_>,
    exec: &Exec,
    inputs: &[Arc<Value>],
    cwd: &str,
    guards: &mut Vec<CacheMountGuard>,
) -> Result<Vec<JobMount>, StepCause> {
    // In one order, or two steps could wait for each other; each once, or a step
    // could wait for itself.
    let mut caches: BTreeMap<&str, Sharing> = BTreeMap::new();
    for mount in &exec.mounts {
        if let MountKind::Cache { id, sharing, .. } = &mount.kind {
            let strongest = caches.entry(id).or_insert(*sharing);
            *strongest = stronger(*strongest, *sharing);
        }
    }
    let mut paths: BTreeMap<&str, PathBuf> = BTreeMap::new();
    for (id, sharing) in caches {
        let guard = session.store.cache_mount(id, sharing_of(sharing))?;
        paths.insert(id, guard.path().to_owned());
        guards.push(guard);
    }
    let mut mounts = Vec::new();
    for Mount { target, kind } in &exec.mounts {
        let target = working_directory(cwd, Some(target));
        let kind = match kind {
            MountKind::Bind { input, source, writable } => {
                let tree = tree(inputs, *input)?;
                let source = view::lookup::resolve(&*tree, &path(source)?)?.path;
                JobMountKind::Tree { tree, source, writable: *writable }
            }
            MountKind::Cache { id, sharing: _, mode, uid, gid } => {
                let path = paths[id.as_str()].clone();
                let make = Some(Owner { mode: *mode, uid: *uid, gid: *gid });
                JobMountKind::HostDir { path, writable: true, make }
            }
            MountKind::Tmpfs { size } => JobMountKind::Tmpfs { size: *size },
            MountKind::Secret { .. } => match secrets::file(kind, session.secrets) {
                Some(file) => file,
                None => continue,
            },
        };
        mounts.push(JobMount { target, kind });
    }
    Ok(mounts)
}

/// What suits both uses of one cache in a step.
fn stronger(one: Sharing, other: Sharing) -> Sharing {
    match (one, other) {
        (Sharing::Locked, _) | (_, Sharing::Locked) => Sharing::Locked,
        (Sharing::Shared, _) | (_, Sharing::Shared) => Sharing::Shared,
        (Sharing::Private, Sharing::Private) => Sharing::Private,
    }
}

fn sharing_of(sharing: Sharing) -> MountSharing {
    match sharing {
        Sharing::Shared => MountSharing::Shared,
        Sharing::Locked => MountSharing::Locked,
        Sharing::Private => MountSharing::Private,
    }
}

/// Takes what a job gives: output to the sink, entries into a layer.
struct Capture<'a, 's> {
    step: &'a mut Step<'s>,
    layer: Option<LayerWriter>,
    error: Option<LayerError>,
    /// A time at or after this was not set on purpose.
    since: Mtime,
}

impl Capture<'_, '_> {
    fn append(&mut self, entry: &Entry, content: Option<&mut dyn Read>) -> Result<(), LayerError> {
        let session = self.step.session;
        let writer = match &mut self.layer {
            Some(writer) => writer,
            None => self.layer.insert(LayerWriter::new(session.store, session.compression)?),
        };
        writer.append(entry, content)
    }
}

impl JobSink for Capture<'_, '_> {
    fn output(&mut self, stream: Stream, bytes: &[u8]) {
        self.step.output.push(bytes);
        let vertex = self.step.vertex.id;
        self.step.session.sink.event(Event::Output { vertex, stream, bytes: bytes.to_vec() });
    }

    fn captured(&mut self, entry: &Entry, content: Option<&mut dyn Read>) -> io::Result<()> {
        // The root itself is no change: its mode and owner are the view's.
        if entry.path.is_root() {
            return Ok(());
        }
        let entry = settled(entry, self.since, self.step.session.mtime);
        self.append(&entry, content).map_err(|error| {
            let told = io::Error::other(chain(&error));
            self.error = Some(error);
            told
        })
    }
}

/// Now, less what the kernel's coarse clock may lag behind.
fn since() -> Mtime {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let now = now.saturating_sub(CLOCK_LAG);
    Mtime { secs: i64::try_from(now.as_secs()).unwrap_or(i64::MAX), nanos: now.subsec_nanos() }
}

/// The entry with the time that it has in the layer: an earlier time was set on
/// purpose (by dpkg, by tar) and stays, all else gets the constant.
fn settled(entry: &Entry, since: Mtime, constant: Mtime) -> Entry {
    let mut entry = entry.clone();
    if let Change::Present { meta, kind } = &mut entry.change
        && (kind.is_dir() || meta.mtime >= since)
    {
        meta.mtime = constant;
    }
    entry
}

fn next_state(
    step: &Step<'_>,
    exec: &Exec,
    inputs: &[Arc<Value>],
    state: &State,
    outcome: Outcome,
    key: CacheKey,
) -> Result<Value, StepCause> {
    let mut caches = merged_caches(inputs);
    for mount in &exec.mounts {
        if let MountKind::Cache { id, .. } = &mount.kind {
            caches.insert(id.clone(), [key].into());
        }
    }
    stacked(step, state, outcome, caches)
}

/// The state with what a step made on top.
pub(super) fn stacked(
    step: &Step<'_>,
    state: &State,
    outcome: Outcome,
    caches: BTreeMap<String, std::collections::BTreeSet<CacheKey>>,
) -> Result<Value, StepCause> {
    let session = step.session;
    let name = &step.vertex.meta.name;
    let mut layers = state.layers.clone();
    let made = match outcome {
        Outcome::Layer(diff_id) => Some(session.made(diff_id)?),
        Outcome::Nothing => None,
    };
    let empty_layer = made.is_none();
    layers.extend(made.map(|desc| Stacked { desc, origin: name.clone() }));
    let view = if empty_layer { Arc::clone(&state.view) } else { session.view(&layers)? as _ };
    let line = History { created_by: Some(name.clone()), empty_layer, ..History::default() };
    let mut history = state.history.clone();
    history.push(line);
    let (config, base) = (state.config.clone(), state.base.clone());
    Ok(Value::State(Box::new(State { layers, config, history, base, caches, view })))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layer::{Kind, Meta};

    #[test]
    fn times_from_the_start_on_and_of_directories_become_the_constant() {
        let at = |secs| Mtime { secs, nanos: 0 };
        let fifo = || Kind::Fifo;
        let table =
            [(fifo(), 99, 99), (fifo(), 100, 7), (fifo(), 9_000, 7), (Kind::Directory, 99, 7)];
        for (kind, found, wanted) in table {
            let meta = Meta { mtime: at(found), ..Meta::root_owned(0o755) };
            let path = LayerPath::new("x").expect("a plain name");
            let entry = Entry { path, change: Change::Present { meta, kind } };
            let Change::Present { meta, kind } = settled(&entry, at(100), at(7)).change else {
                panic!("it stays what it is");
            };
            assert_eq!(meta.mtime, at(wanted), "{kind:?} of {found}");
        }
    }
}
