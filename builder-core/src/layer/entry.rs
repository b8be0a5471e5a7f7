//! What one name in a layer is.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::path::LayerPath;
use crate::digest::ContentDigest;

/// Modification time of all that has no time of its own to keep: files from a
/// context, inline content, results of steps, directories. 2000-01-01T00:00:00Z
/// in seconds since the Unix epoch. It is set, never clamped, because cache
/// keys hold no times. (Not 0: tools such as `zip` refuse times before 1980.)
pub const CONSTANT_MTIME: i64 = 946_684_800;

/// A modification time: seconds since the Unix epoch and nanoseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Mtime {
    /// Whole seconds; may be negative.
    pub secs: i64,
    /// 0 to 999,999,999.
    pub nanos: u32,
}

impl Mtime {
    /// See [`CONSTANT_MTIME`].
    pub const CONSTANT: Self = Self { secs: CONSTANT_MTIME, nanos: 0 };
}

/// Extended attributes by full name (`security.capability`, `user.x`), sorted.
pub type Xattrs = BTreeMap<Vec<u8>, Vec<u8>>;

/// What every kind of file has. The ids are those of the image, whatever the
/// host's files say.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Meta {
    /// Permission bits with set-id and sticky bits: at most `0o7777`.
    pub mode: u32,
    /// Numeric owner.
    pub uid: u32,
    /// Numeric group.
    pub gid: u32,
    /// Modification time.
    pub mtime: Mtime,
    /// Extended attributes that the image carries.
    pub xattrs: Xattrs,
}

impl Meta {
    /// Owner 0:0, the constant time, no extended attributes.
    #[must_use]
    pub fn root_owned(mode: u32) -> Self {
        Self { mode, uid: 0, gid: 0, mtime: Mtime::CONSTANT, xattrs: Xattrs::new() }
    }
}

/// The type of a file and what that type alone has.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A regular file. Its bytes are found through the layer's table.
    File {
        /// Length in bytes.
        size: u64,
        /// BLAKE3 of the bytes.
        content: ContentDigest,
    },
    /// A directory.
    Directory,
    /// A symbolic link with its target as written.
    Symlink {
        /// The target, not resolved, not normalised.
        target: Vec<u8>,
    },
    /// A character device. 0:0 never occurs: overlayfs takes it as a whiteout.
    CharDevice {
        /// Major number.
        major: u32,
        /// Minor number.
        minor: u32,
    },
    /// A block device.
    BlockDevice {
        /// Major number.
        major: u32,
        /// Minor number.
        minor: u32,
    },
    /// A named pipe.
    Fifo,
    /// A socket. Tar cannot hold one: it appears in served directories only.
    Socket,
}

impl Kind {
    /// Whether this is a directory.
    #[must_use]
    pub fn is_dir(&self) -> bool {
        matches!(self, Self::Directory)
    }
}

/// One change that a layer makes, in the order of paths.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// There is a file of any kind at the path.
    Present {
        /// Owner, mode, time, attributes.
        meta: Meta,
        /// What it is.
        kind: Kind,
    },
    /// The path is another name of the file at `target` (an earlier path of
    /// this layer, or a file of a layer below).
    Hardlink {
        /// The first name.
        target: LayerPath,
    },
    /// The path of a layer below is gone (`.wh.NAME` in the tar, OCI image
    /// spec, "Whiteouts").
    Whiteout,
    /// What layers below hold *inside* this directory is gone
    /// (`.wh..wh..opq`). Says nothing of the directory itself.
    Opaque,
}

/// A path and what the layer says about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Where.
    pub path: LayerPath,
    /// What.
    pub change: Change,
}
