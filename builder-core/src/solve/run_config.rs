//! Config changes: no layer, no file system, no key.

use std::sync::Arc;

use super::error::StepCause;
use super::run_exec::line;
use super::step::Step;
use super::value::{State, Value, merged_caches};
use crate::plan::op::ConfigPatch;

/// Input 0 of an operation, as a state; or the step that it waits for.
pub(super) fn state(inputs: &[Arc<Value>]) -> Result<Result<&State, &str>, StepCause> {
    match inputs.first().map(AsRef::as_ref) {
        Some(Value::State(state)) => Ok(Ok(state)),
        Some(Value::Unknown { step }) => Ok(Err(step)),
        _ => Err(StepCause::Input { index: 0, expected: "a root file system" }),
    }
}

pub(super) fn run(
    step: &mut Step<'_>,
    patch: &ConfigPatch,
    inputs: &[Arc<Value>],
) -> Result<Value, StepCause> {
    let state = match state(inputs)? {
        Ok(state) => state,
        Err(waits) => return Ok(Value::Unknown { step: waits.to_owned() }),
    };
    let history = match line(step, true) {
        Some(line) => state.history.and(line),
        None => state.history.clone(),
    };
    Ok(Value::State(Box::new(State {
        layers: state.layers.clone(),
        marks: state.marks.clone(),
        config: state.config.with(patch),
        history,
        base: state.base.clone(),
        caches: merged_caches(inputs),
        view: Arc::clone(&state.view),
    })))
}
