//! Agents of a request: present in a step, absent from keys, logs and layers.
//!
//! A step gets a socket of its own, with the owner that it wants, behind which
//! each connection is passed on: so an agent that only its user may ask can be
//! asked by the step's user, and by nobody once the step has ended.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::Shutdown;
use std::os::fd::AsRawFd as _;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, poll};

use super::error::StepCause;
use crate::plan::op::{Exec, MountKind};

/// The variable by which programs find an agent.
pub(super) const VARIABLE: &str = "SSH_AUTH_SOCK";

/// Ends the agent when its input does, so also when we are gone.
const SCRIPT: &str = "command -v ssh-agent >/dev/null || exit 127
ssh-agent -D -a \"$0\" >/dev/null 2>&1 &
cat >/dev/null
kill $!";

/// How long an agent of ours may take to begin.
const PATIENCE: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_millis(10);

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
        let server = std::thread::spawn(move || serve(&listener, &stopped, &socket));
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

/// Passes each connection on until told to stop; ends them all then.
fn serve(listener: &UnixListener, stopped: &UnixStream, agent: &Path) {
    let open: Arc<Mutex<Vec<UnixStream>>> = Arc::default();
    let mut passing = Vec::new();
    loop {
        let mut fds = [PollFd::new(listener, PollFlags::IN), PollFd::new(stopped, PollFlags::IN)];
        let polled = poll(&mut fds, None);
        if polled.is_err_and(|error| error != rustix::io::Errno::INTR)
            || !fds[1].revents().is_empty()
        {
            break;
        }
        if fds[0].revents().is_empty() {
            continue;
        }
        // Who cannot be passed on sees the connection end.
        let Ok((asking, _)) = listener.accept() else { continue };
        let Ok(answering) = connect(agent) else { continue };
        let both = [&asking, &answering].map(UnixStream::try_clone);
        let [Ok(asked), Ok(answered)] = both else { continue };
        let mut all = open.lock().unwrap_or_else(PoisonError::into_inner);
        all.extend([&asked, &answered].iter().filter_map(|stream| stream.try_clone().ok()));
        passing.push(std::thread::spawn(move || pass(asking, answering)));
        passing.push(std::thread::spawn(move || pass(answered, asked)));
    }
    for stream in open.lock().unwrap_or_else(PoisonError::into_inner).iter() {
        let _ = stream.shutdown(Shutdown::Both);
    }
    for thread in passing {
        let _ = thread.join();
    }
}

/// Copies until the end, and tells the other side that it is the end.
fn pass(mut from: UnixStream, mut to: UnixStream) {
    let _ = io::copy(&mut from, &mut to);
    let _ = to.shutdown(Shutdown::Write);
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
