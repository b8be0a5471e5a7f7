//! Changes files, or finds that an earlier layer of the same entries stands.
//!
//! The key is the hash of every entry that the operation would write, so it
//! depends on what the operation touches of its target (parents, links on the
//! way, owners looked up in passwd) and on nothing else of it.

use std::sync::Arc;
use std::time::Instant;

use super::archives;
use super::decide::Decision;
use super::error::StepCause;
use super::run_config::state;
use super::run_exec::{stacked, tree};
use super::session::{Session, lock, now};
use super::step::Step;
use super::supposed;
use super::value::{State, Value, merged_caches, unknown};
use crate::cache::Outcome;
use crate::fileop::{self, Input, Inputs, Prepared, Settings};
use crate::plan::key::Parts;
use crate::plan::op::FileOp;
use crate::view::Tree;

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
    let prepared = prepare(session, op, inputs, (state, &*state.view))?;
    let parts = parts(&prepared);
    let key = parts.key();
    let exclusive = session.exclusive(key);
    let _alone = lock(&exclusive);
    let record = session.cache.lookup(key)?;
    let outcome = match step.decide(key, record, &parts, &state.origins())? {
        Decision::Hit(record) => record.outcome,
        Decision::Run(_) if session.dry => {
            let outcome = supposed::written(session, &session.shared.supposed, &prepared)?;
            step.made(outcome);
            outcome
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

/// The parts of the key: every entry of the layer.
pub(super) fn parts(prepared: &Prepared) -> Parts {
    let mut parts = Parts::new();
    parts.push("kind", "files");
    for (name, value) in prepared.entries() {
        parts.push(name, value);
    }
    parts
}

/// Resolves `op` over a state whose tree is asked as `target`.
pub(super) fn prepare(
    session: &Session<'_>,
    op: &FileOp,
    inputs: &[Arc<Value>],
    (state, target): (&State, &dyn Tree),
) -> Result<Prepared, StepCause> {
    let mut sources = Inputs::new();
    if let FileOp::Copy(copy) = op {
        for number in copy.inputs() {
            let is_context = matches!(inputs.get(number).map(AsRef::as_ref), Some(Value::Tree(_)));
            sources.insert(number, Input { tree: tree(inputs, number)?, is_context });
        }
    }
    let settings = Settings {
        cwd: state.config.workdir(),
        mtime: session.mtime,
        unpacker: &|input, path| archives::read(session, input, path),
    };
    Ok(fileop::prepare(op, target, sources, &settings)?)
}

fn write(step: &Step<'_>, prepared: &Prepared) -> Result<Outcome, StepCause> {
    let session = step.session;
    let layer = prepared.write(session.store, session.compression)?;
    let Some(desc) = layer else { return Ok(Outcome::Nothing) };
    session.cache.add_layer(&desc)?;
    Ok(Outcome::Layer(desc.diff_id))
}
