//! Runs steps before those that stand above them have ended.
//!
//! In: a step whose earlier execution looked at nothing of what the steps
//! directly above it wrote, and the nearest root below them that is there. Out:
//! an execution on that root, with its record, like any other. When the step's
//! turn comes, that record is put to its true root like every record: if all is
//! as seen, the layer is stacked there; if not, the step runs in its place.
//!
//! Invariant: nothing is trusted here. What an earlier build did only says which
//! steps are worth trying; a trial that fails, or is stopped, leaves nothing in
//! any image. A step that fails while another one is tried is run once more, alone.
//!
//! Not tried is a step past one that may write the same cache mount, one that
//! would keep others waiting for a cache mount, one that is given a secret (it may
//! be about to publish what a step above it would have refused), and one that says
//! `trace: off`.
//!
//! Limitation: what a step does outside of its root (to a server on the network)
//! it may do before a step above it fails, and twice.

use std::collections::{BTreeMap, HashMap};
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::error::StepCause;
use super::is_reported;
use super::observed::Process;
use super::output::OUTPUT_IN_MEMORY;
use super::prepared::Prepared;
use super::run_exec::process_seen;
use super::schedule::{Ahead, Tried, Values};
use super::secrets;
use super::session::{Names, Session, lock};
use super::value::{Stacked, State, Value};
use super::work::Work;
use crate::cache::{Observed, Saw};
use crate::cancel::Cancel;
use crate::digest::{CacheKey, VertexId, WeakFingerprint};
use crate::event::{Event, Stream, Trial};
use crate::plan::Vertex;
use crate::plan::op::{Exec, MountKind, Op, Security, Sharing, Trace};
use crate::view::observe::{Answers, Recorder};

/// How often a trial whose turn has come is held against its true root.
const CHECK: Duration = Duration::from_millis(100);

/// A trial that ended well.
pub(super) struct Landed {
    /// What its process was given.
    pub weak: WeakFingerprint,
    pub observed: Observed,
    /// What it wrote to its streams.
    pub output: Spool,
    pub took: Duration,
}

/// Trials of a build's steps.
pub(super) struct RunAhead<'a> {
    pub session: &'a Session<'a>,
    pub vertices: &'a [&'a Vertex],
    /// The nodes that each waits for.
    pub inputs: &'a [Vec<usize>],
    pub positions: &'a [usize],
    pub names: &'a Names,
    pub flights: Mutex<HashMap<usize, Arc<Flight>>>,
    /// The root on which each was looked at last.
    pub judged: Mutex<HashMap<usize, usize>>,
}

/// A trial that runs.
pub(super) struct Flight {
    stop: Cancel,
    /// The step's true inputs, once its turn has come.
    truth: Mutex<Option<Vec<Arc<Value>>>>,
}

/// What came of looking at a step that is not ready.
enum Attempt {
    /// There is no sense in trying it on the root that is there.
    NotNow,
    /// It was tried in vain.
    Failed,
    /// It ended well.
    Landed(Box<Landed>),
}

/// Says that something is over, however it ends.
struct CancelOnDrop<'a>(&'a Cancel);

impl Drop for CancelOnDrop<'_> {
    fn drop(&mut self) {
        self.0.cancel();
    }
}

/// Where a step may start, and what it passes by.
struct Start<'a> {
    exec: &'a Exec,
    /// The node whose state it starts on.
    from: usize,
    /// What stands between, the nearest to the step first.
    past: Vec<usize>,
}

