//! Agents of a request: present in a step, absent from keys, logs and layers.
//!
//! A step gets a socket of its own, with the owner that it wants, behind which
//! each connection is passed on: so an agent that only its user may ask can be
//! asked by the step's user, and by nobody once the step has ended.
//!
//! Invariant: a connection that has ended holds nothing, and there are only so many
//! at a time; a step that wants more waits until some of its own have ended.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::Shutdown;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Weak};
use std::thread::{JoinHandle, Scope};
use std::time::{Duration, Instant};

use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};

use super::error::StepCause;
use crate::plan::op::{Exec, MountKind};
use crate::store::{Store, WorkDir};

/// The variable by which programs find an agent.
pub(super) const VARIABLE: &str = "SSH_AUTH_SOCK";

/// The agent that repositories ask.
const REPOSITORIES: &str = "default";

/// Ends the agent when its input does, so also when we are gone.
const SCRIPT: &str = "command -v ssh-agent >/dev/null || exit 127
ssh-agent -D -a \"$0\" >/dev/null 2>&1 &
cat >/dev/null
kill $!";

/// How long an agent of ours may take to begin.
const PATIENCE: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_millis(10);
/// So many connections of a step are passed on at a time: they share the descriptors of
/// this process with all other steps.
const MOST: usize = 64;

/// What answers a step's questions for keys (`--ssh`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Agent {
    /// The socket of an agent that runs.
    Socket(PathBuf),
    /// Files of private keys, for which an agent is run while the step runs.
    Keys(Vec<PathBuf>),
}

/// Checks that every agent the step requires is given; names those that are.
pub(super) fn given(
    exec: &Exec,
    agents: &BTreeMap<String, Agent>,
) -> Result<BTreeSet<String>, StepCause> {
    let mut given = BTreeSet::new();
    for mount in &exec.mounts {
        if let MountKind::Ssh { id, required, .. } = &mount.kind {
            if agents.contains_key(id) {
                given.insert(id.clone());
            } else if *required {
                return Err(StepCause::NoAgent { id: id.clone() });
            }
        }
    }
    Ok(given)
}

/// The socket of an agent that can be asked, for as long as this is there.
pub(crate) struct Answering {
    socket: PathBuf,
    #[expect(dead_code, reason = "it is served until this is dropped")]
    served: Option<(Served, WorkDir)>,
}

impl Agent {
    /// Of those that are given, the one that repositories ask.
    pub(crate) fn of_repositories(
        agents: &BTreeMap<String, Self>,
        store: &Store,
    ) -> Result<Option<Answering>, StepCause> {
        agents.get(REPOSITORIES).map(|agent| Answering::start(agent, store)).transpose()
    }
}

impl Answering {
    /// One that may be asked by this process; where key files are given, one is run.
    fn start(agent: &Agent, store: &Store) -> Result<Self, StepCause> {
        if let Agent::Socket(socket) = agent {
            return Ok(Self { socket: socket.clone(), served: None });
        }
        let dir = store.work_dir()?;
        let socket = dir.path().join("agent");
        let failed = |source| StepCause::Agent { id: REPOSITORIES.to_owned(), source };
        let served = Served::start(agent, &socket).map_err(failed)?;
        Ok(Self { socket, served: Some((served, dir)) })
    }

    /// Where it is.
    pub(crate) fn socket(&self) -> &Path {
        &self.socket
    }
}

/// A socket that is served until this is dropped.
pub(super) struct Served {
    /// Its other end tells the server to end.
    stop: UnixStream,
    server: Option<JoinHandle<()>>,
    own: Option<Own>,
}

/// An agent that we run.
struct Own(Child);

impl Drop for Own {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        let _ = self.0.wait();
    }
}

