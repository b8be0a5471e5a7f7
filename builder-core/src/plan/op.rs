//! What a vertex does: pure descriptions, no I/O.
//!
//! A frontend makes these; the solver dispatches them; `source`, `exec` and
//! `fileop` carry them out. Paths and ids are as the user wrote them: they are
//! resolved against the view and the config that the vertex is given.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use super::mode::{Mode, ModeError};
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
        /// `os/arch[/variant]`, where an image is there for several; the build's
        /// where absent.
        platform: Option<String>,
    },
    /// An image that a container engine (Docker, Podman) has.
    Engine {
        /// Its name there, or its id.
        name: String,
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
        /// What is not there for the build, by the rules of `.dockerignore`;
        /// directories that are left out whole are never entered.
        ignore: Vec<String>,
    },
    /// A file from a web server: a state whose root holds that one file.
    Http(Http),
    /// The files of a commit: a state whose root holds them.
    Git(Git),
}

/// A file to download.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Http {
    /// `http:` or `https:`; credentials in it are sent and never shown.
    pub url: String,
    /// The file's name in the tree ([`file_name_of`] says what a URL calls it).
    pub name: String,
    /// What it must be. No network is used where the store has that.
    pub checksum: Option<BlobDigest>,
}

/// The name that BuildKit gives to the file of a URL: the last part of its path.
#[must_use]
pub fn file_name_of(url: &str) -> String {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let path = rest.split(['?', '#']).next().unwrap_or_default();
    let path = path.split_once('/').map_or("", |(_, path)| path);
    match path.trim_end_matches('/').rsplit('/').next() {
        None | Some("" | "." | "..") => "__unnamed__".to_owned(),
        Some(name) => percent_decoded(name),
    }
}

/// `%2B` as `+`, where that gives a file's name.
fn percent_decoded(name: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = name.as_bytes();
    while let [first, tail @ ..] = rest {
        let digits = tail.get(..2).and_then(|two| std::str::from_utf8(two).ok());
        let value = digits.filter(|two| two.bytes().all(|b| b.is_ascii_hexdigit()));
        match value.and_then(|two| u8::from_str_radix(two, 16).ok()) {
            Some(byte) if *first == b'%' => {
                bytes.push(byte);
                rest = &tail[2..];
            }
            _ => {
                bytes.push(*first);
                rest = tail;
            }
        }
    }
    let plain = |text: &String| !text.contains(['/', '\0']) && text != "." && text != "..";
    String::from_utf8(bytes).ok().filter(plain).unwrap_or_else(|| name.to_owned())
}

/// A commit of a git repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Git {
    /// Where it is, as `git clone` takes it: `https:`, `ssh:`, `git:`, `file:`
    /// or `user@host:path`.
    pub remote: String,
    /// Branch, tag, full reference or commit; the remote's `HEAD` where absent.
    pub reference: Option<String>,
    /// The directory whose content is taken; the whole where empty.
    pub subdir: String,
    /// Whether `.git` stays.
    pub keep_git_dir: bool,
    /// Whether submodules are fetched too.
    pub submodules: bool,
    /// The commit that it must be: all digits or the first of them.
    pub commit: Option<String>,
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

/// What a process may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Security {
    /// As in a container of Docker.
    #[default]
    Sandbox,
    /// All capabilities and system calls. The build must allow it.
    Insecure,
}

/// A limit of a process (`setrlimit(2)`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ulimit {
    /// `nofile`, `nproc`, ...
    pub name: String,
    /// What counts at first; none where absent.
    pub soft: Option<u64>,
    /// Up to what the process may raise it; none where absent.
    pub hard: Option<u64>,
}

/// The names of limits, as [`Ulimit::name`] takes them.
pub const ULIMITS: [&str; 15] = [
    "core",
    "cpu",
    "data",
    "fsize",
    "locks",
    "memlock",
    "msgqueue",
    "nice",
    "nofile",
    "nproc",
    "rss",
    "rtprio",
    "rttime",
    "sigpending",
    "stack",
];

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
    /// What it may do.
    pub security: Security,
    /// Names and addresses over those of `/etc/hosts`, in order.
    pub hosts: Vec<(String, String)>,
    /// The host name that it sees; a constant where absent.
    pub hostname: Option<String>,
    /// The size of `/dev/shm` in bytes; 64 MiB where absent.
    pub shm_size: Option<u64>,
    /// Limits other than the usual ones.
    pub ulimits: Vec<Ulimit>,
    /// It is killed when it runs longer. Not part of the key.
    pub timeout: Option<Duration>,
    /// What is mounted into its root.
    pub mounts: Vec<Mount>,
    /// What becomes of its writes.
    pub kind: ExecKind,
    /// Whether what it looks at is recorded. Not part of the key.
    pub trace: Trace,
}

