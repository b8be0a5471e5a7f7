//! A directory of this host as a root file system.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read as _};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, ResolveFlags, Stat};

use super::RootfsError;
use crate::digest::ContentDigest;
use crate::layer::{
    Change, Compression, Entry, Kind, LayerDesc, LayerPath, LayerWriter, Meta, Mtime, Xattrs,
};
use crate::store::Store;

/// The largest value of an extended attribute on Linux.
const MAX_XATTR: usize = 64 << 10;

/// Raised whenever the same directory may have another identity than before.
const VERSION: u32 = 2;

struct Walker<'a> {
    host: &'a Path,
    root: File,
    device: u64,
    /// The caller's ids, which become root's; `None` for root.
    caller: Option<(u32, u32)>,
    links: HashMap<u64, LayerPath>,
    entries: Vec<Entry>,
}

/// The identity of all that the layer would hold.
pub(super) fn pin(store: &Store, host: &Path, root: File) -> Result<String, RootfsError> {
    let walker = Walker::walk(host, root)?;
    let mut hasher = blake3::Hasher::new();
    hasher.update(&VERSION.to_le_bytes());
    for entry in &walker.entries {
        // The content is not known yet, and is hashed as it is read.
        entry.change.hash_at(&entry.path, &mut hasher);
        if let Change::Present { kind: Kind::File { .. }, .. } = entry.change {
            let io = |source| RootfsError::Io { path: walker.on_host(&entry.path), source };
            let mut content = blake3::Hasher::new();
            let file = walker.open(&entry.path, OFlags::RDONLY)?;
            let mut file = store.cancel().guard(file);
            io::copy(&mut file, &mut content).map_err(io)?;
            hasher.update(content.finalize().as_bytes());
        }
    }
    Ok(format!("directory blake3:{}", hasher.finalize().to_hex()))
}

/// Makes the layer.
pub(super) fn layer(
    store: &Store,
    host: &Path,
    root: File,
    compression: Compression,
) -> Result<LayerDesc, RootfsError> {
    let bad = |source| RootfsError::Layer { path: host.to_owned(), source };
    let walker = Walker::walk(host, root)?;
    let mut writer = LayerWriter::new(store, compression).map_err(bad)?;
    for entry in &walker.entries {
        match &entry.change {
            Change::Present { kind: Kind::File { size, .. }, .. } => {
                let mut content = walker.open(&entry.path, OFlags::RDONLY)?.take(*size);
                writer.append(entry, Some(&mut content)).map_err(bad)?;
            }
            _ => writer.append(entry, None).map_err(bad)?,
        }
    }
    writer.finish().map_err(bad)
}

impl<'a> Walker<'a> {
    fn walk(host: &'a Path, root: File) -> Result<Self, RootfsError> {
        let io = |error: rustix::io::Errno| RootfsError::Io {
            path: host.to_owned(),
            source: error.into(),
        };
        let stat = rustix::fs::fstat(&root).map_err(io)?;
        let (uid, gid) = (rustix::process::geteuid(), rustix::process::getegid());
        let caller = (!uid.is_root()).then(|| (uid.as_raw(), gid.as_raw()));
        let (links, entries) = (HashMap::new(), Vec::new());
        let mut walker = Self { host, root, device: stat.st_dev, caller, links, entries };
        let mut pending = vec![(LayerPath::root(), stat)];
        while let Some((path, stat)) = pending.pop() {
            let is_dir = FileType::from_raw_mode(stat.st_mode) == FileType::Directory;
            let here = stat.st_dev == walker.device;
            walker.add(&path, &stat)?;
            if is_dir && here {
                let mut children = walker.list(&path)?;
                children.sort_by(|a, b| b.0.cmp(&a.0));
                pending.append(&mut children);
            }
        }
        Ok(walker)
    }

    fn on_host(&self, path: &LayerPath) -> PathBuf {
        self.host.join(std::ffi::OsStr::from_bytes(path.as_bytes()))
    }

