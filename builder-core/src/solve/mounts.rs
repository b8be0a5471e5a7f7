//! What is mounted into a process's root: as it will be seen, and as it is.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::agent::Served;
use super::error::StepCause;
use super::initial;
use super::prepared::{Prepared, working_directory};
use super::run_exec::{path, tree};
use super::secrets;
use super::session::Session;
use super::value::Value;
use crate::exec::{self, JobMount, JobMountKind, Mounted, Owner, Shown};
use crate::plan::op::{CacheInitial, Exec, Mount, MountKind, Sharing};
use crate::store::{CacheMountGuard, MountSharing, Store};
use crate::view;

/// What the process will see; `None` where that cannot be, which is told when it
/// runs.
pub(super) fn shown(
    session: &Session<'_>,
    exec: &Exec,
    inputs: &[Arc<Value>],
    prepared: &Prepared<'_>,
) -> Option<Shown> {
    let mut mounts = Vec::new();
    for Mount { target, kind } in &exec.mounts {
        let target = working_directory(&prepared.cwd, Some(target));
        let part = match kind {
            MountKind::Bind { input, source, writable: _ } => {
                let tree = tree(inputs, *input).ok()?;
                let source = view::lookup::resolve(&*tree, &path(source).ok()?).ok()?.path;
                Some((tree, source))
            }
            MountKind::Secret { .. } => {
                if secrets::file(kind, session.secrets).is_some() {
                    mounts.push((target, true, None));
                }
                continue;
            }
            MountKind::Ssh { id, .. } => {
                if session.agents.contains_key(id) {
                    mounts.push((target, true, None));
                }
                continue;
            }
            MountKind::Cache { .. } | MountKind::Tmpfs { .. } => None,
        };
        mounts.push((target, false, part));
    }
    let mounted = mounts.iter().map(|(target, is_file, part)| {
        let mounted = match part {
            Some((tree, source)) => Mounted::Tree(tree, source),
            None if *is_file => Mounted::File,
            None => Mounted::Directory,
        };
        (target.as_str(), mounted)
    });
    exec::shown(&prepared.root, &mounted.collect::<Vec<_>>()).ok()
}

/// What serves the mounts of a job, for as long as it runs.
pub(super) struct Held<'a> {
    pub(super) caches: Vec<CacheMountGuard>,
    pub(super) agents: Vec<Served>,
    /// A directory of the job's own.
    pub(super) home: &'a Path,
}

/// The name of a mount's directory, where it is a cache: of one that holds something
/// at first, each such content has its own, as with BuildKit.
fn directory(mount: &Mount, first: &Option<String>) -> String {
    match (&mount.kind, first) {
        (MountKind::Cache { id, .. }, None) => id.clone(),
        // No id has this in it.
        (MountKind::Cache { id, .. }, Some(first)) => format!("{id}\0{first}"),
        _ => String::new(),
    }
}

/// The mounts of a job.
pub(super) fn mounts(
    (session, store): (&Session<'_>, &Store),
    exec: &Exec,
    inputs: &[Arc<Value>],
    prepared: &Prepared<'_>,
    held: &mut Held<'_>,
) -> Result<Vec<JobMount>, StepCause> {
    let cwd = &prepared.cwd;
    let named: Vec<String> =
        exec.mounts.iter().zip(&prepared.bound).map(|(m, first)| directory(m, first)).collect();
    // In one order, or two steps could wait for each other; each once, or a step
    // could wait for itself.
    let mut caches: BTreeMap<&str, Sharing> = BTreeMap::new();
    for (mount, name) in exec.mounts.iter().zip(&named) {
        if let MountKind::Cache { sharing, .. } = &mount.kind {
            let strongest = caches.entry(name).or_insert(*sharing);
            *strongest = stronger(*strongest, *sharing);
        }
    }
    let mut paths: BTreeMap<&str, PathBuf> = BTreeMap::new();
    for (id, sharing) in caches {
        let guard = store.cache_mount(id, sharing_of(sharing))?;
        paths.insert(id, guard.path().to_owned());
        held.caches.push(guard);
    }
    let mut mounts = Vec::new();
    for (Mount { target, kind }, name) in exec.mounts.iter().zip(&named) {
        let target = working_directory(cwd, Some(target));
        let kind = match kind {
            MountKind::Bind { input, source, writable } => {
                let tree = tree(inputs, *input)?;
                let source = view::lookup::resolve(&*tree, &path(source)?)?.path;
                JobMountKind::Tree { tree, source, writable: *writable }
            }
            MountKind::Cache { id: _, sharing: _, mode, uid, gid, initial, readonly } => {
                let path = paths[name.as_str()].clone();
                if let Some(CacheInitial { input, source }) = initial {
                    let tree = tree(inputs, *input)?;
                    let source = view::lookup::resolve(&*tree, &self::path(source)?)?.path;
                    initial::fill(&path, held.home, &*tree, &source)?;
                }
                let make = Some(Owner { mode: *mode, uid: *uid, gid: *gid });
                JobMountKind::HostDir { path, writable: !readonly, make }
            }
            MountKind::Ssh { id, mode, uid, gid, required: _ } => {
                let Some(agent) = session.agents.get(id) else { continue };
                let path = held.home.join(format!("agent{}", held.agents.len()));
                let failed = |source| StepCause::Agent { id: id.clone(), source };
                held.agents.push(Served::start(agent, &path).map_err(failed)?);
                let owner = Owner { mode: *mode, uid: *uid, gid: *gid };
                JobMountKind::Socket { path, owner }
            }
            MountKind::Tmpfs { size } => JobMountKind::Tmpfs { size: *size },
            MountKind::Secret { .. } => match secrets::file(kind, session.secrets) {
                Some(file) => file,
                None => continue,
            },
        };
        mounts.push(JobMount { target, kind });
    }
    Ok(mounts)
}

/// What suits both uses of one cache in a step.
fn stronger(one: Sharing, other: Sharing) -> Sharing {
    match (one, other) {
        (Sharing::Locked, _) | (_, Sharing::Locked) => Sharing::Locked,
        (Sharing::Shared, _) | (_, Sharing::Shared) => Sharing::Shared,
        (Sharing::Private, Sharing::Private) => Sharing::Private,
    }
}

fn sharing_of(sharing: Sharing) -> MountSharing {
    match sharing {
        Sharing::Shared => MountSharing::Shared,
        Sharing::Locked => MountSharing::Locked,
        Sharing::Private => MountSharing::Private,
    }
}
