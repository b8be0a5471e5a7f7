//! What a vertex does: pure descriptions, no I/O.
//!
//! A frontend makes these; the solver dispatches them; `source`, `exec` and
//! `fileop` carry them out. Paths and ids are as the user wrote them: they are
//! resolved against the view and the config that the vertex is given.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::digest::BlobDigest;

/// One operation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Op {
    /// Brings something in from outside. No inputs.
    Source(Source),
    /// Runs a process. Input 0 is the state whose root file system it sees,
    /// further inputs are what its mounts refer to.
    Exec(Exec),
    /// Changes files without running anything. Input 0 is the state that is
    /// changed, further inputs are what it copies from.
    File(FileOp),
    /// Changes the image's config only. Input 0 is the state.
    Config(ConfigPatch),
}

/// Where a state or a tree comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// The empty state.
    Scratch,
    /// A root file system: a tar (plain, gzip, xz, zstd) or a directory.
    Rootfs {
        /// Absolute path on this host.
        path: PathBuf,
    },
    /// An image in an OCI layout (directory or tar archive) or a docker-archive.
    Oci {
        /// Absolute path on this host.
        path: PathBuf,
        /// The tag or reference, where there is more than one image.
        tag: Option<String>,
    },
    /// The packages of a minimal Debian, unpacked and not yet configured.
    Debian(Debian),
    /// An image by name: the store's, else a registry's.
    Image {
        /// As the user wrote it: `debian:bookworm`, `localhost:5000/app@sha256:...`.
        reference: String,
        /// Of the manifest, or of an index, where a frontend resolved the name
        /// already.
        digest: Option<BlobDigest>,
        /// `os/arch[/variant]`; the build's where absent.
        platform: Option<String>,
    },
    /// A directory of this host as a tree to copy from or to mount: the build
    /// context. Walked only where it is used.
    Local {
        /// The name it has in messages and keys (`context`).
        name: String,
        /// Absolute path on this host; not part of any key.
        path: PathBuf,
    },
}

/// What `from: {debian: ...}` asks for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Debian {
    /// Suite or code name: `bookworm`.
    pub suite: String,
    /// Mirror's base URL; where absent, the host's own apt configuration says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mirror: Option<String>,
    /// Keyring file (absolute); where absent, the host's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keyring: Option<PathBuf>,
    /// Components; `main` where empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub components: Vec<String>,
    /// Packages beyond the minimum, each `name` or `name=version`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub include: Vec<String>,
    /// Debian architecture (`amd64`); the host's where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub arch: Option<String>,
}

/// A command, as the user wrote it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
pub enum Command {
    /// A script given to `/bin/sh -e -c`.
    Shell(String),
    /// A program and its arguments, started without a shell.
    Argv(Vec<String>),
}

impl Command {
    /// Program and arguments as they are executed.
    #[must_use]
    pub fn argv(&self) -> Vec<String> {
        match self {
            Self::Shell(script) => ["/bin/sh", "-e", "-c", script].map(str::to_owned).to_vec(),
            Self::Argv(argv) => argv.clone(),
        }
    }
}

/// What network a step has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Network {
    /// The host's.
    #[default]
    Host,
    /// A loopback device and nothing else.
    None,
}

/// Whether a step may be reused for what it looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Trace {
    /// What it looks at is recorded: it runs again only if some of that changed.
    #[default]
    On,
    /// It runs again if anything of its root changed.
    Off,
}

/// Why a process runs, which says what becomes of what it writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ExecKind {
    /// Its writes are a layer.
    Step,
    /// Its writes are a layer; it installs packages, so logs, caches and lists
    /// are dropped from that layer (`Exec::scrub`).
    Packages,
    /// It passes or fails; its writes are thrown away.
    Test,
}

/// A process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Exec {
    /// What is executed.
    pub command: Command,
    /// Variables over those of the image's config, in order.
    pub env: Vec<(String, String)>,
    /// Working directory; relative to, and where absent, the config's.
    pub workdir: Option<String>,
    /// `user[:group]`, names or numbers; where absent, the config's.
    pub user: Option<String>,
    /// Network access.
    pub network: Network,
    /// It is killed when it runs longer. Not part of the key.
    pub timeout: Option<Duration>,
    /// What is mounted into its root.
    pub mounts: Vec<Mount>,
    /// What becomes of its writes.
    pub kind: ExecKind,
    /// Whether what it looks at is recorded. Not part of the key.
    pub trace: Trace,
}

/// Something mounted into a step's root.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mount {
    /// Absolute path in the step's root, or relative to the working directory.
    pub target: String,
    /// What is there.
    pub kind: MountKind,
}

