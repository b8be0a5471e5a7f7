//! One build from plan to tags.

use std::sync::Arc;

use super::remember::Remembered;
use super::request::{BuildRequest, BuildResult, PlanReport};
use super::session::session;
use super::{Inner, image, resolve_image, steps, transfer};
use crate::digest::VertexId;
use crate::error::{Error, Result};
use crate::event::Event;
use crate::exec::Cancel;
use crate::image::WrittenImage;
use crate::layer::Mtime;
use crate::plan::Target;
use crate::plan::op::{Op, Source};
use crate::solve::{self, LockMode, Locks, Session, Solved, State, Value, Wrong};
use crate::source::debian::{self, LockFile};

pub(super) fn build(inner: &Inner, request: &BuildRequest, cancel: &Cancel) -> Result<BuildResult> {
    let tags: Vec<String> =
        request.tags.iter().map(|t| crate::image::normalise_tag(t)).collect::<Result<_, _>>()?;
    let target = target(request)?;
    let locks = Locks::new(request.lock.clone(), request.lock_mode);
    let inner = &inner.until(cancel);
    let _lease = inner.store.lease()?;
    let (mut solved, ended) = solve(inner, request, target, &locks, cancel, false)?;
    let written = written(inner, request, target, &mut solved);
    let kept = ended.remember(inner, request, &solved, written.as_ref().ok());
    // Why a build failed matters more than that this was not kept either.
    let written = written?;
    kept?;
    if cancel.is_canceled() {
        return Err(Error::Canceled);
    }
    image::publish(inner, &request.annotations, &written, &tags)?;
    steps::keep(inner, &written, || {
        let session = of_request(inner, request, &locks, cancel.child(), false);
        Ok(solve::steps_of(&session, &request.plan, &solved, target)?)
    });
    image::export(inner, (&request.outputs, &request.annotations), &written, &tags)?;
    if request.load {
        image::load(inner, &written, &tags)?;
    }
    transfer::push_built(inner, &written.digest, &request.push, cancel)?;
    let (lock, changed) = locks.state();
    Ok(BuildResult {
        digest: written.digest,
        config_digest: written.config_digest,
        size: written.size,
        tags,
        steps: solved.steps,
        new_lock: changed.then_some(lock),
    })
}

pub(super) fn plan(inner: &Inner, request: &BuildRequest, cancel: &Cancel) -> Result<PlanReport> {
    let target = target(request)?;
    let locks = Locks::new(request.lock.clone(), request.lock_mode);
    let inner = &inner.until(cancel);
    let _lease = inner.store.lease()?;
    let (solved, _) = solve(inner, request, target, &locks, cancel, true)?;
    match solved.error {
        Some(error) => Err(Error::Step { error, steps: solved.steps }),
        None => Ok(PlanReport { steps: solved.steps }),
    }
}

pub(super) fn lock(inner: &Inner, request: &BuildRequest, cancel: &Cancel) -> Result<LockFile> {
    let inner = &inner.until(cancel);
    let _lease = inner.store.lease()?;
    let locks = Locks::new(LockFile::default(), LockMode::Update);
    for vertex in request.plan.vertices() {
        match &vertex.op {
            Op::Source(Source::Debian(debian)) => {
                let quiet = |_: debian::Progress| {};
                let pinned = debian::resolve(debian, &inner.debian, &inner.store, &quiet)?;
                locks.put(&vertex.meta.stage, pinned);
            }
            Op::Source(Source::Image { reference, digest: None, platform }) => {
                resolve_image::lock(inner, reference, platform.as_deref(), cancel, &locks)?;
            }
            _ => {}
        }
    }
    Ok(locks.state().0)
}

fn target(request: &BuildRequest) -> Result<&Target> {
    let stages = || request.plan.targets().iter().map(|t| t.stage.clone()).collect();
    request.plan.target(request.stage.as_deref()).ok_or_else(|| Error::NoStage {
        wanted: request.stage.clone().unwrap_or_default(),
        stages: stages(),
    })
}

pub(super) fn solve(
    inner: &Inner,
    request: &BuildRequest,
    target: &Target,
    locks: &Locks,
    cancel: &Cancel,
    dry: bool,
) -> Result<(Solved, Remembered)> {
    let earlier = inner.cache.last_build(&request.recipe)?;
    let stop = cancel.child();
    let working = inner.until(&stop);
    let session =
        Session { earlier: earlier.clone(), ..of_request(&working, request, locks, stop, dry) };
    let roots: Vec<VertexId> =
        [target.vertex].into_iter().chain(target.tests.iter().map(|test| test.vertex)).collect();
    let solved = solve::solve(&session, &request.plan, &roots);
    if !dry {
        for context in session.contexts() {
            let kept = context.remember();
            // Why a step failed matters more than that this was not kept either.
            if solved.error.is_none() {
                kept?;
            }
        }
    }
    Ok((solved, Remembered { earlier }))
}

/// What the steps of a build share.
fn of_request<'a>(
    inner: &'a Inner,
    request: &'a BuildRequest,
    locks: &'a Locks,
    stop: Cancel,
    dry: bool,
) -> Session<'a> {
    let secs = request.plan.mtime.unwrap_or(Mtime::CONSTANT.secs);
    Session {
        compression: request.compression,
        mtime: Mtime { secs, nanos: 0 },
        no_cache: &request.no_cache,
        retest: request.retest,
        paranoid: request.paranoid,
        run_ahead: request.run_ahead,
        agents: &request.ssh,
        allow_insecure: request.allow_insecure,
        pull: request.pull,
        ..session(inner, &request.secrets, locks, stop, dry)
    }
}

/// The image of what was built, if all is well.
fn written(
    inner: &Inner,
    request: &BuildRequest,
    target: &Target,
    solved: &mut Solved,
) -> Result<WrittenImage> {
    if let Some(error) = solved.error.take() {
        return Err(Error::Step { error, steps: std::mem::take(&mut solved.steps) });
    }
    reuse_is_right(inner, solved)?;
    let state = state_of(solved, target)?;
    image::write(inner, target.annotations.clone(), request.created, state)
}

/// What `paranoid` found. Of a step that differs from itself nothing is known.
fn reuse_is_right(inner: &Inner, solved: &Solved) -> Result<()> {
    let (unknown, found): (Vec<_>, Vec<_>) =
        solved.wrong.iter().cloned().partition(|wrong| wrong.differs_from_itself);
    for Wrong { step, paths, .. } in unknown {
        let what = paths.join(", ");
        let message = format!(
            "`{step}` does not make the same twice, so its reuse cannot be checked: {what}"
        );
        inner.sink.event(Event::Warning { vertex: None, message });
    }
    if found.is_empty() { Ok(()) } else { Err(Error::WrongReuse { found }) }
}

fn state_of<'a>(solved: &'a Solved, target: &Target) -> Result<&'a State> {
    match solved.values.get(&target.vertex).map(Arc::as_ref) {
        Some(Value::State(state)) => Ok(state),
        _ => Err(Error::NotAnImage { stage: target.stage.clone() }),
    }
}
