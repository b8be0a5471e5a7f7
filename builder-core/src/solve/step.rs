//! One vertex at work: whether it must run, and what is noted of it.
//!
//! In: a vertex and the session that it is in. Out: a decision, and, once it has
//! ended, a report, a record and events. What the work itself is the `run_*`
//! modules know.

use std::time::{Duration, Instant};

use super::because::Because;
use super::decide::{Decision, Miss, Policy, decide};
use super::error::StepCause;
use super::is_reported;
use super::observed::{Process, Sight};
use super::output::Output;
use super::reason::{Gone, hangs_on, made_alike, stands, unseen};
use super::report::{Detail, StepReport, StepStatus};
use super::run_ahead::Landed;
use super::session::{Names, Session, lock, now};
use crate::cache::{Ended, Outcome, PastStep, Record, Saw, StepRecord, Work};
use crate::digest::{CacheKey, ChainId, DiffId};
use crate::event::{Event, Status, Trial, Unit};
use crate::plan::Vertex;
use crate::plan::key::Parts;
use crate::plan::op::{ExecKind, Op};
use crate::view::observe::Difference;

/// One vertex at work.
pub(super) struct Step<'s> {
    pub session: &'s Session<'s>,
    pub vertex: &'s Vertex,
    position: usize,
    names: &'s Names,
    pub output: Output,
    /// Why it runs, where that is known better than its records tell.
    pub told: Option<(String, Vec<Difference>)>,
    done: Option<Done>,
    /// Where its key stands among those of this build.
    noted: Option<usize>,
    /// The layers of its root, for a process.
    on: Option<ChainId>,
    /// A plan only: what its inputs hang on.
    supposes: Vec<String>,
    /// A plan only: what hangs on it, hangs on what it makes.
    runs: bool,
}

/// What will be reported of a step.
struct Done {
    status: StepStatus,
    reason: String,
    layer: Option<DiffId>,
    saw: Option<Saw>,
    because: Vec<Difference>,
    detail: Option<Detail>,
    /// How long its trial took, if that is what it has its result of.
    ahead: Option<Duration>,
    /// When the run behind its result began.
    ran_at: Option<i64>,
}

impl Done {
    fn new(status: StepStatus, reason: String) -> Self {
        let (layer, saw, because, detail) = (None, None, Vec::new(), None);
        Self { status, reason, layer, saw, because, detail, ahead: None, ran_at: None }
    }
}

impl Session<'_> {
    pub(super) fn step<'s>(
        &'s self,
        vertex: &'s Vertex,
        position: usize,
        names: &'s Names,
    ) -> Step<'s> {
        let output = Output::default();
        let supposes = self.shared.supposed.below(vertex);
        let (done, noted, on, told, runs) = (None, None, None, None, false);
        Step {
            session: self,
            vertex,
            position,
            names,
            output,
            told,
            done,
            noted,
            on,
            supposes,
            runs,
        }
    }
}

