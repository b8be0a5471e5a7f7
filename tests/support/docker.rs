//! A Docker daemon of the test's own: private socket, data and state, no
//! network. It ends with the value that stands for it.

use std::fs::File;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::tools;

/// How long a daemon may take to answer.
const START: Duration = Duration::from_secs(60);

/// A running daemon.
pub(crate) struct Docker {
    daemon: Child,
    dir: tempfile::TempDir,
}

impl Docker {
    /// Starts a daemon; `None` where there cannot be one (said loudly).
    pub(crate) fn start() -> Option<Self> {
        Self::start_with(&[])
    }

    /// The same with more arguments for the daemon.
    pub(crate) fn start_with(extra: &[String]) -> Option<Self> {
        if !tools::root() || !tools::have(&["dockerd", "containerd", "runc"]) {
            return None;
        }
        let dir = tempfile::tempdir().expect("a temporary directory");
        let at = |name: &str| dir.path().join(name);
        let log = File::create(at("log")).expect("a log can be written");
        let daemon = Command::new("dockerd")
            .args(["--bridge=none", "--iptables=false", "--ip6tables=false"])
            .arg(format!("--host=unix://{}", at("socket").display()))
            .arg("--data-root")
            .arg(at("data"))
            .arg("--exec-root")
            .arg(at("exec"))
            .arg("--pidfile")
            .arg(at("pid"))
            .args(extra)
            .stdout(log.try_clone().expect("a descriptor can be copied"))
            .stderr(log)
            .stdin(Stdio::null())
            .spawn()
            .expect("dockerd starts");
        let mut docker = Self { daemon, dir };
        docker.wait();
        Some(docker)
    }

    /// Its address, as `DOCKER_HOST` has it.
    pub(crate) fn host(&self) -> String {
        format!("unix://{}", self.dir.path().join("socket").display())
    }

    fn wait(&mut self) {
        let start = Instant::now();
        while !self.client().arg("version").output().is_ok_and(|o| o.status.success()) {
            let ended = self.daemon.try_wait().expect("a child can be waited for");
            if ended.is_some() || start.elapsed() > START {
                let log = std::fs::read_to_string(self.dir.path().join("log"));
                panic!("dockerd does not answer: {}", log.unwrap_or_default());
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// The client of Debian, told of this daemon.
    pub(crate) fn client(&self) -> Command {
        // Debian's own: another one on PATH may lack what it has.
        let debian = PathBuf::from("/usr/bin/docker");
        let mut client = Command::new(if debian.exists() { debian } else { "docker".into() });
        client.arg(format!("--host={}", self.host()));
        client.env_remove("DOCKER_HOST").env_remove("DOCKER_CONTEXT");
        client
    }

    /// Runs `docker ARGS`, which must succeed, and gives its output.
    pub(crate) fn run(&self, args: &[&str]) -> String {
        tools::success(self.client().args(args))
    }
}

impl Drop for Docker {
    fn drop(&mut self) {
        let pid = rustix::process::Pid::from_child(&self.daemon);
        // SIGTERM lets it end its containerd and unmount what it mounted.
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        let _ = self.daemon.wait();
    }
}