    /// Opens below the root, following no link; never waits (for a fifo).
    fn open(&self, path: &LayerPath, flags: OFlags) -> Result<File, RootfsError> {
        let name = if path.is_root() { &b"."[..] } else { path.as_bytes() };
        let flags = flags | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK;
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
        rustix::fs::openat2(&self.root, name, flags, Mode::empty(), resolve)
            .map(File::from)
            .map_err(|error| self.io(path, error))
    }

    fn io(&self, path: &LayerPath, error: rustix::io::Errno) -> RootfsError {
        RootfsError::Io { path: self.on_host(path), source: error.into() }
    }

    fn list(&self, path: &LayerPath) -> Result<Vec<(LayerPath, Stat)>, RootfsError> {
        let directory = self.open(path, OFlags::RDONLY | OFlags::DIRECTORY)?;
        let mut children = Vec::new();
        for entry in Dir::read_from(&directory).map_err(|error| self.io(path, error))? {
            let entry = entry.map_err(|error| self.io(path, error))?;
            let name = entry.file_name().to_bytes();
            if name == b"." || name == b".." {
                continue;
            }
            let child = path.join(name).map_err(|source| RootfsError::Name {
                path: self.on_host(path).join(std::ffi::OsStr::from_bytes(name)),
                source,
            })?;
            let stat = rustix::fs::statat(&directory, name, AtFlags::SYMLINK_NOFOLLOW);
            let stat = stat.map_err(|error| self.io(&child, error))?;
            children.push((child, stat));
        }
        Ok(children)
    }

    fn add(&mut self, path: &LayerPath, stat: &Stat) -> Result<(), RootfsError> {
        let Some(kind) = self.kind(path, stat)? else { return Ok(()) };
        let path = path.clone();
        if !kind.is_dir() && stat.st_nlink > 1 && stat.st_dev == self.device {
            if let Some(target) = self.links.get(&stat.st_ino).cloned() {
                self.entries.push(Entry { path, change: Change::Hardlink { target } });
                return Ok(());
            }
            self.links.insert(stat.st_ino, path.clone());
        }
        let meta = self.meta(&path, stat, &kind)?;
        self.entries.push(Entry { path, change: Change::Present { meta, kind } });
        Ok(())
    }

    /// `None` for a socket, which no layer holds.
    fn kind(&self, path: &LayerPath, stat: &Stat) -> Result<Option<Kind>, RootfsError> {
        let (major, minor) = (rustix::fs::major(stat.st_rdev), rustix::fs::minor(stat.st_rdev));
        Ok(Some(match FileType::from_raw_mode(stat.st_mode) {
            FileType::RegularFile => Kind::File {
                size: u64::try_from(stat.st_size).unwrap_or(0),
                // Not known yet.
                content: ContentDigest::from_bytes([0; 32]),
            },
            FileType::Directory => Kind::Directory,
            FileType::Symlink => {
                let (parent, name) = path.split().expect("the root is a directory");
                let parent = self.open(&parent, OFlags::RDONLY | OFlags::DIRECTORY)?;
                let target = rustix::fs::readlinkat(parent, name, Vec::new())
                    .map_err(|error| self.io(path, error))?;
                Kind::Symlink { target: target.into_bytes() }
            }
            FileType::CharacterDevice => Kind::CharDevice { major, minor },
            FileType::BlockDevice => Kind::BlockDevice { major, minor },
            FileType::Fifo => Kind::Fifo,
            _ => return Ok(None),
        }))
    }

