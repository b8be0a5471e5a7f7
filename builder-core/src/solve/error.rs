//! What can stop a build, as facts.

use std::path::PathBuf;

use crate::cache::CacheError;
use crate::digest::DiffId;
use crate::exec::{ExecError, ExitStatus};
use crate::fileop::FileOpError;
use crate::image::ImageError;
use crate::layer::LayerError;
use crate::plan::Location;
use crate::registry::RegistryError;
use crate::source::debian::DebianError;
use crate::source::engine::EngineError;
use crate::source::git::GitError;
use crate::source::http::HttpError;
use crate::source::local::ContextError;
use crate::source::oci::OciError;
use crate::source::rootfs::RootfsError;
use crate::store::StoreError;
use crate::view::TreeError;
use crate::view::observe::PathsetError;
use crate::view::passwd::PasswdError;

/// A step that failed: which, where it is written, why, and all it said.
#[derive(Debug, thiserror::Error)]
#[error("step `{step}`{} failed", of(.stage))]
pub struct StepError {
    /// Its display name.
    pub step: String,
    /// Its stage.
    pub stage: String,
    /// Where it is written.
    pub location: Option<Location>,
    /// Whether it ran without a network.
    pub no_network: bool,
    /// All its output, in the order in which it came.
    pub output: Vec<u8>,
    /// Why.
    #[source]
    pub cause: StepCause,
}

/// Why a step failed.
#[derive(Debug, thiserror::Error)]
pub enum StepCause {
    /// The process ended otherwise than with 0.
    #[error("{}", describe(*.0))]
    Exit(ExitStatus),
    /// The build was canceled, by its caller or because another step failed.
    #[error("canceled")]
    Canceled,
    /// The process could not be run.
    #[error(transparent)]
    Exec(#[from] ExecError),
    /// Files could not be changed.
    #[error(transparent)]
    File(#[from] FileOpError),
    /// The context is not what it was when the build first looked at it.
    #[error("context changed during the build: {path}")]
    ContextChanged {
        /// The file.
        path: String,
    },
    /// A base is not what it was when the build first looked at it.
    #[error("the base {path} changed during the build")]
    BaseChanged {
        /// The file or directory.
        path: String,
    },
    /// A root file system could not be read.
    #[error(transparent)]
    Rootfs(#[from] RootfsError),
    /// An image could not be read.
    #[error(transparent)]
    Oci(#[from] OciError),
    /// An image of a container engine could not be taken in.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// A file could not be downloaded.
    #[error(transparent)]
    Http(#[from] HttpError),
    /// A commit could not be had.
    #[error(transparent)]
    Git(#[from] GitError),
    /// A Debian base could not be made.
    #[error(transparent)]
    Debian(#[from] DebianError),
    /// An image could not be had by its name.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// `--locked`, and the lock does not answer the recipe.
    #[error("the lock {}: run `phoenix lock`", if *.stale { "no longer fits the recipe" } else { "does not hold this base" })]
    Locked {
        /// There is a lock, made from an older recipe.
        stale: bool,
    },
    /// The context directory cannot be used.
    #[error(transparent)]
    Context(#[from] ContextError),
    /// The state's files could not be read.
    #[error(transparent)]
    Tree(#[from] TreeError),
    /// A user or group is not in the image.
    #[error(transparent)]
    User(#[from] PasswdError),
    /// A layer could not be read or written.
    #[error(transparent)]
    Layer(#[from] LayerError),
    /// The base's config or manifest cannot be used.
    #[error(transparent)]
    Image(#[from] ImageError),
    /// The cache failed.
    #[error(transparent)]
    Cache(#[from] CacheError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A secret that the step requires was not given.
    #[error(
        "secret `{id}` is required and was not given: --secret id={id},src=FILE or env=VARIABLE"
    )]
    Secret {
        /// Its id.
        id: String,
    },
    /// An agent that the step requires was not given.
    #[error("the ssh agent `{id}` is required and was not given: --ssh {id}=SOCKET or KEY")]
    NoAgent {
        /// Its id.
        id: String,
    },
    /// An agent cannot be asked.
    #[error("the ssh agent `{id}`")]
    Agent {
        /// Its id.
        id: String,
        /// Why.
        source: std::io::Error,
    },
    /// A step wants to be insecure, and the build does not allow it.
    #[error(
        "the step may do all that root may, which the build must allow: --allow security.insecure"
    )]
    Insecure,
    /// A step of an image must be done again, and what it takes from is where
    /// the image was made.
    #[error(
        "{why}, and what it takes its files from is not here: build the image again on the new base"
    )]
    Elsewhere {
        /// Why it must.
        why: String,
    },
    /// What a step saw elsewhere cannot be read.
    #[error("what the step saw cannot be read: {0}")]
    Seen(#[from] PathsetError),
    /// A path of a step is malformed.
    #[error("path `{path}`: {source}")]
    Path {
        /// As it is written.
        path: String,
        /// What is wrong.
        source: crate::layer::PathError,
    },
    /// A layer was there when the step was decided, and is no longer.
    #[error("layer {diff_id} has vanished from the store during the build")]
    LayerGone {
        /// Which.
        diff_id: DiffId,
    },
    /// An operation has an input of another kind than it needs: a defect of the frontend.
    #[error("input {index} of the step is not {expected}")]
    Input {
        /// Which input.
        index: usize,
        /// `a root file system`.
        expected: &'static str,
    },
    /// A temporary file of the build failed.
    #[error("{}: {source}", path.display())]
    Io {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
}

/// What is looked at before a build is of no stage.
fn of(stage: &str) -> String {
    if stage.is_empty() { String::new() } else { format!(" of stage `{stage}`") }
}

impl StepCause {
    /// The same, told as what it is where a file of the context changed.
    pub(super) fn of_context(self) -> Self {
        let path = match &self {
            Self::File(error) => error.changed(),
            Self::Tree(TreeError::Changed { path })
            | Self::Exec(ExecError::Tree(TreeError::Changed { path })) => Some(path.clone()),
            _ => None,
        };
        path.map_or(self, |path| Self::ContextChanged { path })
    }
}

fn describe(status: ExitStatus) -> String {
    match status {
        ExitStatus::Code(code) => format!("exit code {code}"),
        ExitStatus::Signal(signal) => format!("killed by signal {signal}"),
        ExitStatus::TimedOut => "it ran longer than its timeout and was killed".to_owned(),
    }
}
