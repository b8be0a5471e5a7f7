//! Where the wings meet: a plan is carried out.
//!
//! In: a [`Plan`], a request's policy, the cache. Out: the state of each wanted
//! vertex and a report of each step. For each vertex, once its inputs have
//! values: compute the key from the content of what it depends on (pure, in
//! `exec_key` and `fileop`), `decide`, then take the recorded layer or run
//! it and save what it made.
//!
//! Invariants: a result is saved under a key only if it was made from exactly
//! the content that the key names; a failed step leaves no record; of equal
//! keys in one build only one runs.

mod agent;
mod ahead;
mod archives;
mod because;
mod config;
mod decide;
mod detail;
mod elsewhere;
mod error;
mod exec_key;
mod grown;
mod initial;
mod links;
mod locks;
mod mounts;
mod observed;
mod output;
mod prepared;
mod reason;
mod rebase;
mod report;
mod run_ahead;
mod run_config;
mod run_engine_source;
mod run_exec;
mod run_file;
mod run_git;
mod run_http;
mod run_image_source;
mod run_source;
mod schedule;
mod secrets;
mod session;
mod step;
mod supposed;
mod value;
mod work;

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Instant;

pub use agent::Agent;
pub use decide::NoCache;
pub use error::{StepCause, StepError};
pub(crate) use links::steps_of;
pub use locks::{LockMode, Locks};
pub(crate) use rebase::{Onto, Rebase, Rebased, rebase};
pub use report::{Detail, StepReport, StepStatus, Wrong};
pub(crate) use run_image_source::{Meant, find};
use session::Names;
pub(crate) use session::Session;
pub(crate) use value::{State, Value};

use crate::cache::{BuildRecord, PastStep};
use crate::digest::VertexId;
use crate::event::{Event, PlannedVertex, Status};
use crate::plan::op::{Network, Op, Source};
use crate::plan::{Plan, Vertex};

/// What came of a plan.
pub(crate) struct Solved {
    /// The values of the vertices that were reached.
    pub values: BTreeMap<VertexId, Arc<Value>>,
    /// The steps that were reached, in plan order.
    pub steps: Vec<StepReport>,
    /// Results that stand and are not what their steps make.
    pub wrong: Vec<Wrong>,
    /// The keys that the steps had.
    pub keys: BuildRecord,
    /// What became of the steps, as history keeps it, in plan order.
    pub past: Vec<PastStep>,
    /// The step that failed first.
    pub error: Option<Box<StepError>>,
}

/// Carries out what `roots` need of `plan`.
pub(crate) fn solve(session: &Session<'_>, plan: &Plan, roots: &[VertexId]) -> Solved {
    let needed = plan.needed(roots);
    let vertices: Vec<&Vertex> = needed.iter().filter_map(|id| plan.vertex(*id)).collect();
    let place: HashMap<VertexId, usize> =
        needed.iter().enumerate().map(|(at, id)| (*id, at)).collect();
    let inputs: Vec<Vec<usize>> =
        vertices.iter().map(|v| v.inputs.iter().map(|id| place[id]).collect()).collect();
    announce(session, &vertices);
    let positions = positions(&vertices);
    let names = names(&vertices);
    let work = |at: usize, values: Vec<Arc<Value>>| {
        let vertex = vertices[at];
        if session.stop.is_canceled() {
            return Err(fail(session, vertex, StepCause::Canceled, Instant::now(), Vec::new()));
        }
        one(session, (vertex, positions[at], &names), &values)
    };
    let over = AtomicBool::new(false);
    let flights = Mutex::default();
    let ahead = run_ahead::RunAhead {
        session,
        vertices: &vertices,
        inputs: &inputs,
        positions: &positions,
        names: &names,
        flights,
        judged: Mutex::default(),
    };
    let tries = session.run_ahead && !session.dry && !session.paranoid;
    let ahead: Option<&dyn schedule::Ahead<Value>> = if tries { Some(&ahead) } else { None };
    let ended = std::thread::scope(|scope| {
        if session.jobs > 1 {
            scope.spawn(|| ahead::look(session, plan, &vertices, &over));
        }
        let ended = schedule::run(&inputs, session.jobs, &|| session.stop.cancel(), ahead, &work);
        over.store(true, Ordering::Relaxed);
        ended
    });
    let mut steps = session.take_reports();
    steps.sort_by_key(|step| place.get(&step.id).copied());
    let past = in_order(session.take_past(), &place);
    let keys = BuildRecord { steps: in_order(session.take_keys(), &place), image: None };
    let reached = needed.iter().zip(ended.values);
    let values = reached.filter_map(|(id, value)| Some((*id, value?))).collect();
    let wrong = session.take_wrong();
    Solved { values, steps, wrong, keys, past, error: ended.error.map(|(_, error)| error) }
}

