//! What the kernel asks, and what it is told.
//!
//! | question | answer |
//! |---|---|
//! | LOOKUP | the node, or that it is absent, for ever |
//! | GETATTR, READLINK, READ, READDIR | from the tree |
//! | GETXATTR, LISTXATTR | from the tree; `overlay.*` never, or a file could steer overlayfs; ENOSYS once where no file has any, which spares a third of all questions |
//! | OPEN, OPENDIR | ENOSYS once: the kernel then opens without asking |
//! | READDIRPLUS | not negotiated: it would blur what was listed and what looked at |
//! | ACCESS | not asked, by `default_permissions` |
//! | STATX, IOCTL, LSEEK, BMAP, POLL | ENOSYS, always; so copy-up is dense |
//! | STATFS | a constant; overlayfs shows the upper's |
//! | all that writes | not asked: the mount is read-only |

use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use fuser::{
    Errno, FileAttr, FileHandle, FileType, Filesystem, Generation, INodeNo, InitFlags,
    KernelConfig, LockOwner, OpenFlags, ReplyAttr, ReplyData, ReplyDirectory, ReplyEntry,
    ReplyOpen, ReplyXattr, Request,
};

use super::Failure;
use super::nodes::Nodes;
use super::operations::{Operation, Watch};
use crate::layer::{LayerPath, Meta, Xattrs};
use crate::view::{Node, NodeKind, ReadAt, Tree, TreeError, is_overlays};

/// Longer than any step.
const TTL: Duration = Duration::from_secs(1 << 31);

/// What FUSE's library calls.
pub(super) struct Server {
    tree: Arc<dyn Tree>,
    xattrs: bool,
    failure: Failure,
    watch: Option<Watch>,
    state: Mutex<State>,
}

/// What is kept between questions.
#[derive(Default)]
struct State {
    nodes: Nodes,
    /// The file that was read last, and the directory that was listed last:
    /// both are asked for in parts.
    open: Option<(INodeNo, Open)>,
    listed: Option<(INodeNo, Arc<[Listed]>)>,
}

#[derive(Clone)]
struct Open {
    path: LayerPath,
    size: u64,
    file: Arc<dyn ReadAt>,
}

struct Listed {
    name: Vec<u8>,
    ino: INodeNo,
    kind: FileType,
}

/// Notes a panic of the tree, before the step can see the mount's end.
struct Guard<'a>(&'a Failure);

impl Drop for Guard<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let source = io::Error::other("the server of the file tree panicked");
            self.0.note(TreeError::Io { path: "/dev/fuse".to_owned(), source });
        }
    }
}

impl Server {
    pub(super) fn new(tree: Arc<dyn Tree>, failure: Failure, watch: Option<Watch>) -> Self {
        let xattrs = tree.has_xattrs();
        Self { tree, xattrs, failure, watch, state: Mutex::default() }
    }

