//! A wish to stop that any thread may utter and any number may wait for.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use rustix::event::{EventfdFlags, eventfd};

/// Cancels the work it was given to; clones share one state. Once set it stays
/// set. Its descriptor becomes readable then, so that a wait for other
/// descriptors can wait for it too.
#[derive(Debug, Clone)]
pub struct Cancel(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    set: AtomicBool,
    wake: OwnedFd,
    children: Mutex<Vec<Weak<Inner>>>,
}

impl Cancel {
    /// Not set.
    ///
    /// # Panics
    /// Where the process is out of file descriptors.
    #[must_use]
    pub fn new() -> Self {
        let wake = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)
            .expect("an eventfd needs one free descriptor only");
        Self(Arc::new(Inner { set: AtomicBool::new(false), wake, children: Mutex::default() }))
    }

    /// Asks all that have a clone to stop. Safe in a signal handler's thread.
    pub fn cancel(&self) {
        self.0.set.store(true, Ordering::SeqCst);
        // It can fail only when the counter is full, and then it is readable.
        let _ = rustix::io::write(&self.0.wake, &1_u64.to_ne_bytes());
        let children = std::mem::take(&mut *self.children());
        for child in children.iter().filter_map(Weak::upgrade) {
            Self(child).cancel();
        }
    }

    /// One that is canceled with this one, and may be without it.
    #[must_use]
    pub fn child(&self) -> Self {
        let child = Self::new();
        self.children().push(Arc::downgrade(&child.0));
        if self.is_canceled() {
            child.cancel();
        }
        child
    }

    fn children(&self) -> std::sync::MutexGuard<'_, Vec<Weak<Inner>>> {
        self.0.children.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether stopping was asked.
    #[must_use]
    pub fn is_canceled(&self) -> bool {
        self.0.set.load(Ordering::SeqCst)
    }
}

impl Default for Cancel {
    fn default() -> Self {
        Self::new()
    }
}

impl AsFd for Cancel {
    /// Readable once canceled; never to be read.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.wake.as_fd()
    }
}
