//! An image of a container engine.
//!
//! In: its name there. Out: its layers in the store and its config. The name is
//! looked up at each build; the image is streamed out of the engine once for
//! each id, and no file of the whole is made.

use std::io::{self, Read};

use super::oci::{OciError, stream};
use super::{Fetched, Source};
use crate::daemon::{Daemon, DaemonError, Ended, Settings};
use crate::digest::BlobDigest;
use crate::store::Store;

/// After how many bytes it is told how far it is.
const TOLD_EVERY: u64 = 4 << 20;

/// Why an image of an engine could not be taken in.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The engine failed, or there is none.
    #[error(transparent)]
    Daemon(#[from] DaemonError),
    /// What it gave is not what it should be.
    #[error(transparent)]
    Oci(#[from] OciError),
}

/// An image that an engine has.
#[derive(Debug)]
pub struct Engine {
    store: Store,
    daemon: Daemon,
    name: String,
    id: BlobDigest,
}

impl Engine {
    /// Asks the engine that `settings` mean for the image `name`.
    ///
    /// # Errors
    /// [`EngineError`].
    pub fn find(settings: &Settings, store: &Store, name: &str) -> Result<Self, EngineError> {
        let daemon = Daemon::connect(settings, store)?;
        let engine = daemon.name().to_owned();
        let missing = || DaemonError::NoImage { engine, name: name.to_owned() };
        let id = daemon.image_id(name)?.ok_or_else(missing)?;
        Ok(Self { store: store.clone(), daemon, name: name.to_owned(), id })
    }

    /// As [`Source::fetch`]; tells how many bytes have come.
    ///
    /// # Errors
    /// [`EngineError`].
    pub fn fetch_telling(&self, tell: &dyn Fn(u64)) -> Result<Fetched, EngineError> {
        let what = format!("{} of {}", self.name, self.daemon.name());
        let taken = self.daemon.save(&self.id, |archive| {
            let guarded = self.store.cancel().guard(archive);
            let mut counted = Counted { inner: guarded, read: 0, told: 0, tell };
            stream::take_in(&self.store, &what, (&self.name, &self.id), &mut counted)
        });
        taken.map_err(|ended| match ended {
            Ended::There(error) => error.into(),
            Ended::Here(error) => error.into(),
        })
    }
}

impl Source for Engine {
    type Error = EngineError;

    fn pin(&self) -> Result<String, EngineError> {
        Ok(format!("image {}", self.id))
    }

    fn fetch(&self) -> Result<Fetched, EngineError> {
        self.fetch_telling(&|_| ())
    }
}

struct Counted<'a, R> {
    inner: R,
    read: u64,
    told: u64,
    tell: &'a dyn Fn(u64),
}

impl<R: Read> Read for Counted<'_, R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buf)?;
        self.read += read as u64;
        if self.read >= self.told + TOLD_EVERY {
            self.told = self.read;
            (self.tell)(self.read);
        }
        Ok(read)
    }
}
