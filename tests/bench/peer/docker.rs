//! Docker with BuildKit, on a daemon of our own that has no network.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::{BASE, Job, Peer, joined, named, position};
use crate::error::{Error, Result, at};
use crate::process::{self, Measure};

/// How long the daemon may take to answer.
const START: Duration = Duration::from_secs(60);

/// A daemon; it ends with this value, at the latest with the pid namespace.
pub(crate) struct Docker {
    daemon: Child,
    dir: PathBuf,
    based: bool,
}

impl Docker {
    pub(crate) fn start(dir: PathBuf) -> Result<Self> {
        let state = dir.join("state");
        std::fs::create_dir_all(&state).map_err(at(&state))?;
        let log = dir.join("log");
        let log = File::create(&log).map_err(at(&log))?;
        let copy = log.try_clone().map_err(at(&dir))?;
        let daemon = Command::new("dockerd")
            .args(["--bridge=none", "--iptables=false", "--ip6tables=false"])
            .arg(format!("--host=unix://{}", dir.join("socket").display()))
            .arg("--data-root")
            .arg(dir.join("data"))
            .arg("--exec-root")
            .arg(&state)
            .arg("--pidfile")
            .arg(dir.join("pid"))
            .stdin(Stdio::null())
            .stdout(log)
            .stderr(copy)
            .spawn()
            .map_err(|source| Error::Start { program: "dockerd".into(), source })?;
        let docker = Self { daemon, dir, based: false };
        let start = Instant::now();
        while docker.run(&["version"]).is_err() {
            if start.elapsed() > START {
                let output = std::fs::read_to_string(docker.dir.join("log")).unwrap_or_default();
                let (command, how) = ("dockerd".into(), "it does not answer".into());
                return Err(Error::Failed { command, how, output });
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        Ok(docker)
    }

    fn client(&self) -> Command {
        // Debian's own: another one on PATH may lack what it has.
        let debian = Path::new("/usr/bin/docker");
        let mut client = Command::new(if debian.exists() { debian } else { "docker".as_ref() });
        client.arg(format!("--host=unix://{}", self.dir.join("socket").display()));
        client.env("DOCKER_BUILDKIT", "1");
        client
    }

    pub(crate) fn run(&self, args: &[&str]) -> Result<Measure> {
        process::run(self.client().args(args), &self.dir)
    }

    /// A file of a whole root file system, as `docker save` writes its image.
    pub(crate) fn pack(&mut self, tar: &Path, archive: &Path) -> Result<()> {
        let (tar, archive) = (tar.to_string_lossy(), archive.to_string_lossy());
        self.run(&["import", &tar, BASE])?;
        self.run(&["save", "--output", &archive, BASE])?;
        self.based = true;
        Ok(())
    }

    /// An archive of the base that `command` makes of the one in `archive`.
    pub(crate) fn derive(&mut self, archive: &Path, command: &str, to: &Path) -> Result<()> {
        self.load(archive)?;
        let context = self.dir.join("derived");
        std::fs::create_dir_all(&context).map_err(at(&context))?;
        let file = context.join("Dockerfile");
        std::fs::write(&file, format!("FROM {BASE}\nRUN {command}\n")).map_err(at(&file))?;
        let context = context.to_string_lossy();
        self.run(&["build", "--network=none", "--tag", BASE, &context])?;
        self.run(&["save", "--output", &to.to_string_lossy(), BASE])?;
        // It is not the base to begin with.
        self.run(&["image", "rm", "--force", BASE])?;
        self.based = false;
        self.prune()
    }

    fn build_with(&self, job: &Job, more: &[&str]) -> Result<Measure> {
        let mut client = self.client();
        client.args(["build", "--network=none", "--progress=plain", "--tag=bench", "--file"]);
        client.arg(job.dir.join("Dockerfile")).args(more).arg(&job.context);
        process::run(&mut client, &self.dir)
    }

    fn prune(&self) -> Result<()> {
        // The image is there only if there was a build before.
        let _ = self.run(&["image", "rm", "--force", "bench"]);
        self.run(&["builder", "prune", "--all", "--force"])?;
        self.run(&["image", "prune", "--force"])?;
        Ok(())
    }

    fn load(&mut self, base: &Path) -> Result<Measure> {
        let loaded = self.run(&["load", "--input", &base.to_string_lossy()])?;
        self.based = true;
        Ok(loaded)
    }
}

impl Peer for Docker {
    fn name(&self) -> &'static str {
        "docker"
    }

    fn forget(&mut self, job: &Job) -> Result<()> {
        self.prune()?;
        if let Some(base) = job.base.as_ref().filter(|_| !self.based) {
            self.load(base)?;
        }
        Ok(())
    }

    fn build(&mut self, job: &Job) -> Result<Measure> {
        self.build_with(job, &[])
    }

    fn rebase(&mut self, job: &Job) -> Result<()> {
        job.base.as_ref().map_or(Ok(()), |base| self.load(base).map(drop))
    }

    fn rebuild(&mut self, job: &Job, _: &[&'static str]) -> Result<Measure> {
        self.build_with(job, &["--no-cache"])
    }

    /// Lines are `#7 [4/9] RUN COMMAND` and, if it did not run, `#7 CACHED`.
    fn ran(&self, output: &str, names: &[&'static str]) -> Result<Vec<&'static str>> {
        let lines = || output.lines().filter_map(|line| line.split_once(' '));
        let cached: Vec<_> =
            lines().filter(|(_, rest)| *rest == "CACHED").map(|(id, _)| id).collect();
        let mut ran: Vec<_> = lines()
            .filter(|(id, _)| id.starts_with('#') && !cached.contains(id))
            .filter_map(|(_, rest)| rest.strip_prefix('['))
            .filter(|rest| rest.contains("] RUN "))
            .filter_map(position)
            .collect();
        // A command that prints much is named again.
        ran.sort_unstable();
        ran.dedup();
        Ok(ran.into_iter().filter_map(|of| named(of, names)).collect())
    }

    fn first_use(&mut self, job: &Job) -> Result<Measure> {
        self.prune()?;
        if self.based {
            self.run(&["image", "rm", "--force", BASE])?;
            self.based = false;
        }
        process::settle();
        let Some(base) = &job.base else { return self.build(job) };
        Ok(joined(self.load(base)?, self.build(job)?))
    }

    fn tidy(&mut self, _: &Job) -> Result<()> {
        self.prune()
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
