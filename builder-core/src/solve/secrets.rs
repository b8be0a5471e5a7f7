//! Secrets of a request: present in a step, absent from keys, logs and layers.

use std::collections::{BTreeMap, BTreeSet};

use super::error::StepCause;
use crate::exec::{JobMountKind, Owner};
use crate::plan::op::{Exec, MountKind};

/// Checks that every secret the step requires is given; names those that are.
pub(super) fn given(
    exec: &Exec,
    secrets: &BTreeMap<String, Vec<u8>>,
) -> Result<BTreeSet<String>, StepCause> {
    let mut given = BTreeSet::new();
    for mount in &exec.mounts {
        if let MountKind::Secret { id, required, .. } = &mount.kind {
            if secrets.contains_key(id) {
                given.insert(id.clone());
            } else if *required {
                return Err(StepCause::Secret { id: id.clone() });
            }
        }
    }
    Ok(given)
}

/// The variables that hold secrets.
pub(super) fn variables(exec: &Exec, secrets: &BTreeMap<String, Vec<u8>>) -> Vec<(String, String)> {
    let variable = |kind: &MountKind| match kind {
        MountKind::Secret { id, env: Some(name), .. } => {
            let value = secrets.get(id)?;
            Some((name.clone(), String::from_utf8_lossy(value).into_owned()))
        }
        _ => None,
    };
    exec.mounts.iter().filter_map(|mount| variable(&mount.kind)).collect()
}

/// The file of a secret; nothing where it is a variable only or was not given.
pub(super) fn file(kind: &MountKind, secrets: &BTreeMap<String, Vec<u8>>) -> Option<JobMountKind> {
    let MountKind::Secret { id, env: _, file: true, mode, uid, gid, required: _ } = kind else {
        return None;
    };
    let content = secrets.get(id)?.clone();
    let owner = Owner { mode: *mode, uid: *uid, gid: *gid };
    Some(JobMountKind::Secret { content, owner })
}
