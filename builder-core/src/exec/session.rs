//! One runner from its start to its end.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::pipe::{PipeFlags, pipe_with};

use super::explain::explain;
use super::job::Plan;
use super::program::sealed;
use super::spec::{Fault, MARKER, Order, Report, VERSION};
use super::unpack::{Sent, send_tree};
use super::wire::{Frame, Incoming, Wire};
use super::{Cancel, ExecError, Exit, ExitStatus, IdMap, JobSink, Stdio, ids};
use crate::event::Stream;
use crate::layer::{Change, Entry, Kind};
use crate::root::served::{Watch, serve};

/// How long a program may take to say that it is a runner, and a runner to end
/// once it is told to.
const PATIENCE: Duration = Duration::from_secs(20);

/// A runner that was executed. Dropping it ends the runner and waits for that.
pub(super) struct Session<'a> {
    program: PathBuf,
    ids: &'a IdMap,
    child: Child,
    wire: Option<Wire>,
}

/// What is known of a step so far.
#[derive(Default)]
struct State {
    hello: bool,
    started: Option<Instant>,
    ended: Option<(ExitStatus, Duration)>,
    fault: Option<Fault>,
    error: Option<ExecError>,
    killed: bool,
    timed_out: bool,
    done: bool,
    /// The runner itself is killed then.
    limit: Option<Instant>,
}

/// The read ends of the process's streams.
struct Pipes {
    open: Vec<(Stream, File)>,
}

