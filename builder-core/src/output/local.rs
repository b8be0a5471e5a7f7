//! The merged root file system, written into a directory.
//!
//! What is there already and not in the image stays, as with `buildx`; what is
//! in the way of the image is replaced, a directory only by a directory.
//!
//! Invariant: nothing outside the destination is touched, whatever links image
//! or destination hold: every name is made in a directory that is opened below
//! the destination without following any link.
//!
//! Limitations: each file is put in place by a rename, the whole is not: a
//! failed export leaves a part of the image.

use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::path::PathBuf;

use rustix::fs::{
    AtFlags, CWD, FileType, Gid, Mode, OFlags, ResolveFlags, Timespec, Timestamps, Uid, XattrFlags,
};
use rustix::io::Errno;

use super::walk::{Content, view, walk};
use super::{Dest, Export, Output, OutputError, Written};
use crate::layer::{LayerPath, Meta};
use crate::view::{Node, NodeKind, Tree};

/// The name of a file until it is whole: one that no image can have, since
/// layers mark removals so.
const TEMP: &str = ".wh..phoenix-export";

/// Whose the written files are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Owners {
    /// The image's; needs root. Devices and all extended attributes too.
    Image,
    /// The caller's: set-id bits, devices and attributes that only root may
    /// set are left out.
    Caller,
}

/// Writes the root file system into a directory.
#[derive(Debug, Clone)]
pub struct Local {
    /// The directory; made if it is not there.
    pub dest: Dest,
    /// Whose the files are.
    pub owners: Owners,
}

impl Output for Local {
    fn describe(&self) -> String {
        format!("local {}", self.dest)
    }

    fn write(&self, export: &Export<'_>) -> Result<Written, OutputError> {
        let Dest::Path(dest) = &self.dest else { return Err(OutputError::DirectoryToStream) };
        let warnings = write_tree(&view(export)?, dest.clone(), self.owners)?;
        Ok(Written { warnings })
    }
}

pub(super) fn write_tree(
    tree: &dyn Tree,
    dest: PathBuf,
    owners: Owners,
) -> Result<Vec<String>, OutputError> {
    std::fs::create_dir_all(&dest).map_err(OutputError::io("making", dest.display()))?;
    let flags = OFlags::DIRECTORY | OFlags::RDONLY | OFlags::CLOEXEC;
    let root = rustix::fs::openat(CWD, &dest, flags, Mode::empty())
        .map_err(|error| OutputError::io("opening", dest.display())(error.into()))?;
    let mut writer = Writer { tree, root, owners, warnings: Vec::new(), directories: Vec::new() };
    walk(tree, &mut |path, node| writer.visit(path, node))?;
    writer.finish()
}

struct Writer<'a> {
    tree: &'a dyn Tree,
    root: OwnedFd,
    owners: Owners,
    warnings: Vec<String>,
    /// Whose mode and time are set last, when nothing is written into them any more.
    directories: Vec<(LayerPath, Meta)>,
}

