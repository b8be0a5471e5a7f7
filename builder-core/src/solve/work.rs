//! A process is run, and what it makes and sees is kept.

use std::io::{self, Read};
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use super::decide::Miss;
use super::error::StepCause;
use super::mounts::{Held, mounts};
use super::observed;
use super::prepared::Prepared;
use super::report::Wrong;
use super::session::{Session, now};
use super::step::Step;
use super::value::{State, Value};
use super::{chain, secrets};
use crate::cache::{Observed, Outcome, Record};
use crate::cancel::Cancel;
use crate::digest::CacheKey;
use crate::event::{Event, Stream};
use crate::exec::{self, Job, JobSink, Keep, Process, Stdio};
use crate::layer::{Change, Entry, LayerError, LayerWriter, Mtime};
use crate::plan::op::{Exec, ExecKind};
use crate::view::observe::{Pathset, Recorder};

/// Times of files come from a clock that ticks more slowly than ours.
const CLOCK_LAG: Duration = Duration::from_millis(50);

/// How often it is looked whether trials have ended.
const PAUSE: Duration = Duration::from_millis(10);

/// A process that is to run.
pub(super) struct Work<'a> {
    pub(super) exec: &'a Exec,
    pub(super) inputs: &'a [Arc<Value>],
    pub(super) state: &'a State,
    pub(super) prepared: &'a Prepared<'a>,
    /// Where what it looks at is to be recorded.
    pub(super) process: Option<observed::Process>,
}

/// What a run made, and what it asked, where that is known.
pub(super) struct Made {
    outcome: Outcome,
    ran_at: i64,
    pub(super) took: Duration,
    pathset: Option<Pathset>,
}

