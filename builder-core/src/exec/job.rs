//! From a [`Job`] to what the runner is told and what Phoenix serves for it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::shown::{FILES, Mounted, Place, Shown, Source, owner, shown};
use super::spec::{HostPath, Ids, MountSpec, MountSpecKind, Step};
use super::{ExecError, Job, JobMount, JobMountKind, Keep, RootKind, Stdio};
use crate::layer::LayerPath;
use crate::plan::op::{Network, Security};
use crate::root::served::Failure;
use crate::view::Tree;
use crate::view::observe::Recorder;

/// What stays on Phoenix's side of a step.
#[derive(Default)]
pub(super) struct Plan {
    /// What is served: 0 is the root, the others are numbered as the mounts.
    pub(super) trees: BTreeMap<u16, Arc<dyn Tree>>,
    pub(super) timeout: Option<Duration>,
    pub(super) stdio: Stdio,
    /// The first failure of a tree.
    pub(super) failure: Failure,
    /// Takes what is asked of the trees.
    pub(super) recorder: Option<Arc<Recorder>>,
}

impl Plan {
    /// The tree that the runner calls by this number.
    pub(super) fn tree(&self, index: usize) -> Option<(u16, &Arc<dyn Tree>)> {
        let number = u16::try_from(index).ok()?;
        self.trees.get(&number).map(|tree| (number, tree))
    }
}

/// Splits a job.
pub(super) fn plan(job: Job, ids: Ids, kind: RootKind) -> Result<(Step, Plan), ExecError> {
    let Job { root, work, process, mounts, keep, recorder } = job;
    let seen: Vec<_> = mounts.iter().map(|mount| (mount.target.as_str(), mounted(mount))).collect();
    let Shown { trees, places, .. } = shown(&root, &seen)?;
    let root_owner = owner(root.as_ref(), &LayerPath::root())?;
    let mut specs = Vec::new();
    let files = [MountSpecKind::Resolv, MountSpecKind::Hosts];
    for (place, kind) in places.iter().zip(files) {
        specs.push(MountSpec { target: HostPath::from(&place.target), kind });
    }
    for (JobMount { target: _, kind }, place) in mounts.into_iter().zip(&places[FILES.len()..]) {
        specs.push(spec(kind, place));
    }
    let (timeout, stdio) = (process.timeout, process.stdio);
    let plan = Plan { trees, timeout, stdio, failure: Failure::default(), recorder };
    let step = Step {
        ids,
        work: work.into(),
        root: root_owner,
        kind,
        argv: process.argv,
        env: process.env,
        cwd: process.cwd,
        uid: process.uid,
        gid: process.gid,
        groups: process.groups,
        own_network: process.network == Network::None,
        insecure: process.security == Security::Insecure,
        hosts: process.hosts,
        shm_size: process.shm_size,
        ulimits: process.ulimits,
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

/// How a mount looks from the root.
fn mounted(mount: &JobMount) -> Mounted<'_> {
    match &mount.kind {
        JobMountKind::Tree { tree, source, writable: _ } => Mounted::Tree(tree, source),
        JobMountKind::HostDir { .. } | JobMountKind::Tmpfs { .. } => Mounted::Directory,
        JobMountKind::Secret { .. } | JobMountKind::Socket { .. } => Mounted::File,
    }
}

fn spec(kind: JobMountKind, place: &Place) -> MountSpec {
    let kind = match kind {
        JobMountKind::Tree { writable, .. } => {
            let Source { tree: _, path, root } =
                place.source.as_ref().expect("a tree has a place of which it shows a part");
            MountSpecKind::Served { source: path.into(), root: *root, writable }
        }
        JobMountKind::HostDir { path, writable, make } => {
            MountSpecKind::HostDir { path: path.into(), writable, make }
        }
        JobMountKind::Tmpfs { size } => MountSpecKind::Tmpfs { size },
        JobMountKind::Secret { content, owner } => MountSpecKind::File { content, owner },
        JobMountKind::Socket { path, owner } => MountSpecKind::Socket { path: path.into(), owner },
    };
    MountSpec { target: HostPath::from(&place.target), kind }
}
