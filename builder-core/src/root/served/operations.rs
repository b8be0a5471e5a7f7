//! Which operations of FUSE tell a step something, and what.
//!
//! In: an operation that the kernel asks for. Out: whether its answer depends
//! on the tree (then it is an observation), is the same for every tree, or is
//! refused. The list is that of `enum fuse_opcode` of Linux 6.18
//! (include/uapi/linux/fuse.h); an operation that is added there is refused by
//! the library until it stands here.

use std::sync::Arc;

use crate::layer::LayerPath;
use crate::view::observe::{Question, Recorder};

/// What FUSE can be asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(dead_code, reason = "the list is whole, so that the match over it is")]
pub(super) enum Operation {
    Lookup,
    Forget,
    Getattr,
    Setattr,
    Readlink,
    Symlink,
    Mknod,
    Mkdir,
    Unlink,
    Rmdir,
    Rename,
    Link,
    Open,
    Read,
    Write,
    Statfs,
    Release,
    Fsync,
    Setxattr,
    Getxattr,
    Listxattr,
    Removexattr,
    Flush,
    Init,
    Opendir,
    Readdir,
    Releasedir,
    Fsyncdir,
    Getlk,
    Setlk,
    Setlkw,
    Access,
    Create,
    Interrupt,
    Bmap,
    Destroy,
    Ioctl,
    Poll,
    NotifyReply,
    BatchForget,
    Fallocate,
    Readdirplus,
    Rename2,
    Lseek,
    CopyFileRange,
    Setupmapping,
    Removemapping,
    Syncfs,
    Tmpfile,
    Statx,
}

/// What becomes of an operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Treatment {
    /// Its answer is the tree's: an observation of the path.
    Observed(Question),
    /// It is answered alike whatever the tree holds, or not at all.
    Constant,
    /// The mount is read-only, or the feature was not negotiated: the kernel
    /// does not ask, and would be refused.
    Refused,
}

/// Says of each what it is.
pub(super) const fn treatment(operation: Operation) -> Treatment {
    use Operation as O;
    match operation {
        // A name and all its metadata: the kernel answers `stat` from it.
        // Extended attributes are part of that metadata.
        O::Lookup | O::Getattr | O::Getxattr | O::Listxattr => Treatment::Observed(Question::Node),
        O::Readdir => Treatment::Observed(Question::List),
        O::Readlink => Treatment::Observed(Question::Link),
        O::Read => Treatment::Observed(Question::Content),
        // Opening is not reading. Statistics are the upper's.
        O::Open | O::Opendir | O::Release | O::Releasedir | O::Flush | O::Statfs => {
            Treatment::Constant
        }
        O::Init | O::Destroy | O::Forget | O::BatchForget | O::Interrupt | O::NotifyReply => {
            Treatment::Constant
        }
        // ENOSYS for every file, once: SEEK_DATA and SEEK_HOLE are then the
        // kernel's own, which see a file without holes, so data is read.
        O::Lseek | O::Ioctl | O::Poll | O::Bmap | O::Statx | O::CopyFileRange => {
            Treatment::Constant
        }
        // The kernel checks permissions itself (`default_permissions`), from
        // what a look-up told it, and keeps locks itself.
        O::Access | O::Getlk | O::Setlk | O::Setlkw => Treatment::Refused,
        O::Readdirplus | O::Setupmapping | O::Removemapping => Treatment::Refused,
        O::Setattr
        | O::Symlink
        | O::Mknod
        | O::Mkdir
        | O::Unlink
        | O::Rmdir
        | O::Rename
        | O::Rename2
        | O::Link
        | O::Write
        | O::Fsync
        | O::Fsyncdir
        | O::Setxattr
        | O::Removexattr
        | O::Create
        | O::Fallocate
        | O::Syncfs
        | O::Tmpfile => Treatment::Refused,
    }
}

/// Where a server's observations go: a recorder, and which of its trees this is.
#[derive(Debug, Clone)]
pub struct Watch {
    recorder: Arc<Recorder>,
    tree: u16,
}

impl Watch {
    /// Notes what is asked of the tree of this number.
    #[must_use]
    pub fn new(recorder: Arc<Recorder>, tree: u16) -> Self {
        recorder.begin(tree);
        Self { recorder, tree }
    }

    /// Notes an operation, before it is answered.
    pub(super) fn asked(&self, operation: Operation, path: &LayerPath, found: bool) {
        match treatment(operation) {
            Treatment::Observed(question) => {
                self.recorder.note(self.tree, path, question, found);
            }
            Treatment::Constant => {}
            // There is no handler that would answer it; should there be one, what
            // it tells is not known.
            Treatment::Refused => self.recorder.void("the kernel asked something unforeseen"),
        }
    }

    /// The rest of the step cannot be vouched for.
    pub(super) fn void(&self, why: &'static str) {
        self.recorder.void(why);
    }
}