fn in_order<T>(mut all: Vec<(VertexId, T)>, place: &HashMap<VertexId, usize>) -> Vec<T> {
    all.sort_by_key(|(id, _)| place.get(id).copied());
    all.into_iter().map(|(_, one)| one).collect()
}

/// Whether a vertex is a step that people are told of. Config costs nothing,
/// and a context is looked at by those that use it.
pub(crate) fn is_reported(op: &Op) -> bool {
    !matches!(op, Op::Config(_) | Op::Source(Source::Local { .. } | Source::Scratch))
}

fn announce(session: &Session<'_>, vertices: &[&Vertex]) {
    let planned = |vertex: &&Vertex| PlannedVertex {
        id: vertex.id,
        name: vertex.meta.name.clone(),
        stage: vertex.meta.stage.clone(),
    };
    let vertices = vertices.iter().filter(|v| is_reported(&v.op)).map(planned).collect();
    session.sink.event(Event::Planned { vertices });
}

/// For each vertex, how many reported ones of its stage stand before it.
fn positions(vertices: &[&Vertex]) -> Vec<usize> {
    let mut counts: HashMap<&str, usize> = HashMap::new();
    let mut positions = Vec::with_capacity(vertices.len());
    for vertex in vertices {
        let count = counts.entry(vertex.meta.stage.as_str()).or_default();
        positions.push(*count);
        *count += usize::from(is_reported(&vertex.op));
    }
    positions
}

fn names(vertices: &[&Vertex]) -> Names {
    let mut names = Names::new();
    for vertex in vertices.iter().filter(|vertex| is_reported(&vertex.op)) {
        let of_stage = names.entry(vertex.meta.stage.clone()).or_default();
        of_stage.insert(vertex.meta.name.clone());
    }
    names
}

fn one(
    session: &Session<'_>,
    (vertex, position, names): (&Vertex, usize, &Names),
    inputs: &[Arc<Value>],
) -> Result<Value, Box<StepError>> {
    let began = Instant::now();
    let mut step = session.step(vertex, position, names);
    let result = match &vertex.op {
        Op::Source(source) => run_source::run(&mut step, source),
        Op::Exec(exec) => run_exec::run(&mut step, exec, inputs),
        Op::File(file) => run_file::run(&mut step, file, inputs),
        Op::Config(patch) => run_config::run(&mut step, patch, inputs),
    };
    let output = step.output.finish();
    match result {
        Ok(value) => {
            step.finish(began);
            Ok(value)
        }
        Err(cause) => {
            step.failed(began);
            Err(fail(session, vertex, cause, began, output))
        }
    }
}

fn fail(
    session: &Session<'_>,
    vertex: &Vertex,
    cause: StepCause,
    began: Instant,
    output: Vec<u8>,
) -> Box<StepError> {
    // Once the build is to stop, every kind of work ends with some error.
    let canceled = session.stop.is_canceled();
    let cause = if canceled { StepCause::Canceled } else { cause.of_context() };
    if is_reported(&vertex.op) {
        let status = if canceled { Status::Canceled } else { Status::Failed(chain(&cause)) };
        session.sink.event(Event::Finished {
            vertex: vertex.id,
            status,
            reason: String::new(),
            duration: began.elapsed(),
            layer: None,
        });
    }
    Box::new(StepError {
        step: vertex.meta.name.clone(),
        stage: vertex.meta.stage.clone(),
        location: vertex.meta.location.clone(),
        no_network: matches!(&vertex.op, Op::Exec(exec) if exec.network == Network::None),
        output,
        cause,
    })
}

/// `env` and the host's proxies, where it does not name another.
pub(crate) fn with_proxies(
    mut env: Vec<(String, String)>,
    proxies: &[(String, String)],
) -> Vec<(String, String)> {
    let unset = |(name, _): &&(String, String)| env.iter().all(|(known, _)| known != name);
    let added: Vec<_> = proxies.iter().filter(unset).cloned().collect();
    env.extend(added);
    env
}

/// The environment of a process in an image: the config's, `over` it, and
/// what every process needs.
pub(crate) fn environment<'a>(
    config: impl Iterator<Item = (&'a str, &'a str)>,
    over: &[(String, String)],
    home: &str,
) -> Vec<(String, String)> {
    exec_key::environment(config, over, home, crate::layer::Mtime::CONSTANT)
}

/// An error and its sources, joined by colons.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        let more = error.to_string();
        if !text.ends_with(&more) {
            text = format!("{text}: {more}");
        }
        source = error.source();
    }
    text
}
