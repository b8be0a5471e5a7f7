//! Buildah with a storage of its own, overlay driver, layers cached.

use std::path::PathBuf;
use std::process::Command;

use super::{BASE, Job, Peer, joined, named, position};
use crate::error::{Result, at};
use crate::process::{self, Measure};

pub(crate) struct Buildah {
    dir: PathBuf,
    based: bool,
}

impl Buildah {
    pub(crate) fn new(dir: PathBuf) -> Result<Self> {
        std::fs::create_dir_all(&dir).map_err(at(&dir))?;
        Ok(Self { dir, based: false })
    }

    fn command(&self) -> Command {
        let mut command = Command::new("buildah");
        command.arg("--root").arg(self.dir.join("root"));
        command.arg("--runroot").arg(self.dir.join("run")).arg("--storage-driver=overlay");
        command
    }

    fn run(&self, args: &[&str]) -> Result<Measure> {
        process::run(self.command().args(args), &self.dir)
    }

    fn prune(&self) -> Result<()> {
        // The image is there only if there was a build before.
        let _ = self.run(&["rmi", "--force", "bench"]);
        // Layers that nothing names any more go one generation at a time.
        self.run(&["rmi", "--prune", "--force"])?;
        Ok(())
    }

    fn build_with(&self, job: &Job, more: &[&str]) -> Result<Measure> {
        let mut command = self.command();
        command.args(["bud", "--layers", "--isolation=chroot", "--pull-never", "--tag=bench"]);
        command.arg("--file").arg(job.dir.join("Dockerfile")).args(more).arg(&job.context);
        process::run(&mut command, &self.dir)
    }

    fn load(&mut self, base: &std::path::Path) -> Result<Measure> {
        let archive = format!("docker-archive:{}", base.display());
        let loaded = self.run(&["pull", "--quiet", &archive])?;
        self.based = true;
        Ok(loaded)
    }
}

impl Peer for Buildah {
    fn name(&self) -> &'static str {
        "buildah"
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

    /// Lines are `STEP 4/9: RUN COMMAND` and, if it did not run, `--> Using cache ID`.
    fn ran(&self, output: &str, names: &[&'static str]) -> Result<Vec<&'static str>> {
        let steps = output.split("STEP ").skip(1);
        let ran = steps.filter(|step| step.contains(": RUN ") && !step.contains("--> Using cache"));
        Ok(ran.filter_map(position).filter_map(|of| named(of, names)).collect())
    }

    fn first_use(&mut self, job: &Job) -> Result<Measure> {
        self.prune()?;
        if self.based {
            self.run(&["rmi", "--force", BASE])?;
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
