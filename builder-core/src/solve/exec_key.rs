//! The key of an exec: pure, from the operation, the state and the content of
//! what is mounted. The table of what enters it is in [`crate::plan::key`].

use std::collections::{BTreeMap, BTreeSet};

use crate::digest::CacheKey;
use crate::image::Platform;
use crate::layer::Mtime;
use crate::plan::key::Parts;
use crate::plan::op::{Exec, ExecKind, Mount, MountKind, Network, Sharing};

/// The version of view, capture and sandbox: raised when the same process on
/// the same files may leave another result.
const SANDBOX_VERSION: &str = "1";

/// The search path of a process whose image sets none (as Docker has it).
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// What an exec's key is made of, besides the operation.
pub(super) struct Seen<'a> {
    pub platform: &'a Platform,
    pub mtime: Mtime,
    /// The whole environment but for proxies and values of secrets.
    pub env: &'a [(String, String)],
    pub user: &'a str,
    pub cwd: &'a str,
    /// The layers of the root, by diffID, lowest first.
    pub layers: Vec<String>,
    /// For each mount: the content of the tree, for a bind mount.
    pub bound: &'a [Option<String>],
    /// Which secrets are given.
    pub secrets: &'a BTreeSet<String>,
    /// The executions behind cache mounts.
    pub caches: &'a BTreeMap<String, BTreeSet<CacheKey>>,
}

/// The environment of a step: the config's, what every process needs, the
/// step's own. `home` is the user's home directory.
pub(super) fn environment<'a>(
    config: impl Iterator<Item = (&'a str, &'a str)>,
    step: &[(String, String)],
    home: &str,
    mtime: Mtime,
) -> Vec<(String, String)> {
    let mut env: Vec<(String, String)> = Vec::new();
    let mut set = |name: &str, value: &str, replace: bool| match env
        .iter_mut()
        .find(|(known, _)| known == name)
    {
        Some((_, old)) if replace => value.clone_into(old),
        Some(_) => {}
        None => env.push((name.to_owned(), value.to_owned())),
    };
    for (name, value) in config {
        set(name, value, true);
    }
    for (name, value) in step {
        set(name, value, true);
    }
    set("PATH", DEFAULT_PATH, false);
    set("HOME", home, false);
    set("SOURCE_DATE_EPOCH", &mtime.secs.to_string(), false);
    env
}

/// The parts of an exec's key.
pub(super) fn parts(exec: &Exec, seen: &Seen<'_>) -> Parts {
    let Exec {
        command,
        env: _,     // in `seen.env`, over the config's
        workdir: _, // in `seen.cwd`, resolved
        user: _,    // in `seen.user`, or the config's
        network,
        timeout: _, // a success is the same whatever time it was allowed
        mounts,
        kind,
    } = exec;
    let mut parts = Parts::new();
    parts.push("sandbox", SANDBOX_VERSION);
    parts.push("platform", seen.platform.to_string());
    parts.push("file times", seen.mtime.secs.to_string());
    parts.push("kind", kind_name(*kind));
    let argv = command.argv();
    parts.push("arguments", argv.len().to_string());
    match argv.as_slice() {
        [_, _, _, script] if matches!(command, crate::plan::op::Command::Shell(_)) => {
            parts.push("script", script);
        }
        argv => {
            for (at, argument) in argv.iter().enumerate() {
                parts.push(format!("argument {at}"), argument);
            }
        }
    }
    parts.push("user", seen.user);
    parts.push("working directory", seen.cwd);
    parts.push("network", if *network == Network::None { "none" } else { "host" });
    for (name, value) in seen.env {
        parts.push(format!("variable {name}"), value);
    }
    for (at, mount) in mounts.iter().enumerate() {
        let bound = seen.bound.get(at).and_then(Option::as_deref);
        push_mount(&mut parts, at, mount, bound, seen);
    }
    for (at, diff_id) in seen.layers.iter().enumerate() {
        parts.push(format!("layer {}", at + 1), diff_id);
    }
    parts
}

fn kind_name(kind: ExecKind) -> &'static str {
    match kind {
        ExecKind::Step => "step",
        ExecKind::Packages => "packages",
        ExecKind::Test => "test",
    }
}