impl Exec {
    /// `command` with everything else as it usually is: a base to change.
    #[must_use]
    pub fn new(command: Command, kind: ExecKind) -> Self {
        Self {
            command,
            env: Vec::new(),
            workdir: None,
            user: None,
            network: Network::default(),
            security: Security::default(),
            hosts: Vec::new(),
            hostname: None,
            shm_size: None,
            ulimits: Vec::new(),
            timeout: None,
            mounts: Vec::new(),
            kind,
            trace: Trace::default(),
        }
    }

    /// The ids of the agents that it may ask for keys.
    pub fn ssh(&self) -> impl Iterator<Item = &str> {
        self.mounts.iter().filter_map(|mount| match &mount.kind {
            MountKind::Ssh { id, .. } => Some(id.as_str()),
            _ => None,
        })
    }
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
    /// A file or directory of another input, served as a view; writes to it are
    /// thrown away.
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
        /// What it holds when it is made, where that is not nothing.
        initial: Option<CacheInitial>,
        /// Whether the step may only read it.
        readonly: bool,
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
        /// The environment variable that holds it.
        env: Option<String>,
        /// Whether a file at `target` holds it.
        file: bool,
        /// Mode of the file.
        mode: u32,
        /// Owner of the file.
        uid: u32,
        /// Group of the file.
        gid: u32,
        /// Whether it is an error when the secret is not given.
        required: bool,
    },
    /// The socket of an agent that the request gives; it is in no key but for
    /// whether it is given. `SSH_AUTH_SOCK` names the first of a step, unless
    /// the step says it otherwise.
    Ssh {
        /// Which (`default`).
        id: String,
        /// Mode of the socket.
        mode: u32,
        /// Owner of the socket.
        uid: u32,
        /// Group of the socket.
        gid: u32,
        /// Whether it is an error when the agent is not given.
        required: bool,
    },
}

impl MountKind {
    /// The input that it takes files from, and which.
    #[must_use]
    pub fn takes(&self) -> Option<(usize, &str)> {
        match self {
            Self::Bind { input, source, writable: _ } => Some((*input, source)),
            Self::Cache { initial, .. } => {
                initial.as_ref().map(|initial| (initial.input, initial.source.as_str()))
            }
            Self::Tmpfs { .. } | Self::Secret { .. } | Self::Ssh { .. } => None,
        }
    }
}

/// A name as a [`CopySource::Path`] that names it alone, whatever letters it holds.
#[must_use]
pub fn literal_path(name: &str) -> String {
    let mut literal = String::new();
    for letter in name.chars() {
        if "*?[\\".contains(letter) {
            literal.push('\\');
        }
        literal.push(letter);
    }
    literal
}

/// What a cache mount holds when it is made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CacheInitial {
    /// Index into the vertex's inputs (never 0).
    pub input: usize,
    /// A directory within that input; its root where empty.
    pub source: String,
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
        /// To which directories owner and mode apply.
        applies: Applies,
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

/// To which directories of a path owner and mode apply.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Applies {
    /// To the last, whether it is made or was there; parents are made 0755, 0:0.
    #[default]
    Last,
    /// To those that are made, parents too; what was there stays as it is. So
    /// does `WORKDIR`.
    Made,
}

