//! From a [`Job`] to what the runner is told and what Phoenix serves for it.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::points::Points;
use super::spec::{Ids, MountSpec, MountSpecKind, Step};
use super::{ExecError, Job, JobMount, JobMountKind, Keep, Owner, RootKind, Stdio};
use crate::layer::LayerPath;
use crate::plan::op::Network;
use crate::root::served::Failure;
use crate::view::lookup::{resolve, resolve_text};
use crate::view::{NodeKind, Tree, TreeError};

/// What stays on Phoenix's side of a step.
#[derive(Default)]
pub(super) struct Plan {
    /// What is served: 0 is the root, the others are numbered as the mounts.
    pub(super) trees: BTreeMap<usize, Arc<dyn Tree>>,
    pub(super) timeout: Option<Duration>,
    pub(super) stdio: Stdio,
    /// The first failure of a tree.
    pub(super) failure: Failure,
}

/// Splits a job.
pub(super) fn plan(job: Job, ids: Ids, kind: RootKind) -> Result<(Step, Plan), ExecError> {
    let Job { root, work, process, mounts, keep } = job;
    let mut plan = Plan { timeout: process.timeout, stdio: process.stdio, ..Plan::default() };
    let mut points = BTreeMap::new();
    for dir in ["proc", "sys", "dev"] {
        points.insert(LayerPath::new(dir).expect("a plain name"), true);
    }
    let mut specs = Vec::new();
    for (target, kind) in
        [("/etc/resolv.conf", MountSpecKind::Resolv), ("/etc/hosts", MountSpecKind::Hosts)]
    {
        let target = point(root.as_ref(), target, false, &mut points)?;
        specs.push(MountSpec { target, kind });
    }
    for JobMount { target, kind } in mounts {
        let index = specs.len() + 1;
        let (is_dir, kind) = mount(index, &target, kind, &mut plan)?;
        let target = point(root.as_ref(), &target, is_dir, &mut points)?;
        specs.push(MountSpec { target, kind });
    }
    let root_owner = owner(root.as_ref(), &LayerPath::root())?;
    plan.trees.insert(0, Arc::new(Points::new(root, points)));
    let step = Step {
        ids,
        work,
        root: root_owner,
        kind,
        argv: process.argv,
        env: process.env,
        cwd: process.cwd,
        uid: process.uid,
        gid: process.gid,
        groups: process.groups,
        own_network: process.network == Network::None,
        hostname: process.hostname,
        inherit: process.stdio == Stdio::Inherit,
        terminal: match process.stdio {
            Stdio::Terminal(size) => Some(size),
            Stdio::Piped | Stdio::Inherit => None,
        },
        capture: keep == Keep::Capture,
        mounts: specs,
    };
    Ok((step, plan))
}

/// Where a target really is; the view gets a mount point there.
fn point(
    root: &dyn Tree,
    target: &str,
    is_dir: bool,
    points: &mut BTreeMap<LayerPath, bool>,
) -> Result<PathBuf, ExecError> {
    let refuse = |why: &str| ExecError::Mount { target: target.to_owned(), why: why.to_owned() };
    let path = match resolve_text(root, target.as_bytes()) {
        Ok(resolved) => resolved.path,
        Err(TreeError::Type { .. }) => {
            return Err(refuse("too many symbolic links, or a name that cannot be"));
        }
        Err(error) => return Err(error.into()),
    };
    if path.is_root() {
        return Err(refuse("it is the root"));
    }
    // Below another mount the point is made there, not in the view.
    if !points.iter().any(|(point, dir)| *dir && path != *point && path.starts_with(point)) {
        points.insert(path.clone(), is_dir);
    }
    Ok(host_path(&path))
}

fn host_path(path: &LayerPath) -> PathBuf {
    PathBuf::from(OsStr::from_bytes(path.as_bytes()))
}

/// What is mounted, and whether it is a directory.
fn mount(
    index: usize,
    target: &str,
    kind: JobMountKind,
    plan: &mut Plan,
) -> Result<(bool, MountSpecKind), ExecError> {
    Ok(match kind {
        JobMountKind::Tree { tree, source, writable } => {
            let found = resolve(tree.as_ref(), &source)?;
            let Some(node) = found.node else {
                let why = format!("{} is not there", source.display());
                return Err(ExecError::Mount { target: target.to_owned(), why });
            };
            let source = found.path;
            let root = owner(tree.as_ref(), &LayerPath::root())?;
            plan.trees.insert(index, tree);
            let is_dir = node.kind == NodeKind::Directory;
            (is_dir, MountSpecKind::Served { source: host_path(&source), root, writable })
        }
        JobMountKind::HostDir { path, writable, make } => {
            (true, MountSpecKind::HostDir { path, writable, make })
        }
        JobMountKind::Tmpfs { size } => (true, MountSpecKind::Tmpfs { size }),
        JobMountKind::Secret { content, owner } => (false, MountSpecKind::File { content, owner }),
    })
}

fn owner(tree: &dyn Tree, path: &LayerPath) -> Result<Owner, TreeError> {
    let meta = tree.node(path)?.map(|node| node.meta);
    Ok(meta.map_or(Owner { mode: 0o755, uid: 0, gid: 0 }, |meta| Owner {
        mode: meta.mode,
        uid: meta.uid,
        gid: meta.gid,
    }))
}
