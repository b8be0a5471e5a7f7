//! The key of an exec: pure, from the operation, the state and the content of
//! what is mounted. The table of what enters it is in [`crate::plan::key`].

use std::collections::{BTreeMap, BTreeSet};

use crate::digest::CacheKey;
use crate::image::Platform;
use crate::layer::Mtime;
use crate::plan::key::Parts;
use crate::plan::op::{
    CacheInitial, Command, Exec, ExecKind, Mount, MountKind, Network, Security, Sharing, Ulimit,
};
use crate::view::observe;
use crate::view::passwd::User;

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
    /// Which agents are given.
    pub agents: &'a BTreeSet<String>,
    /// The executions behind cache mounts.
    pub caches: &'a BTreeMap<String, BTreeSet<CacheKey>>,
}

/// What a process is given beyond the words of its operation, once its trees
/// are known.
pub(super) struct Given<'a> {
    /// Who it runs as.
    pub user: &'a User,
    /// What was looked up in its trees by name.
    pub facts: Vec<(String, String)>,
    /// What its executor is.
    pub ground: String,
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
    let mut parts = common(exec, seen);
    for (at, (mount, bound)) in exec.mounts.iter().zip(seen.bound).enumerate() {
        if let Some(bound) = bound {
            parts.push(format!("content of mount {at} at {}", mount.target), bound);
        }
    }
    for (at, diff_id) in seen.layers.iter().enumerate() {
        parts.push(format!("layer {}", at + 1), diff_id);
    }
    parts
}

/// What a process is given besides the trees that it sees: if two are given the
/// same, one's result may stand for the other's.
pub(super) fn weak_parts(exec: &Exec, seen: &Seen<'_>, given: &Given<'_>) -> Parts {
    let Given { user: User { uid, gid, groups, home: _ }, facts, ground } = given;
    let mut parts = common(exec, seen);
    parts.push("observations", observe::VERSION.to_string());
    parts.push("sandbox is", ground);
    // Looked up in the root by Phoenix itself, and seen of it in no other way.
    // The home directory is in the environment.
    let groups: Vec<String> = groups.iter().map(ToString::to_string).collect();
    parts.push("ids", format!("{uid}:{gid} {}", groups.join(" ")));
    for (name, value) in facts {
        parts.push(name, value);
    }
    // A bind is a tree, which is asked what the process asks. A cache is not watched.
    for (at, (mount, bound)) in exec.mounts.iter().zip(seen.bound).enumerate() {
        if let (MountKind::Cache { .. }, Some(first)) = (&mount.kind, bound) {
            parts.push(format!("what cache {at} holds first"), first);
        }
    }
    parts
}

