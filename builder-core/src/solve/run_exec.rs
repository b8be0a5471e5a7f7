//! Runs a process, or finds that an earlier run of it stands.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::decide::{Decision, decide};
use super::error::StepCause;
use super::exec_key::{Given, weak_parts};
use super::mounts::shown;
use super::observed;
use super::prepared::Prepared;
use super::run_ahead::Landed;
use super::run_config::state;
use super::session::{Session, lock};
use super::step::Step;
use super::value::{Stacked, State, Value, merged_caches, unknown};
use super::work::Work;
use crate::cache::Outcome;
use crate::digest::CacheKey;
use crate::image::History;
use crate::layer::LayerPath;
use crate::plan::op::{Exec, HistoryLine, MountKind, Security, Trace};
use crate::view::Tree;

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
    if exec.security == Security::Insecure && !session.allow_insecure {
        return Err(StepCause::Insecure);
    }
    let prepared = Prepared::new(session, exec, state, inputs)?;
    step.stands_on(&prepared.layers);
    let key = prepared.parts.key();
    let exclusive = session.exclusive(key);
    let _alone = lock(&exclusive);
    let record = session.cache.lookup(key)?;
    let process = match decide(record.clone(), step.policy()) {
        // It need not be known.
        Decision::Hit(_) => None,
        Decision::Run(_) => process_seen(session, exec, inputs, &prepared)?,
    };
    let landed = session.landed(step.vertex.id);
    let trial = landed.as_ref().map(|landed| landed.observed.execution);
    let sight = match (&process, &record) {
        (Some(process), None) => {
            Some((process, process.look(session, step.earlier_execution(), trial)?))
        }
        _ => None,
    };
    let sight = sight.as_ref().map(|(process, sight)| (*process, sight));
    let known = (&prepared.parts, &state.origins()[..]);
    let record = match step.decide_seeing(key, record, known, sight)? {
        Decision::Hit(record) => record,
        Decision::Run(_) if session.dry => {
            let seen = sight.and_then(|(_, sight)| sight.outcome());
            let Some(outcome) = step.made_before(key, seen)? else {
                return Ok(Value::Unknown { step: step.vertex.meta.name.clone() });
            };
            step.supposed_to_run();
            return next_state(step, exec, inputs, state, outcome, key);
        }
        Decision::Run(miss) => match taken(session, landed, process.as_ref())? {
            Some((process, landed)) => step.adopt(key, &prepared.parts, process, landed)?,
            None => {
                let work = Work { exec, inputs, state, prepared: &prepared, process };
                work.execute(step, key, &miss)?
            }
        },
    };
    next_state(step, exec, inputs, state, record.outcome, record.execution(key))
}

/// A trial that saw what the process would see now.
fn taken<'a>(
    session: &Session<'_>,
    landed: Option<Landed>,
    process: Option<&'a observed::Process>,
) -> Result<Option<(&'a observed::Process, Landed)>, StepCause> {
    let (Some(landed), Some(process)) = (landed, process) else { return Ok(None) };
    if landed.weak != process.weak {
        return Ok(None);
    }
    Ok(process.saw(session, &landed.observed)?.then_some((process, landed)))
}

/// The process as it would be seen to run, where that can be recorded. What it
/// would meet on the way is told when it runs.
pub(super) fn process_seen(
    session: &Session<'_>,
    exec: &Exec,
    inputs: &[Arc<Value>],
    prepared: &Prepared<'_>,
) -> Result<Option<observed::Process>, StepCause> {
    if exec.trace == Trace::Off || !session.observes() {
        return Ok(None);
    }
    let Some(shown) = shown(session, exec, inputs, prepared) else { return Ok(None) };
    let given =
        Given { user: &prepared.user, facts: shown.facts(), ground: session.executor.ground() };
    let parts = weak_parts(exec, &prepared.seen(session), &given);
    Ok(Some(observed::Process::new(parts, shown)))
}

/// A further input of an operation, as a tree.
pub(super) fn tree(inputs: &[Arc<Value>], index: usize) -> Result<Arc<dyn Tree>, StepCause> {
    match inputs.get(index).map(AsRef::as_ref) {
        Some(Value::State(state)) => Ok(Arc::clone(&state.view)),
        Some(Value::Tree(tree)) => Ok(Arc::clone(tree) as Arc<dyn Tree>),
        Some(Value::Elsewhere(tree)) => Ok(Arc::clone(tree) as Arc<dyn Tree>),
        _ => Err(StepCause::Input { index, expected: "a tree" }),
    }
}

pub(super) fn path(text: &str) -> Result<LayerPath, StepCause> {
    LayerPath::new(text).map_err(|source| StepCause::Path { path: text.to_owned(), source })
}

pub(super) fn next_state(
    step: &Step<'_>,
    exec: &Exec,
    inputs: &[Arc<Value>],
    state: &State,
    outcome: Outcome,
    execution: CacheKey,
) -> Result<Value, StepCause> {
    let mut caches = merged_caches(inputs);
    for mount in &exec.mounts {
        if let MountKind::Cache { id, .. } = &mount.kind {
            caches.insert(id.clone(), [execution].into());
        }
    }
    stacked(step, state, outcome, caches)
}

/// What the image's history says of a step. A layer is never without a line.
pub(super) fn line(step: &Step<'_>, empty_layer: bool) -> Option<History> {
    let meta = &step.vertex.meta;
    let (created_by, comment) = match &meta.history {
        HistoryLine::Says { created_by, comment } => (created_by, comment.clone()),
        HistoryLine::Nothing if empty_layer => return None,
        HistoryLine::Name | HistoryLine::Nothing => (&meta.name, None),
    };
    let created_by = Some(created_by.clone());
    Some(History { created_by, comment, empty_layer, ..History::default() })
}

/// The state with what a step made on top.
pub(super) fn stacked(
    step: &Step<'_>,
    state: &State,
    outcome: Outcome,
    caches: BTreeMap<String, BTreeSet<CacheKey>>,
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
    let history = match line(step, empty_layer) {
        Some(line) => state.history.and(line),
        None => state.history.clone(),
    };
    let (config, base) = (state.config.clone(), state.base.clone());
    let marks = state.marks.and(layers.len());
    Ok(Value::State(Box::new(State { layers, marks, config, history, base, caches, view })))
}