/// A copy by the rules of the Dockerfile's `COPY`, of any number of sources in
/// order, as one layer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Copy {
    /// What is copied.
    pub sources: Vec<CopySource>,
    /// Where to; a directory if it ends with `/`, is one, or there is more
    /// than one source.
    pub dest: String,
    /// What is left out, by the rules of `.dockerignore`.
    pub exclude: Vec<String>,
    /// Where the paths begin that `exclude` speaks of.
    pub exclude_from: ExcludeFrom,
    /// `user[:group]`; where absent 0:0 from a context, as it is from a stage.
    pub owner: Option<String>,
    /// Permission bits for files and directories alike; as they are where absent.
    pub mode: Option<Mode>,
    /// Whether the source's modification times are kept (and are in the key).
    pub keep_mtime: bool,
    /// Whether the directories that a source is in are made below `dest` too,
    /// those before a `/./` in it left out. Its globs then are those of
    /// `.dockerignore`.
    pub parents: bool,
    /// Whether the layer is made without a look at what is below it (but for
    /// names of owners): no link of the destination is followed, all parents
    /// are in the layer, 0755, 0:0.
    pub link: bool,
    /// Whether a glob may match nothing.
    pub allow_empty: bool,
}

impl Copy {
    /// `sources` of input 1 to `dest`, with everything else as it usually is: a
    /// base to change.
    #[must_use]
    pub fn new(sources: impl IntoIterator<Item = String>, dest: impl Into<String>) -> Self {
        let source = |path| CopySource::Path { input: 1, path, unpack: Unpack::Never };
        Self {
            sources: sources.into_iter().map(source).collect(),
            dest: dest.into(),
            exclude: Vec::new(),
            exclude_from: ExcludeFrom::Root,
            owner: None,
            mode: None,
            keep_mtime: false,
            parents: false,
            link: false,
            allow_empty: false,
        }
    }

    /// The inputs that it copies from, each once, in order.
    #[must_use]
    pub fn inputs(&self) -> Vec<usize> {
        let input = |source: &CopySource| match source {
            CopySource::Path { input, .. } => Some(*input),
            CopySource::Inline { .. } => None,
        };
        let mut inputs: Vec<usize> = self.sources.iter().filter_map(input).collect();
        inputs.sort_unstable();
        inputs.dedup();
        inputs
    }
}

/// Where the paths begin that a copy's `exclude` speaks of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ExcludeFrom {
    /// At the root of the input.
    #[default]
    Root,
    /// At each directory that is copied, so that files named themselves are
    /// never left out. So does a Dockerfile's `COPY`.
    Source,
}

/// One source of a copy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
pub enum CopySource {
    /// A path or glob within an input. `*` and `?` match no slash; `**` matches
    /// any number of directories, which it does not in a Dockerfile's `COPY`.
    Path {
        /// Index into the vertex's inputs (never 0).
        input: usize,
        /// Below that input's root.
        path: String,
        /// What is done with archives.
        unpack: Unpack,
    },
    /// A file that the operation holds, mode 0644.
    Inline {
        /// Its name.
        name: String,
        /// The bytes.
        content: Vec<u8>,
    },
}

/// What a copy does with a file that is a tar archive, compressed or not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Unpack {
    /// It is copied as any other file.
    #[default]
    Never,
    /// Its files are copied into the destination, which is a directory. What is
    /// no archive is copied. So does `ADD`, with `--unpack` too.
    Archives,
}

/// What the image's history says of an operation.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
pub enum HistoryLine {
    /// The vertex's display name.
    #[default]
    Name,
    /// This.
    Says {
        /// What made it (`RUN /bin/sh -c make # buildkit`).
        created_by: String,
        /// More about it (`buildkit.dockerfile.v0`).
        comment: Option<String>,
    },
    /// Nothing: for changes of the config that another operation's line tells
    /// of. What made a layer has a line with its name all the same.
    Nothing,
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
    /// Between two checks of that time, in nanoseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_interval: Option<u64>,
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
    /// Replaces the shell that a Dockerfile's shell forms run in; none where
    /// empty.
    pub shell: Option<Vec<String>>,
    /// Replaces the instructions for a Dockerfile that builds on the image; none
    /// where empty.
    pub onbuild: Option<Vec<String>>,
    /// Replaces the author.
    pub author: Option<String>,
    /// Replaces what the image is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub platform: Option<Box<ImagePlatform>>,
}

/// What an image is for, by the names that Go gives.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ImagePlatform {
    /// `linux`.
    pub os: String,
    /// `amd64`, `arm64`.
    pub architecture: String,
    /// `v7`; where absent, that of the image stays unless the rest changes.
    pub variant: Option<String>,
}
