//! Brings in an image by its name.

use super::error::StepCause;
use super::run_source::found;
use super::session::Step;
use super::value::{Base, Value};
use crate::cache::{Outcome, Record, SourceRecord};
use crate::digest::BlobDigest;
use crate::image::{Image, Platform};
use crate::registry::{Reference, RegistryError};
use crate::source::named;

pub(super) fn run(
    step: &mut Step<'_>,
    reference: &str,
    digest: Option<BlobDigest>,
    platform: Option<&str>,
) -> Result<Value, StepCause> {
    let session = step.session;
    let name: Reference = reference.parse().map_err(RegistryError::from)?;
    let platform: Platform = match platform {
        Some(text) => text.parse().map_err(RegistryError::from)?,
        None => session.platform.clone(),
    };
    let wanted = digest.map_or(name.clone(), |digest| name.clone().with_digest(digest));
    let image = named::in_store(session.store, &wanted, &platform)?;
    let image = image.ok_or_else(|| RegistryError::NotFound { name: wanted.to_string() })?;
    let base = Base { name: name.name(), digest: Some(image.digest) };
    let pin = format!("manifest {}", image.digest);
    let mut value = found(step, "image", &pin, &mut |_| Ok(record(&image)))?;
    if let Value::State(state) = &mut value {
        // Results are found by content; another name may have been the first.
        state.base = Some(base);
    }
    Ok(value)
}

fn record(image: &Image) -> SourceRecord {
    SourceRecord {
        config: image.config.clone(),
        layers: image.layers.clone(),
        digest: Some(image.digest),
        name: None,
        run: Record::new(Outcome::Nothing, 0, 0),
    }
}
