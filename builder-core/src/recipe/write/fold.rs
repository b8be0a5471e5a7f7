//! Several changes of a config as one.

use crate::plan::op::ConfigPatch;

/// What `before` and then `patch` do. Working directories must be absolute.
pub(super) fn fold(before: &ConfigPatch, patch: &ConfigPatch) -> ConfigPatch {
    let ConfigPatch {
        entrypoint,
        cmd,
        env,
        labels,
        expose,
        volumes,
        user,
        workdir,
        stop_signal,
        healthcheck,
        shell,
        onbuild,
        author,
        platform,
    } = patch.clone();
    let mut after = before.clone();
    if entrypoint.is_some() {
        // It takes away the command, and so does the one that stands for both.
        (after.entrypoint, after.cmd) = (entrypoint, None);
    }
    after.cmd = cmd.or(after.cmd);
    for (name, value) in env {
        match after.env.iter_mut().find(|(known, _)| *known == name) {
            Some(known) => known.1 = value,
            None => after.env.push((name, value)),
        }
    }
    after.labels.extend(labels);
    add(&mut after.expose, expose);
    add(&mut after.volumes, volumes);
    after.user = user.or(after.user);
    after.workdir = workdir.or(after.workdir);
    after.stop_signal = stop_signal.or(after.stop_signal);
    after.healthcheck = healthcheck.or(after.healthcheck);
    after.shell = shell.or(after.shell);
    after.onbuild = onbuild.or(after.onbuild);
    after.author = author.or(after.author);
    after.platform = platform.or(after.platform);
    after
}

/// To a set; its order is that of the first mentions.
fn add(set: &mut Vec<String>, items: Vec<String>) {
    for item in items {
        if !set.contains(&item) {
            set.push(item);
        }
    }
}