fn common(exec: &Exec, seen: &Seen<'_>) -> Parts {
    let Exec {
        command,
        env: _,     // in `seen.env`, over the config's
        workdir: _, // in `seen.cwd`, resolved
        user: _,    // in `seen.user`, or the config's
        network,
        security,
        hosts,
        hostname,
        shm_size,
        ulimits,
        timeout: _, // a success is the same whatever time it was allowed
        mounts,
        kind,
        trace: _, // whether it is watched changes nothing that it does
    } = exec;
    let mut parts = Parts::new();
    parts.push("sandbox", SANDBOX_VERSION);
    parts.push("platform", seen.platform.to_string());
    parts.push("file times", seen.mtime.secs.to_string());
    parts.push("kind", kind_name(*kind));
    match command {
        Command::Shell(script) => parts.push("script", script),
        // Their names say how many there are.
        Command::Argv(argv) => {
            for (at, argument) in argv.iter().enumerate() {
                parts.push(format!("argument {at}"), argument);
            }
        }
    }
    parts.push("user", seen.user);
    parts.push("working directory", seen.cwd);
    parts.push("network", if *network == Network::None { "none" } else { "host" });
    // What is as it usually is has no part, so that old keys stand.
    if *security == Security::Insecure {
        parts.push("security", "insecure");
    }
    for (at, (name, address)) in hosts.iter().enumerate() {
        parts.push(format!("host {at}"), format!("{name:?} at {address:?}"));
    }
    if let Some(hostname) = hostname {
        parts.push("host name", hostname);
    }
    if let Some(size) = shm_size {
        parts.push("size of /dev/shm", size.to_string());
    }
    for Ulimit { name, soft, hard } in ulimits {
        parts.push(format!("limit {name}"), format!("{soft:?} of {hard:?}"));
    }
    for (name, value) in seen.env {
        parts.push(format!("variable {name}"), value);
    }
    for (at, mount) in mounts.iter().enumerate() {
        push_mount(&mut parts, at, mount, seen);
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

/// A mount with all its words. Texts are quoted, so that no two mounts are
/// written alike, whatever spaces they hold.
fn push_mount(parts: &mut Parts, at: usize, mount: &Mount, seen: &Seen<'_>) {
    let Mount { target, kind } = mount;
    let name = format!("mount {at}");
    match kind {
        MountKind::Bind { input: _, source, writable } => {
            let access = if *writable { "writable" } else { "read-only" };
            // Its content stands for the input.
            parts.push(name, format!("bind {source:?} at {target:?} {access}"));
        }
        MountKind::Cache { id, sharing, mode, uid, gid, initial, readonly } => {
            let sharing = match sharing {
                Sharing::Shared => "shared",
                Sharing::Locked => "locked",
                Sharing::Private => "private",
            };
            let owner = format!("{mode:o} {uid}:{gid}");
            let access = if *readonly { " read-only" } else { "" };
            // Its content stands for the input.
            let first = initial.as_ref().map(|CacheInitial { input: _, source }| source);
            let first = first.map_or_else(String::new, |source| format!(" first {source:?}"));
            let text = format!("cache {id:?} at {target:?} {sharing} {owner}{access}{first}");
            parts.push(name, text);
            if let Some(writers) = seen.caches.get(id) {
                let writers: Vec<String> = writers.iter().map(ToString::to_string).collect();
                let name = format!("what earlier steps left in cache {id:?} (mount {at})");
                parts.push(name, writers.join(" "));
            }
        }
        MountKind::Tmpfs { size } => parts.push(name, format!("tmpfs {size:?} at {target:?}")),
        MountKind::Secret { id, env, file, mode, uid, gid, required: _ } => {
            let given = if seen.secrets.contains(id) { "given" } else { "absent" };
            let variable = env.iter().map(|variable| format!("in variable {variable:?}"));
            let at = file.then(|| format!("at {target:?} {mode:o} {uid}:{gid}"));
            let places: Vec<String> = variable.chain(at).collect();
            parts.push(name, format!("secret {id:?} {} {given}", places.join(" ")));
        }
        MountKind::Ssh { id, mode, uid, gid, required: _ } => {
            let given = if seen.agents.contains(id) { "given" } else { "absent" };
            parts.push(name, format!("ssh {id:?} at {target:?} {mode:o} {uid}:{gid} {given}"));
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn exec(mounts: Vec<Mount>) -> Exec {
        Exec { mounts, ..Exec::new(Command::Shell("make".into()), ExecKind::Step) }
    }

    /// What a process sees, as a test changes it.
    #[derive(Debug, Clone)]
    struct World {
        platform: Platform,
        mtime: Mtime,
        env: Vec<(String, String)>,
        user: String,
        cwd: String,
        layers: Vec<String>,
        bound: Vec<Option<String>>,
        secrets: BTreeSet<String>,
        agents: BTreeSet<String>,
        caches: BTreeMap<String, BTreeSet<CacheKey>>,
    }

    impl World {
        fn new() -> Self {
            Self {
                platform: "linux/amd64".parse().expect("a platform"),
                mtime: Mtime::CONSTANT,
                env: vec![("A".into(), "1".into()), ("B".into(), "2".into())],
                user: "0".into(),
                cwd: "/".into(),
                layers: vec!["sha256:a".into()],
                bound: Vec::new(),
                secrets: BTreeSet::new(),
                agents: BTreeSet::new(),
                caches: BTreeMap::new(),
            }
        }

        fn key(&self, exec: &Exec) -> CacheKey {
            let Self { platform, mtime, env, user, cwd, layers, bound, secrets, agents, caches } =
                self;
            let (mtime, layers) = (*mtime, layers.clone());
            let seen =
                Seen { platform, mtime, env, user, cwd, layers, bound, secrets, agents, caches };
            parts(exec, &seen).key()
        }
    }

    fn key(exec: &Exec, change: impl Fn(&mut World)) -> CacheKey {
        let mut world = World::new();
        change(&mut world);
        world.key(exec)
    }

    fn cache(id: &str) -> MountKind {
        let sharing = Sharing::Shared;
        MountKind::Cache {
            id: id.into(),
            sharing,
            mode: 0o755,
            uid: 0,
            gid: 0,
            initial: None,
            readonly: false,
        }
    }

    fn secret(id: &str, env: Option<&str>) -> MountKind {
        let (env, file) = (env.map(str::to_owned), env.is_none());
        MountKind::Secret { id: id.into(), env, file, mode: 0o400, uid: 0, gid: 0, required: false }
    }

    fn mount(target: &str, kind: MountKind) -> Mount {
        Mount { target: target.into(), kind }
    }

    fn limit(soft: Option<u64>, hard: Option<u64>) -> Ulimit {
        Ulimit { name: "nofile".into(), soft, hard }
    }

    fn all_differ(keys: &[CacheKey]) {
        let different: BTreeSet<_> = keys.iter().collect();
        assert_eq!(different.len(), keys.len(), "{keys:?}");
    }

    #[test]
    fn the_key_changes_with_all_that_a_process_can_see() {
        let plain = exec(vec![]);
        assert_eq!(key(&plain, |_| {}), key(&plain, |_| {}));
        let argv = |list: &[&str]| {
            let argv = list.iter().map(|text| (*text).to_owned()).collect();
            Exec { command: Command::Argv(argv), ..plain.clone() }
        };
        all_differ(&[
            key(&plain, |_| {}),
            key(&plain, |w| w.user = "1".into()),
            key(&plain, |w| w.cwd = "/x".into()),
            key(&plain, |w| w.layers.push("sha256:b".into())),
            key(&plain, |w| w.layers.insert(0, "sha256:b".into())),
            key(&plain, |w| w.mtime.secs += 1),
            key(&plain, |w| w.platform = "linux/arm64".parse().expect("a platform")),
            key(&plain, |w| w.env.truncate(1)),
            key(&plain, |w| w.env.reverse()),
            key(&plain, |w| w.env[0].1 = "2".into()),
            key(&Exec { network: Network::None, ..plain.clone() }, |_| {}),
            key(&Exec { security: Security::Insecure, ..plain.clone() }, |_| {}),
            key(&Exec { hosts: vec![("a".into(), "b".into())], ..plain.clone() }, |_| {}),
            key(&Exec { hosts: vec![("b".into(), "a".into())], ..plain.clone() }, |_| {}),
            key(&Exec { hostname: Some("h".into()), ..plain.clone() }, |_| {}),
            key(&Exec { shm_size: Some(1), ..plain.clone() }, |_| {}),
            key(&Exec { ulimits: vec![limit(Some(1), None)], ..plain.clone() }, |_| {}),
            key(&Exec { ulimits: vec![limit(None, Some(1))], ..plain.clone() }, |_| {}),
            key(&Exec { kind: ExecKind::Test, ..plain.clone() }, |_| {}),
            key(&Exec { kind: ExecKind::Packages, ..plain.clone() }, |_| {}),
            key(&Exec { command: Command::Shell("make all".into()), ..plain.clone() }, |_| {}),
            key(&argv(&["make"]), |_| {}),
            key(&argv(&["make", "all"]), |_| {}),
            key(&argv(&["make all"]), |_| {}),
            key(&argv(&["make", "all", ""]), |_| {}),
        ]);
    }

    #[test]
    fn what_a_success_does_not_depend_on_is_in_no_key() {
        let plain = exec(vec![mount("/s", secret("s", None))]);
        let base = key(&plain, |_| {});
        let timed = Exec { timeout: Some(std::time::Duration::from_secs(1)), ..plain.clone() };
        assert_eq!(base, key(&timed, |_| {}));
        // The words of the operation: what they come to is in the environment,
        // the user and the directory that the process is seen to have.
        let words = Exec {
            env: vec![("X".into(), "1".into())],
            user: Some("9".into()),
            workdir: Some("/w".into()),
            ..plain.clone()
        };
        assert_eq!(base, key(&words, |_| {}));
        let mut required = plain.clone();
        if let MountKind::Secret { required, .. } = &mut required.mounts[0].kind {
            *required = true;
        }
        assert_eq!(base, key(&required, |_| {}));
        assert_eq!(base, key(&plain, |w| w.secrets.extend(["other".to_owned()])));
        assert_eq!(base, key(&plain, |w| drop(w.caches.insert("c".into(), BTreeSet::new()))));
    }

    #[test]
    fn every_word_of_a_mount_counts() {
        let bind =
            |source: &str, writable| MountKind::Bind { input: 1, source: source.into(), writable };
        let owned = |mode, uid, gid| MountKind::Cache {
            id: "c".into(),
            sharing: Sharing::Shared,
            mode,
            uid,
            gid,
            initial: None,
            readonly: false,
        };
        let locked = MountKind::Cache {
            id: "c".into(),
            sharing: Sharing::Locked,
            mode: 0o755,
            uid: 0,
            gid: 0,
            initial: None,
            readonly: false,
        };
        let mounts = [
            mount("/a", bind("s", false)),
            mount("/b", bind("s", false)),
            mount("/a", bind("t", false)),
            mount("/a", bind("s", true)),
            // Texts that would run into each other if they were not quoted.
            mount("/a from s", bind("t", false)),
            mount("/a", bind("s from t", false)),
            mount("/a", cache("c")),
            mount("/b", cache("c")),
            mount("/a", cache("d")),
            mount("/a", locked),
            mount("/a", owned(0o700, 0, 0)),
            mount("/a", owned(0o755, 1, 0)),
            mount("/a", owned(0o755, 0, 1)),
            mount("/a", MountKind::Tmpfs { size: None }),
            mount("/b", MountKind::Tmpfs { size: None }),
            mount("/a", MountKind::Tmpfs { size: Some(1) }),
            mount("/a", secret("s", None)),
            mount("/b", secret("s", None)),
            mount("/a", secret("t", None)),
            mount("/a", secret("s", Some("S"))),
            mount("/a", secret("s", Some("-"))),
            mount("/a", secret("s x", Some("y"))),
            mount("/a", secret("s", Some("x y"))),
        ];
        let keys: Vec<_> =
            mounts.iter().map(|mount| key(&exec(vec![mount.clone()]), |_| {})).collect();
        all_differ(&keys);
        let two = |a: usize, b: usize| exec(vec![mounts[a].clone(), mounts[b].clone()]);
        assert_ne!(key(&two(0, 1), |_| {}), key(&two(1, 0), |_| {}), "later mounts cover earlier");
    }

    #[test]
    fn a_bind_mount_holds_its_content_and_a_secret_whether_it_is_given() {
        let bind = MountKind::Bind { input: 1, source: "s".into(), writable: false };
        let step = exec(vec![mount("/a", bind.clone()), mount("/b", bind)]);
        let with = |contents: [&str; 2]| {
            key(&step, |w| w.bound = contents.map(|c| Some(c.to_owned())).to_vec())
        };
        all_differ(&[with(["x", "y"]), with(["y", "x"]), with(["x", "x"]), key(&step, |_| {})]);
        let step = exec(vec![mount("/a", secret("s", None))]);
        assert_ne!(key(&step, |_| {}), key(&step, |w| w.secrets.extend(["s".to_owned()])));
    }

    #[test]
    fn a_cache_mount_holds_the_executions_that_wrote_it() {
        let step = exec(vec![mount("/c", cache("c"))]);
        let written = |id: &str, by: &[u8]| {
            let keys = || by.iter().map(|byte| CacheKey::from_bytes([*byte; 32])).collect();
            key(&step, |w| drop(w.caches.insert(id.to_owned(), keys())))
        };
        all_differ(&[
            key(&step, |_| {}),
            written("c", &[1]),
            written("c", &[2]),
            written("c", &[1, 2]),
        ]);
        assert_eq!(written("other", &[1]), key(&step, |_| {}));
    }

    fn text() -> impl Strategy<Value = String> {
        prop::sample::select(vec!["", " ", "a", "b", "a b", "\"", "\\", "\n", "-", "/a", ":", "1"])
            .prop_map(str::to_owned)
    }

    fn kinds() -> impl Strategy<Value = MountKind> {
        let id = || 0_u32..2;
        prop_oneof![
            (text(), any::<bool>()).prop_map(|(source, writable)| MountKind::Bind {
                input: 1,
                source,
                writable
            }),
            (text(), id(), id(), id()).prop_map(|(name, mode, uid, gid)| MountKind::Cache {
                id: name,
                sharing: Sharing::Private,
                mode,
                uid,
                gid,
                initial: None,
                readonly: uid == gid,
            }),
            (text(), id()).prop_map(|(id, mode)| MountKind::Ssh {
                id,
                mode,
                uid: 0,
                gid: 0,
                required: true
            }),
            prop::option::of(0_u64..2).prop_map(|size| MountKind::Tmpfs { size }),
            (text(), prop::option::of(text()), id()).prop_map(|(name, env, mode)| {
                // In a variable it has neither mode nor place.
                let mode = if env.is_some() { 0 } else { mode };
                let file = env.is_none();
                MountKind::Secret { id: name, env, file, mode, uid: 0, gid: 0, required: true }
            }),
        ]
    }

    fn execs() -> impl Strategy<Value = Exec> {
        let command = prop_oneof![
            text().prop_map(Command::Shell),
            prop::collection::vec(text(), 0..3).prop_map(Command::Argv),
        ];
        let mounts = prop::collection::vec((text(), kinds()), 0..3);
        (command, mounts).prop_map(|(command, mounts)| {
            let place = |(target, kind): (String, MountKind)| match &kind {
                MountKind::Secret { env: Some(_), .. } => mount("", kind),
                _ => mount(&target, kind),
            };
            Exec { command, ..exec(mounts.into_iter().map(place).collect()) }
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        /// Short texts from few letters meet often, so boundaries between
        /// fields are tried as well as whole operations.
        #[test]
        fn keys_are_equal_exactly_when_what_a_process_gets_is(
            one in execs(),
            other in execs(),
            env in prop::collection::vec((text(), text()), 0..3),
            more in prop::collection::vec((text(), text()), 0..3),
        ) {
            let world = |env: &[(String, String)]| World { env: env.to_vec(), ..World::new() };
            let (a, b) = (world(&env).key(&one), world(&more).key(&other));
            prop_assert_eq!(a == b, one == other && env == more);
        }
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