impl Writer<'_> {
    fn visit(&mut self, path: &LayerPath, node: &Node) -> Result<(), OutputError> {
        if let Some((parent, name)) = path.split() {
            let io = |error: Errno| OutputError::io("writing", path.display())(error.into());
            let parent = self.directory(&parent)?;
            self.make(&parent, name, path, node).map_err(|error| match error {
                Failed::Errno(error) => io(error),
                Failed::Output(error) => error,
            })?;
        }
        if node.kind == NodeKind::Directory {
            self.directories.push((path.clone(), node.meta.clone()));
        }
        Ok(())
    }

    /// Opens a directory below the destination, following no link.
    fn directory(&self, path: &LayerPath) -> Result<OwnedFd, OutputError> {
        let name = if path.is_root() { &b"."[..] } else { path.as_bytes() };
        let flags = OFlags::DIRECTORY | OFlags::RDONLY | OFlags::CLOEXEC;
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
        rustix::fs::openat2(&self.root, name, flags, Mode::empty(), resolve)
            .map_err(|error| OutputError::io("opening", path.display())(error.into()))
    }

    fn make(
        &mut self,
        parent: &OwnedFd,
        name: &[u8],
        path: &LayerPath,
        node: &Node,
    ) -> Result<(), Failed> {
        if node.kind == NodeKind::Directory {
            return make_directory(parent, name);
        }
        let first = node.links.as_ref().map(|links| &links.first).filter(|first| *first != path);
        if self.is_device(node) && self.owners == Owners::Caller {
            self.warnings.push(format!("{} is a device: only root can make it", path.display()));
            return Ok(());
        }
        let placed = self.place(parent, name, path, node, first);
        // Also after success: a rename of two names of one file does nothing.
        let removed = remove(parent, TEMP.as_bytes());
        placed?;
        Ok(removed?)
    }

    fn place(
        &mut self,
        parent: &OwnedFd,
        name: &[u8],
        path: &LayerPath,
        node: &Node,
        first: Option<&LayerPath>,
    ) -> Result<(), Failed> {
        remove(parent, TEMP.as_bytes())?;
        if let Some((above, other)) = first.and_then(LayerPath::split) {
            let above = self.directory(&above)?;
            rustix::fs::linkat(above, other, parent, TEMP, AtFlags::empty())?;
        } else {
            self.make_temp(parent, path, node)?;
        }
        refuse_directory(parent, name, path)?;
        Ok(rustix::fs::renameat(parent, TEMP, parent, name)?)
    }

    fn is_device(&self, node: &Node) -> bool {
        matches!(node.kind, NodeKind::CharDevice { .. } | NodeKind::BlockDevice { .. })
    }

    fn make_temp(&mut self, parent: &OwnedFd, path: &LayerPath, node: &Node) -> Result<(), Failed> {
        let private = Mode::from_raw_mode(0o600);
        let special = |kind, dev| rustix::fs::mknodat(parent, TEMP, kind, private, dev);
        match &node.kind {
            NodeKind::File { size } => {
                let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::CLOEXEC;
                let mut file = File::from(rustix::fs::openat(parent, TEMP, flags, private)?);
                self.fill(&mut file, path, *size)?;
                self.xattrs(&file, &node.meta, path)?;
            }
            NodeKind::Symlink { target } => rustix::fs::symlinkat(&target[..], parent, TEMP)?,
            NodeKind::CharDevice { major, minor } => {
                special(FileType::CharacterDevice, rustix::fs::makedev(*major, *minor))?;
            }
            NodeKind::BlockDevice { major, minor } => {
                special(FileType::BlockDevice, rustix::fs::makedev(*major, *minor))?;
            }
            NodeKind::Fifo => special(FileType::Fifo, 0)?,
            NodeKind::Socket => special(FileType::Socket, 0)?,
            NodeKind::Directory => unreachable!("directories are made in place"),
        }
        self.set_meta(parent, TEMP.as_bytes(), &node.meta, &node.kind)
    }

    fn fill(&self, file: &mut File, path: &LayerPath, size: u64) -> Result<(), Failed> {
        let io = || OutputError::io("writing", path.display());
        let content = Content::open(self.tree, path)?;
        let copied = io::copy(&mut content.take(size), file).map_err(io())?;
        if copied != size {
            return Err(io()(io::ErrorKind::UnexpectedEof.into()).into());
        }
        Ok(file.flush().map_err(io())?)
    }

    /// Before the mode: a file that is not writable takes no attributes.
    fn xattrs(&mut self, file: &File, meta: &Meta, path: &LayerPath) -> Result<(), Failed> {
        if self.owners == Owners::Image {
            // A change of the owner drops file capabilities, so it comes first.
            let (uid, gid) = (Uid::from_raw(meta.uid), Gid::from_raw(meta.gid));
            rustix::fs::fchown(file, Some(uid), Some(gid))?;
        }
        for (name, value) in &meta.xattrs {
            match rustix::fs::fsetxattr(file, &name[..], value, XattrFlags::empty()) {
                Ok(()) => {}
                Err(Errno::PERM | Errno::OPNOTSUPP) => {
                    let name = String::from_utf8_lossy(name);
                    self.warnings.push(format!("{} lacks {name} here", path.display()));
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    fn set_meta(
        &self,
        parent: &OwnedFd,
        name: &[u8],
        meta: &Meta,
        kind: &NodeKind,
    ) -> Result<(), Failed> {
        let nofollow = AtFlags::SYMLINK_NOFOLLOW;
        let file = matches!(kind, NodeKind::File { .. });
        if self.owners == Owners::Image && !file {
            let (uid, gid) = (Uid::from_raw(meta.uid), Gid::from_raw(meta.gid));
            rustix::fs::chownat(parent, name, Some(uid), Some(gid), nofollow)?;
        }
        if !matches!(kind, NodeKind::Symlink { .. }) {
            let mask = if self.owners == Owners::Image { 0o7777 } else { 0o1777 };
            let mode = Mode::from_raw_mode(meta.mode & mask);
            // What is there was just made by us and is no link.
            rustix::fs::chmodat(parent, name, mode, AtFlags::empty())?;
        }
        let nanos = i64::from(meta.mtime.nanos);
        let time = Timespec { tv_sec: meta.mtime.secs, tv_nsec: nanos };
        let times = Timestamps { last_access: time, last_modification: time };
        Ok(rustix::fs::utimensat(parent, name, &times, nofollow)?)
    }

    /// Directories last, the deepest first.
    fn finish(mut self) -> Result<Vec<String>, OutputError> {
        for (path, meta) in std::mem::take(&mut self.directories).into_iter().rev() {
            let io = |error: Errno| OutputError::io("writing", path.display())(error.into());
            let set = |writer: &mut Self| {
                let directory = File::from(writer.directory(&path)?);
                writer.xattrs(&directory, &meta, &path)?;
                let parent = OwnedFd::from(directory);
                writer.set_meta(&parent, b".", &meta, &NodeKind::Directory)
            };
            set(&mut self).map_err(|error| match error {
                Failed::Errno(error) => io(error),
                Failed::Output(error) => error,
            })?;
        }
        Ok(self.warnings)
    }
}

/// An error that does not yet name its path, or one that does.
enum Failed {
    Errno(Errno),
    Output(OutputError),
}

impl From<Errno> for Failed {
    fn from(error: Errno) -> Self {
        Self::Errno(error)
    }
}

impl From<OutputError> for Failed {
    fn from(error: OutputError) -> Self {
        Self::Output(error)
    }
}

fn make_directory(parent: &OwnedFd, name: &[u8]) -> Result<(), Failed> {
    let mode = Mode::from_raw_mode(0o700);
    match rustix::fs::mkdirat(parent, name, mode) {
        Ok(()) => Ok(()),
        Err(Errno::EXIST) => {
            let stat = rustix::fs::statat(parent, name, AtFlags::SYMLINK_NOFOLLOW)?;
            if FileType::from_raw_mode(stat.st_mode) == FileType::Directory {
                return Ok(());
            }
            remove(parent, name)?;
            Ok(rustix::fs::mkdirat(parent, name, mode)?)
        }
        Err(error) => Err(error.into()),
    }
}

fn remove(parent: &OwnedFd, name: &[u8]) -> Result<(), Errno> {
    match rustix::fs::unlinkat(parent, name, AtFlags::empty()) {
        Err(Errno::NOENT) => Ok(()),
        result => result,
    }
}

fn refuse_directory(parent: &OwnedFd, name: &[u8], path: &LayerPath) -> Result<(), Failed> {
    match rustix::fs::statat(parent, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) if FileType::from_raw_mode(stat.st_mode) == FileType::Directory => {
            Err(OutputError::DirectoryInTheWay { path: path.display() }.into())
        }
        _ => Ok(()),
    }
}
