//! A real registry on a port of its own.

use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::support::tools;

/// Debian's `docker-registry`, for as long as this lives.
pub(super) struct Server {
    child: Child,
    dir: tempfile::TempDir,
    port: u16,
}

/// How often it is looked whether it answers.
const TRIES: u32 = 600;

impl Server {
    /// One for everybody; `None` where something is not installed (said loudly).
    pub(super) fn open() -> Option<Self> {
        tools::have(&["docker-registry", "skopeo"]).then(|| Self::start("", None))
    }

    /// One for `user` with `password` only.
    pub(super) fn closed(user: &str, password: &str) -> Option<Self> {
        if !tools::have(&["docker-registry", "skopeo", "htpasswd"]) {
            return None;
        }
        Some(Self::start(&tools::run("htpasswd", ["-Bbn", user, password]), None))
    }

    /// One that speaks TLS, with the certificate and key of this directory.
    pub(super) fn encrypted(certificates: &Path) -> Option<Self> {
        tools::have(&["docker-registry", "skopeo", "openssl"])
            .then(|| Self::start("", Some(certificates)))
    }

    fn start(passwords: &str, certificates: Option<&Path>) -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let port = TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr());
        let port = port.expect("a port is free").port();
        let place = dir.path().display();
        let mut config = format!(
            "version: 0.1\nlog: {{level: info, formatter: text}}\nstorage: {{filesystem: {{rootdirectory: {place}/data}}}}\nhttp:\n  addr: \"127.0.0.1:{port}\"\n"
        );
        if let Some(dir) = certificates.map(Path::display) {
            config +=
                &format!("  tls: {{certificate: {dir}/server.pem, key: {dir}/server-key.pem}}\n");
        }
        if !passwords.is_empty() {
            std::fs::write(dir.path().join("passwords"), passwords).expect("written");
            config += &format!("auth: {{htpasswd: {{realm: test, path: {place}/passwords}}}}\n");
        }
        let file = dir.path().join("config.yml");
        std::fs::write(&file, config).expect("written");
        let log = std::fs::File::create(dir.path().join("log")).expect("made");
        let child = Command::new("docker-registry")
            .arg("serve")
            .arg(&file)
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a second handle"))
            .stderr(log)
            .spawn()
            .expect("docker-registry starts");
        let server = Self { child, dir, port };
        for _ in 0..TRIES {
            if TcpStream::connect(("127.0.0.1", port)).is_ok() {
                return server;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        panic!("docker-registry does not listen: {}", server.log());
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.dir.path().join("log")).unwrap_or_default()
    }

    /// A name there.
    pub(super) fn name(&self, rest: &str) -> String {
        format!("localhost:{}/{rest}", self.port)
    }

    /// A name there by an address that is not taken for this machine, though it is.
    pub(super) fn far_name(&self, rest: &str) -> String {
        format!("0.0.0.0:{}/{rest}", self.port)
    }

    /// `docker://` and a name there.
    pub(super) fn url(&self, rest: &str) -> String {
        format!("docker://{}", self.name(rest))
    }

    pub(super) fn port(&self) -> u16 {
        self.port
    }

    /// What Phoenix asked so far: `GET /v2/...`, without the pings.
    pub(super) fn asked(&self) -> Vec<String> {
        let log = self.log();
        let ours = log.lines().filter(|line| line.contains("\"phoenix/"));
        let asked = ours.filter_map(|line| {
            let (method, rest) = line.split_once("] \"")?.1.split_once(' ')?;
            Some(format!("{method} {}", rest.split(' ').next()?))
        });
        asked.filter(|asked| !asked.ends_with("/v2/")).collect()
    }

    /// What Phoenix asked while `work` ran.
    pub(super) fn asked_by(&self, work: impl FnOnce()) -> Vec<String> {
        let before = self.asked().len();
        work();
        self.asked().split_off(before)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill().and_then(|()| self.child.wait());
    }
}

/// Copies with skopeo, without TLS.
pub(super) fn copy(args: &[&str]) {
    let tls = ["copy", "--src-tls-verify=false", "--dest-tls-verify=false", "-q"];
    tools::run("skopeo", [&tls, args].concat());
}

/// The digest that skopeo finds under a name.
pub(super) fn digest(url: &str) -> String {
    let args = ["inspect", "--tls-verify=false", "--no-tags", "--format", "{{.Digest}}", url];
    tools::run("skopeo", args).trim().to_owned()
}

/// `oci:` and a path, for skopeo.
pub(super) fn layout(path: &Path) -> String {
    format!("oci:{}", path.display())
}
