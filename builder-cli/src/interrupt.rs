//! Ctrl-C: the first asks the build to stop and clean up, the second ends at once.

use std::sync::atomic::{AtomicI32, Ordering};

use builder_core::cancel::Cancel;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use crate::error::CliError;
use crate::exit::Exit;
use crate::{output, terminal};

static RECEIVED: AtomicI32 = AtomicI32::new(0);

/// From now on, SIGINT and SIGTERM call `stop` once; the next one ends the
/// process.
fn on_signal(stop: impl Fn() + Send + 'static) -> Result<(), CliError> {
    let mut signals =
        Signals::new([SIGINT, SIGTERM]).map_err(|source| CliError::Signals { source })?;
    let watch = move || {
        for signal in signals.forever() {
            if RECEIVED.swap(signal, Ordering::SeqCst) != 0 {
                terminal::restore();
                std::process::exit(i32::from(ending(signal).code()));
            }
            terminal::restore();
            output::complain("stopping (again to stop at once)");
            stop();
        }
    };
    let thread = std::thread::Builder::new().name("signals".to_owned()).spawn(watch);
    thread.map(drop).map_err(|source| CliError::Signals { source })
}

/// The wish to stop, as the first SIGINT or SIGTERM utters it.
pub(crate) struct Interrupt {
    /// Set by then.
    pub(crate) cancel: Cancel,
}

/// Waits for signals from now on; the first one also calls `woken`.
pub(crate) fn listen(woken: impl Fn() + Send + 'static) -> Result<Interrupt, CliError> {
    let cancel = Cancel::new();
    let stop = cancel.clone();
    on_signal(move || {
        stop.cancel();
        woken();
    })?;
    Ok(Interrupt { cancel })
}

impl Interrupt {
    /// Does `work`. What fails after a signal failed because of it.
    pub(crate) fn stops<T>(
        &self,
        work: impl FnOnce(&Cancel) -> Result<T, CliError>,
    ) -> Result<T, CliError> {
        work(&self.cancel).map_err(|error| self.received().err().unwrap_or(error))
    }

    /// An error once there was a signal.
    pub(crate) fn received(&self) -> Result<(), CliError> {
        match RECEIVED.load(Ordering::SeqCst) {
            0 => Ok(()),
            signal => Err(CliError::Interrupted { exit: ending(signal) }),
        }
    }
}

/// Does `work` with a wish to stop that the first SIGINT or SIGTERM utters.
pub(crate) fn stoppable<T>(
    work: impl FnOnce(&Cancel) -> Result<T, CliError>,
) -> Result<T, CliError> {
    listen(|| ())?.stops(work)
}

fn ending(signal: i32) -> Exit {
    if signal == SIGTERM { Exit::Terminated } else { Exit::Interrupted }
}
