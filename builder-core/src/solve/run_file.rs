//! Changes files, or finds that an earlier layer of the same entries stands.
//!
//! The key is the hash of every entry that the operation would write, so it
//! depends on what the operation touches of its target (parents, links on the
//! way, owners looked up in passwd) and on nothing else of it.

use std::sync::Arc;
use std::time::Instant;

use super::decide::Decision;
use super::error::StepCause;
use super::run_config::state;
use super::run_exec::{stacked, tree};
use super::session::{Step, lock, now};
use super::value::{State, Value, merged_caches, unknown};
use crate::cache::Outcome;
use crate::fileop::{self, Prepared, Settings};
use crate::plan::key::Parts;
use crate::plan::op::{Copy, FileOp};

pub(super) fn run(
    step: &mut Step<'_>,
    op: &FileOp,
    inputs: &[Arc<Value>],
) -> Result<Value, StepCause> {
    if let Some(waits) = unknown(inputs) {
        step.waits_for(waits);
        return Ok(Value::Unknown { step: waits.to_owned() });
    }
    let state = state(inputs)?.map_err(|_| StepCause::Input { index: 0, expected: "known" })?;
    let session = step.session;
    let prepared = prepare(step, op, inputs, state)?;
    let mut parts = Parts::new();
    parts.push("kind", "files");
    for (name, value) in prepared.entries() {
        parts.push(name, value);
    }
    let key = parts.key();
    let exclusive = session.exclusive(key);
    let _alone = lock(&exclusive);
    let record = session.cache.lookup(key)?;
    let outcome = match step.decide(key, record, &parts, &state.origins())? {
        Decision::Hit(record) => record.outcome,
        Decision::Run(_) if session.dry => {
            return Ok(Value::Unknown { step: step.vertex.meta.name.clone() });
        }
        Decision::Run(_) => {
            let (ran_at, began) = (now(), Instant::now());
            let outcome = write(step, &prepared)?;
            step.save(key, &parts, outcome, ran_at, began.elapsed())?;
            outcome
        }
    };
    stacked(step, state, outcome, merged_caches(inputs))
}

fn prepare(
    step: &Step<'_>,
    op: &FileOp,
    inputs: &[Arc<Value>],
    state: &State,
) -> Result<Prepared, StepCause> {
    let (source, from_context) = match op {
        FileOp::Copy(Copy { input, .. }) => {
            let from_context =
                matches!(inputs.get(*input).map(AsRef::as_ref), Some(Value::Tree(_)));
            (Some(tree(inputs, *input)?), from_context)
        }
        _ => (None, false),
    };
    let settings =
        Settings { cwd: state.config.workdir(), mtime: step.session.mtime, from_context };
    Ok(fileop::prepare(op, &*state.view, source, &settings)?)
}

fn write(step: &Step<'_>, prepared: &Prepared) -> Result<Outcome, StepCause> {
    let session = step.session;
    let layer = prepared.write(session.store, session.compression)?;
    let Some(desc) = layer else { return Ok(Outcome::Nothing) };
    session.cache.add_layer(&desc)?;
    Ok(Outcome::Layer(desc.diff_id))
}
