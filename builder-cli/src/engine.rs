//! Stands in for `builder_core::engine` until that is there: the types that
//! the commands are written against.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use builder_core::digest::{BlobDigest, DiffId, VertexId};
use builder_core::event::Sink;
use builder_core::exec::Cancel;
use builder_core::layer::Compression;
use builder_core::plan::Plan;

/// Why a build failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum EngineError {
    /// The engine is not there yet.
    #[error("not there yet")]
    NotThere,
}

/// Which results are not reused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum NoCache {
    None,
    All,
    Steps(Vec<String>),
}

/// A kind of output.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OutputFormat {
    Oci,
    Docker,
    Tar,
    Local,
}

/// Where an output goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Destination {
    Path(PathBuf),
    Stdout,
}

/// An output.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct OutputSpec {
    pub(crate) format: OutputFormat,
    pub(crate) dest: Destination,
}

/// What to build.
pub(crate) struct BuildRequest {
    pub(crate) plan: Plan,
    pub(crate) recipe_id: String,
    pub(crate) stage: Option<String>,
    pub(crate) tags: Vec<String>,
    pub(crate) outputs: Vec<OutputSpec>,
    pub(crate) no_cache: NoCache,
    pub(crate) retest: bool,
    pub(crate) compression: Compression,
    pub(crate) secrets: BTreeMap<String, Vec<u8>>,
    pub(crate) created: Option<i64>,
    pub(crate) locked: bool,
    pub(crate) check_reproducible: bool,
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

/// An image that was built.
#[derive(Debug, Clone)]
pub(crate) struct BuildResult {
    pub(crate) manifest_digest: BlobDigest,
    pub(crate) config_digest: BlobDigest,
    pub(crate) tags: Vec<String>,
    pub(crate) steps: Vec<StepReport>,
}

/// The engine.
pub(crate) struct Engine {}

impl Engine {
    pub(crate) fn open(
        _store: PathBuf,
        _jobs: Option<u16>,
        _proxies: Vec<(String, String)>,
        _sink: Arc<dyn Sink>,
    ) -> Result<Self, EngineError> {
        Err(EngineError::NotThere)
    }
    pub(crate) fn build_blocking(
        &self,
        _request: BuildRequest,
        _cancel: &Cancel,
    ) -> Result<BuildResult, EngineError> {
        Err(EngineError::NotThere)
    }
    pub(crate) fn plan_blocking(
        &self,
        _request: &BuildRequest,
    ) -> Result<Vec<StepReport>, EngineError> {
        Err(EngineError::NotThere)
    }
}
