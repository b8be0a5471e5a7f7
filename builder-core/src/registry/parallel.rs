//! Several things at a time, until one fails.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::RegistryError;
use crate::cancel::Cancel;

/// Attempts per thing.
const ATTEMPTS: u32 = 3;

/// Whether something else has failed, so that going on is of no use.
pub type Stop<'a> = &'a dyn Fn() -> bool;

/// Does `work` for each number below `count`, `workers` at a time, and again
/// where it failed for a moment only. The first error stops the rest.
///
/// # Errors
/// That error.
pub fn each(
    count: usize,
    workers: usize,
    cancel: &Cancel,
    work: &(dyn Fn(usize, Stop<'_>) -> Result<(), RegistryError> + Sync),
) -> Result<(), RegistryError> {
    let next = AtomicUsize::new(0);
    let stopped = AtomicBool::new(false);
    let failed: Mutex<Option<RegistryError>> = Mutex::default();
    let stop = || stopped.load(Ordering::Relaxed);
    let worker = || {
        while !stop() {
            let at = next.fetch_add(1, Ordering::Relaxed);
            if at >= count {
                return;
            }
            if let Err(error) = patiently(cancel, &stop, &|| work(at, &stop)) {
                let mut failed = failed.lock().unwrap_or_else(PoisonError::into_inner);
                if !stopped.swap(true, Ordering::Relaxed) {
                    *failed = Some(error);
                }
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 1..workers.clamp(1, count.max(1)) {
            scope.spawn(worker);
        }
        worker();
    });
    let failed = failed.into_inner().unwrap_or_else(PoisonError::into_inner);
    failed.map_or(Ok(()), Err)
}

fn patiently(
    cancel: &Cancel,
    stop: Stop<'_>,
    work: &dyn Fn() -> Result<(), RegistryError>,
) -> Result<(), RegistryError> {
    let mut attempt = 1;
    loop {
        match work() {
            Err(error) if error.is_temporary() && attempt < ATTEMPTS && !stop() => {}
            result => return result,
        }
        if cancel.wait(Duration::from_millis(100 << attempt)) {
            return Err(RegistryError::Canceled);
        }
        attempt += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failure(status: u16) -> RegistryError {
        RegistryError::Status { registry: "r".to_owned(), status, message: String::new() }
    }

    #[test]
    fn all_is_done_once_and_what_fails_for_a_moment_again() {
        let seen: Vec<AtomicUsize> = (0..20).map(|_| AtomicUsize::new(0)).collect();
        let work = |at: usize, _: Stop<'_>| match (at, seen[at].fetch_add(1, Ordering::Relaxed)) {
            (7, 0) => Err(failure(503)),
            _ => Ok(()),
        };
        each(20, 4, &Cancel::new(), &work).expect("all well in the end");
        let counts: Vec<usize> = seen.iter().map(|n| n.load(Ordering::Relaxed)).collect();
        assert!(counts.iter().enumerate().all(|(at, n)| *n == 1 + usize::from(at == 7)));
    }

    #[test]
    fn the_first_failure_stops_the_rest_and_is_told() {
        let done = AtomicUsize::new(0);
        let work = |at: usize, _: Stop<'_>| {
            done.fetch_add(1, Ordering::Relaxed);
            if at == 1 { Err(failure(404)) } else { Ok(()) }
        };
        let error = each(1000, 1, &Cancel::new(), &work).expect_err("one fails");
        assert!(matches!(error, RegistryError::Status { status: 404, .. }), "{error}");
        assert_eq!(done.load(Ordering::Relaxed), 2);
    }
}
