//! Phoenix's side of a sandbox.

use std::path::{Path, PathBuf};

use super::{Cancel, ExecError, Executor, Exit, Job, JobSink};

/// What is executed as the runner.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum RunnerPath {
    /// This very executable, whose `main` calls [`super::runner_main`] first.
    #[default]
    CurrentExe,
    /// Another program, whose `main` does.
    Path(PathBuf),
}

/// How ids inside a sandbox relate to the host's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum IdMap {
    /// The same: Phoenix is root, and there is no user namespace.
    Root,
    /// Root inside is the user; the others are of their subordinate ranges.
    Full {
        /// First and count of the user's range in `/etc/subuid`.
        uids: (u32, u32),
        /// First and count of the user's range in `/etc/subgid`.
        gids: (u32, u32),
    },
    /// Root inside is the user, and there is no other id.
    Single,
}

/// What the root of a step is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RootKind {
    /// Overlayfs over a tree that Phoenix serves through FUSE.
    Served,
    /// A copy of the tree in the job's work directory.
    Unpacked,
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
    /// [`ExecError`] where the host's settings cannot be read.
    pub fn detect(_runner: RunnerPath) -> Result<Self, ExecError> {
        todo!()
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
    pub fn clean(&self, _dirs: &[&Path]) -> Result<(), ExecError> {
        let _ = &self.runner;
        todo!()
    }
}

impl Executor for Sandbox {
    fn run(
        &self,
        _job: Job,
        _events: &mut dyn JobSink,
        _cancel: &Cancel,
    ) -> Result<Exit, ExecError> {
        todo!()
    }
}
