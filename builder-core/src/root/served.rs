//! A tree served through FUSE.
//!
//! In: any [`Tree`] and the descriptor of a mounted `/dev/fuse`. Out: the
//! kernel's questions, answered. One mount per step, so that each path is asked
//! for at least once. A node's number is the hash of its path (of the first
//! name of its link group), never of the order in which it was looked up.
//!
//! Limitations: extended attributes are not served yet.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use fuser::{
    Config, Errno, FileAttr, FileHandle, FileType, Filesystem, Generation, INodeNo, InitFlags,
    KernelConfig, LockOwner, OpenFlags, ReplyAttr, ReplyData, ReplyDirectory, ReplyEntry,
    ReplyOpen, ReplyXattr, Request, Session, SessionACL,
};

use crate::layer::LayerPath;
use crate::view::{Node, NodeKind, ReadAt, Tree, TreeError};

/// Longer than any step.
const TTL: Duration = Duration::from_secs(1 << 31);
/// The top 16 bits of a node's number are overlayfs's (`xino`).
const NUMBER_BITS: u64 = (1 << 48) - 1;
/// What the mount's options say beside `fd=N`.
pub const MOUNT_OPTIONS: &str =
    "rootmode=40000,user_id=0,group_id=0,allow_other,default_permissions";

type Failure = Arc<Mutex<Option<TreeError>>>;

/// A server that ends with its mount.
pub struct Served {
    thread: JoinHandle<io::Result<()>>,
    failure: Failure,
}

impl Served {
    /// The first error that a step was answered with, if any: its result is void.
    #[must_use]
    pub fn failure(&self) -> Option<TreeError> {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Waits for the end of the mount.
    ///
    /// # Errors
    /// The first error of the tree, or that of the session itself.
    pub fn finish(self) -> Result<(), TreeError> {
        let ended = self.thread.join().unwrap_or_else(|_| Err(io::Error::other("server panicked")));
        match self.failure.lock().unwrap_or_else(PoisonError::into_inner).take() {
            Some(error) => Err(error),
            None => ended.map_err(|source| TreeError::Io { path: "/dev/fuse".into(), source }),
        }
    }
}

/// Serves `tree` on a `/dev/fuse` that is mounted, in whatever namespace.
///
/// # Errors
/// If there can be no thread.
pub fn serve(tree: Arc<dyn Tree>, fd: OwnedFd) -> io::Result<Served> {
    let failure = Failure::default();
    let server = Server { tree, nodes: Mutex::default(), failure: Arc::clone(&failure) };
    let thread = std::thread::Builder::new().name("served".to_owned()).spawn(move || {
        Session::from_fd(server, fd, SessionACL::All, Config::default()).and_then(Session::run)
    })?;
    Ok(Served { thread, failure })
}

#[derive(Default)]
struct Nodes {
    paths: HashMap<u64, LayerPath>,
    numbers: HashMap<LayerPath, u64>,
    open: Option<(u64, Arc<dyn ReadAt>)>,
}

struct Server {
    tree: Arc<dyn Tree>,
    nodes: Mutex<Nodes>,
    failure: Failure,
}

impl Nodes {
    /// The number of `path`, found again by it.
    fn number(&mut self, path: &LayerPath) -> u64 {
        if path.is_root() {
            return 1;
        }
        if let Some(number) = self.numbers.get(path) {
            return *number;
        }
        let hash = blake3::hash(path.as_bytes());
        let bytes: [u8; 8] = hash.as_bytes()[..8].try_into().expect("a hash has 32 bytes");
        let mut number = u64::from_le_bytes(bytes) & NUMBER_BITS;
        while number < 2 || self.paths.contains_key(&number) {
            number = (number + 1) & NUMBER_BITS;
        }
        self.paths.insert(number, path.clone());
        self.numbers.insert(path.clone(), number);
        number
    }
}

impl Server {
    fn nodes(&self) -> std::sync::MutexGuard<'_, Nodes> {
        self.nodes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn path(&self, ino: INodeNo) -> Result<LayerPath, Errno> {
        if ino == INodeNo::ROOT {
            return Ok(LayerPath::root());
        }
        self.nodes().paths.get(&ino.0).cloned().ok_or(Errno::ESTALE)
    }

