//! The top error: what every public call of [`Engine`](crate::engine::Engine) gives.

use std::path::PathBuf;

use crate::cache::CacheError;
use crate::chain::ChainError;
use crate::digest::BlobDigest;

use crate::exec::ExecError;
use crate::image::{ImageError, TagError};
use crate::layer::LayerError;
use crate::output::OutputError;
use crate::registry::RegistryError;
use crate::solve::{StepCause, StepError, StepReport, Wrong};
use crate::source::debian::DebianError;
use crate::source::local::ContextError;
use crate::source::oci::OciError;
use crate::store::StoreError;
use crate::view::TreeError;
use crate::view::passwd::PasswdError;

/// What public calls return.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a call failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Stopping was asked before the image was named.
    #[error("canceled")]
    Canceled,
    /// A step failed; the others were stopped.
    #[error("{error}")]
    Step {
        /// Which, where and why.
        #[source]
        error: Box<StepError>,
        /// The steps that ended before.
        steps: Vec<StepReport>,
    },
    /// There is no such stage.
    #[error("no stage `{wanted}`; there is {}", stages.join(", "))]
    NoStage {
        /// What was asked for.
        wanted: String,
        /// What there is.
        stages: Vec<String>,
    },
    /// The stage's vertex gives no root file system: a defect of the frontend.
    #[error("stage `{stage}` is not an image")]
    NotAnImage {
        /// Which.
        stage: String,
    },
    /// Two builds of the same recipe differ.
    #[error("two builds of this recipe differ:\n  {}", differences.join("\n  "))]
    NotReproducible {
        /// The files that differ, and how.
        differences: Vec<String>,
    },
    /// `paranoid` found results that stand and that are not what their steps make.
    #[error("{}", wrong(found))]
    WrongReuse {
        /// Of which steps, and what differs.
        found: Vec<Wrong>,
    },
    /// Nothing is written down of how an image was made.
    #[error("how the image {image} was made is not written beside it")]
    NoSteps {
        /// Its manifest's digest.
        image: BlobDigest,
    },
    /// What is written down of how an image was made cannot be read.
    #[error("what is written of the steps of the image {image} cannot be read: {source}")]
    Steps {
        /// Its manifest's digest.
        image: BlobDigest,
        /// Why.
        source: ChainError,
    },
    /// What is written down is of other layers than the image has.
    #[error("what is written of the steps of the image {image} is not of its layers")]
    OtherSteps {
        /// Its manifest's digest.
        image: BlobDigest,
    },
    /// A base could not be brought in, or a result not be written down.
    #[error(transparent)]
    Cause(#[from] StepCause),
    /// An image on this host could not be read.
    #[error(transparent)]
    Oci(#[from] OciError),
    /// An image could not be had from a registry, or not be brought there.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// A name cannot name an image.
    #[error(transparent)]
    Tag(#[from] TagError),
    /// An output could not be written.
    #[error(transparent)]
    Output(#[from] OutputError),
    /// An image could not be read or written.
    #[error(transparent)]
    Image(#[from] ImageError),
    /// A layer could not be read or written.
    #[error(transparent)]
    Layer(#[from] LayerError),
    /// Files of an image could not be read.
    #[error(transparent)]
    Tree(#[from] TreeError),
    /// A user is not in the image.
    #[error(transparent)]
    User(#[from] PasswdError),
    /// A process could not be run.
    #[error(transparent)]
    Exec(#[from] ExecError),
    /// A Debian base could not be resolved.
    #[error(transparent)]
    Debian(#[from] DebianError),
    /// The context cannot be used.
    #[error(transparent)]
    Context(#[from] ContextError),
    /// The cache failed.
    #[error(transparent)]
    Cache(#[from] CacheError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A file failed.
    #[error("{}: {source}", path.display())]
    Io {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// No thread could be started.
    #[error("no thread could be started: {0}")]
    Thread(#[source] std::io::Error),
    /// A thread of the build panicked: a defect.
    #[error("the build ended by a panic; please report this")]
    Panicked,
}

fn wrong(found: &[Wrong]) -> String {
    let one = |Wrong { step, paths, .. }: &Wrong| {
        format!(
            "reusing the result of `{step}` would be wrong, unless it depends on the time or the network:\n  {}",
            paths.join("\n  ")
        )
    };
    found.iter().map(one).collect::<Vec<_>>().join("\n")
}
