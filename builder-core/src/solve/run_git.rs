//! A commit of a git repository, or the layer that holds it already.

use std::path::PathBuf;

use super::agent::{Agent, Served};
use super::error::StepCause;
use super::run_source::{found, one_layer};
use super::step::Step;
use super::value::Value;
use crate::plan::op::Git;
use crate::source::git::{self, Settings};
use crate::store::WorkDir;

/// The agent that repositories ask.
const AGENT: &str = "default";

pub(super) fn run(step: &mut Step<'_>, op: &Git) -> Result<Value, StepCause> {
    let session = step.session;
    let given = session.agents.get(AGENT);
    let own = given.map(|agent| own_agent(step, agent)).transpose()?.flatten();
    let agent = match (given, &own) {
        (Some(Agent::Socket(socket)), _) => Some(socket.as_path()),
        (_, own) => own.as_ref().map(|own| own.socket.as_path()),
    };
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
        // It tells the remote and the name.
        pin += &format!(" of {:?} as {:?}", op.remote, resolved.name);
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

/// An agent that runs while the repository is asked.
struct Own {
    socket: PathBuf,
    #[expect(dead_code, reason = "it is served until this is dropped")]
    served: Served,
    #[expect(dead_code, reason = "the socket lies in it")]
    dir: WorkDir,
}

/// Runs an agent, where key files are given instead of one.
fn own_agent(step: &Step<'_>, agent: &Agent) -> Result<Option<Own>, StepCause> {
    let Agent::Keys(_) = agent else { return Ok(None) };
    let dir = step.session.store.work_dir()?;
    let socket = dir.path().join("agent");
    let failed = |source| StepCause::Agent { id: AGENT.to_owned(), source };
    let served = Served::start(agent, &socket).map_err(failed)?;
    Ok(Some(Own { socket, served, dir }))
}
