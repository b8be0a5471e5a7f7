//! What is built: files, a recipe and a Dockerfile that say the same.

mod ahead;
mod app;
mod apt;
mod big;
mod compile;
mod delta;
mod first;
mod small;
mod wheel;

use std::fs;
use std::path::Path;

use crate::base::Bump;
use crate::error::{Error, Result, at};
use crate::peer::Job;
use crate::table::Phase;

/// A step whose time on the served view is compared with a directory's.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Step {
    /// Prints `took=NANOSECONDS`.
    pub(crate) script: &'static str,
    /// The directory of the context that stands at `/src`.
    pub(crate) src: Option<&'static str>,
}

/// How a workload is measured.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Kind {
    /// Cold, no change, one file changed; how often each.
    Build { cold: usize, unchanged: usize, changed: usize },
    /// From the archive of the base; how often.
    First { times: usize },
    /// Cold and no change, so often; then edit after edit. `steps` are the names of the commands.
    Delta { cold: usize, edits: &'static [Edit], steps: &'static [&'static str] },
    /// Built, then all run again: commands, by name, that do not need each other.
    Ahead { times: usize, commands: &'static [(&'static str, &'static str)], ideal: Ideal },
}

/// What is edited before a build.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Edit {
    pub(crate) phase: Phase,
    pub(crate) how: How,
    /// How often; a base moves on once only.
    pub(crate) times: usize,
    /// The commands that look at what is edited: those that are to run.
    pub(crate) runs: &'static [&'static str],
}

/// What an edit is made to.
#[derive(Debug, Clone, Copy)]
pub(crate) enum How {
    /// The context; another content for each number.
    Context(fn(&Path, u64) -> Result<()>),
    /// The base.
    Base(Bump),
}

/// The least time in which independent commands can be run.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Ideal {
    /// They wait: that of the slowest.
    Slowest,
    /// They compute: all their time, divided by the processors.
    Shared,
}

/// A workload.
pub(crate) struct Workload {
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
    /// Whether it starts from the base.
    pub(crate) base: bool,
    /// Whether Phoenix builds it with zstd too.
    pub(crate) zstd: bool,
    pub(crate) step: Option<Step>,
    /// The Dockerfile; `BASE` is the name of the base.
    dockerfile: fn() -> String,
    /// The recipe, without its `from`.
    recipe: fn() -> String,
    /// Makes the context.
    make: fn(&Path) -> Result<()>,
    /// Changes one file of it; another content for each number.
    pub(crate) change: fn(&Path, u64) -> Result<()>,
}

/// All, in the order in which they are measured.
pub(crate) const ALL: [&Workload; 9] = [
    &first::FIRST,
    &app::APP,
    &big::BIG,
    &small::SMALL,
    &apt::APT,
    &compile::COMPILE,
    &delta::DELTA,
    &ahead::WAIT,
    &ahead::COMPUTE,
];

/// Those of the names; all for none.
pub(crate) fn named(names: &[String]) -> Result<Vec<&'static Workload>> {
    let known = |name: &&String| ALL.iter().any(|workload| workload.name == **name);
    if let Some(name) = names.iter().find(|name| !known(name)) {
        let known = ALL.map(|workload| workload.name).join(", ");
        return Err(Error::Unknown { name: name.clone(), known });
    }
    let wanted =
        |workload: &&&Workload| names.is_empty() || names.iter().any(|n| n == workload.name);
    Ok(ALL.iter().filter(wanted).copied().collect())
}

impl Workload {
    /// Writes all files below `dir`. `base` is the image archive of the base.
    pub(crate) fn write(&self, dir: &Path, base: Option<&Path>) -> Result<Job> {
        let context = dir.join("context");
        fs::create_dir_all(&context).map_err(at(&context))?;
        (self.make)(&context)?;
        file(&dir.join("Dockerfile"), (self.dockerfile)())?;
        let job = Job { dir: dir.to_owned(), context, base: None };
        self.onto(&job, base)
    }

    /// The same files on another base.
    pub(crate) fn onto(&self, job: &Job, base: Option<&Path>) -> Result<Job> {
        let from = match base {
            Some(base) => format!("from: {{oci: {}}}\n", base.display()),
            None => "from: {scratch: true}\n".to_owned(),
        };
        file(&job.dir.join("recipe.yaml"), &(from + &(self.recipe)()))?;
        Ok(Job { base: base.map(Path::to_owned), ..job.clone() })
    }

    /// How the base moves on while the workload is measured.
    pub(crate) fn bumps(&self) -> Vec<Bump> {
        let Kind::Delta { edits, .. } = self.kind else { return Vec::new() };
        let bump = |edit: &Edit| match edit.how {
            How::Base(bump) => Some(bump),
            How::Context(_) => None,
        };
        edits.iter().filter_map(bump).collect()
    }
}

fn file(path: &Path, content: impl AsRef<[u8]>) -> Result<()> {
    fs::write(path, content).map_err(at(path))
}

fn directory(path: &Path) -> Result<()> {
    fs::create_dir_all(path).map_err(at(path))
}

/// A script as an item of the recipe's steps.
fn run(script: &str) -> String {
    let lines = script.lines().map(|line| format!("      {line}\n"));
    format!("  - run: |\n{}", lines.collect::<String>())
}
