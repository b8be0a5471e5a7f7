//! What Phoenix and its runner say to each other.

use std::ffi::OsString;
use std::io;
use std::ops::Deref;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::{Owner, RootKind, TerminalSize};
use crate::digest::ContentDigest;
use crate::layer::{Change, Entry, Kind, LayerPath, Meta, Mtime, PathError, Xattrs};
use crate::plan::op::Ulimit;

/// First argument of a process that is to be a runner.
pub(super) const MARKER: &str = "--phoenix-runner";
/// Both ends must be of one build: the messages are not versioned otherwise.
pub(super) const VERSION: &str = env!("CARGO_PKG_VERSION");

/// How the runner gets its ids.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Ids {
    /// No user namespace.
    Root,
    /// A user namespace whose maps Phoenix has written.
    Mapped,
    /// A user namespace in which the user is root, alone.
    Single,
}

/// From Phoenix to the runner.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Order {
    /// Run this; the first message.
    Step(Box<Step>),
    /// Remove these directories; the first message.
    Clean { ids: Ids, dirs: Vec<HostPath> },
    /// The id maps are written.
    IdsWritten,
    /// An entry of a tree that was asked for; frames of content follow if it
    /// is a non-empty file.
    Entry(WireEntry),
    /// That was all of the tree.
    TreeEnd,
    /// End the process.
    Kill,
}

/// A path as it travels: any bytes.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(from = "Vec<u8>", into = "Vec<u8>")]
pub(super) struct HostPath(PathBuf);

impl From<Vec<u8>> for HostPath {
    fn from(bytes: Vec<u8>) -> Self {
        Self(OsString::from_vec(bytes).into())
    }
}

impl From<HostPath> for Vec<u8> {
    fn from(HostPath(path): HostPath) -> Self {
        path.into_os_string().into_vec()
    }
}

impl From<PathBuf> for HostPath {
    fn from(path: PathBuf) -> Self {
        Self(path)
    }
}

impl From<&LayerPath> for HostPath {
    /// Below a root.
    fn from(path: &LayerPath) -> Self {
        path.as_bytes().to_vec().into()
    }
}

impl AsRef<Path> for HostPath {
    fn as_ref(&self) -> &Path {
        self
    }
}

impl Deref for HostPath {
    type Target = Path;

    fn deref(&self) -> &Path {
        &self.0
    }
}

/// A step, as the runner needs it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Step {
    pub(super) ids: Ids,
    pub(super) work: HostPath,
    pub(super) root: Owner,
    /// How trees become directories.
    pub(super) kind: RootKind,
    pub(super) argv: Vec<String>,
    pub(super) env: Vec<(String, String)>,
    pub(super) cwd: String,
    pub(super) uid: u32,
    pub(super) gid: u32,
    pub(super) groups: Vec<u32>,
    pub(super) own_network: bool,
    pub(super) insecure: bool,
    pub(super) hosts: Vec<(String, String)>,
    pub(super) shm_size: Option<u64>,
    pub(super) ulimits: Vec<Ulimit>,
    pub(super) hostname: String,
    /// Three descriptors come with the message: the caller's streams.
    pub(super) inherit: bool,
    /// None come; a terminal is made, and its other end is handed out.
    pub(super) terminal: Option<TerminalSize>,
    pub(super) capture: bool,
    pub(super) mounts: Vec<MountSpec>,
}

/// A mount whose target exists in the view.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct MountSpec {
    /// Below the root, without symbolic links, without a leading slash.
    pub(super) target: HostPath,
    pub(super) kind: MountSpecKind,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) enum MountSpecKind {
    Served { source: HostPath, root: Owner, writable: bool },
    HostDir { path: HostPath, writable: bool, make: Option<Owner> },
    Tmpfs { size: Option<u64> },
    File { content: Vec<u8>, owner: Owner },
    Socket { path: HostPath, owner: Owner },
    Resolv,
    Hosts,
}

/// From the runner to Phoenix.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Report {
    /// The first message.
    Hello { version: String },
    /// The user namespace is there and wants its maps.
    WriteIds,
    /// A mounted `/dev/fuse` comes with this: 0 is the root, 1.. the mounts.
    Fuse { index: usize },
    /// All entries of a tree are wanted: numbered as above.
    Tree { index: usize },
    /// The other end of the process's terminal comes with this.
    Terminal,
    /// The process runs.
    Started,
    /// The process and all that it started have ended.
    Ended { code: Option<i32>, signal: Option<i32> },
    /// An entry; frames of content follow if it is a non-empty file.
    Entry(WireEntry),
    /// Everything is done and removed; the last message.
    Done,
    /// It failed; nothing but `Done` follows.
    Fault(Fault),
}

