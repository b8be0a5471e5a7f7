//! A container engine on this host or elsewhere: Docker or Podman.
//!
//! In: [`Settings`], which are those of Docker's own client. Out: a [`Daemon`]
//! that says which image a name means, takes one in as a stream, and gives one
//! out as a stream. bollard speaks to it.
//!
//! Invariants: no image is ever whole in memory or in a file of this side; a
//! stream that was cut off is an error at both ends; once canceled, every call
//! ends.
//!
//! Limitations: must not be called from inside an async runtime's worker. An
//! engine that keeps a connection open and says nothing is waited for, once it
//! has answered a first time. The lines of its answers are not bounded.

mod address;
mod context;
mod error;
mod find;
mod pipe;
mod settings;
mod ssh;
#[cfg(test)]
mod tests;
mod wait;

use std::io::{Read, Write};

use bollard::Docker;
use bollard::errors::Error as ClientError;
use bollard::query_parameters::ImportImageOptionsBuilder;
pub use error::{DaemonError, Ended, Tried};
use find::{UNLIMITED, told};
use futures_util::StreamExt as _;
use pipe::{Body, Incoming, Outgoing, pipe};
pub use settings::Settings;
use ssh::Bridge;
use wait::Waiter;

use crate::digest::BlobDigest;
use crate::store::Store;

/// An engine that has answered.
pub struct Daemon {
    docker: Docker,
    waiter: Waiter,
    name: String,
    /// Outlives what goes through it.
    bridge: Option<Bridge>,
}

impl Daemon {
    /// Finds the engine that `settings` mean. The work ends when the store's
    /// does; it keeps what a connection over ssh needs.
    ///
    /// # Errors
    /// [`DaemonError`]; where none answers, with all that was tried.
    pub fn connect(settings: &Settings, store: &Store) -> Result<Self, DaemonError> {
        let waiter = Waiter::new(store.cancel())?;
        let found = find::find(settings, store, &waiter)?;
        // A request over HTTP is answered when the whole image has been read.
        let docker = found.docker.with_timeout(UNLIMITED);
        Ok(Self { docker, waiter, name: found.name, bridge: found.bridge })
    }

    /// What and where it is: `Docker 20.10.24 at unix:///var/run/docker.sock`.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The id of the image that `name` (or an id) means; `None` where there is
    /// none. It is the digest of the config, or of the manifest in an engine
    /// that keeps images as containerd does.
    ///
    /// # Errors
    /// [`DaemonError`].
    pub fn image_id(&self, name: &str) -> Result<Option<BlobDigest>, DaemonError> {
        const ACTION: &str = "looking up an image";
        if !is_name(name) {
            return Err(DaemonError::Name { name: name.to_owned() });
        }
        let inspected = self.waiter.wait(self.docker.inspect_image(name));
        let image = match inspected.ok_or(DaemonError::Canceled)? {
            Ok(image) => image,
            Err(ClientError::DockerResponseServerError { status_code: 404, .. }) => {
                return Ok(None);
            }
            Err(error) => return Err(self.failed(ACTION, &error)),
        };
        let id = image.id.unwrap_or_default();
        let digest = BlobDigest::from_hex(id.strip_prefix("sha256:").unwrap_or(&id));
        digest.map(Some).map_err(|_| DaemonError::Failed {
            engine: self.name.clone(),
            action: ACTION,
            message: format!("`{id}` is no id of an image"),
        })
    }

    /// Takes in the archive that `write` writes, as `docker load` does.
    ///
    /// Success does not imply that the engine has an image: ask for it.
    ///
    /// # Errors
    /// What ended it first: the engine, or `write`. What the engine then has of
    /// the image is its own affair.
    pub fn load<E: Send>(
        &self,
        write: impl FnOnce(&mut dyn Write) -> Result<(), E> + Send,
    ) -> Result<(), Ended<E>> {
        let (sender, receiver) = pipe();
        let body = Body::new(receiver);
        std::thread::scope(|scope| {
            let writing = scope.spawn(move || {
                let mut out = Outgoing::new(sender);
                let written = write(&mut out);
                if written.is_ok() {
                    // That the engine wants no more is for it to explain.
                    let _ = out.finish();
                }
                let theirs = written.is_ok() || out.refused;
                (written, theirs)
            });
            let options = ImportImageOptionsBuilder::default().quiet(true).build();
            let mut answers = self.docker.import_image_stream(options, body.stream(), None);
            let answered = self.waiter.wait(async {
                while let Some(line) = answers.next().await {
                    line?;
                }
                Ok::<_, ClientError>(())
            });
            body.close();
            let (written, theirs) = writing.join().expect("a writer does not panic");
            let answered = match answered {
                None => Err(DaemonError::Canceled),
                Some(answer) => answer.map_err(|error| self.failed("loading the image", &error)),
            };
            match (answered, written) {
                (Err(error @ DaemonError::Canceled), _) => Err(Ended::There(error)),
                (_, Err(error)) if !theirs => Err(Ended::Here(error)),
                (Err(error), _) => Err(Ended::There(error)),
                (Ok(()), Err(error)) => Err(Ended::Here(error)),
                (Ok(()), Ok(())) => Ok(()),
            }
        })
    }

    /// Gives out an image by its id as an archive, as `docker save` does.
    ///
    /// # Errors
    /// What ended it first: the engine, or `read`.
    pub fn save<T, E>(
        &self,
        id: &BlobDigest,
        read: impl FnOnce(&mut dyn Read) -> Result<T, E>,
    ) -> Result<T, Ended<E>> {
        let (sender, receiver) = pipe();
        std::thread::scope(|scope| {
            let fetching = scope.spawn(|| {
                let mut parts = self.docker.export_image(&id.to_string());
                self.waiter.wait(async {
                    while let Some(part) = parts.next().await {
                        if sender.send(Some(part?)).await.is_err() {
                            return Ok(());
                        }
                    }
                    // Who reads no more has all that it wants.
                    let _ = sender.send(None).await;
                    drop(sender);
                    Ok::<_, ClientError>(())
                })
            });
            let mut incoming = Incoming::new(receiver);
            let taken = read(&mut incoming);
            drop(incoming);
            let fetched = fetching.join().expect("a reader does not panic");
            match fetched {
                None => Err(Ended::There(DaemonError::Canceled)),
                Some(Err(error)) => Err(Ended::There(self.failed("giving out the image", &error))),
                Some(Ok(())) => taken.map_err(Ended::Here),
            }
        })
    }

    fn failed(&self, action: &'static str, error: &ClientError) -> DaemonError {
        let engine = self.name.clone();
        let said = matches!(
            error,
            ClientError::DockerResponseServerError { .. } | ClientError::DockerStreamError { .. }
        );
        if said {
            return DaemonError::Failed { engine, action, message: told(error) };
        }
        let complaint = self.bridge.as_ref().and_then(Bridge::complaint);
        DaemonError::Broken { engine, action, why: complaint.unwrap_or_else(|| told(error)) }
    }
}

impl std::fmt::Debug for Daemon {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Daemon").field(&self.name).finish()
    }
}

/// Whether a text can be part of the path of a request and mean itself there.
fn is_name(name: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || "._-/:@[]".contains(c);
    let parts = || name.split('/');
    name.chars().all(plain) && parts().all(|part| !matches!(part, "" | "." | ".."))
}
