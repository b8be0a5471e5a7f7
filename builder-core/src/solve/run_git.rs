//! A commit of a git repository, or the layer that holds it already.

use super::agent::{Agent, Answering};
use super::error::StepCause;
use super::run_source::{found, one_layer};
use super::step::Step;
use super::value::Value;
use crate::plan::op::Git;
use crate::source::git::{self, Settings};

pub(super) fn run(step: &mut Step<'_>, op: &Git) -> Result<Value, StepCause> {
    let session = step.session;
    let answering = Agent::of_repositories(session.agents, session.store)?;
    let agent = answering.as_ref().map(Answering::socket);
    let settings = Settings { proxies: session.proxy_env, agent, secrets: session.secrets };
    let resolved = match git::resolve(session.store, op, settings) {
        // A plan tells what it can.
        Err(git::GitError::Failed { .. }) if session.dry => {
            step.waits_for("asking the repository");
            return Ok(Value::Unknown { step: step.vertex.meta.name.clone() });
        }
        resolved => resolved?,
    };
    let Git { remote: _, reference: _, subdir, keep_git_dir, submodules, commit: _ } = op;
    let mut pin = format!("commit {} as layer {}", resolved.files(), git::VERSION);
    if *keep_git_dir {
        // It tells the remote and the name, and never who asked.
        pin += &format!(" of {:?} as {:?}", git::anonymous(&op.remote), resolved.name);
    }
    if !subdir.is_empty() {
        pin += &format!(" below {subdir:?}");
    }
    if *submodules {
        pin += " with submodules";
    }
    let name = format!("git {}", &resolved.files()[..12.min(resolved.files().len())]);
    found(step, "git", &pin, &mut |step| {
        let store = step.session.store;
        let layer = git::layer(store, op, &resolved, (settings, step.session.compression))?;
        Ok(one_layer(step.session, layer, &name))
    })
}