    /// Notes what is asked, before it is answered.
    fn asked(&self, operation: Operation, path: &LayerPath, found: bool) {
        if let Some(watch) = &self.watch {
            watch.asked(operation, path, found);
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks the tree; the kernel is told EIO where that fails.
    fn ask<T>(&self, question: impl FnOnce(&dyn Tree) -> Result<T, TreeError>) -> Result<T, Errno> {
        let _guard = Guard(&self.failure);
        question(self.tree.as_ref()).map_err(|error| self.fail(error))
    }

    fn fail(&self, error: TreeError) -> Errno {
        self.failure.note(error);
        Errno::EIO
    }

    fn path(&self, ino: INodeNo) -> Result<LayerPath, Errno> {
        self.state().nodes.path(ino.0).ok_or(Errno::ESTALE)
    }

    fn node(&self, path: &LayerPath) -> Result<Option<Node>, Errno> {
        let node = self.ask(|tree| tree.node(path))?;
        node.as_ref().map_or(Ok(()), |node| self.refuse_whiteout(path, node))?;
        Ok(node)
    }

    fn refuse_whiteout(&self, path: &LayerPath, node: &Node) -> Result<(), Errno> {
        match node.kind {
            NodeKind::CharDevice { major: 0, minor: 0 } => {
                Err(self.fail(TreeError::Whiteout { path: path.display() }))
            }
            _ => Ok(()),
        }
    }

    /// The node behind a number that was given out.
    fn known(&self, ino: INodeNo) -> Result<(LayerPath, Node), Errno> {
        let path = self.path(ino)?;
        let node = self.node(&path)?.ok_or(Errno::ESTALE)?;
        Ok((path, node))
    }

    fn number(&self, path: &LayerPath, node: &Node) -> INodeNo {
        let first = node.links.as_ref().map_or(path, |links| &links.first);
        self.number_of(first)
    }

    fn number_of(&self, path: &LayerPath) -> INodeNo {
        let numbered = self.state().nodes.number(path);
        if !numbered.is_hash
            && let Some(watch) = &self.watch
        {
            // It depends on what was asked before, which another step may not ask.
            watch.void("two of its paths have the same hash");
        }
        INodeNo(numbered.number)
    }

    fn attr(&self, path: &LayerPath, node: &Node) -> FileAttr {
        attr(self.number(path, node), node)
    }

    fn found(&self, parent: INodeNo, name: &OsStr) -> Result<Option<FileAttr>, Errno> {
        let parent = self.path(parent)?;
        // What no layer can name is not there.
        let Ok(path) = parent.join(name.as_bytes()) else { return Ok(None) };
        let node = self.node(&path)?;
        self.asked(Operation::Lookup, &path, node.is_some());
        Ok(node.map(|node| self.attr(&path, &node)))
    }

    /// Bytes at `offset`, all that are asked for unless the file ends: a short
    /// reply in the middle would read as zeros.
    fn bytes(&self, ino: INodeNo, offset: u64, size: u32) -> Result<Vec<u8>, Errno> {
        let Open { path, size: whole, file } = self.open_file(ino)?;
        let left = usize::try_from(whole.saturating_sub(offset)).unwrap_or(usize::MAX);
        let mut buf = vec![0; left.min(size as usize)];
        let mut done = 0;
        while done < buf.len() {
            let _guard = Guard(&self.failure);
            match file.read_at(offset + done as u64, &mut buf[done..]) {
                Ok(0) => {
                    let source = io::ErrorKind::UnexpectedEof.into();
                    return Err(self.fail(TreeError::Io { path: path.display(), source }));
                }
                Ok(n) => done += n,
                Err(source) => {
                    return Err(self.fail(TreeError::Io { path: path.display(), source }));
                }
            }
        }
        Ok(buf)
    }

    fn open_file(&self, ino: INodeNo) -> Result<Open, Errno> {
        if let Some((last, open)) = &self.state().open
            && *last == ino
        {
            return Ok(open.clone());
        }
        let (path, node) = self.known(ino)?;
        self.asked(Operation::Read, &path, true);
        let NodeKind::File { size } = node.kind else { return Err(Errno::EINVAL) };
        let file = self.ask(|tree| tree.open(&path))?;
        let open = Open { path, size, file };
        self.state().open = Some((ino, open.clone()));
        Ok(open)
    }

    /// A directory's names, `.` and `..` first.
    fn names(&self, ino: INodeNo) -> Result<Arc<[Listed]>, Errno> {
        if let Some((last, listed)) = &self.state().listed
            && *last == ino
        {
            return Ok(Arc::clone(listed));
        }
        let path = self.path(ino)?;
        self.asked(Operation::Readdir, &path, true);
        let found = self.ask(|tree| tree.list(&path))?;
        let up = self.number_of(&path.parent().unwrap_or_default());
        let mut listed: Vec<Listed> = [(b".".to_vec(), ino), (b"..".to_vec(), up)]
            .map(|(name, ino)| Listed { name, ino, kind: FileType::Directory })
            .into();
        for (name, node) in found {
            let Ok(child) = path.join(&name) else { continue };
            self.refuse_whiteout(&child, &node)?;
            let (kind, ..) = shape(&node.kind);
            listed.push(Listed { name, ino: self.number(&child, &node), kind });
        }
        let listed: Arc<[Listed]> = listed.into();
        self.state().listed = Some((ino, Arc::clone(&listed)));
        Ok(listed)
    }

    /// The attributes that are shown.
    fn xattrs(&self, operation: Operation, ino: INodeNo) -> Result<Xattrs, Errno> {
        if !self.xattrs {
            return Err(Errno::ENOSYS);
        }
        let (path, node) = self.known(ino)?;
        self.asked(operation, &path, true);
        let mut xattrs = node.meta.xattrs;
        xattrs.retain(|name, _| !is_overlays(name));
        Ok(xattrs)
    }
}

fn attr(ino: INodeNo, node: &Node) -> FileAttr {
    let (kind, size, rdev) = shape(&node.kind);
    let time = time(node.meta.mtime.secs);
    FileAttr {
        ino,
        size,
        blocks: size.div_ceil(512),
        atime: time,
        mtime: time,
        ctime: time,
        crtime: time,
        kind,
        perm: u16::try_from(node.meta.mode & 0o7777).expect("twelve bits"),
        nlink: node.links.as_ref().map_or(1, |links| links.count),
        uid: node.meta.uid,
        gid: node.meta.gid,
        rdev,
        blksize: 4096,
        flags: 0,
    }
}

/// Type, size and device number.
fn shape(kind: &NodeKind) -> (FileType, u64, u32) {
    // As in `new_encode_dev` of Linux (include/linux/kdev_t.h).
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

/// Node 0 with a time to live: absent, and that stays so.
fn absent() -> FileAttr {
    let node = Node { meta: Meta::root_owned(0), kind: NodeKind::File { size: 0 }, links: None };
    attr(INodeNo(0), &node)
}

/// A value as GETXATTR and LISTXATTR want it: size 0 asks for the length.
fn sized(value: Result<Vec<u8>, Errno>, size: u32, reply: ReplyXattr) {
    match value {
        Err(errno) => reply.error(errno),
        Ok(value) => match u32::try_from(value.len()) {
            Ok(len) if size == 0 => reply.size(len),
            Ok(len) if len <= size => reply.data(&value),
            _ => reply.error(Errno::ERANGE),
        },
    }
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
        if self.xattrs {
            // The kernel then enforces the lists that it is given as attributes.
            let _ = config.add_capabilities(InitFlags::FUSE_POSIX_ACL);
        }
        Ok(())
    }

    fn open(&self, _: &Request, _: INodeNo, _: OpenFlags, reply: ReplyOpen) {
        reply.error(Errno::ENOSYS);
    }

    fn opendir(&self, _: &Request, _: INodeNo, _: OpenFlags, reply: ReplyOpen) {
        reply.error(Errno::ENOSYS);
    }

    fn lookup(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        match self.found(parent, name) {
            Ok(attr) => reply.entry(&TTL, &attr.unwrap_or_else(absent), Generation(0)),
            Err(errno) => reply.error(errno),
        }
    }

    fn getattr(&self, _: &Request, ino: INodeNo, _: Option<FileHandle>, reply: ReplyAttr) {
        match self.known(ino) {
            Ok((path, node)) => {
                self.asked(Operation::Getattr, &path, true);
                reply.attr(&TTL, &self.attr(&path, &node));
            }
            Err(errno) => reply.error(errno),
        }
    }

    fn readlink(&self, _: &Request, ino: INodeNo, reply: ReplyData) {
        match self.known(ino) {
            Ok((path, Node { kind: NodeKind::Symlink { target }, .. })) => {
                self.asked(Operation::Readlink, &path, true);
                reply.data(&target);
            }
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
        match self.bytes(ino, offset, size) {
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
        let names = match self.names(ino) {
            Ok(names) => names,
            Err(errno) => return reply.error(errno),
        };
        let from = usize::try_from(offset).unwrap_or(usize::MAX).min(names.len());
        for (at, Listed { name, ino, kind }) in names.iter().enumerate().skip(from) {
            if reply.add(*ino, at as u64 + 1, *kind, OsStr::from_bytes(name)) {
                break;
            }
        }
        reply.ok();
    }

    fn getxattr(&self, _: &Request, ino: INodeNo, name: &OsStr, size: u32, reply: ReplyXattr) {
        let value = self
            .xattrs(Operation::Getxattr, ino)
            .and_then(|mut xattrs| xattrs.remove(name.as_bytes()).ok_or(Errno::NO_XATTR));
        sized(value, size, reply);
    }

    fn listxattr(&self, _: &Request, ino: INodeNo, size: u32, reply: ReplyXattr) {
        let names = self.xattrs(Operation::Listxattr, ino).map(|xattrs| {
            xattrs.into_keys().flat_map(|name| name.into_iter().chain([0])).collect()
        });
        sized(names, size, reply);
    }
}
