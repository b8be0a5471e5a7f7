//! Stands in for `builder_core::engine` until that is there: the same names
//! and shapes, so that the commands change by their imports only.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use builder_core::digest::{BlobDigest, DiffId, VertexId};
use builder_core::event::Sink;
use builder_core::exec::{Cancel, Exit};
use builder_core::layer::Compression;
use builder_core::output::Dest;
use builder_core::plan::Plan;
use builder_core::plan::op::Network;
use builder_core::source::debian::{self, LockFile};

/// Why a build failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum EngineError {
    /// The engine is not there yet.
    #[error("not there yet")]
    NotThere,
}

type Result<T> = std::result::Result<T, EngineError>;

/// Which reuse is forbidden.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) enum NoCache {
    #[default]
    Never,
    All,
    Steps(Vec<String>),
}

/// How the lock is used.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum LockMode {
    #[default]
    Use,
    Require,
    Update,
}

/// The kinds of outputs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OutputKind {
    Oci,
    OciDir,
    Docker,
    Tar,
    Local,
}

/// An output and where it goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct OutputSpec {
    pub(crate) kind: OutputKind,
    pub(crate) dest: Dest,
}

/// A build to be done.
pub(crate) struct BuildRequest {
    pub(crate) plan: Plan,
    pub(crate) recipe: String,
    pub(crate) stage: Option<String>,
    pub(crate) tags: Vec<String>,
    pub(crate) outputs: Vec<OutputSpec>,
    pub(crate) no_cache: NoCache,
    pub(crate) retest: bool,
    pub(crate) check_reproducible: bool,
    pub(crate) compression: Compression,
    pub(crate) secrets: BTreeMap<String, Vec<u8>>,
    pub(crate) created: Option<i64>,
    pub(crate) lock: LockFile,
    pub(crate) lock_mode: LockMode,
}

impl BuildRequest {
    /// A build of the last stage, everything else by default.
    pub(crate) fn new(plan: Plan) -> Self {
        Self {
            plan,
            recipe: String::new(),
            stage: None,
            tags: Vec::new(),
            outputs: Vec::new(),
            no_cache: NoCache::Never,
            retest: false,
            check_reproducible: false,
            compression: Compression::Gzip,
            secrets: BTreeMap::new(),
            created: None,
            lock: LockFile::default(),
            lock_mode: LockMode::Use,
        }
    }
}

/// How a step stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum StepStatus {
    Cached,
    Ran,
}

/// A step of a build.
#[derive(Debug, Clone)]
pub(crate) struct StepReport {
    pub(crate) id: VertexId,
    pub(crate) name: String,
    pub(crate) stage: String,
    pub(crate) status: StepStatus,
    pub(crate) reason: String,
    pub(crate) duration: Duration,
    pub(crate) layer: Option<DiffId>,
}

/// A finished build.
#[derive(Debug, Clone)]
pub(crate) struct BuildResult {
    pub(crate) digest: BlobDigest,
    pub(crate) config_digest: BlobDigest,
    pub(crate) tags: Vec<String>,
    pub(crate) steps: Vec<StepReport>,
    pub(crate) new_lock: Option<LockFile>,
}

/// What a build would do.
#[derive(Debug, Clone)]
pub(crate) struct PlanReport {
    pub(crate) steps: Vec<StepReport>,
}

/// A command to run in an image.
#[derive(Debug, Clone)]
pub(crate) struct RunRequest {
    pub(crate) image: BlobDigest,
    pub(crate) command: Vec<String>,
    pub(crate) network: Network,
}

/// The engine.
pub(crate) struct Engine;

/// Its settings.
pub(crate) struct EngineBuilder;

impl Engine {
    pub(crate) fn builder(_store: PathBuf) -> EngineBuilder {
        EngineBuilder
    }
    pub(crate) fn build_blocking(&self, _: &BuildRequest, _: &Cancel) -> Result<BuildResult> {
        Err(EngineError::NotThere)
    }
    pub(crate) fn plan_blocking(&self, _: &BuildRequest, _: &Cancel) -> Result<PlanReport> {
        Err(EngineError::NotThere)
    }
    pub(crate) fn lock_blocking(&self, _: &BuildRequest) -> Result<LockFile> {
        Err(EngineError::NotThere)
    }
    pub(crate) fn run_image_blocking(&self, _: &RunRequest, _: &Cancel) -> Result<Exit> {
        Err(EngineError::NotThere)
    }
}

impl EngineBuilder {
    pub(crate) fn sink(self, _: Arc<dyn Sink>) -> Self {
        self
    }
    pub(crate) fn jobs(self, _: usize) -> Self {
        self
    }
    pub(crate) fn debian(self, _: debian::Settings) -> Self {
        self
    }
    pub(crate) fn proxy_env(self, _: Vec<(String, String)>) -> Self {
        self
    }
    pub(crate) fn build(self) -> Result<Engine> {
        Err(EngineError::NotThere)
    }
}