impl Served {
    /// Serves `agent` at `path`, which is not there yet.
    pub(super) fn start(agent: &Agent, path: &Path) -> io::Result<Self> {
        let (socket, own) = match agent {
            Agent::Socket(socket) => {
                // What cannot be asked is told now, not in the middle of a step.
                connect(socket)?;
                (socket.clone(), None)
            }
            Agent::Keys(keys) => {
                let socket = path.with_extension("own");
                let own = run(keys, &socket)?;
                (socket, Some(own))
            }
        };
        let listener = at(path, |path| UnixListener::bind(path))?;
        let (stop, stopped) = UnixStream::pair()?;
        let gone = Arc::new(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?);
        let server = std::thread::spawn(move || serve((&listener, &stopped), &gone, &socket));
        Ok(Self { stop, server: Some(server), own })
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.stop.shutdown(Shutdown::Both);
        if let Some(server) = self.server.take() {
            let _ = server.join();
        }
        drop(self.own.take());
    }
}

/// A connection of a step's, and the one by which it is passed on. Both are closed
/// once nobody passes anything on between them any more.
struct Pair {
    asking: UnixStream,
    answering: UnixStream,
    /// Becomes readable then.
    gone: Arc<OwnedFd>,
}

impl Pair {
    /// Ends both directions.
    fn end(&self) {
        for stream in [&self.asking, &self.answering] {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

impl Drop for Pair {
    fn drop(&mut self) {
        // It can fail only when the counter is full, and then it is readable.
        let _ = rustix::io::write(&self.gone, &1_u64.to_ne_bytes());
    }
}

/// Passes each connection on until told to stop; ends them all then.
fn serve((listener, stopped): (&UnixListener, &UnixStream), gone: &Arc<OwnedFd>, agent: &Path) {
    let mut open: Vec<Weak<Pair>> = Vec::new();
    std::thread::scope(|scope| {
        loop {
            open.retain(|pair| pair.strong_count() > 0);
            let mut fds = [
                PollFd::new(stopped, PollFlags::IN),
                PollFd::new(&**gone, PollFlags::IN),
                PollFd::new(listener, PollFlags::IN),
            ];
            // Who is one too many waits to be accepted.
            let watched = if open.len() < MOST { 3 } else { 2 };
            let polled = poll(&mut fds[..watched], None);
            let [stop, ended, asked] = fds.map(|fd| !fd.revents().is_empty());
            match polled {
                Ok(_) => {}
                Err(rustix::io::Errno::INTR) => continue,
                Err(_) => break,
            }
            if stop {
                break;
            }
            if ended {
                let _ = rustix::io::read(&**gone, &mut [0; 8]);
            }
            if !asked {
                continue;
            }
            match accepted(listener, agent, gone) {
                Ok(pair) => {
                    open.push(Arc::downgrade(&pair));
                    pass_both_ways(scope, &pair);
                }
                // Who cannot be passed on sees the connection end, and who cannot be
                // accepted still waits. It may be that descriptors are lacking; to ask
                // for them again and again would not make them.
                Err(_) if is_stopped(stopped, PAUSE) => break,
                Err(_) => {}
            }
        }
        for pair in open.iter().filter_map(Weak::upgrade) {
            pair.end();
        }
    });
}

/// Waits a little; whether it is to stop.
fn is_stopped(stopped: &UnixStream, pause: Duration) -> bool {
    let pause =
        Timespec { tv_sec: pause.as_secs().cast_signed(), tv_nsec: pause.subsec_nanos().into() };
    let mut fds = [PollFd::new(stopped, PollFlags::IN)];
    poll(&mut fds, Some(&pause)).is_ok_and(|ready| ready > 0)
}

fn accepted(listener: &UnixListener, agent: &Path, gone: &Arc<OwnedFd>) -> io::Result<Arc<Pair>> {
    let (asking, _) = listener.accept()?;
    let answering = connect(agent)?;
    Ok(Arc::new(Pair { asking, answering, gone: Arc::clone(gone) }))
}

/// Passes on what both say, on a thread for each of them.
fn pass_both_ways<'scope>(scope: &'scope Scope<'scope, '_>, pair: &Arc<Pair>) {
    for asks in [true, false] {
        let passed = Arc::clone(pair);
        let pass = move || pass(&passed, asks);
        if std::thread::Builder::new().spawn_scoped(scope, pass).is_err() {
            pair.end();
        }
    }
}

/// Copies one direction until its end, and tells the other side that it is the end.
fn pass(pair: &Pair, asks: bool) {
    let Pair { asking, answering, gone: _ } = pair;
    let (mut from, mut to) = if asks { (asking, answering) } else { (answering, asking) };
    match io::copy(&mut from, &mut to) {
        Ok(_) => {
            let _ = to.shutdown(Shutdown::Write);
        }
        // Who cannot be told anything is not to be waited for.
        Err(_) => pair.end(),
    }
}

fn connect(path: &Path) -> io::Result<UnixStream> {
    at(path, |path| UnixStream::connect(path))
}

/// Does something at a path that may be longer than a socket's address: seen
/// from its directory it is short.
fn at<T>(path: &Path, act: impl Fn(&Path) -> io::Result<T>) -> io::Result<T> {
    let (Some(directory), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(io::ErrorKind::InvalidInput.into());
    };
    let directory = std::fs::File::open(directory)?;
    act(&Path::new("/proc/self/fd").join(directory.as_raw_fd().to_string()).join(name))
}

/// Runs an agent at `socket` that holds these keys.
fn run(keys: &[PathBuf], socket: &Path) -> io::Result<Own> {
    let missing = || io::Error::other("key files need `ssh-agent`: install openssh-client");
    let (Some(home), Some(name)) = (socket.parent(), socket.file_name()) else {
        return Err(io::ErrorKind::InvalidInput.into());
    };
    let mut agent = Command::new("sh");
    agent.arg("-c").arg(SCRIPT).arg(name).current_dir(home).env_remove(VARIABLE);
    agent.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut own = Own(agent.spawn()?);
    let began = Instant::now();
    while connect(socket).is_err() {
        if own.0.try_wait()?.is_some() {
            return Err(missing());
        }
        if began.elapsed() > PATIENCE {
            return Err(io::Error::other("`ssh-agent` does not answer"));
        }
        std::thread::sleep(PAUSE);
    }
    // It runs where the agent is.
    let keys = keys.iter().map(std::path::absolute).collect::<io::Result<Vec<_>>>()?;
    let mut add = Command::new("ssh-add");
    add.arg("-q").arg("--").args(&keys).current_dir(home).env(VARIABLE, name);
    // Nobody is there to be asked for a passphrase.
    add.env_remove("DISPLAY").env("SSH_ASKPASS_REQUIRE", "never").stdin(Stdio::null());
    let added = add.output()?;
    match added.status.success() {
        true => Ok(own),
        false => {
            let said = String::from_utf8_lossy(&added.stderr);
            Err(io::Error::other(format!("`ssh-add` failed: {}", said.trim())))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};

    use super::*;

    #[test]
    fn each_connection_is_passed_on_and_none_outlives_the_step() {
        let dir = tempfile::tempdir().expect("a directory");
        // Longer than a socket's address may be.
        let deep = dir.path().join("d".repeat(120));
        std::fs::create_dir(&deep).expect("made");
        let agent = deep.join("agent");
        let listener = at(&agent, |path| UnixListener::bind(path)).expect("bound");
        let echo = std::thread::spawn(move || {
            // Looked at once, then asked twice.
            for _ in 0..3 {
                let (mut stream, _) = listener.accept().expect("a connection");
                std::thread::spawn(move || {
                    let mut four = [0; 4];
                    while stream.read_exact(&mut four).is_ok() {
                        stream.write_all(&four).expect("answered");
                    }
                });
            }
        });
        let path = deep.join("own");
        let served = Served::start(&Agent::Socket(agent), &path).expect("served");
        let mut streams = [connect(&path), connect(&path)].map(|s| s.expect("connected"));
        for stream in &mut streams {
            stream.write_all(b"ping").expect("asked");
            let mut four = [0; 4];
            stream.read_exact(&mut four).expect("answered");
            assert_eq!(&four, b"ping");
        }
        drop(served);
        let [mut first, _second] = streams;
        assert_eq!(first.read(&mut [0; 4]).expect("an end"), 0);
        assert!(connect(&path).is_err());
        echo.join().expect("ended");
    }

    /// An agent that says what it is told, until it is told nothing more.
    fn echo(path: &Path) {
        let listener = at(path, |path| UnixListener::bind(path)).expect("bound");
        // It goes with the process.
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                std::thread::spawn(move || io::copy(&mut &stream, &mut &stream));
            }
        });
    }

