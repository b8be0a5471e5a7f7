//! Running a step: a process in a sandbox whose root is a served view.
//!
//! In: a [`Job`] (a tree, a process, mounts). Out: the process's output as it
//! comes and, if it succeeded and [`Keep::Capture`] is asked, every entry of
//! its upper, both to a [`JobSink`]; then an [`Exit`].
//!
//! Phoenix has threads, and namespaces and `fork` want a process without: so a
//! small *runner* is executed (never forked on): the embedder's own executable,
//! which calls [`runner_main`] first in its `main`, or a program named in the
//! settings ([`RunnerPath`]). The runner makes namespaces and mounts, opens
//! `/dev/fuse` inside and hands the descriptor out to Phoenix, which serves the
//! tree; it is the parent of the pid namespace, and it ends, and all of the
//! step with it, when its socket to Phoenix closes.
//!
//! Invariant: when [`Executor::run`] returns, whatever it returns, no process
//! and no mount of the step is left; after a `kill -9` of Phoenix the same is
//! true as soon as the runner has seen the socket close, and only files in the
//! job's work directory can remain ([`Sandbox::clean`]).
//!
//! What a process may and sees is what it is in a container of Docker, which a
//! test compares, but for this:
//!
//! | here | in Docker |
//! |---|---|
//! | the filter is that of 2026; x32 calls fail | an older version's, see the test's list |
//! | the host's network unless the job says none | a network of its own |
//! | no device opens but the few in `/dev` | control groups say which |
//! | what may do all has the few devices of `/dev` all the same | the host's devices |
//! | no control groups, and none seen in `/sys/fs/cgroup` | its own |
//! | 1024 open files, more if asked for | as many as the daemon has |
//! | a constant host name, not in the environment | a random one, in `HOSTNAME` too |
//! | `/etc/hostname` is the image's | a mount |
//!
//! Limitations: no cgroups (a step may use all memory and processors), no
//! user-defined security modules, Linux on x86-64 and 64-bit ARM only.

mod error;
mod explain;
mod ids;
mod job;
mod points;
mod program;
mod runner;
mod sandbox;
mod seccomp;
mod session;
mod shown;
mod spec;
mod sys;
mod unpack;
mod wire;

use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

pub use error::{ExecError, MORE_IDS};
pub use ids::IdMap;
pub use runner::runner_main;
pub use sandbox::{RootKind, RunnerPath, Sandbox};
pub use shown::{Mounted, PLACE_OF_MOUNT, Shown, shown, tree_of_mount};

pub use crate::cancel::Cancel;
use crate::event::Stream;
use crate::layer::{Entry, LayerPath};
use crate::plan::op::{Network, Security, Ulimit};
use crate::view::Tree;
use crate::view::observe::Recorder;

/// Runs jobs, any number at the same time.
pub trait Executor: Send + Sync {
    /// Runs `job` to its end, on the calling thread: output and captured
    /// entries go to `events` as they come. A process that ran and failed is
    /// an `Ok` whose [`Exit`] says so; nothing is captured then.
    ///
    /// # Errors
    /// [`ExecError`] where the process could not be run or its result not be
    /// read, or [`ExecError::Canceled`] once `cancel` is set.
    fn run(&self, job: Job, events: &mut dyn JobSink, cancel: &Cancel) -> Result<Exit, ExecError>;

    /// What the result of any job depends on besides the job, in words: how ids
    /// are mapped, what roots are made of. Part of what makes two steps alike.
    fn ground(&self) -> String;

    /// Whether it can tell what a process asked of its trees.
    ///
    /// # Errors
    /// Why it cannot, for people.
    fn observes(&self) -> Result<(), String>;
}

/// One process to run.
pub struct Job {
    /// What its root file system holds.
    pub root: Arc<dyn Tree>,
    /// An empty private directory on a disk (not overlayfs), for what the
    /// process writes. Emptied again before `run` returns.
    pub work: PathBuf,
    /// The process.
    pub process: Process,
    /// What is mounted into its root, in order.
    pub mounts: Vec<JobMount>,
    /// What becomes of its writes.
    pub keep: Keep,
    /// Takes what the process asks of the trees, if anybody wants to know. After
    /// an error it holds a part only.
    pub recorder: Option<Arc<Recorder>>,
}

/// What becomes of what a process writes to its root.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keep {
    /// It is given to [`JobSink::captured`] if the process exits with 0.
    Capture,
    /// It is thrown away.
    Discard,
}

