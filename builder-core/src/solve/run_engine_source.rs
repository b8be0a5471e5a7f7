//! Takes a base out of a container engine, once for each image that its name
//! comes to mean.

use super::error::StepCause;
use super::run_source::{found, from_fetched};
use super::step::Step;
use super::value::{Base, Value};
use crate::event::Unit;
use crate::source::Source as _;
use crate::source::engine::Engine;

/// The state that the engine's image `name` is.
pub(super) fn run(step: &mut Step<'_>, name: &str) -> Result<Value, StepCause> {
    let session = step.session;
    let source = Engine::find(session.daemon, session.store, name)?;
    let pin = source.pin()?;
    let mut value = found(step, "image", &pin, &mut |step| {
        let tell = |done| step.progress("downloading", done, None, Unit::Bytes);
        Ok(from_fetched(source.fetch_telling(&tell)?))
    })?;
    if let Value::State(state) = &mut value {
        // Results are found by id; another name may have been the first.
        state.base = Some(Base { name: name.to_owned(), digest: None });
    }
    Ok(value)
}
