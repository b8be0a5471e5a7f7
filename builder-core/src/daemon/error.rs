//! What can go wrong with a container engine, as facts.

use std::io;
use std::path::PathBuf;

use crate::digest::BlobDigest;
use crate::store::StoreError;

/// A place where an engine was looked for in vain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tried {
    /// `unix:///var/run/docker.sock`.
    pub address: String,
    /// Who named it: `DOCKER_HOST`, ``the context `x` ``.
    pub whence: String,
    /// Why nothing came of it.
    pub why: String,
    /// What the system said, where it was the system that refused.
    pub kind: Option<io::ErrorKind>,
}

/// Why an engine did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum DaemonError {
    /// No engine answers.
    #[error("no container engine answers:{}", tried.iter().map(told).collect::<String>())]
    NoEngine {
        /// Where, in this order.
        tried: Vec<Tried>,
    },
    /// Something that is no address of an engine.
    #[error("{whence} is `{address}`: {why}")]
    Address {
        /// Who says so.
        whence: String,
        /// What it says.
        address: String,
        /// What is wrong.
        why: String,
    },
    /// A context of Docker that cannot be used.
    #[error("the context `{name}` of Docker cannot be used: {why}")]
    Context {
        /// Its name.
        name: String,
        /// Why.
        why: String,
    },
    /// A file of Docker's configuration cannot be read.
    #[error("reading {}: {why}", path.display())]
    Config {
        /// Which.
        path: PathBuf,
        /// Why.
        why: String,
    },
    /// A name that no image can have.
    #[error("`{name}` cannot name an image of an engine")]
    Name {
        /// As it was given.
        name: String,
    },
    /// The engine has no such image.
    #[error("{engine} has no image `{name}`")]
    NoImage {
        /// Which engine, and where.
        engine: String,
        /// What was asked for.
        name: String,
    },
    /// The engine answered with an error.
    #[error("{engine} failed at {action}: {message}")]
    Failed {
        /// Which engine, and where.
        engine: String,
        /// What it was to do, as a participle: `loading the image`.
        action: &'static str,
        /// What it said.
        message: String,
    },
    /// The connection broke off, or what came was no answer.
    #[error("the connection to {engine} broke off at {action}: {why}")]
    Broken {
        /// Which engine, and where.
        engine: String,
        /// What it was to do, as a participle.
        action: &'static str,
        /// What is known of it.
        why: String,
    },
    /// An image arrived as something else than was sent.
    #[error("{engine} knows the image `{name}` as {actual} instead of {expected}")]
    OtherImage {
        /// Which engine, and where.
        engine: String,
        /// By which name it was asked for.
        name: String,
        /// What was sent.
        expected: BlobDigest,
        /// What it has, where it has any.
        actual: BlobDigest,
    },
    /// Stopping was asked.
    #[error("canceled")]
    Canceled,
    /// A socket for an engine behind ssh could not be made.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The system refused what waiting for an answer needs.
    #[error("preparing to speak to a container engine: {0}")]
    Prepare(#[source] io::Error),
}

fn told(tried: &Tried) -> String {
    let Tried { address, whence, why, kind: _ } = tried;
    format!("\n  {address} ({whence}): {why}")
}

/// What ends a stream between this process and an engine.
#[derive(Debug)]
pub enum Ended<E> {
    /// The engine's side.
    There(DaemonError),
    /// This side.
    Here(E),
}

impl<E: From<DaemonError>> Ended<E> {
    /// As one error.
    pub fn into_one(self) -> E {
        match self {
            Self::There(error) => error.into(),
            Self::Here(error) => error,
        }
    }
}
