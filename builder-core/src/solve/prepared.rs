//! A process with all that it is given, resolved against the state.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::agent;
use super::error::StepCause;
use super::exec_key::{Seen, environment, parts};
use super::run_exec::{path, tree};
use super::secrets;
use super::session::Session;
use super::value::{State, Value, merged_caches};
use crate::digest::{CacheKey, DiffId};
use crate::plan::key::Parts;
use crate::plan::op::{Exec, Mount, MountKind};
use crate::view::{self, Tree, passwd};

/// All that a process is given, resolved against the state.
pub(super) struct Prepared<'a> {
    pub(super) parts: Parts,
    pub(super) user: passwd::User,
    pub(super) env: Vec<(String, String)>,
    pub(super) cwd: String,
    pub(super) spec: &'a str,
    pub(super) bound: Vec<Option<String>>,
    pub(super) given: BTreeSet<String>,
    pub(super) agents: BTreeSet<String>,
    pub(super) caches: BTreeMap<String, BTreeSet<CacheKey>>,
    pub(super) layers: Vec<DiffId>,
    pub(super) root: Arc<dyn Tree>,
}

impl<'a> Prepared<'a> {
    pub(super) fn new(
        session: &Session<'_>,
        exec: &'a Exec,
        state: &'a State,
        inputs: &[Arc<Value>],
    ) -> Result<Self, StepCause> {
        let config = state.config.whole();
        let spec = exec.user.as_deref().or(config.config.user.as_deref()).unwrap_or_default();
        let user = passwd::resolve(&*state.view, spec)?;
        let bound: Result<Vec<Option<String>>, StepCause> =
            exec.mounts.iter().map(|mount| bound_content(mount, inputs)).collect();
        let mut prepared = Self {
            parts: Parts::new(),
            env: environment(config.env_pairs(), &exec.env, &user.home, session.mtime),
            user,
            cwd: working_directory(config.workdir(), exec.workdir.as_deref()),
            spec,
            bound: bound?,
            given: secrets::given(exec, session.secrets)?,
            agents: agent::given(exec, session.agents)?,
            caches: merged_caches(inputs),
            layers: state.layers.iter().map(|layer| layer.desc.diff_id).collect(),
            root: Arc::clone(&state.view),
        };
        let agent = exec.mounts.iter().find(|m| matches!(m.kind, MountKind::Ssh { .. }));
        if let Some(agent) = agent
            && !prepared.env.iter().any(|(name, _)| name == agent::VARIABLE)
        {
            let at = working_directory(&prepared.cwd, Some(&agent.target));
            prepared.env.push((agent::VARIABLE.to_owned(), at));
        }
        prepared.parts = parts(exec, &prepared.seen(session));
        Ok(prepared)
    }

    pub(super) fn seen<'s>(&'s self, session: &'s Session<'_>) -> Seen<'s> {
        Seen {
            platform: &session.platform,
            mtime: session.mtime,
            env: &self.env,
            user: self.spec,
            cwd: &self.cwd,
            layers: self.layers.iter().map(ToString::to_string).collect(),
            bound: &self.bound,
            secrets: &self.given,
            agents: &self.agents,
            caches: &self.caches,
        }
    }
}

/// `step` relative to `config`, as an absolute path.
pub(super) fn working_directory(config: &str, step: Option<&str>) -> String {
    let joined = match step {
        Some(dir) if dir.starts_with('/') => dir.to_owned(),
        Some(dir) => format!("{}/{dir}", config.trim_end_matches('/')),
        None => config.to_owned(),
    };
    if joined.starts_with('/') { joined } else { format!("/{joined}") }
}

/// The content of what a mount takes from an input, by which it enters the key.
fn bound_content(mount: &Mount, inputs: &[Arc<Value>]) -> Result<Option<String>, StepCause> {
    let Some((input, source)) = mount.kind.takes() else { return Ok(None) };
    if let Some(Value::Elsewhere(tree)) = inputs.get(input).map(AsRef::as_ref) {
        return Ok(tree.content_of(source));
    }
    let tree = tree(inputs, input)?;
    let source = view::lookup::resolve(&*tree, &path(source)?)?.path;
    Ok(Some(view::digest::subtree(&*tree, &source)?.to_string()))
}