/// A failure in the runner.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Fault {
    pub(super) kind: FaultKind,
    /// What was tried, as a participle, or the thing that failed.
    pub(super) what: String,
    pub(super) errno: i32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum FaultKind {
    Setup,
    UserNamespace,
    Fuse,
    Overlay,
    NotFound,
    NotExecutable,
    Cwd,
    Limit,
    Mount,
    Capture,
}

impl Fault {
    pub(super) fn new(kind: FaultKind, what: impl Into<String>, error: &io::Error) -> Self {
        let errno = error.raw_os_error().unwrap_or(libc::EIO);
        Self { kind, what: what.into(), errno }
    }

    pub(super) fn error(&self) -> io::Error {
        io::Error::from_raw_os_error(self.errno)
    }
}

/// Says what failed, once, where it failed.
pub(super) trait OrFault<T> {
    fn or_fault(self, what: impl Into<String>) -> Result<T, Fault>;
    fn or_kind(self, kind: FaultKind, what: impl Into<String>) -> Result<T, Fault>;
}

impl<T, E: Into<io::Error>> OrFault<T> for Result<T, E> {
    fn or_fault(self, what: impl Into<String>) -> Result<T, Fault> {
        self.or_kind(FaultKind::Setup, what)
    }
    fn or_kind(self, kind: FaultKind, what: impl Into<String>) -> Result<T, Fault> {
        self.map_err(|error| Fault::new(kind, what, &error.into()))
    }
}

/// An [`Entry`] as it travels.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct WireEntry {
    path: Vec<u8>,
    change: WireChange,
}

#[derive(Debug, Serialize, Deserialize)]
enum WireChange {
    Present {
        mode: u32,
        uid: u32,
        gid: u32,
        mtime: Mtime,
        xattrs: Vec<(Vec<u8>, Vec<u8>)>,
        kind: WireKind,
    },
    Hardlink(Vec<u8>),
    Whiteout,
    Opaque,
}

#[derive(Debug, Serialize, Deserialize)]
enum WireKind {
    File { size: u64 },
    Directory,
    Symlink(Vec<u8>),
    Char(u32, u32),
    Block(u32, u32),
    Fifo,
    Socket,
}

impl From<&Entry> for WireEntry {
    fn from(entry: &Entry) -> Self {
        let change = match &entry.change {
            Change::Present { meta: Meta { mode, uid, gid, mtime, xattrs }, kind } => {
                WireChange::Present {
                    mode: *mode,
                    uid: *uid,
                    gid: *gid,
                    mtime: *mtime,
                    xattrs: xattrs.iter().map(|(k, v)| (k.clone(), v.clone())).collect(),
                    kind: match kind {
                        Kind::File { size, content: _ } => WireKind::File { size: *size },
                        Kind::Directory => WireKind::Directory,
                        Kind::Symlink { target } => WireKind::Symlink(target.clone()),
                        Kind::CharDevice { major, minor } => WireKind::Char(*major, *minor),
                        Kind::BlockDevice { major, minor } => WireKind::Block(*major, *minor),
                        Kind::Fifo => WireKind::Fifo,
                        Kind::Socket => WireKind::Socket,
                    },
                }
            }
            Change::Hardlink { target } => WireChange::Hardlink(target.as_bytes().to_vec()),
            Change::Whiteout => WireChange::Whiteout,
            Change::Opaque => WireChange::Opaque,
        };
        Self { path: entry.path.as_bytes().to_vec(), change }
    }
}

impl TryFrom<WireEntry> for Entry {
    type Error = PathError;

    fn try_from(wire: WireEntry) -> Result<Self, PathError> {
        let change = match wire.change {
            WireChange::Present { mode, uid, gid, mtime, xattrs, kind } => Change::Present {
                meta: Meta { mode, uid, gid, mtime, xattrs: Xattrs::from_iter(xattrs) },
                kind: match kind {
                    WireKind::File { size } => {
                        Kind::File { size, content: ContentDigest::from_bytes([0; 32]) }
                    }
                    WireKind::Directory => Kind::Directory,
                    WireKind::Symlink(target) => Kind::Symlink { target },
                    WireKind::Char(major, minor) => Kind::CharDevice { major, minor },
                    WireKind::Block(major, minor) => Kind::BlockDevice { major, minor },
                    WireKind::Fifo => Kind::Fifo,
                    WireKind::Socket => Kind::Socket,
                },
            },
            WireChange::Hardlink(target) => Change::Hardlink { target: LayerPath::new(target)? },
            WireChange::Whiteout => Change::Whiteout,
            WireChange::Opaque => Change::Opaque,
        };
        Ok(Self { path: LayerPath::new(wire.path)?, change })
    }
}