/// How concurrent steps share a cache mount.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Sharing {
    /// Any number at the same time.
    #[default]
    Shared,
    /// One after the other.
    Locked,
    /// Each concurrent one has its own.
    Private,
}

/// The kinds of mounts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
pub enum MountKind {
    /// A path of another input, served as a view; writes to it are thrown away.
    Bind {
        /// Index into the vertex's inputs (never 0).
        input: usize,
        /// Path within that input; its root where empty.
        source: String,
        /// Whether writing (to nowhere) is allowed.
        writable: bool,
    },
    /// A directory that lasts from build to build.
    Cache {
        /// Its identity in the store.
        id: String,
        /// How it is shared.
        sharing: Sharing,
        /// Mode of its root when it is made.
        mode: u32,
        /// Owner of its root when it is made.
        uid: u32,
        /// Group of its root when it is made.
        gid: u32,
    },
    /// An empty file system in memory.
    Tmpfs {
        /// Its limit in bytes.
        size: Option<u64>,
    },
    /// A secret as a file; its value is in no key.
    Secret {
        /// Which.
        id: String,
        /// The environment variable that holds it, instead of a file at `target`.
        env: Option<String>,
        /// Mode of the file.
        mode: u32,
        /// Owner of the file.
        uid: u32,
        /// Group of the file.
        gid: u32,
        /// Whether it is an error when the secret is not given.
        required: bool,
    },
}

/// A change of files that needs no process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
pub enum FileOp {
    /// Copies from another input.
    Copy(Copy),
    /// Writes a file.
    Write {
        /// Where: absolute, or relative to the config's working directory.
        path: String,
        /// The bytes.
        content: Vec<u8>,
        /// `user[:group]`; 0:0 where absent.
        owner: Option<String>,
        /// Permission bits; `0o644` where absent.
        mode: Option<u32>,
    },
    /// Makes a directory and its parents; fine where it is one already.
    Mkdir {
        /// Where.
        path: String,
        /// `user[:group]`; 0:0 where absent.
        owner: Option<String>,
        /// Permission bits; `0o755` where absent.
        mode: Option<u32>,
    },
    /// Makes a symbolic link.
    Symlink {
        /// What it says.
        target: String,
        /// Where it is.
        path: String,
    },
    /// Removes files and trees.
    Remove {
        /// Paths or globs.
        paths: Vec<String>,
        /// Whether it is an error when one matches nothing.
        required: bool,
    },
}

/// A copy by the rules of the Dockerfile's `COPY`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Copy {
    /// Index into the vertex's inputs (never 0).
    pub input: usize,
    /// Paths or globs within that input.
    pub sources: Vec<String>,
    /// Where to; a directory if it ends with `/`, is one, or there is more
    /// than one source.
    pub dest: String,
    /// Globs of what is left out, relative to the input's root.
    pub exclude: Vec<String>,
    /// `user[:group]`; where absent 0:0 from a context, as it is from a stage.
    pub owner: Option<String>,
    /// Permission bits for files and directories alike; as it is where absent.
    pub mode: Option<u32>,
    /// Whether the source's modification times are kept (and are in the key).
    pub keep_mtime: bool,
}

/// A health check in the image's config (a Docker extension of OCI's).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Healthcheck {
    /// `["NONE"]`, `["CMD", ...]` or `["CMD-SHELL", script]`.
    pub test: Vec<String>,
    /// Between two checks, in nanoseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interval: Option<u64>,
    /// For one check, in nanoseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<u64>,
    /// Grace at the start, in nanoseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_period: Option<u64>,
    /// How many failures in a row make it unhealthy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retries: Option<u32>,
}

/// A change of the image's config: what is `None` or empty stays.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConfigPatch {
    /// Replaces the entrypoint (and drops the base's command, as Docker does,
    /// unless `cmd` is given too).
    pub entrypoint: Option<Vec<String>>,
    /// Replaces the command.
    pub cmd: Option<Vec<String>>,
    /// Sets variables, in order.
    pub env: Vec<(String, String)>,
    /// Sets labels.
    pub labels: BTreeMap<String, String>,
    /// Adds ports (`80/tcp`).
    pub expose: Vec<String>,
    /// Adds volumes.
    pub volumes: Vec<String>,
    /// Replaces the user.
    pub user: Option<String>,
    /// Replaces the working directory; relative to the one before.
    pub workdir: Option<String>,
    /// Replaces the stop signal.
    pub stop_signal: Option<String>,
    /// Replaces the health check.
    pub healthcheck: Option<Healthcheck>,
    /// Replaces the author.
    pub author: Option<String>,
}