impl<'a> RunAhead<'a> {
    fn vertex(&self, node: usize) -> &'a Vertex {
        self.vertices[node]
    }

    /// Where `node` may start, by what is there and what is not.
    fn start(&self, node: usize, values: &Values<Value>) -> Option<Start<'a>> {
        let Op::Exec(exec) = &self.vertex(node).op else { return None };
        let (first, others) = self.inputs[node].split_first()?;
        if exec.trace == Trace::Off
            || exec.security == Security::Insecure
            || exec.ssh().next().is_some()
            || self.session.trials_stop().is_canceled()
            || !secrets::variables(exec, self.session.secrets).is_empty()
            || exec.mounts.iter().any(|m| secrets::file(&m.kind, self.session.secrets).is_some())
            || others.iter().any(|&other| values[other].is_none())
        {
            return None;
        }
        let (mut from, mut past) = (*first, Vec::new());
        while values[from].is_none() {
            if let Op::Source(_) = self.vertex(from).op {
                return None;
            }
            past.push(from);
            from = *self.inputs[from].first()?;
        }
        // What is only being looked up has its result in no time.
        let works = self.session.is_executing(self.vertex(*past.last()?).id);
        let parted = past.iter().all(|&node| no_shared_cache(exec, &self.vertex(node).op));
        let shared = self.vertices.iter().all(|vertex| waits_for_no_cache(exec, &vertex.op));
        (works && parted && shared).then_some(Start { exec, from, past })
    }

    /// What the step's execution in the build before saw.
    fn earlier(&self, node: usize) -> Option<&Saw> {
        let meta = &self.vertex(node).meta;
        let step = self.session.counterpart(meta, self.positions[node], self.names)?;
        step.saw.as_ref()
    }

    fn fly(
        &self,
        node: usize,
        values: &Values<Value>,
        flight: &Flight,
    ) -> Result<Attempt, StepCause> {
        let (Some(start), Some(saw)) = (self.start(node, values), self.earlier(node)) else {
            return Ok(Attempt::NotNow);
        };
        lock(&self.judged).insert(node, start.from);
        let session = self.session;
        let Some(state) = self.state(&start, values) else { return Ok(Attempt::NotNow) };
        let mut inputs = vec![Arc::new(Value::State(Box::new(state)))];
        inputs.extend(self.inputs[node][1..].iter().filter_map(|&other| values[other].clone()));
        let Value::State(state) = &*Arc::clone(&inputs[0]) else { return Ok(Attempt::NotNow) };
        let exec = start.exec;
        let prepared = Prepared::new(session, exec, state, &inputs)?;
        let process = process_seen(session, exec, &inputs, &prepared)?;
        let Some(process) = process.filter(|process| process.weak == saw.weak) else {
            return Ok(Attempt::NotNow);
        };
        let forbidden = session.forbids(self.vertex(node));
        if !forbidden && process.stands(session)? || !self.parted(&start, saw, state, &process)? {
            return Ok(Attempt::NotNow);
        }
        let key = prepared.parts.key();
        let exclusive = session.exclusive(key);
        let Ok(_alone) = exclusive.try_lock() else { return Ok(Attempt::NotNow) };
        if !forbidden && session.cache.lookup(key)?.is_some() {
            return Ok(Attempt::NotNow);
        }
        session.cache.save_parts(key, &prepared.parts)?;
        self.tell(node, Trial::Began);
        session.executes(self.vertex(node).id);
        let work =
            Work { exec, inputs: &inputs, state, prepared: &prepared, process: Some(process) };
        let landed = self.try_out(&work, key, flight);
        Ok(landed
            .ok()
            .flatten()
            .map_or(Attempt::Failed, |landed| Attempt::Landed(Box::new(landed))))
    }

    /// Runs it. Its result is found by what it saw, in the step's turn; no key
    /// names it until then.
    fn try_out(
        &self,
        work: &Work<'_>,
        key: CacheKey,
        flight: &Flight,
    ) -> Result<Option<Landed>, StepCause> {
        let session = self.session;
        let _counted = session.shared.trials.begin();
        let mut output = Spool::default();
        let recorder = Arc::new(Recorder::blind_to(session.blind));
        let done = Cancel::new();
        let made = std::thread::scope(|scope| {
            let _over = CancelOnDrop(&done);
            scope.spawn(|| watch(session, work, &recorder, flight, &done));
            let mut write = |stream, bytes: &[u8]| output.push(stream, bytes);
            work.run(session, &mut write, &flight.stop, Some(Arc::clone(&recorder)))
        })?;
        let Some(weak) = work.process.as_ref().map(|process| process.weak) else {
            return Ok(None);
        };
        let (_, observed) = work.keep(session, key, &made)?;
        Ok(observed.map(|observed| Landed { weak, observed, output, took: made.took }))
    }

    /// The root that the step starts on, with the config that it will have.
    fn state(&self, start: &Start<'_>, values: &Values<Value>) -> Option<State> {
        let Some(Value::State(below)) = values[start.from].as_deref() else { return None };
        let mut state = State::clone(below);
        for &node in start.past.iter().rev() {
            if let Op::Config(patch) = &self.vertex(node).op {
                state.config = state.config.with(patch);
            }
        }
        Some(state)
    }

    /// Whether the earlier execution saw nothing of what the steps that are
    /// passed by wrote then. `here` is where it is to start now.
    fn parted(
        &self,
        start: &Start<'_>,
        saw: &Saw,
        here: &State,
        process: &Process,
    ) -> Result<bool, StepCause> {
        let cache = self.session.cache;
        let known = cache.observed(saw.weak)?;
        let Some(then) = known.iter().find(|observed| observed.strong == saw.strong) else {
            return Ok(false);
        };
        let passed = start.past.iter().filter(|&&node| is_reported(&self.vertex(node).op));
        let below = (then.marks.len().checked_sub(1 + passed.count()))
            .and_then(|at| then.marks.get(at))
            .and_then(|&mark| then.layers.get(..mark));
        let (Some(below), Some(pathset)) = (below, cache.pathset(then.pathset)?) else {
            return Ok(false);
        };
        let mut stack = Vec::new();
        for diff_id in below {
            // The cache knows the layers that were made here, not those of images.
            let known = here.layers.iter().find(|stacked| stacked.desc.diff_id == *diff_id);
            let found = match known {
                Some(stacked) => Some(stacked.desc.clone()),
                None => cache.layer_as_it_is(*diff_id, self.session.compression)?,
            };
            let Some(desc) = found else { return Ok(false) };
            stack.push(Stacked { desc, origin: String::new() });
        }
        let root = self.session.view(&stack)?;
        let trees = process.shown.over(root);
        let answers = Answers::of(&pathset, &trees, self.session.blind);
        Ok(answers.is_ok_and(|answers| answers.strong(&pathset) == then.strong))
    }

    /// The trial of `node`, which may be told things before it has begun.
    fn flight(&self, node: usize) -> Arc<Flight> {
        let new = || Flight { stop: self.session.trials_stop().child(), truth: Mutex::default() };
        Arc::clone(lock(&self.flights).entry(node).or_insert_with(|| Arc::new(new())))
    }

    fn tell(&self, node: usize, trial: Trial) {
        let vertex = self.vertex(node).id;
        self.session.sink.event(Event::Ahead { vertex, trial });
    }
}