    fn meta(&self, path: &LayerPath, stat: &Stat, kind: &Kind) -> Result<Meta, RootfsError> {
        let (mut uid, mut gid) = (stat.st_uid, stat.st_gid);
        if let Some((caller, group)) = self.caller {
            uid = if uid == caller { 0 } else { uid };
            gid = if gid == group { 0 } else { gid };
        }
        let mtime = match kind.is_dir() {
            true => Mtime::CONSTANT,
            false => {
                Mtime { secs: stat.st_mtime, nanos: u32::try_from(stat.st_mtime_nsec).unwrap_or(0) }
            }
        };
        let xattrs = match kind {
            Kind::File { .. } | Kind::Directory => self.xattrs(path)?,
            _ => Xattrs::new(),
        };
        Ok(Meta { mode: stat.st_mode & 0o7777, uid, gid, mtime, xattrs })
    }

    /// The user's attributes, capabilities and ACLs; what the host's security
    /// modules and file systems keep is not the image's.
    fn xattrs(&self, path: &LayerPath) -> Result<Xattrs, RootfsError> {
        let file = self.open(path, OFlags::RDONLY)?;
        let mut names = vec![0; MAX_XATTR];
        let length = match rustix::fs::flistxattr(&file, &mut names[..]) {
            Ok(length) => length,
            Err(rustix::io::Errno::OPNOTSUPP) => 0,
            Err(error) => return Err(self.io(path, error)),
        };
        let mut xattrs = Xattrs::new();
        for name in names[..length].split(|b| *b == 0).filter(|name| kept(name)) {
            let mut value = vec![0; MAX_XATTR];
            let read = rustix::fs::fgetxattr(&file, name, &mut value[..]);
            value.truncate(read.map_err(|error| self.io(path, error))?);
            xattrs.insert(name.to_vec(), value);
        }
        Ok(xattrs)
    }
}

fn kept(name: &[u8]) -> bool {
    name == b"security.capability"
        || name.starts_with(b"user.") && !name.starts_with(b"user.overlay.")
        || name.starts_with(b"system.posix_acl_")
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use super::*;

    fn tree() -> tempfile::TempDir {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let path = |name: &str| dir.path().join(name);
        fs::create_dir(path("a")).expect("made");
        fs::write(path("a/file"), "content").expect("written");
        fs::write(path("a.b"), "").expect("written");
        fs::hard_link(path("a/file"), path("z")).expect("linked");
        symlink("/etc/passwd", path("link")).expect("linked");
        dir
    }

    fn pinned(dir: &Path) -> String {
        let beside = tempfile::tempdir().expect("a temporary directory");
        let store = Store::open(&beside.path().join("store")).expect("a store");
        pin(&store, dir, File::open(dir).expect("there")).expect("good")
    }

    #[test]
    fn a_directory_is_walked_in_the_order_of_a_layer() {
        let dir = tree();
        let root = File::open(dir.path()).expect("there");
        let walker = Walker::walk(dir.path(), root).expect("good");
        let paths: Vec<_> = walker.entries.iter().map(|entry| entry.path.display()).collect();
        assert_eq!(paths, ["/", "/a", "/a/file", "/a.b", "/link", "/z"]);
        let target = LayerPath::new("a/file").expect("a good path");
        assert_eq!(walker.entries[5].change, Change::Hardlink { target });
        let Change::Present { kind, meta } = &walker.entries[4].change else {
            panic!("the link is not followed");
        };
        assert_eq!(*kind, Kind::Symlink { target: b"/etc/passwd".to_vec() });
        assert_eq!((meta.uid, meta.gid), (0, 0));
    }

    #[test]
    fn the_identity_follows_content_mode_and_names() {
        let dir = tree();
        let before = pinned(dir.path());
        assert_eq!(pinned(dir.path()), before);
        let file = dir.path().join("a/file");
        let time = fs::metadata(&file).expect("there").modified().expect("known");
        fs::write(&file, "CONTENT").expect("written");
        File::options().write(true).open(&file).expect("there").set_modified(time).expect("set");
        let changed = pinned(dir.path());
        assert_ne!(changed, before, "equal size and time, other content");
        fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).expect("set");
        assert_ne!(pinned(dir.path()), changed);
    }
}
