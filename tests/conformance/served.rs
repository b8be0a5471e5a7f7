//! What cases reach over the network, all on the loopback address and ended
//! with this value: files over HTTP with a time of change, repositories through
//! `git daemon`, the bases in a registry, and a socket in the place of an ssh
//! agent's.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::base::Bases;
use crate::registry::Registry;

/// The time of change that every file is served with.
const MODIFIED: &str = "Wed, 01 Jan 2020 00:00:00 GMT";

/// The servers.
pub(crate) struct Served {
    root: tempfile::TempDir,
    http: u16,
    git: u16,
    daemon: Option<Child>,
    registry: Option<Registry>,
    agent: PathBuf,
    _agent: UnixListener,
    stop: Arc<AtomicBool>,
}

impl Served {
    /// Starts them; a registry only where it is `wanted`.
    pub(crate) fn start(bases: &Bases, wanted: bool) -> Self {
        let root = tempfile::tempdir().expect("a temporary directory");
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let http = port(&listener);
        let stop = Arc::new(AtomicBool::new(false));
        let (from, ended) = (root.path().to_owned(), Arc::clone(&stop));
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                if ended.load(Ordering::Relaxed) {
                    return;
                }
                // A reader that went away is its own business.
                let _ = stream.and_then(|stream| answer(stream, &from));
            }
        });
        let agent = root.path().join("agent.sock");
        let listening = UnixListener::bind(&agent).expect("a new socket");
        let (git, daemon) = git_daemon(root.path());
        let registry = wanted.then(|| Registry::start(root.path(), bases)).flatten();
        Self { root, http, git, daemon, registry, agent, _agent: listening, stop }
    }

    /// Where the directories of cases lie.
    pub(crate) fn root(&self) -> &Path {
        self.root.path()
    }

    /// What names in braces stand for in the case whose directory has this name.
    pub(crate) fn names(&self, dir: &str) -> Vec<(&'static str, String)> {
        let registry = self.registry.as_ref().map_or("no.registry.invalid", Registry::host);
        vec![
            ("{{REGISTRY}}", registry.to_owned()),
            ("{{HTTP}}", format!("http://127.0.0.1:{}/{dir}/http", self.http)),
            ("{{GIT}}", format!("git://127.0.0.1:{}/{dir}/git", self.git)),
            ("{{AGENT}}", self.agent.to_string_lossy().into_owned()),
        ]
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        // The server wakes to see that it is to end.
        let _ = TcpStream::connect(("127.0.0.1", self.http));
        if let Some(daemon) = &mut self.daemon {
            let _ = daemon.kill();
            let _ = daemon.wait();
        }
    }
}

/// Where a socket listens.
pub(crate) fn port(listener: &TcpListener) -> u16 {
    listener.local_addr().expect("it is bound").port()
}

/// Starts `git daemon`; `None` where there is no git: cases with one fail then.
fn git_daemon(root: &Path) -> (u16, Option<Child>) {
    let free = port(&TcpListener::bind("127.0.0.1:0").expect("a free port"));
    // The program itself: `git daemon` would leave it behind when it is killed.
    let Ok(place) = Command::new("git").arg("--exec-path").output() else { return (free, None) };
    let place = String::from_utf8_lossy(&place.stdout).trim().to_owned();
    let mut command = Command::new(Path::new(&place).join("git-daemon"));
    command.args(["--export-all", "--reuseaddr", "--listen=127.0.0.1"]);
    command.arg(format!("--port={free}")).arg(format!("--base-path={}", root.display()));
    command.env("HOME", root).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let Ok(child) = command.spawn() else { return (free, None) };
    let start = Instant::now();
    while TcpStream::connect(("127.0.0.1", free)).is_err() {
        assert!(start.elapsed() < Duration::from_secs(20), "git daemon does not answer");
        std::thread::sleep(Duration::from_millis(20));
    }
    (free, Some(child))
}

fn answer(stream: TcpStream, root: &Path) -> std::io::Result<()> {
    let mut lines = BufReader::new(&stream).lines();
    let request = lines.next().transpose()?.unwrap_or_default();
    for line in lines {
        if line?.is_empty() {
            break;
        }
    }
    let mut words = request.split(' ');
    let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let path = path.split('?').next().unwrap_or_default();
    let file = root.join(path.trim_start_matches('/'));
    let found = (!path.contains("..")).then(|| std::fs::read(&file).ok()).flatten();
    let (status, body) = match &found {
        Some(body) => ("200 OK", &body[..]),
        None => ("404 Not Found", &b"no such file\n"[..]),
    };
    let mut out = &stream;
    write!(out, "HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n", body.len())?;
    write!(out, "Content-Type: application/octet-stream\r\nLast-Modified: {MODIFIED}\r\n")?;
    if path.ends_with("/attached") {
        write!(out, "Content-Disposition: attachment; filename=\"named.txt\"\r\n")?;
    }
    out.write_all(b"\r\n")?;
    if method != "HEAD" {
        out.write_all(body)?;
    }
    out.flush()
}