impl Ahead<Value> for RunAhead<'_> {
    fn may(&self, node: usize, values: &Values<Value>) -> bool {
        let judged = lock(&self.judged).get(&node).copied();
        let start = self.start(node, values).filter(|start| judged != Some(start.from));
        start.is_some() && self.earlier(node).is_some()
    }

    fn run(&self, node: usize, values: &Values<Value>) -> Tried {
        let flight = self.flight(node);
        // Whatever it meets, the step meets it again in its turn.
        let attempt = self.fly(node, values, &flight).unwrap_or(Attempt::NotNow);
        lock(&self.flights).remove(&node);
        match attempt {
            Attempt::NotNow => return Tried::NotNow,
            Attempt::Landed(landed) if !flight.stop.is_canceled() => {
                self.session.land(self.vertex(node).id, *landed);
            }
            Attempt::Landed(_) | Attempt::Failed => {}
        }
        Tried::Once
    }

    fn ready(&self, node: usize, inputs: Vec<Arc<Value>>) {
        *lock(&self.flight(node).truth) = Some(inputs);
    }

    fn stop(&self, node: usize) {
        self.flight(node).stop.cancel();
    }
}

/// Stops a trial whose turn has come once it has seen what is otherwise in its
/// true root: the sooner it runs there.
fn watch(
    session: &Session<'_>,
    work: &Work<'_>,
    recorder: &Recorder,
    flight: &Flight,
    done: &Cancel,
) {
    let (mut truth, mut checked) = (None, 0);
    while !done.wait(CHECK) {
        let Some(inputs) = lock(&flight.truth).clone() else { continue };
        let truth = truth.get_or_insert_with(|| true_process(session, work, &inputs));
        let (Some(truth), Some(here)) = (truth, &work.process) else { return };
        let Some(asked) = recorder.so_far().filter(|asked| asked.len() != checked) else {
            continue;
        };
        checked = asked.len();
        let say = |process: &Process| Answers::of(&asked, &process.shown.trees, session.blind).ok();
        let same = say(truth).zip(say(here)).is_some_and(|(there, here)| there == here);
        if truth.weak != here.weak || !same {
            flight.stop.cancel();
            return;
        }
    }
}

