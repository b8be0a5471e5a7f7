//! A Podman service of the test's own: private storage and socket. It ends with
//! the value that stands for it.

use std::fs::File;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::tools;

/// How long a service may take to answer.
const START: Duration = Duration::from_secs(60);

/// A running service.
pub(crate) struct Podman {
    service: Child,
    dir: tempfile::TempDir,
}

impl Podman {
    /// Starts a service at `unix://PATH` or `tcp:HOST:PORT`; `None` where there
    /// cannot be one (said loudly).
    pub(crate) fn start(address: &str) -> Option<Self> {
        if !tools::root() || !tools::have(&["podman", "runc"]) {
            return None;
        }
        let dir = tempfile::tempdir().expect("a temporary directory");
        let log = File::create_new(dir.path().join("log")).expect("a log can be written");
        let service = podman(&dir)
            .args(["system", "service", "--time=0", address])
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a descriptor can be copied"))
            .stderr(log)
            .spawn()
            .expect("podman starts");
        let mut podman = Self { service, dir };
        podman.wait(address);
        Some(podman)
    }

    fn wait(&mut self, address: &str) {
        let start = Instant::now();
        let answers = || match address.strip_prefix("unix://") {
            Some(path) => std::os::unix::net::UnixStream::connect(path).is_ok(),
            None => std::net::TcpStream::connect(address.trim_start_matches("tcp:")).is_ok(),
        };
        while !answers() {
            let ended = self.service.try_wait().expect("a child can be waited for");
            if ended.is_some() || start.elapsed() > START {
                let log = std::fs::read_to_string(self.dir.path().join("log"));
                panic!("podman does not answer: {}", log.unwrap_or_default());
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Runs `podman ARGS` on the same storage, which must succeed, and gives its
    /// output.
    pub(crate) fn run(&self, args: &[&str]) -> String {
        tools::success(podman(&self.dir).args(args))
    }
}

fn podman(dir: &tempfile::TempDir) -> Command {
    let at = |name: &str| dir.path().join(name).display().to_string();
    let mut command = Command::new("podman");
    command.args([
        format!("--root={}", at("root")),
        format!("--runroot={}", at("run")),
        format!("--tmpdir={}", at("tmp")),
        "--storage-driver=vfs".to_owned(),
        "--runtime=runc".to_owned(),
        "--cgroup-manager=cgroupfs".to_owned(),
        "--events-backend=none".to_owned(),
    ]);
    command
}

impl Drop for Podman {
    fn drop(&mut self) {
        let pid = rustix::process::Pid::from_child(&self.service);
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        let _ = self.service.wait();
    }
}