impl<'a> Session<'a> {
    /// Executes the runner.
    pub(super) fn start(program: &Path, ids: &'a IdMap) -> Result<Self, ExecError> {
        let fail = |source| ExecError::Runner {
            path: program.to_owned(),
            action: "cannot be executed".to_owned(),
            source,
        };
        let (ours, theirs) = UnixStream::pair().map_err(fail)?;
        let child = Command::new(sealed(program).map_err(fail)?)
            .arg(MARKER)
            .env_clear()
            .stdin(OwnedFd::from(theirs))
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::null())
            .spawn()
            .map_err(fail)?;
        let wire = Some(Wire::new(ours.into()));
        Ok(Self { program: program.to_owned(), ids, child, wire })
    }

    /// Gives the order and follows it to its end.
    pub(super) fn run(
        mut self,
        order: &Order,
        plan: Plan,
        sink: &mut dyn JobSink,
        cancel: &Cancel,
    ) -> Result<Exit, ExecError> {
        let wire = self.wire.take().expect("taken here only");
        let (mut pipes, theirs) = streams(plan.stdio).map_err(|error| self.broken(error))?;
        let fds: Vec<BorrowedFd<'_>> = theirs.iter().map(AsFd::as_fd).collect();
        let given = wire.send(order, &fds);
        drop(fds);
        drop(theirs);
        let mut state = State { limit: Some(Instant::now() + PATIENCE), ..State::default() };
        match given {
            // The order never left.
            Err(error) if is_unsendable(&error) => return Err(self.broken(error)),
            // A program that is no runner may have ended already: its silence says so.
            Err(_) => {}
            Ok(()) => self
                .follow(&wire, &plan, &mut pipes, &mut state, sink, cancel)
                .map_err(|error| self.broken(error))?,
        }
        drop(wire);
        let _ = self.child.wait();
        self.outcome(state, cancel)
    }

    fn broken(&self, source: io::Error) -> ExecError {
        let path = self.program.clone();
        ExecError::Runner { path, action: "talking to it failed".to_owned(), source }
    }

    /// Takes reports and output until the runner is done or gone.
    fn follow(
        &mut self,
        wire: &Wire,
        plan: &Plan,
        pipes: &mut Pipes,
        state: &mut State,
        sink: &mut dyn JobSink,
        cancel: &Cancel,
    ) -> io::Result<()> {
        while !state.done {
            let deadline = state.deadline(plan.timeout);
            let ready = ready(wire, pipes, (!state.killed).then_some(cancel), deadline)?;
            for stream in ready.output {
                pipes.pass(stream, sink)?;
            }
            if ready.canceled {
                state.kill(wire);
            }
            if deadline.is_some_and(|at| Instant::now() >= at) {
                if state.killed || !state.hello {
                    // It does not listen. All of the step ends with it.
                    let _ = self.child.kill();
                    return Ok(());
                }
                state.timed_out = true;
                state.kill(wire);
            }
            if ready.report {
                match wire.recv::<Report>()? {
                    Some(Frame::Message(report, fds)) => {
                        self.take(report, fds, wire, plan, pipes, state, sink, cancel)?;
                    }
                    // Of an entry that was refused.
                    Some(Frame::Content(_)) => {}
                    None => return Ok(()),
                }
            }
        }
        Ok(())
    }

    #[expect(clippy::too_many_arguments, reason = "the parts of one loop")]
    fn take(
        &self,
        report: Report,
        fds: Vec<OwnedFd>,
        wire: &Wire,
        plan: &Plan,
        pipes: &mut Pipes,
        state: &mut State,
        sink: &mut dyn JobSink,
        cancel: &Cancel,
    ) -> io::Result<()> {
        match report {
            Report::Hello { version } if version == VERSION => {
                state.hello = true;
                state.limit = None;
            }
            Report::Hello { .. } => {
                state.fail(wire, self.broken(io::ErrorKind::Unsupported.into()));
            }
            // It is told to end.
            Report::WriteIds if state.killed => {}
            Report::WriteIds => match self.ids.write(self.child.id()) {
                Ok(()) => wire.send(&Order::IdsWritten, &[])?,
                Err(error) => state.fail(wire, error),
            },
            Report::Fuse { index } => {
                let (Some((number, tree)), Some(fd)) = (plan.tree(index), fds.into_iter().next())
                else {
                    return Err(io::ErrorKind::InvalidData.into());
                };
                let watch = plan.recorder.clone().map(|recorder| Watch::new(recorder, number));
                if let Err(source) = serve(tree.clone(), fd, plan.failure.clone(), watch) {
                    state.fail(wire, ExecError::Fuse { source });
                }
            }
            Report::Tree { index } => {
                let (_, tree) = plan.tree(index).ok_or(io::ErrorKind::InvalidData)?;
                if let Some(recorder) = &plan.recorder {
                    recorder.void("its root was written out, not served");
                }
                match send_tree(wire, tree.as_ref(), self.ids, cancel) {
                    Ok(Sent::All) => {}
                    Ok(Sent::Canceled) => state.kill(wire),
                    Err(error) => state.fail(wire, error),
                }
            }
            Report::Terminal => {
                let terminal = fds.into_iter().next().ok_or(io::ErrorKind::InvalidData)?;
                sink.terminal(terminal);
            }
            Report::Started => state.started = Some(Instant::now()),
            Report::Ended { code, signal } => {
                pipes.drain(sink)?;
                let status = match (code, signal) {
                    (Some(code), _) => ExitStatus::Code(code),
                    (None, signal) => ExitStatus::Signal(signal.unwrap_or_default()),
                };
                let duration = state.started.map_or(Duration::ZERO, |at| at.elapsed());
                state.ended = Some((status, duration));
            }
            Report::Entry(entry) => {
                let entry = Entry::try_from(entry)
                    .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
                if let Err(error) = pass_entry(wire, &entry, state, sink)? {
                    state.fail(wire, ExecError::Sink(error));
                }
            }
            Report::Fault(fault) => drop(state.fault.get_or_insert(fault)),
            Report::Done => state.done = true,
        }
        Ok(())
    }

    /// The result, after the runner has ended.
    fn outcome(&self, state: State, cancel: &Cancel) -> Result<Exit, ExecError> {
        let State { hello, started, ended, fault, error, killed, timed_out, done, .. } = state;
        if let Some(error) = error {
            return Err(error);
        }
        if timed_out {
            let duration = started.map_or(Duration::ZERO, |at| at.elapsed());
            return Ok(Exit { status: ExitStatus::TimedOut, duration });
        }
        if killed && cancel.is_canceled() {
            return Err(ExecError::Canceled);
        }
        if let Some(fault) = fault {
            return Err(explain(&fault, self.ids, ids::restriction));
        }
        if !hello {
            return Err(ExecError::NoRunner { path: self.program.clone() });
        }
        if !done {
            return Err(self.broken(io::ErrorKind::UnexpectedEof.into()));
        }
        let (status, duration) = ended.unwrap_or((ExitStatus::Code(0), Duration::ZERO));
        Ok(Exit { status, duration })
    }
}

/// Whether a message could not be put into words, or was too long.
fn is_unsendable(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput)
}

impl Drop for Session<'_> {
    fn drop(&mut self) {
        self.wire = None;
        let _ = self.child.wait();
    }
}

impl State {
    /// When something has to be done though nothing is heard.
    fn deadline(&self, timeout: Option<Duration>) -> Option<Instant> {
        if self.killed || self.ended.is_some() {
            return self.limit;
        }
        let step = self.started.zip(timeout).and_then(|(at, timeout)| at.checked_add(timeout));
        self.limit.or(step)
    }

    /// Has the runner end the step; it still cleans up.
    fn kill(&mut self, wire: &Wire) {
        if !self.killed {
            self.killed = true;
            self.limit = Some(Instant::now() + PATIENCE);
            let _ = wire.send(&Order::Kill, &[]);
        }
    }

    fn fail(&mut self, wire: &Wire, error: ExecError) {
        self.error.get_or_insert(error);
        self.kill(wire);
    }
}

/// What a wait found.
struct Ready {
    report: bool,
    output: Vec<Stream>,
    canceled: bool,
}