    /// Remembers the first error; the kernel is told EIO.
    fn fail(&self, error: TreeError) -> Errno {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
        Errno::EIO
    }

    fn node(&self, path: &LayerPath) -> Result<Option<Node>, Errno> {
        let node = self.tree.node(path).map_err(|error| self.fail(error))?;
        if matches!(&node, Some(Node { kind: NodeKind::CharDevice { major: 0, minor: 0 }, .. })) {
            // Overlayfs would take it as a whiteout.
            return Err(self.fail(TreeError::Type { path: path.display(), expected: "device" }));
        }
        Ok(node)
    }

    fn attr(&self, path: &LayerPath, node: &Node) -> FileAttr {
        let first = node.links.as_ref().map_or(path, |links| &links.first);
        let (kind, size, rdev) = shape(&node.kind);
        let time = time(node.meta.mtime.secs);
        FileAttr {
            ino: INodeNo(self.nodes().number(first)),
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

    fn open_file(&self, ino: INodeNo) -> Result<Arc<dyn ReadAt>, Errno> {
        if let Some((open, file)) = &self.nodes().open
            && *open == ino.0
        {
            return Ok(Arc::clone(file));
        }
        let file = self.tree.open(&self.path(ino)?).map_err(|error| self.fail(error))?;
        self.nodes().open = Some((ino.0, Arc::clone(&file)));
        Ok(file)
    }

    /// Bytes at `offset`, all that are asked for unless the file ends: a short
    /// reply in the middle would read as zeros.
    fn read_file(&self, ino: INodeNo, offset: u64, size: u32) -> Result<Vec<u8>, Errno> {
        let file = self.open_file(ino)?;
        let mut buf = vec![0; size as usize];
        let mut done = 0;
        while done < buf.len() {
            match file.read_at(offset + done as u64, &mut buf[done..]) {
                Ok(0) => break,
                Ok(n) => done += n,
                Err(source) => {
                    let path = self.path(ino)?.display();
                    return Err(self.fail(TreeError::Io { path, source }));
                }
            }
        }
        let path = self.path(ino)?;
        let known = match self.node(&path)?.map(|node| node.kind) {
            Some(NodeKind::File { size }) => size,
            _ => 0,
        };
        if offset + (done as u64) < known && done < buf.len() {
            let source = io::ErrorKind::UnexpectedEof.into();
            return Err(self.fail(TreeError::Io { path: path.display(), source }));
        }
        buf.truncate(done);
        Ok(buf)
    }
}

fn shape(kind: &NodeKind) -> (FileType, u64, u32) {
    let device = |major: &u32, minor: &u32| (minor & 0xff) | (major << 8) | ((minor & !0xff) << 12);
    match kind {
        NodeKind::File { size } => (FileType::RegularFile, *size, 0),
        NodeKind::Directory => (FileType::Directory, 4096, 0),
        NodeKind::Symlink { target } => (FileType::Symlink, target.len() as u64, 0),
        NodeKind::CharDevice { major, minor } => (FileType::CharDevice, 0, device(major, minor)),
        NodeKind::BlockDevice { major, minor } => (FileType::BlockDevice, 0, device(major, minor)),
        NodeKind::Fifo => (FileType::NamedPipe, 0, 0),
        NodeKind::Socket => (FileType::Socket, 0, 0),
    }
}

fn time(secs: i64) -> SystemTime {
    let span = Duration::from_secs(secs.unsigned_abs());
    let time = if secs < 0 { UNIX_EPOCH.checked_sub(span) } else { UNIX_EPOCH.checked_add(span) };
    time.unwrap_or(UNIX_EPOCH)
}

impl Filesystem for Server {
    fn init(&mut self, _: &Request, config: &mut KernelConfig) -> io::Result<()> {
        for flag in [
            InitFlags::FUSE_NO_OPEN_SUPPORT,
            InitFlags::FUSE_NO_OPENDIR_SUPPORT,
            InitFlags::FUSE_CACHE_SYMLINKS,
            InitFlags::FUSE_PARALLEL_DIROPS,
            InitFlags::FUSE_EXPLICIT_INVAL_DATA,
        ] {
            // What an older kernel lacks costs time only.
            let _ = config.add_capabilities(flag);
        }
        Ok(())
    }
    fn open(&self, _: &Request, _: INodeNo, _: OpenFlags, reply: ReplyOpen) {
        reply.error(Errno::ENOSYS);
    }
    fn opendir(&self, _: &Request, _: INodeNo, _: OpenFlags, reply: ReplyOpen) {
        reply.error(Errno::ENOSYS);
    }
    fn getxattr(&self, _: &Request, _: INodeNo, _: &OsStr, _: u32, reply: ReplyXattr) {
        reply.error(Errno::ENOSYS);
    }
    fn listxattr(&self, _: &Request, _: INodeNo, _: u32, reply: ReplyXattr) {
        reply.error(Errno::ENOSYS);
    }
    fn lookup(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        let found = self.path(parent).and_then(|parent| {
            let path = parent.join(name.as_bytes()).map_err(|_| Errno::ENOENT)?;
            Ok(self.node(&path)?.map(|node| self.attr(&path, &node)))
        });
        match found {
            Ok(Some(attr)) => reply.entry(&TTL, &attr, Generation(0)),
            Ok(None) => {
                // Node 0 with a time to live: absent, and that stays so.
                let (size, _, _) = (0, 0, 0);
                let kind = NodeKind::File { size };
                let meta = crate::layer::Meta::root_owned(0);
                let (kind, size, rdev) = shape(&kind);
                let time = time(meta.mtime.secs);
                let none = FileAttr {
                    ino: INodeNo(0),
                    size,
                    blocks: 0,
                    atime: time,
                    mtime: time,
                    ctime: time,
                    crtime: time,
                    kind,
                    perm: 0,
                    nlink: 0,
                    uid: 0,
                    gid: 0,
                    rdev,
                    blksize: 4096,
                    flags: 0,
                };
                reply.entry(&TTL, &none, Generation(0));
            }
            Err(errno) => reply.error(errno),
        }
    }
    fn getattr(&self, _: &Request, ino: INodeNo, _: Option<FileHandle>, reply: ReplyAttr) {
        let found = self.path(ino).and_then(|path| {
            let node = self.node(&path)?.ok_or(Errno::ESTALE)?;
            Ok(self.attr(&path, &node))
        });
        match found {
            Ok(attr) => reply.attr(&TTL, &attr),
            Err(errno) => reply.error(errno),
        }
    }
    fn readlink(&self, _: &Request, ino: INodeNo, reply: ReplyData) {
        match self.path(ino).and_then(|path| self.node(&path)) {
            Ok(Some(Node { kind: NodeKind::Symlink { target }, .. })) => reply.data(&target),
            Ok(_) => reply.error(Errno::EINVAL),
            Err(errno) => reply.error(errno),
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
        match self.read_file(ino, offset, size) {
            Ok(bytes) => reply.data(&bytes),
            Err(errno) => reply.error(errno),
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
        let listed = self
            .path(ino)
            .and_then(|path| Ok((self.tree.list(&path).map_err(|e| self.fail(e))?, path)));
        let (list, path) = match listed {
            Ok(listed) => listed,
            Err(errno) => return reply.error(errno),
        };
        let up = path.parent().map_or(1, |parent| self.nodes().number(&parent));
        let dots = [(b".".to_vec(), ino), (b"..".to_vec(), INodeNo(up))];
        let dots = dots.into_iter().map(|(name, ino)| (name, ino, FileType::Directory));
        let all = dots.chain(list.into_iter().filter_map(|(name, node)| {
            let attr = self.attr(&path.join(&name).ok()?, &node);
            Some((name, attr.ino, attr.kind))
        }));
        for (at, (name, ino, kind)) in all.enumerate().skip(usize::try_from(offset).unwrap_or(0)) {
            if reply.add(ino, at as u64 + 1, kind, OsStr::from_bytes(&name)) {
                break;
            }
        }
        reply.ok();
    }
}
