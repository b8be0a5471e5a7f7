//! An engine behind ssh, as a socket of this host.
//!
//! In: a remote host. Out: the path of a socket; each connection to it is an
//! `ssh HOST docker system dial-stdio`, as Docker's own client does it, whose
//! standard input and output are that very connection. What ssh complains about
//! is kept.
//!
//! bollard's own way takes `HOST:PORT` for the name of a host (openssh 0.11
//! reads a port only behind `ssh://`, which bollard has cut off), and tells
//! nothing of what ssh said.
//!
//! Limitations: ssh never asks for anything (`BatchMode`), since what it asked
//! would drown in the progress that is shown.

use std::fs::File;
use std::io::{self, Read as _};
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use super::DaemonError;
use super::address::Remote;
use crate::store::{Store, WorkDir};

/// Most of what ssh complains about that is kept, in bytes.
const SAID: u64 = 4096;
/// How often it is looked whether ssh has ended.
const PATIENCE: u32 = 40;
const PAUSE: Duration = Duration::from_millis(25);

/// A socket behind which an engine is. Ends every ssh when it is dropped.
pub(super) struct Bridge {
    socket: PathBuf,
    shared: Arc<Shared>,
    accepting: Option<JoinHandle<()>>,
    /// Keeps the socket's directory reachable by a short path.
    _dir: File,
    _work: WorkDir,
}

#[derive(Default)]
struct Shared {
    closing: AtomicBool,
    running: Mutex<Vec<Ssh>>,
    said: Mutex<String>,
}

struct Ssh {
    child: Child,
    /// Who reads its standard error.
    listening: JoinHandle<()>,
}

impl Bridge {
    pub(super) fn open(store: &Store, remote: &Remote) -> Result<Self, DaemonError> {
        let work = store.work_dir()?;
        let dir = File::open(work.path()).map_err(DaemonError::Prepare)?;
        // The path of a socket has 107 bytes at most, that of a store may be longer.
        let socket = PathBuf::from(format!("/proc/self/fd/{}/ssh", dir.as_raw_fd()));
        let listener = UnixListener::bind(&socket).map_err(DaemonError::Prepare)?;
        let shared = Arc::new(Shared::default());
        let (accepter, arguments) = (Arc::clone(&shared), arguments(remote));
        let accepting = std::thread::Builder::new()
            .name("phoenix-ssh".to_owned())
            .spawn(move || accepter.accept(&listener, &arguments))
            .map_err(DaemonError::Prepare)?;
        Ok(Self { socket, shared, accepting: Some(accepting), _dir: dir, _work: work })
    }

    /// Where it is.
    pub(super) fn socket(&self) -> &str {
        self.socket.to_str().expect("it is made of ASCII")
    }

    /// What ssh complained about, if it did. To be asked when a connection has
    /// ended: an ssh that is about to end may do so and be heard.
    pub(super) fn complaint(&self) -> Option<String> {
        for _ in 0..PATIENCE {
            let mut running = self.shared.running();
            let over = |ssh: &mut Ssh| {
                let ended = !matches!(ssh.child.try_wait(), Ok(None));
                ended && ssh.listening.is_finished()
            };
            if running.iter_mut().all(over) {
                break;
            }
            drop(running);
            std::thread::sleep(PAUSE);
        }
        let said = lock(&self.shared.said).trim().to_owned();
        (!said.is_empty()).then_some(said)
    }
}

impl Drop for Bridge {
    fn drop(&mut self) {
        self.shared.closing.store(true, Ordering::SeqCst);
        // Wakes who waits for connections.
        let _ = UnixStream::connect(&self.socket);
        if let Some(accepting) = self.accepting.take() {
            let _ = accepting.join();
        }
        // Who listens is not waited for: a master of ssh that the user's own
        // configuration started keeps standard error open.
        for mut ssh in self.shared.running().drain(..) {
            let _ = ssh.child.kill();
            let _ = ssh.child.wait();
        }
    }
}

impl Shared {
    fn running(&self) -> MutexGuard<'_, Vec<Ssh>> {
        lock(&self.running)
    }

    fn accept(self: Arc<Self>, listener: &UnixListener, arguments: &[String]) {
        while let Ok((connection, _)) = listener.accept() {
            if self.closing.load(Ordering::SeqCst) {
                return;
            }
            if let Err(error) = self.connect(connection, arguments) {
                lock(&self.said).push_str(&format!("ssh cannot be started: {error}\n"));
            }
        }
    }

    fn connect(self: &Arc<Self>, connection: UnixStream, arguments: &[String]) -> io::Result<()> {
        let mut child = Command::new("ssh")
            .args(arguments)
            .stdin(OwnedFd::from(connection.try_clone()?))
            .stdout(OwnedFd::from(connection))
            .stderr(Stdio::piped())
            // Ctrl-C is for this process, which ends its own in good order.
            .process_group(0)
            .spawn()?;
        let stderr = child.stderr.take().expect("it was asked for");
        let listener = Arc::clone(self);
        let named = std::thread::Builder::new().name("phoenix-ssh-said".to_owned());
        let listening = named.spawn(move || {
            let mut text = Vec::new();
            let mut stderr = stderr;
            let _ = (&mut stderr).take(SAID).read_to_end(&mut text);
            lock(&listener.said).push_str(&String::from_utf8_lossy(&text));
            // The rest is of no use, but ssh must be able to say it.
            let _ = io::copy(&mut stderr, &mut io::sink());
        })?;
        self.running().push(Ssh { child, listening });
        Ok(())
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What ssh is told.
fn arguments(remote: &Remote) -> Vec<String> {
    let Remote { user, host, port, socket } = remote;
    let mut arguments: Vec<String> =
        ["-T", "-o", "BatchMode=yes", "-o", "ConnectTimeout=30"].map(str::to_owned).to_vec();
    if let Some(user) = user {
        arguments.extend(["-l".to_owned(), user.clone()]);
    }
    if let Some(port) = port {
        arguments.extend(["-p".to_owned(), port.to_string()]);
    }
    arguments.extend(["--".to_owned(), host.clone(), "docker".to_owned()]);
    if let Some(socket) = socket {
        arguments.push(format!("--host=unix://{socket}"));
    }
    arguments.extend(["system", "dial-stdio"].map(str::to_owned));
    arguments
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ssh_is_told_user_port_host_and_socket() {
        let remote = Remote {
            user: Some("me".to_owned()),
            host: "h".to_owned(),
            port: Some(2222),
            socket: Some("/run/x.sock".to_owned()),
        };
        let told = arguments(&remote).join(" ");
        let expected = "-l me -p 2222 -- h docker --host=unix:///run/x.sock system dial-stdio";
        assert!(told.ends_with(expected), "{told}");
    }
}
