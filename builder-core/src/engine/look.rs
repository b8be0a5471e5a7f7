//! A base or a context looked at before there is a plan: its config, its files.
//!
//! A Dockerfile that lies in a repository or an archive is read this way, and a
//! frontend learns so what a base says of itself. Of a repository it also learns which
//! commit that was: a branch may be another one when the build asks for it.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::sync::Arc;

use super::request::BuildRequest;
use super::{Inner, build};
use crate::error::{Error, Result};
use crate::event::Silent;
use crate::exec::Cancel;
use crate::image::ImageConfig;
use crate::layer::LayerPath;
use crate::plan::op::{Git, Op, Source};
use crate::plan::{PlanBuilder, Target, VertexMeta};
use crate::solve::{Agent, LockMode, Locks, State, StepCause, StepError, Value};
use crate::source::debian::LockFile;
use crate::source::git;
use crate::view::{NodeKind, Tree, lookup};

/// What is to be looked at.
#[derive(Debug, Clone)]
pub struct LookRequest {
    /// The base or context.
    pub source: Source,
    /// Secrets that a repository may want; see [`BuildRequest::secrets`].
    pub secrets: BTreeMap<String, Vec<u8>>,
    /// Agents that it may ask; see [`BuildRequest::ssh`].
    pub ssh: BTreeMap<String, Agent>,
}

impl LookRequest {
    /// Looks as nobody in particular.
    #[must_use]
    pub fn new(source: Source) -> Self {
        Self { source, secrets: BTreeMap::new(), ssh: BTreeMap::new() }
    }
}

/// What a source holds.
pub struct Looked {
    config: Option<ImageConfig>,
    tree: Arc<dyn Tree>,
    git: Option<Git>,
}

impl Looked {
    /// Its config, where it is an image or a root file system.
    #[must_use]
    pub fn config(&self) -> Option<&ImageConfig> {
        self.config.as_ref()
    }

    /// The repository at the commit whose files these are, where it is one. A build of
    /// this has the same files, whatever is pushed meanwhile, and the same layer.
    #[must_use]
    pub fn git(&self) -> Option<&Git> {
        self.git.as_ref()
    }

    /// The content of a file, links followed within the source; `None` where
    /// there is no regular file.
    ///
    /// # Errors
    /// [`Error::Io`] where it cannot be read, or is longer than `limit` bytes.
    pub fn read(&self, path: &str, limit: u64) -> Result<Option<Vec<u8>>> {
        let failed = |source| Error::Io { path: path.into(), source };
        let invalid = |error| failed(std::io::Error::new(std::io::ErrorKind::InvalidInput, error));
        let other = |error: crate::view::TreeError| failed(std::io::Error::other(error));
        let clean = LayerPath::new(path).map_err(invalid)?;
        let found = lookup::resolve(&*self.tree, &clean).map_err(other)?;
        let is_file = found.node.is_some_and(|node| matches!(node.kind, NodeKind::File { .. }));
        if !is_file {
            return Ok(None);
        }
        let mut bytes = Vec::new();
        let stream = self.tree.stream(&found.path).map_err(other)?;
        stream.take(limit + 1).read_to_end(&mut bytes).map_err(failed)?;
        if bytes.len() as u64 > limit {
            return Err(failed(std::io::ErrorKind::FileTooLarge.into()));
        }
        Ok(Some(bytes))
    }
}

/// What the step is called that brings it in.
const NAME: &str = "context";

/// What a repository is just now.
fn now(inner: &Inner, git: &Git, request: &LookRequest) -> Result<Git> {
    let failed = |cause: StepCause| {
        // Once it is to stop, every kind of work ends with some error.
        let canceled = inner.store.cancel().is_canceled();
        let cause = if canceled { StepCause::Canceled } else { cause };
        let (step, stage) = (NAME.to_owned(), String::new());
        let (location, no_network, output) = (None, false, Vec::new());
        let error = Box::new(StepError { step, stage, location, no_network, output, cause });
        Error::Step { error, steps: Vec::new() }
    };
    let answering = Agent::of_repositories(&request.ssh, &inner.store).map_err(failed)?;
    let agent = answering.as_ref().map(|answering| answering.socket());
    let (proxies, secrets) = (&*inner.proxy_env, &request.secrets);
    let resolved = git::resolve(&inner.store, git, git::Settings { proxies, agent, secrets });
    let resolved = resolved.map_err(|error| failed(error.into()))?;
    Ok(git::pinned(git, &resolved))
}

/// Brings the source in, unless it is there, and shows it.
pub(super) fn look(inner: &Inner, request: &LookRequest, cancel: &Cancel) -> Result<Looked> {
    let LookRequest { source, secrets, ssh } = request.clone();
    let git = match &source {
        Source::Git(git) => Some(now(&inner.until(cancel), git, request)?),
        _ => None,
    };
    let source = git.clone().map_or(source, Source::Git);
    let mut builder = PlanBuilder::new();
    let meta = VertexMeta { name: NAME.to_owned(), ..VertexMeta::default() };
    let vertex = builder.add(Op::Source(source), &[], meta);
    let target =
        Target { stage: String::new(), vertex, tests: Vec::new(), annotations: Default::default() };
    builder.target(target.clone());
    let request = BuildRequest { secrets, ssh, ..BuildRequest::new(builder.finish()) };
    let locks = Locks::new(LockFile::default(), LockMode::Use);
    // What is told of it belongs to no build.
    let inner = &Inner { sink: Arc::new(Silent), ..inner.until(cancel) };
    let _lease = inner.store.lease()?;
    let (solved, _) = build::solve(inner, &request, &target, &locks, cancel, false)?;
    if let Some(error) = solved.error {
        return Err(Error::Step { error, steps: solved.steps });
    }
    let value = solved.values.get(&vertex).map(Arc::as_ref);
    match value {
        Some(Value::State(state)) => {
            let State { config, view, .. } = &**state;
            Ok(Looked { config: Some(config.whole().clone()), tree: Arc::clone(view), git })
        }
        Some(Value::Tree(tree)) => {
            Ok(Looked { config: None, tree: Arc::clone(tree) as Arc<dyn Tree>, git })
        }
        _ => Err(Error::NotAnImage { stage: target.stage }),
    }
}