impl Work<'_> {
    /// Runs it and keeps what it made.
    pub(super) fn execute(
        &self,
        step: &mut Step<'_>,
        key: CacheKey,
        miss: &Miss,
    ) -> Result<Record, StepCause> {
        let made = self.run_undisturbed(step)?;
        if let Miss::Checked(standing) = miss {
            self.compare(step, standing, &made)?;
        }
        let (record, _) = self.keep(step.session, key, &made)?;
        step.keep(key, &self.prepared.parts, &record)?;
        Ok(record)
    }

    /// Keeps what it made and saw; the record that says so is the caller's to save.
    pub(super) fn keep(
        &self,
        session: &Session<'_>,
        key: CacheKey,
        made: &Made,
    ) -> Result<(Record, Option<Observed>), StepCause> {
        let duration_ms = u64::try_from(made.took.as_millis()).unwrap_or(u64::MAX);
        let record = Record::new(made.outcome, made.ran_at, duration_ms);
        let (Some(process), Some(pathset)) = (&self.process, &made.pathset) else {
            return Ok((record, None));
        };
        let root = (self.prepared.layers.clone(), self.state.marks.to_vec());
        let saved = process.save(session, pathset, (key, record.clone()), root)?;
        let record = saved.as_ref().map_or(record, |observed| observed.record_of(process.weak));
        Ok((record, saved))
    }

    /// Runs it, and once more, alone, if it failed beside a step that was run ahead
    /// of its turn: the two were never meant to meet.
    fn run_undisturbed(&self, step: &mut Step<'_>) -> Result<Made, StepCause> {
        let session = step.session;
        let quiet = session.shared.trials.quiet();
        let made = self.run_step(step);
        let disturbed = quiet.is_none() || session.shared.trials.quiet() != quiet;
        if !matches!(made, Err(StepCause::Exit(_))) || !disturbed {
            return made;
        }
        session.trials_stop().cancel();
        while session.shared.trials.quiet().is_none() {
            if session.stop.wait(PAUSE) {
                return made;
            }
        }
        let message = "it failed while a later step ran ahead; it runs once more, alone".to_owned();
        session.sink.event(Event::Warning { vertex: Some(step.vertex.id), message });
        drop(step.output.finish());
        self.run_step(step)
    }

    /// Runs it once, as a step whose output is shown.
    fn run_step(&self, step: &mut Step<'_>) -> Result<Made, StepCause> {
        let session = step.session;
        let vertex = step.vertex.id;
        let mut show = |stream, bytes: &[u8]| {
            step.output.push(bytes);
            session.sink.event(Event::Output { vertex, stream, bytes: bytes.to_vec() });
        };
        let watched = self.process.as_ref();
        let recorder = watched.map(|_| Arc::new(Recorder::blind_to(session.blind)));
        self.run(session, &mut show, &session.stop, recorder)
    }

    /// Runs it once, until `stop`. What it looks at goes to `recorder`.
    pub(super) fn run(
        &self,
        session: &Session<'_>,
        show: &mut dyn FnMut(Stream, &[u8]),
        stop: &Cancel,
        recorder: Option<Arc<Recorder>>,
    ) -> Result<Made, StepCause> {
        let Self { exec, inputs, state, prepared, process: _ } = self;
        let work = session.store.work_dir()?;
        let store = session.store.until(stop);
        let mut held = Held { caches: Vec::new(), agents: Vec::new(), home: work.path() };
        let mounts = mounts((session, &store), exec, inputs, prepared, &mut held)?;
        let keep = if exec.kind == ExecKind::Test { Keep::Discard } else { Keep::Capture };
        let upper = work.path().join("root");
        let failed = |source| StepCause::Io { path: upper.clone(), source };
        std::fs::create_dir(&upper).map_err(failed)?;
        let job = Job {
            root: Arc::clone(&state.view),
            work: upper.clone(),
            process: process(session, exec, prepared),
            mounts,
            keep,
            recorder: recorder.clone(),
        };
        let (ran_at, began) = (now(), Instant::now());
        let mut sink =
            Capture { session, show, layer: None, error: None, since: since(), until: None };
        let ended = session.executor.run(job, &mut sink, stop);
        let Capture { layer, error, .. } = sink;
        context_is_unchanged(session)?;
        if let Some(error) = error {
            return Err(error.into());
        }
        let exit = ended?;
        if !exit.success() {
            return Err(StepCause::Exit(exit.status));
        }
        let outcome = match layer {
            Some(writer) => {
                let desc = writer.finish()?;
                session.cache.add_layer(&desc)?;
                Outcome::Layer(desc.diff_id)
            }
            None => Outcome::Nothing,
        };
        // What could not be recorded has its key only.
        let pathset = recorder.and_then(|recorder| recorder.take().ok());
        Ok(Made { outcome, ran_at, took: began.elapsed(), pathset })
    }

    /// Compares what was made with what would have stood for it. A command that
    /// differs from itself is told apart by running it once more.
    fn compare(
        &self,
        step: &mut Step<'_>,
        standing: &Record,
        made: &Made,
    ) -> Result<(), StepCause> {
        if standing.outcome == made.outcome {
            return Ok(());
        }
        let again = self.run_step(step)?;
        let session = step.session;
        let name = step.vertex.meta.name.clone();
        let differs_from_itself = again.outcome != made.outcome;
        let paths = session.differing(standing.outcome, made.outcome)?;
        session.note_wrong(Wrong { step: name, paths, differs_from_itself });
        Ok(())
    }
}

/// A file that was served to a step was found to differ from what the key
/// says: nothing that the step made may be kept.
fn context_is_unchanged(session: &Session<'_>) -> Result<(), StepCause> {
    let changed = session.contexts().iter().find_map(|context| context.violation());
    changed.map_or(Ok(()), |path| Err(StepCause::ContextChanged { path: path.display() }))
}

