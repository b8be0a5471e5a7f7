//! Serves the tree of a step until `root::served` has been shown to.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, UNIX_EPOCH};

use fuser::{
    Config, Errno, FileAttr, FileHandle, FileType, Filesystem, Generation, INodeNo, InitFlags,
    KernelConfig, LockOwner, OpenFlags, ReplyAttr, ReplyData, ReplyDirectory, ReplyEntry,
    ReplyOpen, Request, Session, SessionACL,
};

use crate::layer::LayerPath;
use crate::view::{Node, NodeKind, Tree};

const TTL: Duration = Duration::from_secs(1 << 30);

/// A session that ends with its mount.
pub(super) struct Served {
    _thread: std::thread::JoinHandle<()>,
}

/// Serves `tree` on a mounted `/dev/fuse`.
pub(super) fn serve(tree: Arc<dyn Tree>, fd: OwnedFd) -> io::Result<Served> {
    let names = Mutex::new(vec![LayerPath::root()]);
    let fs = Stand { tree, names, by_path: Mutex::default() };
    let thread = std::thread::Builder::new().name("served".to_owned()).spawn(move || {
        let _ = Session::from_fd(fs, fd, SessionACL::All, Config::default()).and_then(Session::run);
    })?;
    Ok(Served { _thread: thread })
}

struct Stand {
    tree: Arc<dyn Tree>,
    names: Mutex<Vec<LayerPath>>,
    by_path: Mutex<HashMap<LayerPath, u64>>,
}

impl Stand {
    fn path(&self, ino: INodeNo) -> Option<LayerPath> {
        let names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        names.get(usize::try_from(ino.0).ok()?.checked_sub(1)?).cloned()
    }

    fn ino(&self, path: &LayerPath) -> u64 {
        if path.is_root() {
            return 1;
        }
        let mut by_path = self.by_path.lock().unwrap_or_else(PoisonError::into_inner);
        *by_path.entry(path.clone()).or_insert_with(|| {
            let mut names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
            names.push(path.clone());
            names.len() as u64
        })
    }

    fn attr(&self, path: &LayerPath, node: &Node) -> FileAttr {
        let (kind, size, rdev) = match &node.kind {
            NodeKind::File { size } => (FileType::RegularFile, *size, 0),
            NodeKind::Directory => (FileType::Directory, 4096, 0),
            NodeKind::Symlink { target } => (FileType::Symlink, target.len() as u64, 0),
            NodeKind::CharDevice { major, minor } => (FileType::CharDevice, 0, major << 8 | minor),
            NodeKind::BlockDevice { major, minor } => {
                (FileType::BlockDevice, 0, major << 8 | minor)
            }
            NodeKind::Fifo => (FileType::NamedPipe, 0, 0),
            NodeKind::Socket => (FileType::Socket, 0, 0),
        };
        let time = UNIX_EPOCH + Duration::from_secs(node.meta.mtime.secs.max(0).cast_unsigned());
        let first = node.links.as_ref().map_or(path, |links| &links.first);
        FileAttr {
            ino: INodeNo(self.ino(first)),
            size,
            blocks: size.div_ceil(512),
            atime: time,
            mtime: time,
            ctime: time,
            crtime: time,
            kind,
            perm: u16::try_from(node.meta.mode & 0o7777).unwrap_or(0),
            nlink: node.links.as_ref().map_or(1, |links| links.count),
            uid: node.meta.uid,
            gid: node.meta.gid,
            rdev,
            blksize: 4096,
            flags: 0,
        }
    }
}

impl Filesystem for Stand {
    fn init(&mut self, _: &Request, config: &mut KernelConfig) -> io::Result<()> {
        let _ = config.add_capabilities(
            InitFlags::FUSE_NO_OPEN_SUPPORT
                | InitFlags::FUSE_NO_OPENDIR_SUPPORT
                | InitFlags::FUSE_CACHE_SYMLINKS
                | InitFlags::FUSE_PARALLEL_DIROPS,
        );
        Ok(())
    }
    fn open(&self, _: &Request, _: INodeNo, _: OpenFlags, reply: ReplyOpen) {
        reply.error(Errno::ENOSYS);
    }
    fn opendir(&self, _: &Request, _: INodeNo, _: OpenFlags, reply: ReplyOpen) {
        reply.error(Errno::ENOSYS);
    }
    fn lookup(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        let Some(path) = self.path(parent).and_then(|p| p.join(name.as_bytes()).ok()) else {
            return reply.error(Errno::ENOENT);
        };
        match self.tree.node(&path) {
            Ok(Some(node)) => reply.entry(&TTL, &self.attr(&path, &node), Generation(0)),
            Ok(None) => reply.error(Errno::ENOENT),
            Err(_) => reply.error(Errno::EIO),
        }
    }
    fn getattr(&self, _: &Request, ino: INodeNo, _: Option<FileHandle>, reply: ReplyAttr) {
        match self.path(ino).map(|path| (self.tree.node(&path), path)) {
            Some((Ok(Some(node)), path)) => reply.attr(&TTL, &self.attr(&path, &node)),
            _ => reply.error(Errno::EIO),
        }
    }
    fn readlink(&self, _: &Request, ino: INodeNo, reply: ReplyData) {
        match self.path(ino).map(|path| self.tree.node(&path)) {
            Some(Ok(Some(Node { kind: NodeKind::Symlink { target }, .. }))) => reply.data(&target),
            _ => reply.error(Errno::EIO),
        }
    }
    fn read(
        &self,
        _: &Request,
        ino: INodeNo,
        _: FileHandle,
        offset: u64,
        size: u32,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyData,
    ) {
        let mut buf = vec![0; size as usize];
        let read = self.path(ino).and_then(|path| self.tree.open(&path).ok());
        match read.map(|file| file.read_at(offset, &mut buf)) {
            Some(Ok(n)) => reply.data(&buf[..n]),
            _ => reply.error(Errno::EIO),
        }
    }
    fn readdir(
        &self,
        _: &Request,
        ino: INodeNo,
        _: FileHandle,
        offset: u64,
        mut reply: ReplyDirectory,
    ) {
        let Some((path, Ok(list))) = self.path(ino).map(|p| (p.clone(), self.tree.list(&p))) else {
            return reply.error(Errno::EIO);
        };
        let dots = [(b".".to_vec(), None), (b"..".to_vec(), None)];
        let all = dots.into_iter().chain(list.into_iter().map(|(name, node)| (name, Some(node))));
        for (at, (name, node)) in all.enumerate().skip(usize::try_from(offset).unwrap_or(0)) {
            let (ino, kind) = match (&node, path.join(&name)) {
                (Some(node), Ok(child)) => {
                    let attr = self.attr(&child, node);
                    (attr.ino, attr.kind)
                }
                _ => (ino, FileType::Directory),
            };
            if reply.add(ino, at as u64 + 1, kind, OsStr::from_bytes(&name)) {
                break;
            }
        }
        reply.ok();
    }
}
