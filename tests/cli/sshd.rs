//! Another host, reached by ssh: this one.

use std::fs::File;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use crate::phoenix::Home;
use crate::support::tools;

/// A port that nobody has just now.
pub(crate) fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("it has one").port()
}

/// An ssh daemon of the test's own, and in `bin/` an `ssh` that knows it.
pub(crate) struct Sshd {
    daemon: Child,
    pub(crate) port: u16,
    /// Debian's sshd wants this directory, which its service makes.
    made: Option<&'static str>,
}

impl Sshd {
    pub(crate) fn start(home: &Home) -> Option<Self> {
        let ready = tools::root() && tools::have(&["ssh", "ssh-keygen"]);
        if !ready || !Path::new("/usr/sbin/sshd").exists() {
            tools::skip("no sshd can be started here");
            return None;
        }
        let at = |name: &str| home.path(name).display().to_string();
        for name in ["host", "user"] {
            let key = at(name);
            tools::run("ssh-keygen", ["-q", "-t", "ed25519", "-N", "", "-f", &key]);
        }
        let port = free_port();
        let config = format!(
            "Port {port}\nListenAddress 127.0.0.1\nHostKey {}\nAuthorizedKeysFile {}\nPidFile none\n\
             UsePAM no\nStrictModes no\nPasswordAuthentication no\nPermitRootLogin yes\n",
            at("host"),
            at("user.pub"),
        );
        home.write("sshd_config", &config);
        home.write(
            "ssh_config",
            &format!(
                "IdentityFile {}\nUserKnownHostsFile /dev/null\nStrictHostKeyChecking no\n\
                 LogLevel ERROR\n",
                at("user"),
            ),
        );
        home.write(
            "bin/ssh",
            &format!("#!/bin/sh\nexec /usr/bin/ssh -F {} \"$@\"\n", at("ssh_config")),
        );
        let mode = std::fs::Permissions::from_mode(0o755);
        std::fs::set_permissions(home.path("bin/ssh"), mode).expect("it is ours");
        let log = File::create_new(home.path("sshd.log")).expect("a log can be written");
        let made = Some("/run/sshd").filter(|dir| std::fs::create_dir(dir).is_ok());
        let daemon = Command::new("/usr/sbin/sshd")
            .args(["-D", "-e", "-f", &at("sshd_config")])
            .stdin(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("sshd starts");
        let sshd = Self { daemon, port, made };
        while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
            let log = std::fs::read_to_string(home.path("sshd.log")).unwrap_or_default();
            assert!(log.is_empty() || log.contains("listening"), "{log}");
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        Some(sshd)
    }
}

impl Drop for Sshd {
    fn drop(&mut self) {
        let _ = self.daemon.kill();
        let _ = self.daemon.wait();
        if let Some(made) = self.made {
            let _ = std::fs::remove_dir(made);
        }
    }
}
