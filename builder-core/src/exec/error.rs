//! What can go wrong around a step, as facts. A step that ran and failed is no
//! error here.

use std::io;
use std::path::PathBuf;

use crate::view::TreeError;

/// What an ordinary user does to have more than one user id in steps.
pub const MORE_IDS: &str = "install `uidmap` and give your user a range in /etc/subuid and \
                            /etc/subgid (`usermod --add-subuids 100000-165535 --add-subgids \
                            100000-165535 USER`)";

/// Errors of executors.
#[derive(Debug, thiserror::Error)]
pub enum ExecError {
    /// The work was canceled; everything it started is gone.
    #[error("canceled")]
    Canceled,
    /// There is no program to execute as the runner.
    #[error(
        "no runner: this program does not call `builder_core::exec::runner_main()` first in its \
         `main`, and the settings name no runner"
    )]
    NoRunner {
        /// What was executed.
        path: PathBuf,
    },
    /// The runner could not be executed, or ended before its time.
    #[error("runner {}: {action}", path.display())]
    Runner {
        /// What was executed.
        path: PathBuf,
        /// What failed, as a phrase.
        action: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A step of setting up the sandbox failed.
    #[error("{action}")]
    Setup {
        /// What was tried, as a participle: `mounting /proc`.
        action: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// This host forbids user namespaces to ordinary users.
    #[error(
        "this host does not let ordinary users make user namespaces ({why}): allow them, or run as root"
    )]
    UserNamespaces {
        /// The setting that says so, with the command that changes it.
        why: String,
    },
    /// `/dev/fuse` cannot be opened.
    #[error("/dev/fuse cannot be opened; `modprobe fuse`, or allow this user to use it")]
    Fuse {
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Overlayfs cannot be mounted here.
    #[error(
        "overlayfs cannot be mounted; it needs `modprobe overlay` and, for ordinary users, Linux 5.11"
    )]
    Overlay {
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The step needs ids that are not mapped.
    #[error("{what} needs more than one user id, and this host maps none but yours: {}", MORE_IDS)]
    SingleId {
        /// What needs them: `user 33`, `installing packages`.
        what: String,
    },
    /// `newuidmap` or `newgidmap` refused.
    #[error("{program} failed: {stderr}; check /etc/subuid and /etc/subgid")]
    IdMapping {
        /// Which.
        program: String,
        /// What it said.
        stderr: String,
    },
    /// The program is not in the root.
    #[error("{program}: command not found (exit code 127)")]
    NotFound {
        /// Which.
        program: String,
    },
    /// The program is there and cannot be executed.
    #[error("{program}: cannot be executed (exit code 126)")]
    NotExecutable {
        /// Which.
        program: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The working directory is not there.
    #[error("working directory {cwd}")]
    Cwd {
        /// Which.
        cwd: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A limit cannot be set.
    #[error("limit `{name}`")]
    Limit {
        /// Which.
        name: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A mount's target or source is of no use.
    #[error("mounting {target}: {why}")]
    Mount {
        /// Where.
        target: String,
        /// Why.
        why: String,
    },
    /// A tree that is mounted failed.
    #[error(transparent)]
    Tree(#[from] TreeError),
    /// What a step left could not be read.
    #[error("reading what the step wrote: {0}")]
    Capture(String),
    /// The sink refused.
    #[error("taking what the step wrote")]
    Sink(#[source] io::Error),
}
