//! Stands in for `root::served` and `root::capture` until those are there.

use std::collections::{BTreeMap, HashMap};
use std::ffi::OsStr;
use std::fs;
use std::io::{self, Read};
use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, UNIX_EPOCH};

use fuser::{
    Config, Errno, FileAttr, FileHandle, FileType, Filesystem, Generation, INodeNo, InitFlags,
    KernelConfig, LockOwner, OpenFlags, ReplyAttr, ReplyData, ReplyDirectory, ReplyEntry,
    ReplyOpen, Request, Session, SessionACL,
};

use crate::digest::ContentDigest;
use crate::layer::{Change, Entry, Kind, LayerPath, Meta, Mtime, Xattrs};
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

/// Takes an entry and its content.
pub(super) type EntrySink<'a> = &'a mut dyn FnMut(&Entry, Option<&mut dyn Read>) -> io::Result<()>;

/// Gives every entry of an upper, in the order of paths.
pub(super) fn walk_upper(_: BorrowedFd<'_>, upper: &Path, sink: EntrySink<'_>) -> io::Result<()> {
    let mut links = BTreeMap::new();
    walk(upper, &LayerPath::root(), &mut links, sink)
}

fn walk(
    dir: &Path,
    path: &LayerPath,
    links: &mut BTreeMap<u64, LayerPath>,
    sink: EntrySink<'_>,
) -> io::Result<()> {
    let mut names: Vec<_> = fs::read_dir(dir)?
        .map(|entry| Ok(entry?.file_name().into_vec()))
        .collect::<io::Result<_>>()?;
    names.sort();
    for name in names {
        let host = dir.join(OsStr::from_bytes(&name));
        let path = path.join(&name).map_err(|e| io::Error::new(io::ErrorKind::InvalidData, e))?;
        let found = host.symlink_metadata()?;
        let kind = found.file_type();
        let device = |rdev: u64| (rustix::fs::major(rdev), rustix::fs::minor(rdev));
        let meta = Meta {
            mode: found.mode() & 0o7777,
            uid: found.uid(),
            gid: found.gid(),
            mtime: Mtime { secs: found.mtime(), nanos: found.mtime_nsec().try_into().unwrap_or(0) },
            xattrs: Xattrs::new(),
        };
        let mut content = None;
        let change = if kind.is_char_device() && found.rdev() == 0 {
            Change::Whiteout
        } else if let Some(target) = links.get(&found.ino()) {
            Change::Hardlink { target: target.clone() }
        } else {
            let (major, minor) = device(found.rdev());
            let kind = if kind.is_dir() {
                Kind::Directory
            } else if kind.is_symlink() {
                Kind::Symlink { target: fs::read_link(&host)?.into_os_string().into_vec() }
            } else if kind.is_char_device() {
                Kind::CharDevice { major, minor }
            } else if kind.is_block_device() {
                Kind::BlockDevice { major, minor }
            } else if kind.is_fifo() {
                Kind::Fifo
            } else if kind.is_socket() {
                Kind::Socket
            } else {
                content = Some(fs::File::open(&host)?.take(found.len()));
                Kind::File { size: found.len(), content: ContentDigest::from_bytes([0; 32]) }
            };
            if found.nlink() > 1 && !kind.is_dir() {
                links.insert(found.ino(), path.clone());
            }
            Change::Present { meta, kind }
        };
        let entry = Entry { path: path.clone(), change };
        sink(&entry, content.as_mut().map(|content| content as &mut dyn Read))?;
        if kind.is_dir() {
            walk(&host, &path, links, sink)?;
        }
    }
    Ok(())
}
