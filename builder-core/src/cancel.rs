//! A wish to stop that any thread may utter and any number may wait for.
//!
//! In: one call of [`Cancel::cancel`]. Out: a flag, a descriptor that becomes
//! readable, and readers that fail ([`Cancel::guard`]), so that long work ends
//! wherever it is just then.

use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use std::time::Duration;

use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};

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

    /// Sleeps for `time`, or until stopping is asked; whether it was.
    #[must_use]
    pub fn wait(&self, time: Duration) -> bool {
        let timeout =
            Timespec { tv_sec: time.as_secs().cast_signed(), tv_nsec: time.subsec_nanos().into() };
        // A signal ends the wait early, which harms nobody.
        let _ = poll(&mut [PollFd::new(self, PollFlags::IN)], Some(&timeout));
        self.is_canceled()
    }

    /// A reader of the same bytes that fails with [`Canceled`] once stopping
    /// is asked.
    pub fn guard<R: Read>(&self, reader: R) -> Guarded<R> {
        Guarded { cancel: self.clone(), reader }
    }

    /// For loops that do not read: an error once stopping is asked.
    ///
    /// # Errors
    /// One that holds [`Canceled`].
    pub fn check(&self) -> io::Result<()> {
        // Not `Interrupted`: after that kind, readers try again.
        if self.is_canceled() { Err(io::Error::other(Canceled)) } else { Ok(()) }
    }
}

/// What work that was stopped says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("canceled")]
pub struct Canceled;

/// See [`Cancel::guard`].
#[derive(Debug)]
pub struct Guarded<R> {
    cancel: Cancel,
    reader: R,
}

impl<R: Read> Read for Guarded<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.cancel.check()?;
        self.reader.read(buf)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_child_follows_its_parent_and_not_the_other_way_round() {
        let parent = Cancel::new();
        let (early, other) = (parent.child(), parent.child());
        other.cancel();
        assert!(other.is_canceled() && !parent.is_canceled() && !early.is_canceled());
        parent.cancel();
        assert!(early.is_canceled() && parent.child().is_canceled());
    }

    #[test]
    fn a_guarded_reader_fails_once_canceled_and_a_wait_ends() {
        let cancel = Cancel::new();
        let mut reader = cancel.guard(&b"abc"[..]);
        assert_eq!(reader.read(&mut [0]).expect("not yet"), 1);
        cancel.cancel();
        let error = reader.read(&mut [0]).expect_err("canceled");
        assert_ne!(error.kind(), io::ErrorKind::Interrupted);
        assert!(cancel.wait(Duration::from_secs(3600)));
    }
}
