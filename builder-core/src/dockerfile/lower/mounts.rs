//! `RUN --mount`: what is put into a process's root for as long as it runs.

use super::Lowering;
use super::config::absolute;
use super::place::Place;
use super::stage::State;
use super::stages::Reference;
use crate::digest::VertexId;
use crate::dockerfile::ast::Run;
use crate::dockerfile::mount::{self, MountSpec, MountType};
use crate::frontend::Diagnostic;
use crate::plan::op::{CacheInitial, Exec, Mount, MountKind, Sharing};

/// Where secrets are where nothing is said.
const SECRETS: &str = "/run/secrets";
/// And the sockets of agents, which are numbered.
const AGENTS: &str = "/run/buildkit/ssh_agent.";

impl Lowering<'_, '_> {
    pub(super) fn mounts(
        &mut self,
        at: usize,
        place: &Place<'_>,
        run: &Run,
        state: &State,
        exec: &mut Exec,
        inputs: &mut Vec<VertexId>,
    ) -> Result<(), Box<Diagnostic>> {
        let mut agents = 0;
        for spec in &run.mounts {
            let mount = self.expanded(place, spec, state)?;
            let wrong = |message: String| place.wrong(spec.text.span, message);
            let (target, kind) = match mount.kind {
                MountType::Secret => secret(&mount).map_err(wrong)?,
                MountType::Ssh => ssh(&mount, &mut agents).map_err(wrong)?,
                MountType::Tmpfs => {
                    let size = Some(mount.size).filter(|size| *size > 0);
                    (target(&mount, state).map_err(wrong)?, MountKind::Tmpfs { size })
                }
                MountType::Bind => {
                    let target = target(&mount, state).map_err(wrong)?;
                    let tree = self.mounted(at, place, spec, &mount)?;
                    let input = input(inputs, tree);
                    let source = source(&mount);
                    (target, MountKind::Bind { input, source, writable: !mount.read_only })
                }
                MountType::Cache => {
                    let target = target(&mount, state).map_err(wrong)?;
                    let initial = match mount.from {
                        None => None,
                        Some(_) => {
                            let tree = self.mounted(at, place, spec, &mount)?;
                            let input = input(inputs, tree);
                            Some(CacheInitial { input, source: source(&mount) })
                        }
                    };
                    (target, cache(&mount, initial))
                }
            };
            exec.mounts.push(Mount { target, kind });
        }
        Ok(())
    }

    fn expanded(
        &mut self,
        place: &Place<'_>,
        spec: &MountSpec,
        state: &State,
    ) -> Result<mount::Mount, Box<Diagnostic>> {
        let source = place.trigger.unwrap_or(place.source);
        let expander = self.expander();
        let mut unset = std::collections::BTreeSet::new();
        let mut expand = |text: &str| match expander.word(text, &state.env) {
            Ok(expanded) => {
                unset.extend(expanded.unmatched);
                Ok(expanded.text)
            }
            Err(error) => Err(*place.wrong(spec.text.span, error.to_string())),
        };
        let mount = spec.mount(source, &mut expand).map_err(Box::new)?;
        self.unset(place, &unset, state);
        Ok(mount)
    }

    /// The tree that a mount shows a part of.
    fn mounted(
        &mut self,
        at: usize,
        place: &Place<'_>,
        spec: &MountSpec,
        mount: &mount::Mount,
    ) -> Result<VertexId, Box<Diagnostic>> {
        let span = place.checked();
        let Some(name) = &mount.from else { return Ok(self.build_context(at, span)) };
        let reference = self.graph.named(name);
        if let Reference::Stage(stage) = &reference
            && !self.done.contains_key(stage)
        {
            let target = mount.target.as_deref().unwrap_or_default();
            let message = format!(
                "cannot mount from stage \"{name}\" to \"{target}\", stage needs to be defined before current command"
            );
            return Err(place.wrong(spec.text.span, message));
        }
        Ok(self.tree(at, &reference, span))
    }
}

/// The index of an input, added where it is new.
fn input(inputs: &mut Vec<VertexId>, tree: VertexId) -> usize {
    // Input 0 is the root, which may be mounted into itself as a tree.
    match inputs.iter().skip(1).position(|known| *known == tree) {
        Some(at) => at + 1,
        None => {
            inputs.push(tree);
            inputs.len() - 1
        }
    }
}

fn target(mount: &mount::Mount, state: &State) -> Result<String, String> {
    let target = mount.target.as_deref().unwrap_or_default();
    match absolute(state.workdir(), target) {
        root if root == "/" => Err(format!("invalid mount target \"{root}\"")),
        target => Ok(target),
    }
}

/// A path within a tree; empty for its root.
fn source(mount: &mount::Mount) -> String {
    let source = absolute("/", mount.source.as_deref().unwrap_or_default());
    source.trim_start_matches('/').to_owned()
}

fn cache(mount: &mount::Mount, initial: Option<CacheInitial>) -> MountKind {
    let id = mount.id.clone().filter(|id| !id.is_empty());
    let sharing = match mount.sharing {
        None | Some(mount::Sharing::Shared) => Sharing::Shared,
        Some(mount::Sharing::Private) => Sharing::Private,
        Some(mount::Sharing::Locked) => Sharing::Locked,
    };
    MountKind::Cache {
        id: id.unwrap_or_else(|| clean(mount.target.as_deref().unwrap_or_default())),
        sharing,
        mode: mount.mode.unwrap_or(0o755),
        uid: mount.uid.unwrap_or(0),
        gid: mount.gid.unwrap_or(0),
        initial,
        readonly: mount.read_only,
    }
}

/// A path without `.`, `..` and doubled slashes; absolute if it was.
fn clean(path: &str) -> String {
    let whole = absolute("/", path);
    if path.starts_with('/') { whole } else { whole.trim_start_matches('/').to_owned() }
}

fn last_part(path: &str) -> &str {
    path.trim_end_matches('/').rsplit('/').next().unwrap_or_default()
}

fn secret(mount: &mount::Mount) -> Result<(String, MountKind), String> {
    let given = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
    let id = given(&mount.source).or_else(|| given(&mount.id));
    let target = given(&mount.target);
    let id = match (id, &target) {
        (Some(id), _) => id,
        (None, Some(target)) => last_part(target).to_owned(),
        (None, None) => return Err("one of source, target required".to_owned()),
    };
    let env = mount.env.clone().map(|name| if name.is_empty() { id.clone() } else { name });
    let file = env.is_none() || target.is_some();
    let target = target.unwrap_or_else(|| format!("{SECRETS}/{}", last_part(&id)));
    let kind = MountKind::Secret {
        id,
        env,
        file,
        mode: mount.mode.unwrap_or(0o400),
        uid: mount.uid.unwrap_or(0),
        gid: mount.gid.unwrap_or(0),
        required: mount.required,
    };
    Ok((target, kind))
}

fn ssh(mount: &mount::Mount, agents: &mut usize) -> Result<(String, MountKind), String> {
    if mount.source.as_deref().is_some_and(|source| !source.is_empty()) {
        return Err("ssh does not support source".to_owned());
    }
    let id = mount.id.clone().filter(|id| !id.is_empty()).unwrap_or_else(|| "default".to_owned());
    let target = mount.target.clone().filter(|target| !target.is_empty());
    let target = target.unwrap_or_else(|| format!("{AGENTS}{agents}"));
    *agents += 1;
    let kind = MountKind::Ssh {
        id,
        mode: mount.mode.unwrap_or(0o600),
        uid: mount.uid.unwrap_or(0),
        gid: mount.gid.unwrap_or(0),
        required: mount.required,
    };
    Ok((target, kind))
}