impl Step<'_> {
    /// Decides whether `record` stands for `key`. Tells the sink if the step will run.
    pub(super) fn decide(
        &mut self,
        key: CacheKey,
        record: Option<Record>,
        parts: &Parts,
        origins: &[String],
    ) -> Result<Decision, StepCause> {
        self.decide_seeing(key, record, (parts, origins), None)
    }

    /// As [`Self::decide`] for a process: where no record of `key` stands, what
    /// is known of executions that saw the same (`sight`) decides.
    pub(super) fn decide_seeing(
        &mut self,
        key: CacheKey,
        record: Option<Record>,
        (parts, origins): (&Parts, &[String]),
        sight: Option<(&Process, &Sight)>,
    ) -> Result<Decision, StepCause> {
        let session = self.session;
        let seen = match sight {
            Some((process, Sight::Same(observed))) => Some(observed.record_of(process.weak)),
            _ => None,
        };
        let reused = record.is_none() && seen.is_some();
        let decision = decide(record.or(seen), self.policy());
        match &decision {
            Decision::Hit(record) => {
                let (status, reason) = match (reused, session.is_made(key)) {
                    (true, _) => (StepStatus::Reused, self.reused(record, parts, origins)?),
                    (false, true) => (StepStatus::Cached, made_alike()),
                    (false, false) => (StepStatus::Cached, stands()),
                };
                let (saw, ran_at) = (record.saw.clone(), Some(record.ran_at));
                self.done = Some(Done { saw, ran_at, ..Done::new(status, reason) });
                self.made(record.outcome);
                if reused && !session.dry {
                    session.cache.save_reused(key, parts, record)?;
                }
            }
            // What the first of equal steps will make stands for the others.
            Decision::Run(Miss::NoRecord | Miss::TooOld { .. })
                if session.dry && session.is_made(key) =>
            {
                self.done = Some(Done::new(StepStatus::Cached, made_alike()));
            }
            Decision::Run(miss) => {
                lock(&session.shared.made).insert(key);
                let Because { reason, differences, detail } = match self.told.take() {
                    Some((reason, differences)) => Because { reason, differences, detail: None },
                    None => self.because(miss, key, (parts, origins), sight)?,
                };
                if !session.dry {
                    session.cache.save_parts(key, parts)?;
                    let vertex = self.vertex.id;
                    session.executes(vertex);
                    session.sink.event(Event::Started { vertex, reason: reason.clone() });
                }
                let told = Done::new(StepStatus::Ran, reason);
                self.done = Some(Done { because: differences, detail, ..told });
            }
        }
        self.note(key);
        Ok(decision)
    }

    pub(super) fn policy(&self) -> Policy {
        let session = self.session;
        Policy {
            forbidden: session.forbids(self.vertex),
            retest: session.retest && self.is_test(),
            paranoid: session.paranoid && matches!(self.vertex.op, Op::Exec(_)),
            max_age: self.vertex.meta.max_age,
            now: now(),
        }
    }

    /// Why a result stands although the input is another.
    fn reused(
        &self,
        record: &Record,
        parts: &Parts,
        origins: &[String],
    ) -> Result<String, StepCause> {
        let then = match &record.saw {
            Some(saw) => self.session.cache.parts(saw.execution)?,
            None => None,
        };
        Ok(unseen(parts, then.as_ref(), origins))
    }

    fn is_test(&self) -> bool {
        matches!(&self.vertex.op, Op::Exec(exec) if exec.kind == ExecKind::Test)
    }

    /// What became of an earlier result of this very key.
    pub(super) fn gone(&self, key: CacheKey) -> Result<Option<Gone>, StepCause> {
        if self.session.cache.was_removed(key)? {
            return Ok(Some(Gone::Removed));
        }
        let failed = self.earlier().is_some_and(|step| step.key == key && step.failed);
        Ok(failed.then_some(Gone::Failed))
    }

    /// This step in the build before.
    pub(super) fn earlier(&self) -> Option<&StepRecord> {
        self.session.counterpart(&self.vertex.meta, self.position, self.names)
    }

    fn note(&mut self, key: CacheKey) {
        let meta = &self.vertex.meta;
        let mut steps = lock(&self.session.shared.steps);
        self.noted = Some(steps.len());
        let record = StepRecord {
            stage: meta.stage.clone(),
            name: meta.name.clone(),
            position: self.position,
            key,
            saw: self.done.as_ref().and_then(|done| done.saw.clone()),
            // Until it has ended well.
            failed: self.done.as_ref().is_some_and(|done| done.status == StepStatus::Ran),
        };
        steps.push((self.vertex.id, record));
    }

    /// Notes what a process stands on, the lowest layer first.
    pub(super) fn stands_on(&mut self, layers: &[DiffId]) {
        self.on = ChainId::of(layers);
    }

    /// The execution of the earlier build whose result this step had then.
    pub(super) fn earlier_execution(&self) -> Option<CacheKey> {
        self.earlier().map(|step| step.saw.as_ref().map_or(step.key, |saw| saw.execution))
    }

    /// A result that was found elsewhere than in the cache stands.
    pub(super) fn stood(&mut self, status: StepStatus, why: String, outcome: Outcome) {
        self.done = Some(Done::new(status, why));
        self.made(outcome);
    }

    /// A plan only: this step waits for another one.
    pub(super) fn waits_for(&mut self, step: &str) {
        let reason = format!("`{step}` runs before it; the result stands if that makes the same");
        self.done = Some(Done::new(StepStatus::Waits, reason));
    }

    /// A plan only: this step would run, and make what it made before.
    pub(super) fn supposed_to_run(&mut self) {
        self.runs = true;
    }

    /// Keeps what a run made.
    pub(super) fn save(
        &mut self,
        key: CacheKey,
        parts: &Parts,
        outcome: Outcome,
        ran_at: i64,
        took: Duration,
    ) -> Result<(), StepCause> {
        let duration_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        self.keep(key, parts, &Record::new(outcome, ran_at, duration_ms))
    }

    /// As [`Self::save`], with all that is known of the run.
    pub(super) fn keep(
        &mut self,
        key: CacheKey,
        parts: &Parts,
        record: &Record,
    ) -> Result<(), StepCause> {
        self.session.cache.save(key, parts, record)?;
        self.made(record.outcome);
        let saw = record.saw.clone();
        if let Some(done) = &mut self.done {
            done.saw.clone_from(&saw);
            done.ran_at = Some(record.ran_at);
        }
        if let Some(noted) = self.noted {
            lock(&self.session.shared.steps)[noted].1.saw = saw;
        }
        Ok(())
    }

    /// Takes what a trial of the step made for what it makes.
    pub(super) fn adopt(
        &mut self,
        key: CacheKey,
        parts: &Parts,
        process: &Process,
        landed: Landed,
    ) -> Result<Record, StepCause> {
        let (session, vertex) = (self.session, self.vertex.id);
        session.sink.event(Event::Ahead { vertex, trial: Trial::Taken });
        landed.output.replay(&mut |stream, bytes| {
            self.output.push(bytes);
            session.sink.event(Event::Output { vertex, stream, bytes: bytes.to_vec() });
        });
        let record = landed.observed.record_of(process.weak);
        self.keep(key, parts, &record)?;
        if let Some(done) = &mut self.done {
            done.ahead = Some(landed.took);
        }
        Ok(record)
    }

    /// Notes what the step made, for its report.
    pub(super) fn made(&mut self, outcome: Outcome) {
        if let Some(done) = &mut self.done {
            done.layer = layer_of(outcome);
        }
    }

    pub(super) fn progress(&self, what: &str, done: u64, total: Option<u64>, unit: Unit) {
        let vertex = self.vertex.id;
        self.session.sink.event(Event::Progress {
            vertex,
            what: what.to_owned(),
            done,
            total,
            unit,
        });
    }

    pub(super) fn finish(self, began: Instant) {
        let id = self.vertex.id;
        lock(&self.session.shared.executing).remove(&id);
        self.remember_end(began);
        let supposes = self.supposes;
        let mut hang = supposes.clone();
        hang.extend(self.runs.then(|| self.vertex.meta.name.clone()));
        self.session.shared.supposed.note(id, hang);
        let Some(Done { status, reason, layer, saw, because, detail, ahead, ran_at: _ }) =
            self.done
        else {
            return;
        };
        if !is_reported(&self.vertex.op) {
            return;
        }
        let stands = matches!(status, StepStatus::Cached | StepStatus::Reused);
        let (status, reason) = match stands && !supposes.is_empty() {
            true => (StepStatus::Waits, hangs_on(&supposes, saw.is_some())),
            false => (status, reason),
        };
        let duration = ahead.unwrap_or_else(|| began.elapsed());
        let told = match status {
            StepStatus::Cached => Status::Cached,
            StepStatus::Reused => Status::Reused,
            StepStatus::Ran | StepStatus::Waits => Status::Ran,
        };
        if !self.session.dry {
            let reason = reason.clone();
            let event = Event::Finished { vertex: id, status: told, reason, duration, layer };
            self.session.sink.event(event);
        }
        let meta = &self.vertex.meta;
        let (name, stage) = (meta.name.clone(), meta.stage.clone());
        let report = StepReport {
            id,
            name,
            stage,
            status,
            reason,
            duration,
            layer,
            saw,
            because,
            ahead: ahead.is_some(),
            detail,
            supposes,
        };
        lock(&self.session.shared.reports).push(report);
    }

    fn remember_end(&self, began: Instant) {
        match self.done.as_ref().map(|done| done.status) {
            None | Some(StepStatus::Waits) => {}
            Some(StepStatus::Cached) => self.remember(Ended::Cached, began),
            Some(StepStatus::Reused) => self.remember(Ended::Reused, began),
            Some(StepStatus::Ran) => self.remember(Ended::Ran, began),
        }
    }

    /// It ended in an error, or was stopped.
    pub(super) fn failed(&self, began: Instant) {
        let stopped = self.session.stop.is_canceled();
        self.remember(if stopped { Ended::Stopped } else { Ended::Failed }, began);
    }

    /// Notes what became of it, where that was decided by its key.
    fn remember(&self, ended: Ended, began: Instant) {
        let (Some(noted), Some(done)) = (self.noted, &self.done) else { return };
        let mut steps = lock(&self.session.shared.steps);
        let StepRecord { stage, name, position, key, saw, failed } = &mut steps[noted].1;
        *failed = matches!(ended, Ended::Failed | Ended::Stopped);
        let took = done.ahead.unwrap_or_else(|| began.elapsed());
        let mut past = PastStep {
            stage: stage.clone(),
            name: name.clone(),
            position: *position,
            work: work(&self.vertex.op),
            key: *key,
            ended,
            reason: done.reason.clone(),
            causes: Vec::new(),
            causes_in_all: 0,
            ran_at: done.ran_at,
            duration_ms: u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
            layer: done.layer,
            on: self.on,
            saw: saw.clone(),
        };
        past.because(&done.because);
        lock(&self.session.shared.past).push((self.vertex.id, past));
    }
}

fn work(op: &Op) -> Work {
    match op {
        Op::Exec(exec) if exec.kind == ExecKind::Test => Work::Test,
        Op::Exec(_) => Work::Process,
        Op::File(_) | Op::Config(_) => Work::Files,
        Op::Source(_) => Work::Source,
    }
}

fn layer_of(outcome: Outcome) -> Option<DiffId> {
    match outcome {
        Outcome::Layer(diff_id) => Some(diff_id),
        Outcome::Nothing => None,
    }
}