    fn ping(mut stream: &UnixStream) {
        stream.write_all(b"ping").expect("asked");
        let mut four = [0; 4];
        stream.read_exact(&mut four).expect("answered");
        assert_eq!(&four, b"ping");
    }

    /// The sockets that this process has; other tests have some too.
    fn sockets() -> usize {
        let all = std::fs::read_dir("/proc/self/fd").expect("descriptors").flatten();
        let names = all.filter_map(|fd| std::fs::read_link(fd.path()).ok());
        names.filter(|name| name.to_string_lossy().starts_with("socket:")).count()
    }

    #[test]
    fn connections_that_have_ended_hold_nothing() {
        let dir = tempfile::tempdir().expect("a directory");
        let (agent, path) = (dir.path().join("agent"), dir.path().join("own"));
        echo(&agent);
        let served = Served::start(&Agent::Socket(agent), &path).expect("served");
        let kept = connect(&path).expect("connected");
        ping(&kept);
        let before = sockets();
        for _ in 0..2000 {
            ping(&connect(&path).expect("connected"));
        }
        let after = sockets();
        assert!(after < before + 400, "{before} sockets, then {after}");
        ping(&kept);
        drop(served);
        assert_eq!((&kept).read(&mut [0; 4]).expect("an end"), 0);
    }

