//! A minimal Debian root file system, made natively.
//!
//! In: what a recipe asks for ([`op::Debian`]) and the host's apt settings.
//! Out: a [`Lock`] that pins every package by SHA-256 through a signed release,
//! and one layer that holds all packages *unpacked, not yet configured*, with
//! dpkg's database. What needs running (maintainer scripts) is the work of an
//! exec vertex on top of that layer.
//!
//! Three steps, each usable alone:
//! 1. [`resolve`]: signed releases, their indices, the solved set of packages;
//! 2. [`fetch`]: the packages, in parallel, resumable, cached by digest;
//! 3. [`layer`]: their contents merged into one deterministic layer.
//!
//! Invariant: no byte is used that is not verified by a signature or by a
//! digest that was signed. With the same lock the layer is the same,
//! whichever mirror the packages came from. Credentials and proxies stay in
//! [`Settings`]: neither lock nor layer holds them.
//!
//! Limitations: one architecture at a time; no recommends; no pinning of
//! priorities (the highest version of all suites wins, as in apt without
//! preferences); `Conflicts` are detected, never solved by backtracking.

mod apt;
mod apt_conf;
mod assemble;
mod config;
mod control;
mod database;
mod deb;
mod download;
mod error;
mod index;
mod lock;
mod merge;
mod order;
mod partial;
mod relation;
mod release;
mod resolve;
mod solve;
mod unpack;
mod verify;
mod version;

pub use config::{Proxies, Settings};
pub use error::DebianError;
pub use lock::{Lock, LockFile, LockedPackage, LockedSource};

use std::path::PathBuf;

use crate::event::Unit;
use crate::layer::{Compression, LayerDesc, LayerWriter};
use crate::plan::op;
use crate::store::Store;

/// How packages become a layer: raised where the same lock gives another one
/// than before, so that what is cached is not taken for it.
pub const LAYER_VERSION: u32 = 2;

/// How far a piece of work is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// What is being done: `downloading`, `unpacking`.
    pub what: &'static str,
    /// How far.
    pub done: u64,
    /// Of how much, where known.
    pub total: Option<u64>,
    /// What is counted.
    pub unit: Unit,
}

/// Takes reports of progress, from any thread.
pub type Report<'a> = &'a (dyn Fn(Progress) + Sync);

/// Where fetched files stand, by SHA-256.
fn downloads(store: &Store) -> PathBuf {
    store.root().join("phoenix/downloads/sha256")
}

/// Finds what `request` means today: verifies the releases, reads their
/// indices, picks the packages. Needs the network (or a `file:` mirror).
///
/// # Errors
/// [`DebianError`]: no mirror or keyring, a bad signature, a wrong digest, an
/// expired release, unsatisfiable dependencies.
pub fn resolve(
    request: &op::Debian,
    settings: &Settings,
    store: &Store,
    report: Report<'_>,
) -> Result<Lock, DebianError> {
    resolve::resolve(request, settings, &downloads(store), store.cancel(), report)
}

/// Brings every package of `lock` into the store's downloads. What is there
/// already is not fetched again; what was cut off goes on where it stopped.
///
/// # Errors
/// [`DebianError`]: a package that no mirror gives with the locked digest.
pub fn fetch(
    lock: &Lock,
    settings: &Settings,
    store: &Store,
    report: Report<'_>,
) -> Result<(), DebianError> {
    resolve::fetch(lock, settings, &downloads(store), store.cancel(), report)
}

/// Makes the layer of `lock` from packages that [`fetch`] brought.
///
/// # Errors
/// [`DebianError`]: a package is missing or malformed, or the store failed.
pub fn layer(
    lock: &Lock,
    store: &Store,
    compression: Compression,
    report: Report<'_>,
) -> Result<LayerDesc, DebianError> {
    let work = store.work_dir()?;
    let mut writer = LayerWriter::new(store, compression)?;
    assemble::assemble(lock, &downloads(store), work.path(), report, &mut |entry, content| {
        Ok(writer.append(entry, content)?)
    })?;
    Ok(writer.finish()?)
}

#[cfg(test)]
mod tests;