/// The step as it would run in its turn.
fn true_process(session: &Session<'_>, work: &Work<'_>, inputs: &[Arc<Value>]) -> Option<Process> {
    let Value::State(state) = &**inputs.first()? else { return None };
    let prepared = Prepared::new(session, work.exec, state, inputs).ok()?;
    process_seen(session, work.exec, inputs, &prepared).ok()?
}

/// Whether the step has no cache mount that `other` may write.
fn no_shared_cache(exec: &Exec, other: &Op) -> bool {
    let Op::Exec(other) = other else { return true };
    let ids = |exec: &'_ Exec| -> BTreeMap<String, ()> {
        let id = |kind: &MountKind| match kind {
            MountKind::Cache { id, .. } => Some((id.clone(), ())),
            _ => None,
        };
        exec.mounts.iter().filter_map(|mount| id(&mount.kind)).collect()
    };
    let others = ids(other);
    ids(exec).keys().all(|id| !others.contains_key(id))
}

/// Whether `other` would not wait for, or do without, a cache that the step holds.
fn waits_for_no_cache(exec: &Exec, other: &Op) -> bool {
    let Op::Exec(other) = other else { return true };
    let all_shared = |id: &str| {
        other.mounts.iter().all(|mount| match &mount.kind {
            MountKind::Cache { id: theirs, sharing, .. } if theirs == id => {
                *sharing == Sharing::Shared
            }
            _ => true,
        })
    };
    exec.mounts.iter().all(|mount| match &mount.kind {
        MountKind::Cache { id, .. } => all_shared(id),
        _ => true,
    })
}

/// Output that is shown later, or never.
#[derive(Default)]
pub(super) struct Spool {
    kept: Option<tempfile::SpooledTempFile>,
}

impl Spool {
    /// Keeps more. A full disk loses the rest.
    fn push(&mut self, stream: Stream, bytes: &[u8]) {
        let kept = self.kept.get_or_insert_with(|| tempfile::spooled_tempfile(OUTPUT_IN_MEMORY));
        let mut head = [u8::from(stream == Stream::Stderr); 5];
        let len = u32::try_from(bytes.len()).expect("a read is shorter");
        head[1..].copy_from_slice(&len.to_le_bytes());
        let _ = kept.write_all(&head).and_then(|()| kept.write_all(bytes));
    }

    /// Gives it all.
    pub(super) fn replay(mut self, to: &mut dyn FnMut(Stream, &[u8])) {
        let Some(kept) = &mut self.kept else { return };
        if kept.seek(SeekFrom::Start(0)).is_err() {
            return;
        }
        let mut head = [0; 5];
        while kept.read_exact(&mut head).is_ok() {
            let [stream, len @ ..] = head;
            let stream = if stream == 1 { Stream::Stderr } else { Stream::Stdout };
            let mut bytes = vec![0; u32::from_le_bytes(len) as usize];
            if kept.read_exact(&mut bytes).is_err() {
                return;
            }
            to(stream, &bytes);
        }
    }
}

/// Trials that landed, by step.
pub(super) type Landings = HashMap<VertexId, Landed>;