fn process(session: &Session<'_>, exec: &Exec, prepared: &Prepared<'_>) -> Process {
    let mut env = super::with_proxies(prepared.env.clone(), session.proxy_env);
    env.extend(secrets::variables(exec, session.secrets));
    Process {
        argv: exec.command.argv(),
        env,
        cwd: prepared.cwd.clone(),
        uid: prepared.user.uid,
        gid: prepared.user.gid,
        groups: prepared.user.groups.clone(),
        network: exec.network,
        security: exec.security,
        hosts: exec.hosts.clone(),
        shm_size: exec.shm_size,
        ulimits: exec.ulimits.clone(),
        timeout: exec.timeout,
        hostname: exec.hostname.clone().unwrap_or_else(|| exec::HOSTNAME.to_owned()),
        stdio: Stdio::Piped,
        needs_ids: exec.kind == ExecKind::Packages,
    }
}

/// Takes what a job gives: output to the sink, entries into a layer.
struct Capture<'a> {
    session: &'a Session<'a>,
    show: &'a mut dyn FnMut(Stream, &[u8]),
    layer: Option<LayerWriter>,
    error: Option<LayerError>,
    /// A time from this on was not set on purpose,
    since: Mtime,
    /// but for one that was still to come when the process had ended.
    until: Option<Mtime>,
}

impl Capture<'_> {
    fn append(&mut self, entry: &Entry, content: Option<&mut dyn Read>) -> Result<(), LayerError> {
        let session = self.session;
        let writer = match &mut self.layer {
            Some(writer) => writer,
            None => self.layer.insert(LayerWriter::new(session.store, session.compression)?),
        };
        writer.append(entry, content)
    }
}

impl JobSink for Capture<'_> {
    fn output(&mut self, stream: Stream, bytes: &[u8]) {
        (self.show)(stream, bytes);
    }

    fn captured(&mut self, entry: &Entry, content: Option<&mut dyn Read>) -> io::Result<()> {
        let until = *self.until.get_or_insert_with(|| mtime(SystemTime::now() + CLOCK_LAG));
        // The root itself is no change: its mode and owner are the view's.
        if entry.path.is_root() {
            return Ok(());
        }
        let entry = settled(entry, &(self.since..=until), self.session.mtime);
        self.append(&entry, content).map_err(|error| {
            let told = io::Error::other(chain(&error));
            self.error = Some(error);
            told
        })
    }
}

/// Now, less what the kernel's coarse clock may lag behind.
fn since() -> Mtime {
    mtime(SystemTime::now() - CLOCK_LAG)
}

fn mtime(time: SystemTime) -> Mtime {
    let time = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    Mtime { secs: i64::try_from(time.as_secs()).unwrap_or(i64::MAX), nanos: time.subsec_nanos() }
}

/// The entry with the time that it has in the layer: one that is not of the run
/// was set on purpose (by dpkg, by tar) and stays, all else gets the constant.
fn settled(entry: &Entry, run: &RangeInclusive<Mtime>, constant: Mtime) -> Entry {
    let mut entry = entry.clone();
    if let Change::Present { meta, kind } = &mut entry.change
        && (kind.is_dir() || run.contains(&meta.mtime))
    {
        meta.mtime = constant;
    }
    entry
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layer::{Kind, LayerPath, Meta};

    #[test]
    fn times_of_the_run_and_of_directories_become_the_constant() {
        let at = |secs| Mtime { secs, nanos: 0 };
        let fifo = || Kind::Fifo;
        let table = [
            (fifo(), 99, 99),
            (fifo(), 100, 7),
            (fifo(), 200, 7),
            (fifo(), 201, 201),
            (Kind::Directory, 99, 7),
            (Kind::Directory, 201, 7),
        ];
        for (kind, found, wanted) in table {
            let meta = Meta { mtime: at(found), ..Meta::root_owned(0o755) };
            let path = LayerPath::new("x").expect("a plain name");
            let entry = Entry { path, change: Change::Present { meta, kind } };
            let run = at(100)..=at(200);
            let Change::Present { meta, kind } = settled(&entry, &run, at(7)).change else {
                panic!("it stays what it is");
            };
            assert_eq!(meta.mtime, at(wanted), "{kind:?} of {found}");
        }
    }
}
