//! Phoenix: a store of its own for each compression.
//!
//! A base is taken in once, into a store that is copied (by hard links: what a
//! store holds is replaced, never changed) whenever a build is to be cold.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::{BASE, Job, Peer, named, remove};
use crate::error::{Result, at};
use crate::process::{self, Measure};

/// How layers are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Compression {
    Gzip,
    Zstd,
}

/// What it reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum From {
    Recipe,
    Dockerfile,
}

pub(crate) struct Phoenix {
    program: PathBuf,
    dir: PathBuf,
    from: From,
    compression: Compression,
}

impl Phoenix {
    pub(crate) fn new(
        program: PathBuf,
        dir: PathBuf,
        (from, compression): (From, Compression),
    ) -> Result<Self> {
        std::fs::create_dir_all(&dir).map_err(at(&dir))?;
        Ok(Self { program, dir, from, compression })
    }

    fn store(&self) -> PathBuf {
        self.dir.join("store")
    }

    fn metadata(&self) -> PathBuf {
        self.dir.join("metadata.json")
    }

    /// Builds the workload.
    fn whole(&self, job: &Job) -> Command {
        if self.from == From::Recipe {
            return self.command(job, "recipe.yaml");
        }
        let mut command = self.command(job, "Dockerfile");
        if let Some(base) = &job.base {
            command.arg(format!("--build-context={BASE}=oci-layout://{}", base.display()));
        }
        command
    }

    fn command(&self, job: &Job, recipe: &str) -> Command {
        let mut command = Command::new(&self.program);
        command.arg("--store").arg(self.store()).arg("build").arg(&job.context);
        command.arg("-f").arg(job.dir.join(recipe)).args(["--tag", "bench", "--progress=plain"]);
        command.arg("--metadata-file").arg(self.metadata());
        if self.compression == Compression::Zstd {
            command.arg("--compression=zstd");
        }
        command
    }

    /// A store that knows the base of `job`, and nothing else.
    fn template(&self, job: &Job) -> Result<Option<PathBuf>> {
        let Some(base) = &job.base else { return Ok(None) };
        let template = self.dir.join("template");
        if !template.exists() {
            self.take_in(job, base)?;
            std::fs::rename(self.store(), &template).map_err(at(&template))?;
        }
        Ok(Some(template))
    }

    /// Has the store know a base.
    fn take_in(&self, job: &Job, base: &Path) -> Result<()> {
        let recipe = format!("from: {{oci: {}}}\nsteps: [{{run: \"true\"}}]\n", base.display());
        let file = job.dir.join("base.yaml");
        std::fs::write(&file, recipe).map_err(at(&file))?;
        process::run(&mut self.command(job, "base.yaml"), &self.dir)?;
        Ok(())
    }
}

impl Peer for Phoenix {
    fn name(&self) -> &'static str {
        match self.compression {
            Compression::Gzip => "phoenix",
            Compression::Zstd => "phoenix zstd",
        }
    }

    fn forget(&mut self, job: &Job) -> Result<()> {
        remove(&self.store())?;
        if let Some(template) = self.template(job)? {
            let mut copy = Command::new("cp");
            copy.arg("-al").arg(template).arg(self.store());
            process::run(&mut copy, &self.dir)?;
        }
        Ok(())
    }

    fn build(&mut self, job: &Job) -> Result<Measure> {
        process::run(&mut self.whole(job), &self.dir)
    }

    fn rebase(&mut self, job: &Job) -> Result<()> {
        job.base.as_ref().map_or(Ok(()), |base| self.take_in(job, base))
    }

    fn rebuild(&mut self, job: &Job, names: &[&'static str]) -> Result<Measure> {
        let mut command = self.whole(job);
        match self.from {
            // Of all steps it would take in the base again, as no other builder does.
            From::Recipe => {
                command.args(names.iter().map(|name| format!("--no-cache={name}")));
            }
            From::Dockerfile => drop(command.arg("--no-cache")),
        }
        // As many at once as there are commands, on however many processors.
        command.arg(format!("--jobs={}", names.len()));
        process::run(&mut command, &self.dir)
    }

    fn ran(&self, _: &str, names: &[&'static str]) -> Result<Vec<&'static str>> {
        let path = self.metadata();
        let text = std::fs::read(&path).map_err(at(&path))?;
        let metadata: serde_json::Value =
            serde_json::from_slice(&text).map_err(|error| at(&path)(error.into()))?;
        let steps: Vec<_> = metadata["steps"].as_array().into_iter().flatten().collect();
        let did = |step: &serde_json::Value| step["status"] == "ran";
        if self.from == From::Dockerfile {
            // The commands are the last steps, and are called by what they say.
            let numbered = steps.iter().enumerate().filter(|(_, step)| did(step));
            let all = steps.len();
            return Ok(numbered.filter_map(|(at, _)| named((at + 1, all), names)).collect());
        }
        let ran: Vec<_> =
            steps.into_iter().filter(|step| did(step)).map(|step| &step["name"]).collect();
        Ok(names.iter().copied().filter(|&name| ran.iter().any(|&ran| ran == name)).collect())
    }

    fn first_use(&mut self, job: &Job) -> Result<Measure> {
        remove(&self.store())?;
        process::settle();
        self.build(job)
    }

    fn tidy(&mut self, _: &Job) -> Result<()> {
        remove(&self.store())
    }
}
