//! What a build may take from outside, and what it pinned.

use std::sync::Mutex;

use super::session::lock;
use crate::digest::BlobDigest;
use crate::source::debian::{Lock, LockFile};

/// How a recipe's lock is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LockMode {
    /// What the lock pins is used; what it lacks is resolved and added.
    #[default]
    Use,
    /// What the lock lacks is an error (`--locked`).
    Require,
    /// Everything is resolved anew (`phoenix lock`).
    Update,
}

/// The lock of a build: what was pinned, and what the build added.
#[derive(Debug, Default)]
pub struct Locks {
    mode: LockMode,
    file: Mutex<(LockFile, bool)>,
    /// Held while a name of an image is looked up.
    resolving: Mutex<()>,
}

impl Locks {
    /// Starts from what is pinned.
    #[must_use]
    pub fn new(file: LockFile, mode: LockMode) -> Self {
        Self { mode, file: Mutex::new((file, false)), resolving: Mutex::default() }
    }

    /// The lock file, and whether the build changed it.
    #[must_use]
    pub fn state(&self) -> (LockFile, bool) {
        lock(&self.file).clone()
    }

    pub(super) fn mode(&self) -> LockMode {
        self.mode
    }

    pub(super) fn get(&self, stage: &str) -> Option<Lock> {
        lock(&self.file).0.debian.get(stage).cloned()
    }

    pub(super) fn resolving(&self) -> &Mutex<()> {
        &self.resolving
    }

    /// What the image of that name is, for that platform.
    pub(super) fn image(&self, (name, platform): &(String, String)) -> Option<BlobDigest> {
        lock(&self.file).0.images.get(name)?.get(platform).copied()
    }

    pub(super) fn put_image(&self, (name, platform): (String, String), digest: BlobDigest) {
        let mut file = lock(&self.file);
        file.0.images.entry(name).or_default().insert(platform, digest);
        file.1 = true;
    }

    pub(crate) fn put(&self, stage: &str, new: Lock) {
        let mut file = lock(&self.file);
        file.0.debian.insert(stage.to_owned(), new);
        file.1 = true;
    }
}
