//! A registry on the loopback address with the bases in it, through plain
//! HTTP. It ends with the value that stands for it.

use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::base::Bases;
use crate::served::port;
use crate::support::tools;

/// A running registry.
pub(crate) struct Registry {
    host: String,
    process: Child,
}

impl Registry {
    /// Starts one below `dir` and brings the bases there; `None` where there
    /// cannot be one (said loudly): cases with one fail then.
    pub(crate) fn start(dir: &Path, bases: &Bases) -> Option<Self> {
        if !tools::have(&["docker-registry", "skopeo"]) {
            return None;
        }
        let free = port(&TcpListener::bind("127.0.0.1:0").expect("a free port"));
        let host = format!("127.0.0.1:{free}");
        let data = dir.join("registry");
        let config = format!(
            "version: 0.1\nlog: {{ level: error }}\nhttp: {{ addr: \"{host}\" }}\n\
             storage: {{ filesystem: {{ rootdirectory: \"{}\" }} }}\n",
            data.display()
        );
        let file = dir.join("registry.yml");
        std::fs::write(&file, config).expect("a temporary file can be written");
        let mut command = Command::new("docker-registry");
        command.arg("serve").arg(&file);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let process = command.spawn().expect("docker-registry starts");
        let registry = Self { host, process };
        let start = Instant::now();
        while TcpStream::connect(&registry.host).is_err() {
            assert!(start.elapsed() < Duration::from_secs(20), "docker-registry does not answer");
            std::thread::sleep(Duration::from_millis(20));
        }
        for base in &bases.all {
            let mut copy = Command::new("skopeo");
            copy.args([
                "copy",
                "--quiet",
                "--all",
                "--preserve-digests",
                "--dest-tls-verify=false",
            ]);
            copy.arg(format!("oci:{}:latest", base.layout.display()));
            tools::success(copy.arg(format!("docker://{}/{}:latest", registry.host, base.name)));
        }
        Some(registry)
    }

    /// Its name in those of images.
    pub(crate) fn host(&self) -> &str {
        &self.host
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
