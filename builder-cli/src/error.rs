//! What can go wrong in a command, and which exit code that is.
//!
//! Hints are not here but in `diagnostic`.

use std::io;
use std::path::PathBuf;

use builder_core::dockerfile::NotText;
use builder_core::error::Error as EngineError;
use builder_core::exec::ExecError;
use builder_core::explain::ExplainError;
use builder_core::frontend::{Class, Diagnostic};
use builder_core::image::{ImageError, TagError};
use builder_core::layer::{LayerError, PathError};
use builder_core::solve::StepCause;
use builder_core::source::debian::DebianError;
use builder_core::source::git::GitError;
use builder_core::source::http::HttpError;
use builder_core::store::StoreError;
use builder_core::view::TreeError;

use crate::exit::Exit;

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CliError {
    /// Whoever read standard output is gone: no error for anyone to see.
    #[error("standard output was closed")]
    ReaderGone,
    /// A signal asked for the end.
    #[error("{}", if *.exit == Exit::Terminated { "terminated" } else { "interrupted" })]
    Interrupted {
        /// Which signal it was.
        exit: Exit,
    },
    /// Standard output cannot be written.
    #[error("writing to standard output")]
    Stdout {
        /// Why.
        source: io::Error,
    },
    /// Standard input cannot be read.
    #[error("reading standard input")]
    Stdin {
        /// Why.
        source: io::Error,
    },
    /// No place for the store is known.
    #[error(
        "no place for the store: neither --store, PHOENIX_STORE, XDG_DATA_HOME nor HOME is set"
    )]
    NoStore,
    /// `SOURCE_DATE_EPOCH` is no number.
    #[error("SOURCE_DATE_EPOCH is `{value}`, not a number of seconds")]
    SourceDateEpoch {
        /// What it is.
        value: String,
    },
    /// Signals cannot be watched.
    #[error("watching for signals")]
    Signals {
        /// Why.
        source: io::Error,
    },
    /// Files cannot be watched.
    #[error("watching for changes")]
    Watch {
        /// Why.
        source: notify::Error,
    },
    /// What is built again and again cannot all go to standard output.
    #[error("--watch cannot write an image to standard output")]
    WatchStdout,
    /// A file of the user.
    #[error("{action} {}", path.display())]
    File {
        /// What was tried, as a participle.
        action: &'static str,
        /// On which file.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
    /// There is no recipe where one is expected.
    #[error("no recipe at {}", path.display())]
    NoRecipe {
        /// Where it was expected.
        path: PathBuf,
    },
    /// There is nothing to build in a directory.
    #[error("no recipe.yaml and no Dockerfile in {}", dir.display())]
    NothingToBuild {
        /// Which.
        dir: PathBuf,
    },
    /// A Dockerfile is no text.
    #[error("{}:{}:{}: {source}", path.display(), source.line, source.column)]
    NotText {
        /// Which.
        path: PathBuf,
        /// Where.
        source: NotText,
    },
    /// A context is neither a directory nor a repository.
    #[error("the context {} is no directory", dir.display())]
    NoContext {
        /// Which.
        dir: PathBuf,
    },
    /// A lock lies beside a file, and there is none.
    #[error(
        "there is no place for a lock: it lies beside a recipe or Dockerfile, and this one is no file of this host"
    )]
    NoPlaceForLock,
    /// There is no Dockerfile in what is no directory.
    #[error("no Dockerfile {}, for the context {context}", path.display())]
    NoDockerfile {
        /// What it would be called.
        path: PathBuf,
        /// Where it was looked for.
        context: String,
    },
    /// Standard input cannot be two things.
    #[error("standard input cannot be both the Dockerfile and the context")]
    StdinTwice,
    /// `BUILDKIT_DOCKERFILE_CHECK` says what checks do not know.
    #[error("failed to parse check options: {why}")]
    BadChecks {
        /// What is wrong with it.
        why: String,
    },
    /// `--call` of what is no Dockerfile.
    #[error("--call and --check are for Dockerfiles; `phoenix validate` checks a recipe")]
    CallOfRecipe,
    /// `--platform` for what is no Dockerfile.
    #[error(
        "--platform is for Dockerfiles; a recipe says it of its base: from: {{image: {{name: NAME, \
         platform: {platform}}}}}"
    )]
    PlatformOfRecipe {
        /// As it was given.
        platform: String,
    },
    /// An agent is asked for, and none is known.
    #[error("--ssh {id}: SSH_AUTH_SOCK names no agent")]
    NoAgent {
        /// What steps call it.
        id: String,
    },
    /// A context that is no directory and no repository.
    #[error("`{context}` is not a context that can be used")]
    BadContext {
        /// As it was given.
        context: String,
    },
    /// `convert` is given a Dockerfile, and `-f` too.
    #[error("{} is the Dockerfile, and so is what -f names", path.display())]
    DockerfileTwice {
        /// The first.
        path: PathBuf,
    },
    /// `init` or `convert` finds a recipe.
    #[error("{} is there already", path.display())]
    RecipeExists {
        /// Which.
        path: PathBuf,
    },
    /// The recipe is wrong.
    #[error("the recipe is wrong")]
    Recipe {
        /// All that is wrong with it.
        diagnostics: Vec<Diagnostic>,
    },
    /// A secret's variable is not set.
    #[error("secret `{id}`: the variable {variable} is not set")]
    SecretUnset {
        /// The secret.
        id: String,
        /// The variable.
        variable: String,
    },
    /// Two outputs want standard output, or an output and JSON lines do.
    #[error("only one output can go to standard output")]
    StdoutTwice,
    /// No image of that name or digest.
    #[error("no image `{name}` in the store")]
    NoImage {
        /// What was asked for.
        name: String,
    },
    /// The start of several digests.
    #[error("`{name}` is the start of {count} digests")]
    Ambiguous {
        /// What was asked for.
        name: String,
        /// How many.
        count: usize,
    },
    /// `--no-cache` names a step that the recipe has not.
    #[error("--no-cache: there is no step or stage of the name `{name}`")]
    NoStep {
        /// What was asked for.
        name: String,
        /// What was perhaps meant.
        similar: Option<String>,
    },
    /// A digest that several names point at.
    #[error("`{image}` has {} names: {}", names.len(), names.join(", "))]
    ManyNames {
        /// What was asked for.
        image: String,
        /// Its names.
        names: Vec<String>,
    },
    /// `push` of an image by its digest, and no name.
    #[error("`{image}` is no name: say under which name it goes to a registry")]
    PushWhere {
        /// What was asked for.
        image: String,
    },
    /// What has no name can go to no registry.
    #[error("an image without a name cannot go to a registry: -t NAME names it")]
    PushWhat,
    /// A name cannot name an image.
    #[error(transparent)]
    Tag(#[from] TagError),
    /// A path that no image can hold.
    #[error("`{path}` cannot be a path in an image")]
    Path {
        /// As it was given.
        path: String,
        /// Why.
        source: PathError,
    },
    /// Nothing is at that path of an image.
    #[error("there is no {path} in the image")]
    NoFile {
        /// The path.
        path: String,
    },
    /// Something that has no content is at that path.
    #[error("{path} is not a regular file")]
    NotAFile {
        /// The path.
        path: String,
    },
    /// A file of an image could not be read.
    #[error("reading {path} of the image")]
    ImageFile {
        /// The path.
        path: String,
        /// Why.
        source: io::Error,
    },
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// An image could not be read.
    #[error(transparent)]
    Image(#[from] ImageError),
    /// A layer could not be read.
    #[error(transparent)]
    Layer(#[from] LayerError),
    /// Files of an image could not be read.
    #[error(transparent)]
    Tree(#[from] TreeError),
    /// `recipe.lock` cannot be read, or Debian's settings not be used.
    #[error(transparent)]
    Debian(#[from] DebianError),
    /// Nothing can be told of a step or an image.
    #[error(transparent)]
    Explain(#[from] ExplainError),
    /// `explain --against` names no step.
    #[error("--against compares a STEP with what it was in an earlier build, and none is named")]
    AgainstWhat,
    /// `phoenix run` could not start the command.
    #[error("the command could not be started")]
    NotStarted {
        /// Why.
        source: Box<CliError>,
    },
    /// The engine failed.
    #[error(transparent)]
    Engine(Box<EngineError>),
}

impl CliError {
    /// The exit code.
    pub(crate) fn exit(&self) -> Exit {
        match self {
            Self::ReaderGone => Exit::Done,
            Self::Interrupted { exit } => *exit,
            Self::NoStore
            | Self::SourceDateEpoch { .. }
            | Self::RecipeExists { .. }
            | Self::DockerfileTwice { .. }
            | Self::SecretUnset { .. }
            | Self::StdoutTwice
            | Self::NoPlaceForLock
            | Self::NoContext { .. }
            | Self::StdinTwice
            | Self::BadChecks { .. }
            | Self::CallOfRecipe
            | Self::PlatformOfRecipe { .. }
            | Self::NoAgent { .. }
            | Self::BadContext { .. }
            | Self::PushWhere { .. }
            | Self::PushWhat
            | Self::WatchStdout => Exit::Usage,
            Self::Recipe { diagnostics } => {
                let missing = |d: &Diagnostic| d.class == Class::Unavailable;
                if diagnostics.iter().any(missing) { Exit::Trouble } else { Exit::Recipe }
            }
            Self::NotText { .. }
            | Self::NoRecipe { .. }
            | Self::NoDockerfile { .. }
            | Self::NothingToBuild { .. } => Exit::Recipe,
            Self::NotStarted { source } => match &**source {
                Self::Engine(error) => not_started(error),
                _ => Exit::NotStarted,
            },
            Self::Path { .. }
            | Self::Ambiguous { .. }
            | Self::NoStep { .. }
            | Self::AgainstWhat
            | Self::ManyNames { .. }
            | Self::Tag(_) => Exit::Usage,
            Self::Stdout { .. }
            | Self::Stdin { .. }
            | Self::Signals { .. }
            | Self::Watch { .. }
            | Self::File { .. }
            | Self::NoImage { .. }
            | Self::NoFile { .. }
            | Self::NotAFile { .. }
            | Self::ImageFile { .. }
            | Self::Store(_)
            | Self::Image(_)
            | Self::Layer(_)
            | Self::Tree(_)
            | Self::Debian(_) => Exit::Trouble,
            Self::Explain(error) => match error {
                ExplainError::NoStep { .. }
                | ExplainError::SeveralSteps { .. }
                | ExplainError::NoBuild { .. }
                | ExplainError::NotInBuild { .. } => Exit::Usage,
                _ => Exit::Trouble,
            },
            Self::Engine(error) => engine_exit(error),
        }
    }
}

impl From<EngineError> for CliError {
    fn from(error: EngineError) -> Self {
        Self::Engine(Box::new(error))
    }
}

/// As a shell and docker tell it.
fn not_started(error: &EngineError) -> Exit {
    match error {
        EngineError::Exec(ExecError::NotFound { .. }) => Exit::Command(127),
        EngineError::Exec(ExecError::NotExecutable { .. }) => Exit::Command(126),
        EngineError::Exec(ExecError::Canceled) => Exit::Interrupted,
        _ => Exit::NotStarted,
    }
}

fn engine_exit(error: &EngineError) -> Exit {
    match error {
        EngineError::Step { error, .. } => match &error.cause {
            StepCause::Canceled => Exit::Interrupted,
            StepCause::Exec(error) => exec_exit(error),
            StepCause::Layer(LayerError::Store(_)) | StepCause::Io { .. } => Exit::Trouble,
            StepCause::Store(_) | StepCause::Cache(_) | StepCause::Debian(_) => Exit::Trouble,
            StepCause::Engine(_) => Exit::Trouble,
            StepCause::Registry(_) => Exit::Trouble,
            // The network's fault, and not that of who named it.
            StepCause::Git(GitError::Failed { .. } | GitError::Store(_)) => Exit::Trouble,
            StepCause::Http(HttpError::Transfer { .. } | HttpError::Status { .. }) => Exit::Trouble,
            StepCause::Locked { .. } | StepCause::Secret { .. } => Exit::Usage,
            _ => Exit::BuildFailed,
        },
        EngineError::Canceled => Exit::Interrupted,
        EngineError::NotReproducible { .. } | EngineError::WrongReuse { .. } => Exit::BuildFailed,
        EngineError::NoStage { .. } | EngineError::Tag(_) => Exit::Usage,
        EngineError::Cause(StepCause::Locked { .. }) => Exit::Usage,
        EngineError::Exec(error) => exec_exit(error),
        _ => Exit::Trouble,
    }
}

fn exec_exit(error: &ExecError) -> Exit {
    match error {
        ExecError::Canceled => Exit::Interrupted,
        ExecError::NoRunner { .. }
        | ExecError::UserNamespaces { .. }
        | ExecError::Fuse { .. }
        | ExecError::Overlay { .. }
        | ExecError::SingleId { .. }
        | ExecError::IdMapping { .. } => Exit::Host,
        ExecError::Setup { source, .. }
            if matches!(
                source.kind(),
                io::ErrorKind::PermissionDenied | io::ErrorKind::Unsupported
            ) =>
        {
            Exit::Host
        }
        _ => Exit::BuildFailed,
    }
}
