//! An image's steps taken to another base.
//!
//! In: an image with what is written down of its steps, here or elsewhere, and
//! a new base. Out: an image as a build on that base gives it. If no step must
//! run, config and manifest are all that is written.
//!
//! Invariant: what is written down elsewhere is untrusted; each layer that it
//! speaks of was verified when the image came into the store.

use std::collections::BTreeMap;

use super::request::{BuildResult, ImagePlace, PlanReport, RebaseRequest};
use super::session::session;
use super::{Inner, image, steps, transfer};
use crate::chain::{self, Chain};
use crate::error::{Error, Result};
use crate::exec::Cancel;
use crate::image::{BASE_DIGEST, BASE_NAME, Image, ImageError, normalise_tag, read_image};
use crate::layer::{LayerDesc, Mtime};
use crate::plan::op::Source;
use crate::solve::{self, LockMode, Locks, Onto, Rebase, Rebased, Session, State, Value};
use crate::source::debian::LockFile;
use crate::source::oci::{Oci, WithArtifact};

pub(super) fn rebase(
    inner: &Inner,
    request: &RebaseRequest,
    cancel: &Cancel,
) -> Result<BuildResult> {
    let tags: Vec<String> =
        request.tags.iter().map(|tag| normalise_tag(tag)).collect::<Result<_, _>>()?;
    let inner = &inner.until(cancel);
    let _lease = inner.store.lease()?;
    let (old, payload) = old(inner, &request.image)?;
    let (chain, layers) = steps::read(&old, &payload)?;
    let Rebased { value, chain: made, steps, error } =
        replay(inner, request, (&chain, layers), cancel, false)?;
    let state = match (error, value.as_deref()) {
        (Some(error), _) => return Err(Error::Step { error, steps }),
        (None, Some(Value::State(state))) => state.as_ref(),
        (None, _) => return Err(Error::OtherSteps { image: old.digest }),
    };
    same_platform(&old, state)?;
    let annotations = annotations(&chain, request);
    let written = image::write(inner, annotations, created(&old), state)?;
    if cancel.is_canceled() {
        return Err(Error::Canceled);
    }
    image::publish(inner, &request.annotations, &written, &tags)?;
    steps::keep(inner, &written, || Ok(made));
    image::export(inner, (&request.outputs, &request.annotations), &written, &tags)?;
    if request.load {
        image::load(inner, &written, &tags)?;
    }
    transfer::push_built(inner, &written.digest, &request.push, cancel)?;
    Ok(BuildResult {
        digest: written.digest,
        config_digest: written.config_digest,
        size: written.size,
        tags,
        steps,
        new_lock: None,
    })
}

pub(super) fn plan(inner: &Inner, request: &RebaseRequest, cancel: &Cancel) -> Result<PlanReport> {
    let inner = &inner.until(cancel);
    let _lease = inner.store.lease()?;
    let (old, payload) = old(inner, &request.image)?;
    let (chain, layers) = steps::read(&old, &payload)?;
    let Rebased { steps, error, .. } = replay(inner, request, (&chain, layers), cancel, true)?;
    match error {
        Some(error) => Err(Error::Step { error, steps }),
        None => Ok(PlanReport { steps }),
    }
}

/// The image, in the store by now, and what is written down of its steps.
fn old(inner: &Inner, place: &ImagePlace) -> Result<(Image, Vec<u8>)> {
    let WithArtifact { image, payload } = match place {
        ImagePlace::Store(digest) => {
            let image = read_image(&inner.store, digest)?;
            let payload = steps::of_store(inner, image.digest)?;
            return Ok((image, payload));
        }
        ImagePlace::Path { path, tag } => {
            let image = oci(inner, path, tag.as_ref());
            let found = image.fetch_with(chain::KIND, chain::MAX_BYTES)?;
            found.ok_or_else(|| ImageError::Invalid {
                what: "docker-archive",
                rule: "it has no manifest beside which steps could be written".to_owned(),
            })?
        }
    };
    let payload = payload.ok_or(Error::NoSteps { image })?;
    Ok((read_image(&inner.store, &image)?, payload))
}

fn oci(inner: &Inner, path: &std::path::Path, tag: Option<&String>) -> Oci {
    Oci {
        store: inner.store.clone(),
        path: path.to_owned(),
        tag: tag.cloned(),
        platform: inner.platform.clone(),
    }
}

fn onto(inner: &Inner, place: &ImagePlace) -> Result<Onto> {
    match place {
        ImagePlace::Store(digest) => Ok(Onto::Stored(Box::new(read_image(&inner.store, digest)?))),
        ImagePlace::Path { path, tag } => {
            let (path, tag) = (path.clone(), tag.clone());
            let is_image = oci(inner, &path, tag.as_ref()).is_image()?;
            Ok(Onto::Source(match is_image {
                true => Source::Oci { path, tag, platform: None },
                false => Source::Rootfs { path },
            }))
        }
    }
}

fn replay(
    inner: &Inner,
    request: &RebaseRequest,
    (chain, layers): (&Chain, &[LayerDesc]),
    cancel: &Cancel,
    dry: bool,
) -> Result<Rebased> {
    let onto = onto(inner, &request.onto)?;
    let order = Rebase { chain, layers, onto, name: request.onto_name.clone() };
    let locks = Locks::new(LockFile::default(), LockMode::Use);
    let stop = cancel.child();
    let working = inner.until(&stop);
    let session = Session {
        compression: chain.compression,
        mtime: Mtime { secs: chain.mtime, nanos: 0 },
        ..session(&working, &request.secrets, &locks, stop, dry)
    };
    Ok(solve::rebase(&session, &order))
}

fn same_platform(old: &Image, state: &State) -> Result<()> {
    let (wanted, found) = (old.config.platform(), state.config.whole().platform());
    if found.matches(&wanted) {
        return Ok(());
    }
    Err(ImageError::Platform { wanted, available: vec![found.to_string()] }.into())
}

/// What a recipe says of its base is said of the new one.
fn annotations(chain: &Chain, request: &RebaseRequest) -> BTreeMap<String, String> {
    let mut annotations = chain.annotations.clone();
    annotations.remove(BASE_DIGEST);
    annotations.insert(BASE_NAME.to_owned(), request.onto_name.clone());
    annotations
}

/// The time that the image says it was made at.
fn created(old: &Image) -> Option<i64> {
    let text = old.config.created.as_deref()?;
    Some(text.parse::<jiff::Timestamp>().ok()?.as_second())
}
