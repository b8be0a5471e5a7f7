//! A tree served through FUSE.
//!
//! In: any [`Tree`] and the descriptor of a mounted `/dev/fuse`. Out: the
//! kernel's questions, answered (`answers`). One mount per step, so that each
//! path is asked for at least once; everything but extended attributes is
//! cached by the kernel for as long as the mount stands, as served content
//! never changes.
//!
//! Invariant: what is shown is the tree's and nothing else's. Numbers of inodes
//! are hashes of paths (`nodes`), listings are sorted, times are whole
//! seconds, directories have one size and one link; no answer depends on the
//! order of questions or on the host. An error of the tree is an EIO and is
//! remembered in the job's [`Failure`]: the step's result is void then.
//!
//! Limitation: a character device 0:0 cannot be shown, as overlayfs takes it
//! for a whiteout. It is an error, not an answer.

mod answers;
mod nodes;
mod operations;

use std::io;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, PoisonError};

use fuser::{Config, Session, SessionACL};

use crate::view::{Tree, TreeError};
use answers::Server;
pub use operations::Watch;

/// What the mount's options say beside `fd=N`.
pub const MOUNT_OPTIONS: &str =
    "rootmode=40000,user_id=0,group_id=0,allow_other,default_permissions";

/// The first failure of any tree that is served to a job.
#[derive(Debug, Clone, Default)]
pub struct Failure(Arc<Mutex<Option<TreeError>>>);

impl Failure {
    /// Takes it; what fails from now on is the first again.
    #[must_use]
    pub fn take(&self) -> Option<TreeError> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    fn note(&self, error: TreeError) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
    }
}

/// Serves `tree` on a `/dev/fuse` that is mounted, in whatever namespace, until
/// that mount is gone. What is asked goes to `watch`. What goes wrong is noted in `failure`, before the kernel
/// is answered.
///
/// # Errors
/// If there can be no thread.
pub fn serve(
    tree: Arc<dyn Tree>,
    fd: OwnedFd,
    failure: Failure,
    watch: Option<Watch>,
) -> io::Result<()> {
    let server = Server::new(tree, failure.clone(), watch);
    let session = move || {
        let served = Session::from_fd(server, fd, SessionACL::All, Config::default());
        if let Err(source) = served.and_then(Session::run) {
            // The mount was gone before it was used: the step says why.
            if source.kind() != io::ErrorKind::NotConnected {
                failure.note(TreeError::Io { path: "/dev/fuse".to_owned(), source });
            }
        }
    };
    std::thread::Builder::new().name("served".to_owned()).spawn(session).map(drop)
}
