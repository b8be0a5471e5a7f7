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

impl Change {
    /// Gives a hasher all that the change of `path` says, each value with its
    /// length, so that no two lists of changes are hashed alike. A file's
    /// content stands for its size. Keys hold such hashes: another encoding
    /// needs another version of each.
    pub fn hash_at(&self, path: &LayerPath, hasher: &mut blake3::Hasher) {
        let mut field = |bytes: &[u8]| {
            hasher.update(&(bytes.len() as u64).to_le_bytes()).update(bytes);
        };
        field(path.as_bytes());
        let (meta, kind) = match self {
            Self::Present { meta, kind } => (meta, kind),
            Self::Hardlink { target } => {
                field(b"hardlink");
                return field(target.as_bytes());
            }
            Self::Whiteout => return field(b"whiteout"),
            Self::Opaque => return field(b"opaque"),
        };
        match kind {
            Kind::File { size: _, content } => {
                field(b"file");
                field(content.as_bytes());
            }
            Kind::Directory => field(b"directory"),
            Kind::Symlink { target } => {
                field(b"symlink");
                field(target);
            }
            Kind::CharDevice { major, minor } => field(format!("c {major} {minor}").as_bytes()),
            Kind::BlockDevice { major, minor } => field(format!("b {major} {minor}").as_bytes()),
            Kind::Fifo => field(b"fifo"),
            Kind::Socket => field(b"socket"),
        }
        let Meta { mode, uid, gid, mtime: Mtime { secs, nanos }, xattrs } = meta;
        field(format!("{mode} {uid} {gid} {secs} {nanos} {}", xattrs.len()).as_bytes());
        for (name, value) in xattrs {
            field(name);
            field(value);
        }
    }
}

/// A path and what the layer says about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Where.
    pub path: LayerPath,
    /// What.
    pub change: Change,
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn present(meta: Meta, kind: Kind) -> Change {
        Change::Present { meta, kind }
    }

    #[test]
    fn every_field_of_a_change_is_hashed() {
        let Meta { mode: _, uid: _, gid: _, mtime: _, xattrs: _ } = Meta::root_owned(0);
        let meta = || Meta::root_owned(0o644);
        let mtime = |secs, nanos| Meta { mtime: Mtime { secs, nanos }, ..meta() };
        let xattrs = |list: &[(&str, &str)]| {
            let all = list.iter().map(|(n, v)| (n.as_bytes().to_vec(), v.as_bytes().to_vec()));
            Meta { xattrs: all.collect(), ..meta() }
        };
        let link = |target: &str| Kind::Symlink { target: target.into() };
        let file = |text: &str| Kind::File { size: 1, content: ContentDigest::of(text.as_bytes()) };
        let path = |text: &str| LayerPath::new(text).expect("a path");
        let changes = vec![
            present(meta(), file("x")),
            present(meta(), file("y")),
            present(Meta { mode: 0o600, ..meta() }, file("x")),
            present(Meta { uid: 1, ..meta() }, file("x")),
            present(Meta { gid: 1, ..meta() }, file("x")),
            present(mtime(1, 2), file("x")),
            present(mtime(1, 3), file("x")),
            present(mtime(2, 2), file("x")),
            present(xattrs(&[("a", "b")]), file("x")),
            present(xattrs(&[("ab", "")]), file("x")),
            present(xattrs(&[("a", ""), ("b", "")]), file("x")),
            present(meta(), Kind::Directory),
            present(meta(), link("x")),
            present(meta(), link("y")),
            present(meta(), Kind::CharDevice { major: 1, minor: 2 }),
            present(meta(), Kind::CharDevice { major: 1, minor: 3 }),
            present(meta(), Kind::BlockDevice { major: 1, minor: 2 }),
            present(meta(), Kind::BlockDevice { major: 2, minor: 2 }),
            present(meta(), Kind::Fifo),
            present(meta(), Kind::Socket),
            Change::Hardlink { target: path("x") },
            Change::Hardlink { target: path("y") },
            Change::Whiteout,
            Change::Opaque,
        ];
        let hash = |list: &[(&LayerPath, &Change)]| {
            let mut hasher = blake3::Hasher::new();
            list.iter().for_each(|(path, change)| change.hash_at(path, &mut hasher));
            hasher.finalize().to_hex()
        };
        let (p, q) = (path("p"), path("q"));
        let mut hashes: Vec<_> = changes.iter().map(|change| hash(&[(&p, change)])).collect();
        hashes.push(hash(&[(&q, &changes[0])]));
        // One after the other is not the same as either, or in another order.
        hashes.push(hash(&[(&p, &changes[0]), (&q, &changes[22])]));
        hashes.push(hash(&[(&q, &changes[22]), (&p, &changes[0])]));
        let different: BTreeSet<_> = hashes.iter().map(|hash| hash.as_str()).collect();
        assert_eq!(different.len(), hashes.len());
    }
}
