//! The builders that are compared.
//!
//! Invariant: `forget` leaves what a first build of a project finds: the base
//! is there, and nothing that an earlier build of the workload made.

mod buildah;
mod docker;
mod native;
mod phoenix;

use std::path::{Path, PathBuf};

pub(crate) use buildah::Buildah;
pub(crate) use docker::Docker;
pub(crate) use native::Native;
pub(crate) use phoenix::{Compression, From, Phoenix};

use crate::error::Result;
use crate::process::Measure;

/// The name of the base's image.
pub(crate) const BASE: &str = "bench-base";

/// What is built.
#[derive(Debug, Clone)]
pub(crate) struct Job {
    /// The workload's directory: `recipe.yaml` and `Dockerfile`.
    pub(crate) dir: PathBuf,
    /// The build context.
    pub(crate) context: PathBuf,
    /// The base as an image archive, where the workload has one.
    pub(crate) base: Option<PathBuf>,
}

/// A builder.
pub(crate) trait Peer {
    /// As it is called in the table.
    fn name(&self) -> &'static str;

    /// Makes the workload cold, untimed: see the module.
    fn forget(&mut self, job: &Job) -> Result<()>;

    /// Builds the workload.
    fn build(&mut self, job: &Job) -> Result<Measure>;

    /// Takes in the base of `job` in place of another one, untimed; what was
    /// built before is kept.
    fn rebase(&mut self, job: &Job) -> Result<()>;

    /// Builds the workload, its commands, which are called `names`, anew.
    fn rebuild(&mut self, job: &Job, names: &[&'static str]) -> Result<Measure>;

    /// Which of the commands ran in the last build, which printed `output`.
    /// They are the last instructions of the workload, called `names`.
    fn ran(&self, output: &str, names: &[&'static str]) -> Result<Vec<&'static str>>;

    /// From an archive of the base, which is not known yet, to the end of a
    /// first `true`.
    fn first_use(&mut self, job: &Job) -> Result<Measure>;

    /// Frees what the workload left, untimed.
    fn tidy(&mut self, job: &Job) -> Result<()>;
}

/// The parts of a measure that was two commands.
fn joined(first: Measure, second: Measure) -> Measure {
    Measure {
        time: first.time + second.time,
        memory: first.memory.max(second.memory),
        output: first.output + &second.output,
    }
}

/// The name of instruction `of.0` of `of.1`, where it is one of the last.
fn named(of: (usize, usize), names: &[&'static str]) -> Option<&'static str> {
    let (number, all) = of;
    names.get((number + names.len()).checked_sub(all + 1)?).copied()
}

/// `N/M` at the start of a text.
fn position(text: &str) -> Option<(usize, usize)> {
    let (number, rest) = text.split_once('/')?;
    let all: String = rest.chars().take_while(char::is_ascii_digit).collect();
    Some((number.trim().parse().ok()?, all.parse().ok()?))
}

fn remove(dir: &Path) -> Result<()> {
    match std::fs::remove_dir_all(dir) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(crate::error::at(dir)(error))
        }
        _ => Ok(()),
    }
}
