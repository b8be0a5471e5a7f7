//! A tree written into a directory: what a step stands on where there is no
//! `/dev/fuse`.
//!
//! In: entries in the order of paths, with content. Out: a directory of the
//! same content, owners, modes, times and attributes, to be the lower of an
//! overlayfs. It is called inside the namespaces of the step, so that ids are
//! the image's.
//!
//! Invariant: nothing outside the directory is touched: every name is made in a
//! directory that is opened below it without following any link.
//!
//! Limitations: numbers of inodes, sizes and link counts of directories are the
//! host's. Where the user may not make devices or set `trusted.*` attributes,
//! they are missing (a served root shows them, and nobody could use them).

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, lchown};
use std::path::{Path, PathBuf};

use rustix::fs::{
    AtFlags, CWD, FileType, Mode, OFlags, ResolveFlags, Timespec, Timestamps, XattrFlags, linkat,
    lsetxattr, makedev, mkdirat, mknodat, openat, openat2, symlinkat, utimensat,
};
use rustix::io::Errno;

use crate::layer::{Change, Entry, Kind, LayerPath, Meta};
use crate::view::is_overlays;

/// Writes entries below a directory.
pub struct Unpacker {
    root: OwnedFd,
    /// The directory that was written into last.
    parent: Option<(LayerPath, OwnedFd)>,
    /// Whose mode and time are set last, when nothing is written into them any more.
    directories: Vec<(LayerPath, Meta)>,
}

impl Unpacker {
    /// Writes into `dir`, which is there and empty.
    ///
    /// # Errors
    /// If it cannot be opened.
    pub fn new(dir: &Path) -> io::Result<Self> {
        let flags = OFlags::DIRECTORY | OFlags::RDONLY | OFlags::CLOEXEC;
        let root = openat(CWD, dir, flags, Mode::empty())?;
        Ok(Self { root, parent: None, directories: Vec::new() })
    }

    /// Writes one entry; its directory was written before, and of a link the
    /// first name.
    ///
    /// # Errors
    /// If it cannot be written. A change that is no file, such as a whiteout,
    /// is [`io::ErrorKind::InvalidInput`].
    pub fn put(&mut self, entry: &Entry, content: &mut dyn Read) -> io::Result<()> {
        let Some((parent, name)) = entry.path.split() else {
            return match &entry.change {
                Change::Present { meta, kind: Kind::Directory } => {
                    self.directories.push((entry.path.clone(), meta.clone()));
                    Ok(())
                }
                _ => Err(io::ErrorKind::InvalidInput.into()),
            };
        };
        let parent = self.parent(parent)?.as_raw_fd();
        let at = PathBuf::from(format!("/proc/self/fd/{parent}")).join(OsStr::from_bytes(name));
        match &entry.change {
            Change::Hardlink { target } => self.link(target, &at),
            Change::Present { meta, kind: Kind::Directory } => {
                mkdirat(CWD, &at, Mode::RWXU)?;
                self.directories.push((entry.path.clone(), meta.clone()));
                Ok(())
            }
            Change::Present { meta, kind } => {
                if make(&at, kind, content)? {
                    set(&at, meta, kind)
                } else {
                    Ok(())
                }
            }
            Change::Whiteout | Change::Opaque => Err(io::ErrorKind::InvalidInput.into()),
        }
    }

    /// Gives directories their owners, modes and times.
    ///
    /// # Errors
    /// If one cannot be changed.
    pub fn finish(self) -> io::Result<()> {
        for (path, meta) in self.directories.iter().rev() {
            let dir = below(&self.root, path)?;
            let at = PathBuf::from(format!("/proc/self/fd/{}/.", dir.as_raw_fd()));
            set(&at, meta, &Kind::Directory)?;
        }
        Ok(())
    }

    fn parent(&mut self, path: LayerPath) -> io::Result<&OwnedFd> {
        if self.parent.as_ref().is_none_or(|(open, _)| *open != path) {
            let dir = below(&self.root, &path)?;
            self.parent = Some((path, dir));
        }
        Ok(&self.parent.as_ref().expect("opened above").1)
    }

    fn link(&self, target: &LayerPath, at: &Path) -> io::Result<()> {
        let (parent, name) = target.split().ok_or(io::ErrorKind::InvalidInput)?;
        let parent = below(&self.root, &parent)?;
        Ok(linkat(&parent, OsStr::from_bytes(name), CWD, at, AtFlags::empty())?)
    }
}

/// Opens a directory below the root, following no link.
fn below(root: &OwnedFd, path: &LayerPath) -> io::Result<OwnedFd> {
    let name = if path.is_root() { OsStr::new(".") } else { OsStr::from_bytes(path.as_bytes()) };
    let flags = OFlags::DIRECTORY | OFlags::RDONLY | OFlags::CLOEXEC;
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
    Ok(openat2(root, name, flags, Mode::empty(), resolve)?)
}

/// Makes anything but a directory; `false` where this user may not.
fn make(at: &Path, kind: &Kind, content: &mut dyn Read) -> io::Result<bool> {
    let node = |kind: FileType, device| match mknodat(CWD, at, kind, Mode::RUSR, device) {
        Ok(()) => Ok(true),
        Err(Errno::PERM) if device != 0 => Ok(false),
        Err(error) => Err(error.into()),
    };
    match kind {
        Kind::File { size, .. } => {
            let mut file = File::create_new(at)?;
            let written = io::copy(content, &mut file)?;
            if written == *size { Ok(true) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
        }
        Kind::Symlink { target } => {
            symlinkat(OsStr::from_bytes(target), CWD, at)?;
            Ok(true)
        }
        // It would hide itself.
        Kind::CharDevice { major: 0, minor: 0 } => Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "a character device 0:0, which overlayfs would take for a deletion",
        )),
        Kind::CharDevice { major, minor } => {
            node(FileType::CharacterDevice, makedev(*major, *minor))
        }
        Kind::BlockDevice { major, minor } => node(FileType::BlockDevice, makedev(*major, *minor)),
        Kind::Fifo => node(FileType::Fifo, 0),
        Kind::Socket => node(FileType::Socket, 0),
        Kind::Directory => Err(io::ErrorKind::InvalidInput.into()),
    }
}

/// Owner, attributes, mode and time, in the order in which none undoes another.
fn set(at: &Path, meta: &Meta, kind: &Kind) -> io::Result<()> {
    lchown(at, Some(meta.uid), Some(meta.gid))?;
    for (name, value) in &meta.xattrs {
        if is_overlays(name) {
            continue;
        }
        match lsetxattr(at, OsStr::from_bytes(name), value, XattrFlags::empty()) {
            Err(Errno::PERM) if name.starts_with(b"trusted.") => {}
            other => other?,
        }
    }
    if !matches!(kind, Kind::Symlink { .. }) {
        fs::set_permissions(at, fs::Permissions::from_mode(meta.mode))?;
    }
    let time = Timespec { tv_sec: meta.mtime.secs, tv_nsec: 0 };
    let times = Timestamps { last_access: time, last_modification: time };
    Ok(utimensat(CWD, at, &times, AtFlags::SYMLINK_NOFOLLOW)?)
}
