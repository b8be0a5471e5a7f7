//! The runner: the small process between Phoenix and a step.
//!
//! In: a socket as standard input, on it an [`Order`]. Out: [`Report`]s. It has
//! one thread, holds no descriptor that it does not need, makes the namespaces
//! and mounts, is the parent of the pid namespace, and ends when its socket
//! closes, after it has killed the step and removed what that wrote.

mod etc;
mod inside;
mod mounts;
mod remove;
mod step;
mod terminal;
mod unpack;
mod userns;

use std::io;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, Ordering};

use super::spec::{Fault, FaultKind, MARKER, OrFault, Order, Report, VERSION};
use super::sys;
use super::wire::{Frame, Wire};

/// Whether this process's `main` lets itself be used as a runner.
static READY: AtomicBool = AtomicBool::new(false);

/// Whether [`runner_main`] was called in this process.
pub(super) fn is_ready() -> bool {
    READY.load(Ordering::Relaxed)
}

/// Call this first in `main`, before any thread is started. Returns at once
/// unless this process was executed as a runner; then it does not return.
///
/// ```
/// // The first statement of `main`:
/// builder_core::exec::runner_main();
/// ```
pub fn runner_main() {
    READY.store(true, Ordering::Relaxed);
    if std::env::args_os().nth(1).is_none_or(|arg| arg != MARKER) {
        return;
    }
    let code = match start() {
        Ok(()) => 0,
        Err(_) => 1,
    };
    std::process::exit(code);
}

/// Takes the first order and carries it out.
fn start() -> io::Result<()> {
    sys::close_the_rest();
    let wire = Wire::new(take_socket()?);
    wire.send(&Report::Hello { version: VERSION.to_owned() }, &[])?;
    let (order, fds) = match wire.recv::<Order>()? {
        Some(Frame::Message(order, fds)) => (order, fds),
        _ => return Ok(()),
    };
    let result = match order {
        Order::Step(step) => step::run(&wire, &step, fds),
        Order::Clean { ids, dirs } => userns::enter(&wire, ids).and_then(|()| {
            dirs.iter().try_for_each(|dir| {
                remove::tree(dir).or_fault(format!("removing {}", dir.display()))
            })
        }),
        Order::IdsWritten | Order::Entry(_) | Order::TreeEnd | Order::Kill => Ok(()),
    };
    if let Err(fault) = result {
        wire.send(&Report::Fault(fault), &[])?;
    }
    wire.send(&Report::Done, &[])
}

/// The socket is our standard input; in its place comes `/dev/null`.
fn take_socket() -> io::Result<OwnedFd> {
    let inherited = sys::take_inherited(0)?;
    let socket = rustix::io::fcntl_dupfd_cloexec(&inherited, 3)?;
    drop(inherited);
    let null = std::fs::File::open("/dev/null")?;
    // The lowest free number is taken, which is 0.
    std::mem::forget(null);
    Ok(socket)
}

/// Waits for an order; the end of the connection is a wish to end, too.
fn next_order(wire: &Wire) -> Option<Order> {
    match wire.recv::<Order>() {
        Ok(Some(Frame::Message(order, _))) => Some(order),
        _ => None,
    }
}

/// That Phoenix went away or wants an end.
fn stopped() -> Fault {
    Fault { kind: FaultKind::Setup, what: "stopped".to_owned(), errno: libc::ECANCELED }
}
