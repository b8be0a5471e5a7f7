//! Waiting for an answer, or for the wish to stop.

use std::future::Future;
use std::time::Duration;

use tokio::runtime::{Builder, Runtime};

use super::DaemonError;
use crate::cancel::Cancel;

/// How often it is looked whether stopping was asked.
const TICK: Duration = Duration::from_millis(50);

/// A small runtime of its own, whose waits end once canceled.
pub(super) struct Waiter {
    runtime: Runtime,
    cancel: Cancel,
}

impl Waiter {
    pub(super) fn new(cancel: &Cancel) -> Result<Self, DaemonError> {
        let runtime =
            Builder::new_current_thread().enable_all().build().map_err(DaemonError::Prepare)?;
        Ok(Self { runtime, cancel: cancel.clone() })
    }

    /// What `work` gives; `None` once canceled.
    pub(super) fn wait<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        self.runtime.block_on(async {
            let mut work = std::pin::pin!(work);
            let mut tick = tokio::time::interval(TICK);
            loop {
                tokio::select! {
                    done = &mut work => return Some(done),
                    _ = tick.tick() => if self.cancel.is_canceled() { return None },
                }
            }
        })
    }
}