/// Waits until there is something, or `deadline`.
fn ready(
    wire: &Wire,
    pipes: &Pipes,
    cancel: Option<&Cancel>,
    deadline: Option<Instant>,
) -> io::Result<Ready> {
    let mut fds = vec![PollFd::new(wire, PollFlags::IN)];
    fds.extend(pipes.open.iter().map(|(_, file)| PollFd::new(file, PollFlags::IN)));
    fds.extend(cancel.map(|cancel| PollFd::new(cancel, PollFlags::IN)));
    let timeout = deadline.map(|at| {
        let left = at.saturating_duration_since(Instant::now());
        Timespec { tv_sec: left.as_secs().cast_signed(), tv_nsec: left.subsec_nanos().into() }
    });
    match poll(&mut fds, timeout.as_ref()) {
        Ok(_) | Err(rustix::io::Errno::INTR) => {}
        Err(error) => return Err(error.into()),
    }
    let is_ready = |at: usize| !fds[at].revents().is_empty();
    let output = pipes.open.iter().enumerate().filter(|(at, _)| is_ready(at + 1));
    Ok(Ready {
        report: is_ready(0),
        output: output.map(|(_, (stream, _))| *stream).collect(),
        canceled: cancel.is_some() && is_ready(fds.len() - 1),
    })
}

/// Gives an entry to the sink, with its content; the inner error is the sink's.
fn pass_entry(
    wire: &Wire,
    entry: &Entry,
    state: &mut State,
    sink: &mut dyn JobSink,
) -> io::Result<io::Result<()>> {
    let size = match &entry.change {
        Change::Present { kind: Kind::File { size, .. }, .. } => Some(*size),
        _ => None,
    };
    let mut fault = None;
    let next = || match wire.recv::<Report>()? {
        Some(Frame::Content(part)) => Ok(part),
        Some(Frame::Message(Report::Fault(found), _)) => {
            let error = found.error();
            fault = Some(found);
            Err(error)
        }
        None => Err(io::ErrorKind::UnexpectedEof.into()),
        Some(_) => Err(io::ErrorKind::InvalidData.into()),
    };
    let mut content = Incoming::new(size.unwrap_or(0), next);
    let result = if state.error.is_some() {
        Ok(())
    } else if size.is_some() {
        sink.captured(entry, Some(&mut content))
    } else {
        sink.captured(entry, None)
    };
    // What the sink left is skipped; after a fault there is nothing more.
    let skipped = if content.failed() { Ok(0) } else { io::copy(&mut content, &mut io::sink()) };
    drop(content);
    if let Some(fault) = fault {
        state.fault.get_or_insert(fault);
        return Ok(Ok(()));
    }
    skipped?;
    Ok(result)
}

/// The process's streams: what Phoenix reads, and what the runner is given.
fn streams(stdio: Stdio) -> io::Result<(Pipes, Vec<OwnedFd>)> {
    if stdio == Stdio::Inherit {
        let own = [
            io::stdin().as_fd().try_clone_to_owned()?,
            io::stdout().as_fd().try_clone_to_owned()?,
            io::stderr().as_fd().try_clone_to_owned()?,
        ];
        return Ok((Pipes { open: Vec::new() }, own.into()));
    }
    if let Stdio::Terminal(_) = stdio {
        return Ok((Pipes { open: Vec::new() }, Vec::new()));
    }
    let (out, their_out) = pipe_with(PipeFlags::CLOEXEC)?;
    let (err, their_err) = pipe_with(PipeFlags::CLOEXEC)?;
    let open = vec![(Stream::Stdout, File::from(out)), (Stream::Stderr, File::from(err))];
    Ok((Pipes { open }, vec![File::open("/dev/null")?.into(), their_out, their_err]))
}

impl Pipes {
    /// Passes what is there of one stream; at its end, closes it.
    fn pass(&mut self, stream: Stream, sink: &mut dyn JobSink) -> io::Result<bool> {
        let Some(at) = self.open.iter().position(|(name, _)| *name == stream) else {
            return Ok(false);
        };
        let mut buf = [0; 32 << 10];
        match self.open[at].1.read(&mut buf) {
            Ok(0) => drop(self.open.remove(at)),
            Ok(n) => sink.output(stream, &buf[..n]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
            Err(error) => return Err(error),
        }
        Ok(true)
    }

    /// Passes all that was written before the process ended.
    fn drain(&mut self, sink: &mut dyn JobSink) -> io::Result<()> {
        for (_, file) in &self.open {
            // Should anything outside hold the other end, it is not waited for.
            rustix::io::ioctl_fionbio(file, true)?;
        }
        for stream in [Stream::Stdout, Stream::Stderr] {
            while self.pass(stream, sink)? {}
        }
        self.open.clear();
        Ok(())
    }
}