fn push_mount(parts: &mut Parts, at: usize, mount: &Mount, bound: Option<&str>, seen: &Seen<'_>) {
    let Mount { target, kind } = mount;
    let name = format!("mount {at} at {target}");
    match kind {
        MountKind::Bind { input: _, source, writable } => {
            // The content stands for the input.
            parts.push(format!("{name} from {source}"), bound.unwrap_or_default());
            parts.push(format!("{name} is writable"), writable.to_string());
        }
        MountKind::Cache { id, sharing, mode, uid, gid } => {
            let sharing = match sharing {
                Sharing::Shared => "shared",
                Sharing::Locked => "locked",
                Sharing::Private => "private",
            };
            parts.push(name, format!("cache {id} {sharing} {mode:o} {uid}:{gid}"));
            for key in seen.caches.get(id).into_iter().flatten() {
                parts.push(format!("cache {id} written by {}", key.short()), key.to_string());
            }
        }
        MountKind::Tmpfs { size } => parts.push(name, format!("tmpfs {size:?}")),
        MountKind::Secret { id, env, mode, uid, gid, required: _ } => {
            let given = if seen.secrets.contains(id) { "given" } else { "absent" };
            let variable = env.as_deref().unwrap_or("-");
            parts.push(name, format!("secret {id} {variable} {mode:o} {uid}:{gid} {given}"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::op::Command;

    fn exec(mounts: Vec<Mount>) -> Exec {
        Exec {
            command: Command::Shell("make".into()),
            env: Vec::new(),
            workdir: None,
            user: None,
            network: Network::Host,
            timeout: None,
            mounts,
            kind: ExecKind::Step,
        }
    }

    fn key(exec: &Exec, change: impl Fn(&mut Seen<'_>)) -> CacheKey {
        let (secrets, caches) = (BTreeSet::new(), BTreeMap::new());
        let platform = Platform::host();
        let mut seen = Seen {
            platform: &platform,
            mtime: Mtime::CONSTANT,
            env: &[],
            user: "0",
            cwd: "/",
            layers: vec!["sha256:a".into()],
            bound: &[],
            secrets: &secrets,
            caches: &caches,
        };
        change(&mut seen);
        parts(exec, &seen).key()
    }

    #[test]
    fn the_key_changes_with_all_that_a_process_can_see() {
        let plain = exec(vec![]);
        let base = key(&plain, |_| {});
        assert_eq!(base, key(&plain, |_| {}));
        let env = [("A".to_owned(), "1".to_owned())];
        let others = [
            key(&plain, |s| s.user = "1"),
            key(&plain, |s| s.cwd = "/x"),
            key(&plain, |s| s.layers.push("sha256:b".into())),
            key(&plain, |s| s.mtime.secs += 1),
            key(&Exec { network: Network::None, ..plain.clone() }, |_| {}),
            key(&Exec { kind: ExecKind::Test, ..plain.clone() }, |_| {}),
            key(&Exec { command: Command::Shell("make all".into()), ..plain.clone() }, |_| {}),
        ];
        assert_ne!(base, {
            let (secrets, caches, platform) = (BTreeSet::new(), BTreeMap::new(), Platform::host());
            let seen = Seen {
                platform: &platform,
                mtime: Mtime::CONSTANT,
                env: &env,
                user: "0",
                cwd: "/",
                layers: vec!["sha256:a".into()],
                bound: &[],
                secrets: &secrets,
                caches: &caches,
            };
            parts(&plain, &seen).key()
        });
        assert!(others.iter().all(|other| *other != base));
        let timed = Exec { timeout: Some(std::time::Duration::from_secs(1)), ..plain };
        assert_eq!(base, key(&timed, |_| {}));
    }

    #[test]
    fn a_cache_mount_holds_the_executions_that_wrote_it() {
        let cache = MountKind::Cache {
            id: "c".into(),
            sharing: Sharing::Shared,
            mode: 0o755,
            uid: 0,
            gid: 0,
        };
        let step = exec(vec![Mount { target: "/c".into(), kind: cache }]);
        let written: BTreeMap<_, _> =
            [("c".to_owned(), BTreeSet::from([CacheKey::from_bytes([1; 32])]))].into();
        let (secrets, platform) = (BTreeSet::new(), Platform::host());
        let with = Seen {
            platform: &platform,
            mtime: Mtime::CONSTANT,
            env: &[],
            user: "0",
            cwd: "/",
            layers: vec!["sha256:a".into()],
            bound: &[],
            secrets: &secrets,
            caches: &written,
        };
        assert_ne!(parts(&step, &with).key(), key(&step, |_| {}));
    }

    #[test]
    fn the_environment_is_the_configs_then_the_steps_then_the_defaults() {
        let config = [("A", "1"), ("PATH", "/bin")];
        let step = [("A".to_owned(), "2".to_owned())];
        let env = environment(config.into_iter(), &step, "/root", Mtime::CONSTANT);
        let expected =
            [("A", "2"), ("PATH", "/bin"), ("HOME", "/root"), ("SOURCE_DATE_EPOCH", "946684800")];
        assert_eq!(env, expected.map(|(n, v)| (n.to_owned(), v.to_owned())));
    }
}