    #[test]
    fn one_too_many_waits_for_the_end_of_another() {
        let dir = tempfile::tempdir().expect("a directory");
        let (agent, path) = (dir.path().join("agent"), dir.path().join("own"));
        echo(&agent);
        let served = Served::start(&Agent::Socket(agent), &path).expect("served");
        let mut all: Vec<UnixStream> =
            (0..MOST).map(|_| connect(&path).expect("connected")).collect();
        all.iter().for_each(ping);
        let mut more = connect(&path).expect("connected");
        more.write_all(b"more").expect("asked");
        more.set_nonblocking(true).expect("set");
        let refused = more.read(&mut [0; 4]).expect_err("it waits");
        assert_eq!(refused.kind(), io::ErrorKind::WouldBlock);
        more.set_nonblocking(false).expect("set");
        drop(all.pop());
        let mut four = [0; 4];
        more.read_exact(&mut four).expect("answered");
        assert_eq!(&four, b"more");
        let waiting = connect(&path).expect("connected");
        drop(served);
        for mut stream in all.into_iter().chain([more, waiting]) {
            // Who was never accepted may be told so otherwise.
            let end = stream.read(&mut [0; 4]);
            let reset = |error: &io::Error| error.kind() == io::ErrorKind::ConnectionReset;
            assert!(matches!(end, Ok(0)) || end.as_ref().is_err_and(reset), "{end:?}");
        }
    }

    #[test]
    fn an_agent_that_is_not_there_is_told_before_the_step() {
        let dir = tempfile::tempdir().expect("a directory");
        let nobody = Agent::Socket(dir.path().join("nobody"));
        assert!(Served::start(&nobody, &dir.path().join("own")).is_err());
        let keys = Agent::Keys(vec![dir.path().join("no-key")]);
        let error = Served::start(&keys, &dir.path().join("own")).err().expect("no such key");
        let text = error.to_string();
        assert!(text.contains("ssh-add") || text.contains("openssh-client"), "{text}");
    }
}
