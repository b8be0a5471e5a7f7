//! Phoenix's side of a sandbox: executes the runner, serves its trees, takes
//! its reports.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::job::{Plan, plan};
use super::session::Session;
use super::spec::{Ids, Order};
use super::{Cancel, ExecError, Executor, Exit, IdMap, Job, JobSink, runner};

/// What is executed as the runner.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum RunnerPath {
    /// This very executable, whose `main` calls [`super::runner_main`] first.
    #[default]
    CurrentExe,
    /// Another program, whose `main` does.
    Path(PathBuf),
}

impl RunnerPath {
    /// The program, if this is one.
    fn program(&self) -> Result<PathBuf, ExecError> {
        match self {
            // Not by name: the file may have been replaced since.
            Self::CurrentExe if runner::is_ready() => Ok(PathBuf::from("/proc/self/exe")),
            Self::CurrentExe => {
                let path = std::env::current_exe().unwrap_or_default();
                Err(ExecError::NoRunner { path })
            }
            Self::Path(path) => Ok(path.clone()),
        }
    }
}

/// What the root of a step is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum RootKind {
    /// Overlayfs over a tree that Phoenix serves through FUSE.
    Served,
    /// Overlayfs over a copy of the tree in the job's work directory.
    Unpacked,
    /// That copy itself, compared with what it was when the process has ended.
    /// The others become this where overlayfs cannot be mounted.
    Copied,
}

/// Runs jobs in namespaces of this host.
#[derive(Debug, Clone)]
pub struct Sandbox {
    runner: RunnerPath,
    ids: IdMap,
    root: RootKind,
}

impl Sandbox {
    /// A sandbox as this host and user allow it.
    ///
    /// # Errors
    /// [`ExecError::NoRunner`] where there is no program to be the runner.
    pub fn detect(runner: RunnerPath) -> Result<Self, ExecError> {
        runner.program()?;
        let fuse = fs::OpenOptions::new().read(true).write(true).open("/dev/fuse");
        let root = if fuse.is_ok() { RootKind::Served } else { RootKind::Unpacked };
        Ok(Self { runner, ids: IdMap::detect(), root })
    }

    /// The same with other settings than those detected.
    #[must_use]
    pub fn with(self, ids: IdMap, root: RootKind) -> Self {
        Self { ids, root, ..self }
    }

    /// How ids are mapped.
    #[must_use]
    pub fn ids(&self) -> &IdMap {
        &self.ids
    }

    /// What roots are made of.
    #[must_use]
    pub fn root(&self) -> RootKind {
        self.root
    }

    /// Removes directories that crashed jobs left, whoever owns their files.
    ///
    /// # Errors
    /// [`ExecError`] where one cannot be removed.
    pub fn clean(&self, dirs: &[&Path]) -> Result<(), ExecError> {
        let dirs = dirs.iter().map(|dir| dir.to_path_buf().into()).collect();
        let order = Order::Clean { ids: self.wire_ids(), dirs };
        let session = Session::start(&self.runner.program()?, &self.ids)?;
        session.run(&order, Plan::default(), &mut Nothing, &Cancel::new()).map(drop)
    }

    fn wire_ids(&self) -> Ids {
        match self.ids {
            IdMap::Root => Ids::Root,
            IdMap::Full { .. } => Ids::Mapped,
            IdMap::Single => Ids::Single,
        }
    }
}

impl Executor for Sandbox {
    fn run(&self, job: Job, events: &mut dyn JobSink, cancel: &Cancel) -> Result<Exit, ExecError> {
        self.ids.check(&job.process)?;
        let (step, plan) = plan(job, self.wire_ids(), self.root)?;
        let failure = plan.failure.clone();
        let session = Session::start(&self.runner.program()?, &self.ids)?;
        let exit = session.run(&Order::Step(Box::new(step)), plan, events, cancel);
        match failure.take() {
            Some(error) if !matches!(exit, Err(ExecError::Canceled)) => Err(error.into()),
            _ => exit,
        }
    }

    fn ground(&self) -> String {
        let root = match self.root {
            RootKind::Served => "served",
            RootKind::Unpacked => "unpacked",
            RootKind::Copied => "copied",
        };
        let ids = match &self.ids {
            IdMap::Root => "all ids".to_owned(),
            IdMap::Full { uids: (_, users), gids: (_, groups) } => {
                format!("{users} user ids and {groups} group ids")
            }
            IdMap::Single => "one id".to_owned(),
        };
        format!("{root}, {ids}")
    }

    fn observes(&self) -> Result<(), String> {
        match self.root {
            RootKind::Served => Ok(()),
            RootKind::Unpacked | RootKind::Copied => {
                Err("/dev/fuse cannot be opened, so roots are not served".to_owned())
            }
        }
    }
}

/// The sink of an order that has no process.
struct Nothing;

impl JobSink for Nothing {
    fn output(&mut self, _: crate::event::Stream, _: &[u8]) {}
    fn captured(
        &mut self,
        _: &crate::layer::Entry,
        _: Option<&mut dyn io::Read>,
    ) -> io::Result<()> {
        Ok(())
    }
}