/// A process, everything resolved: no names, no defaults.
#[derive(Debug, Clone)]
pub struct Process {
    /// Program and arguments. A program without a slash is looked up in the
    /// `PATH` of `env`.
    pub argv: Vec<String>,
    /// The whole environment, later ones winning. Proxy variables and other
    /// things that are in no key are simply among them.
    pub env: Vec<(String, String)>,
    /// Absolute working directory; it must exist.
    pub cwd: String,
    /// Numeric user.
    pub uid: u32,
    /// Numeric group.
    pub gid: u32,
    /// Supplementary groups.
    pub groups: Vec<u32>,
    /// Network access.
    pub network: Network,
    /// What it may do.
    pub security: Security,
    /// Names and addresses added to its `/etc/hosts`.
    pub hosts: Vec<(String, String)>,
    /// The size of its `/dev/shm` in bytes; 64 MiB where absent.
    pub shm_size: Option<u64>,
    /// Limits other than the usual ones.
    pub ulimits: Vec<Ulimit>,
    /// It is killed when it runs longer.
    pub timeout: Option<Duration>,
    /// Its host name; a constant, so that no step can see the host's.
    pub hostname: String,
    /// Where its standard streams go.
    pub stdio: Stdio,
    /// Whether it needs more than one user or group id, as package managers do:
    /// refused before it starts where the host maps a single one.
    pub needs_ids: bool,
}

impl Process {
    /// `argv` as root in `/` with nothing else: a base to change.
    #[must_use]
    pub fn new<S: Into<String>>(argv: impl IntoIterator<Item = S>) -> Self {
        Self {
            argv: argv.into_iter().map(Into::into).collect(),
            env: Vec::new(),
            cwd: "/".to_owned(),
            uid: 0,
            gid: 0,
            groups: Vec::new(),
            network: Network::Host,
            security: Security::Sandbox,
            hosts: Vec::new(),
            shm_size: None,
            ulimits: Vec::new(),
            timeout: None,
            hostname: HOSTNAME.to_owned(),
            stdio: Stdio::Piped,
            needs_ids: false,
        }
    }
}

/// The host name that steps see.
pub const HOSTNAME: &str = "phoenix";

/// Where a process's standard streams go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Stdio {
    /// Input is empty, output and errors go to [`JobSink::output`].
    #[default]
    Piped,
    /// The caller's own, as they are.
    Inherit,
    /// A new terminal of this size, whose other end goes to
    /// [`JobSink::terminal`].
    Terminal(TerminalSize),
}

/// How large a terminal is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct TerminalSize {
    /// Lines.
    pub rows: u16,
    /// Characters in a line.
    pub columns: u16,
}

/// Something mounted into the root of a process.
pub struct JobMount {
    /// Absolute path, as the process names it. Symbolic links on the way are
    /// resolved inside the root; what is missing appears in the view (not in
    /// the result).
    pub target: String,
    /// What is there.
    pub kind: JobMountKind,
}

/// The kinds of mounts.
pub enum JobMountKind {
    /// A part of a tree, served.
    Tree {
        /// Which tree.
        tree: Arc<dyn Tree>,
        /// A directory or file in it.
        source: LayerPath,
        /// Whether writing is allowed; what is written is thrown away.
        writable: bool,
    },
    /// A directory of the host, shared with it: a cache mount.
    HostDir {
        /// Where it is.
        path: PathBuf,
        /// Whether writing is allowed.
        writable: bool,
        /// Made with this mode and owner (ids of the image) if it is not there.
        make: Option<Owner>,
    },
    /// An empty file system in memory.
    Tmpfs {
        /// Its limit in bytes.
        size: Option<u64>,
    },
    /// A socket of the host, to be asked by the process. Its owner and mode are
    /// changed.
    Socket {
        /// Where it is: a place of the job's own.
        path: PathBuf,
        /// Its mode and owner.
        owner: Owner,
    },
    /// A file in memory.
    Secret {
        /// Its bytes.
        content: Vec<u8>,
        /// Its mode and owner.
        owner: Owner,
    },
}

/// Mode and owner of something that is made for a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Owner {
    /// Permission bits.
    pub mode: u32,
    /// User, as the image counts.
    pub uid: u32,
    /// Group, as the image counts.
    pub gid: u32,
}

/// Takes what a job gives, on the thread that called [`Executor::run`].
pub trait JobSink {
    /// Bytes as the process wrote them: neither whole lines nor UTF-8.
    fn output(&mut self, stream: Stream, bytes: &[u8]);

    /// An entry of the result, in the order of paths; `content` for regular
    /// files only, exactly as long as the entry says. Its digest in the entry
    /// is all zeros: not known yet. What is left unread is skipped.
    ///
    /// # Errors
    /// An error ends the job and comes back as [`ExecError::Sink`].
    fn captured(&mut self, entry: &Entry, content: Option<&mut dyn Read>) -> io::Result<()>;

    /// The other end of the process's terminal, before the process starts
    /// ([`Stdio::Terminal`] only). Reading it fails with `EIO` once nothing
    /// holds the terminal any more, and all that was written has been read.
    fn terminal(&mut self, terminal: OwnedFd) {
        drop(terminal);
    }
}

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Exit {
    /// In which way.
    pub status: ExitStatus,
    /// From the start of the process to its end.
    pub duration: Duration,
}

/// In which way a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExitStatus {
    /// It returned this code.
    Code(i32),
    /// This signal killed it.
    Signal(i32),
    /// It was killed at its time limit.
    TimedOut,
}

impl Exit {
    /// Whether the process returned 0.
    #[must_use]
    pub fn success(&self) -> bool {
        self.status == ExitStatus::Code(0)
    }
}
