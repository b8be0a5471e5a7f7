//! Remembers that a served tree failed, so that no result is taken from a step
//! that was lied to with an I/O error.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use crate::digest::ContentDigest;
use crate::layer::LayerPath;
use crate::view::{Node, ReadAt, Tree, TreeError};

/// The first failure of any tree of a job.
#[derive(Clone, Default)]
pub(super) struct Failure(Arc<Mutex<Option<TreeError>>>);

impl Failure {
    pub(super) fn take(&self) -> Option<TreeError> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    fn note(&self, error: TreeError) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
    }
}

/// A tree whose failures are noted.
pub(super) struct Watched {
    inner: Arc<dyn Tree>,
    failure: Failure,
}

impl Watched {
    pub(super) fn new(inner: Arc<dyn Tree>, failure: &Failure) -> Self {
        Self { inner, failure: failure.clone() }
    }

    /// Notes an error; the one that goes on to the kernel is an EIO anyhow.
    fn pass<T>(&self, path: &LayerPath, result: Result<T, TreeError>) -> Result<T, TreeError> {
        result.map_err(|error| {
            // Asking a file for its list is the asker's mistake.
            if !matches!(error, TreeError::Type { .. }) {
                self.failure.note(error);
            }
            let source = io::Error::from_raw_os_error(libc::EIO);
            TreeError::Io { path: path.display(), source }
        })
    }
}

impl Tree for Watched {
    fn node(&self, path: &LayerPath) -> Result<Option<Node>, TreeError> {
        self.pass(path, self.inner.node(path))
    }
    fn list(&self, path: &LayerPath) -> Result<Vec<(Vec<u8>, Node)>, TreeError> {
        self.pass(path, self.inner.list(path))
    }
    fn content(&self, path: &LayerPath) -> Result<ContentDigest, TreeError> {
        self.pass(path, self.inner.content(path))
    }
    fn open(&self, path: &LayerPath) -> Result<Arc<dyn ReadAt>, TreeError> {
        let inner = self.pass(path, self.inner.open(path))?;
        Ok(Arc::new(WatchedFile { inner, path: path.clone(), failure: self.failure.clone() }))
    }
}

struct WatchedFile {
    inner: Arc<dyn ReadAt>,
    path: LayerPath,
    failure: Failure,
}

impl ReadAt for WatchedFile {
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        self.inner.read_at(offset, buf).map_err(|source| {
            self.failure.note(TreeError::Io { path: self.path.display(), source });
            io::Error::from_raw_os_error(libc::EIO)
        })
    }
}
