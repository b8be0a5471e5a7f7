//! That different operations never encode alike.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::digest::BlobDigest;

fn id(op: &Op) -> [u8; 32] {
    let mut encoder = Encoder::default();
    encoder.op(op);
    encoder.finish()
}

fn text(text: &str) -> Option<String> {
    Some(text.to_owned())
}

fn list(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}

fn pair(name: &str, value: &str) -> Vec<(String, String)> {
    vec![(name.to_owned(), value.to_owned())]
}

/// Each operation differs from the first and from all others of its list.
fn all_differ(ops: Vec<Op>) {
    let different: BTreeSet<_> = ops.iter().map(id).collect();
    assert_eq!(different.len(), ops.len(), "{ops:#?}");
}

// Each of the functions below takes a value apart, so that a new field does not
// compile until somebody has added what it changes.

fn sources() -> Vec<Op> {
    let debian = Debian {
        suite: "s".into(),
        mirror: None,
        keyring: None,
        components: vec![],
        include: vec![],
        arch: None,
    };
    let Debian { suite: _, mirror: _, keyring: _, components: _, include: _, arch: _ } = &debian;
    let d = || debian.clone();
    let http = Http { url: "u".into(), name: "n".into(), checksum: None };
    let Http { url: _, name: _, checksum: _ } = &http;
    let h = || http.clone();
    let git = Git {
        remote: "r".into(),
        reference: None,
        subdir: String::new(),
        keep_git_dir: false,
        submodules: false,
        commit: None,
    };
    let Git { remote: _, reference: _, subdir: _, keep_git_dir: _, submodules: _, commit: _ } =
        &git;
    let g = || git.clone();
    let local = |name: &str, path: &str, ignore: &[&str]| Source::Local {
        name: name.into(),
        path: path.into(),
        ignore: list(ignore),
    };
    let path = || PathBuf::from("/p");
    let image = |reference: &str, digest, platform: Option<&str>| {
        let platform = platform.map(str::to_owned);
        Source::Image { reference: reference.into(), digest, platform }
    };
    [
        Source::Scratch,
        Source::Rootfs { path: path() },
        Source::Rootfs { path: "/q".into() },
        Source::Oci { path: path(), tag: None, platform: None },
        Source::Oci { path: "/q".into(), tag: None, platform: None },
        Source::Oci { path: path(), tag: text("t"), platform: None },
        Source::Oci { path: path(), tag: None, platform: text("t") },
        local("n", "/p", &[]),
        local("m", "/p", &[]),
        local("n", "/q", &[]),
        local("n", "/p", &["x"]),
        local("n", "/p", &["x", "y"]),
        Source::Http(h()),
        Source::Http(Http { url: "v".into(), ..h() }),
        Source::Http(Http { name: "v".into(), ..h() }),
        Source::Http(Http { checksum: Some(BlobDigest::of(b"v")), ..h() }),
        Source::Git(g()),
        Source::Git(Git { remote: "v".into(), ..g() }),
        Source::Git(Git { reference: text("v"), ..g() }),
        Source::Git(Git { subdir: "v".into(), ..g() }),
        Source::Git(Git { keep_git_dir: true, ..g() }),
        Source::Git(Git { submodules: true, ..g() }),
        Source::Git(Git { commit: text("v"), ..g() }),
        Source::Engine { name: "n".into() },
        Source::Engine { name: "m".into() },
        Source::Debian(d()),
        Source::Debian(Debian { suite: "t".into(), ..d() }),
        Source::Debian(Debian { mirror: text("m"), ..d() }),
        Source::Debian(Debian { keyring: Some(path()), ..d() }),
        Source::Debian(Debian { components: list(&["c"]), ..d() }),
        Source::Debian(Debian { include: list(&["c"]), ..d() }),
        Source::Debian(Debian { arch: text("a"), ..d() }),
        image("r", None, None),
        image("s", None, None),
        image("r", Some(BlobDigest::of(b"d")), None),
        image("r", Some(BlobDigest::of(b"e")), None),
        image("r", None, Some("p")),
        image("r", None, Some("q")),
    ]
    .map(Op::Source)
    .to_vec()
}

fn mounts() -> Vec<MountKind> {
    let cache = |id: &str, sharing, [mode, uid, gid]: [u32; 3]| MountKind::Cache {
        id: id.into(),
        sharing,
        mode,
        uid,
        gid,
        initial: None,
        readonly: false,
    };
    let first = |first: Option<(usize, &str)>, readonly| MountKind::Cache {
        id: "c".into(),
        sharing: Sharing::Shared,
        mode: 1,
        uid: 2,
        gid: 3,
        initial: first.map(|(input, source)| CacheInitial { input, source: source.into() }),
        readonly,
    };
    let secret = |id: &str, env: Option<&str>, [mode, uid, gid]: [u32; 3], required| {
        let env = env.map(str::to_owned);
        MountKind::Secret { id: id.into(), env, file: true, mode, uid, gid, required }
    };
    let (file, env) = (false, text("e"));
    let variable =
        MountKind::Secret { id: "c".into(), env, file, mode: 1, uid: 2, gid: 3, required: false };
    let ssh = |id: &str, [mode, uid, gid]: [u32; 3], required| MountKind::Ssh {
        id: id.into(),
        mode,
        uid,
        gid,
        required,
    };
    let bind =
        |input, source: &str, writable| MountKind::Bind { input, source: source.into(), writable };
    vec![
        bind(1, "s", false),
        bind(2, "s", false),
        bind(1, "t", false),
        bind(1, "s", true),
        cache("c", Sharing::Shared, [1, 2, 3]),
        cache("d", Sharing::Shared, [1, 2, 3]),
        cache("c", Sharing::Locked, [1, 2, 3]),
        cache("c", Sharing::Private, [1, 2, 3]),
        cache("c", Sharing::Shared, [9, 2, 3]),
        cache("c", Sharing::Shared, [1, 9, 3]),
        cache("c", Sharing::Shared, [1, 2, 9]),
        MountKind::Tmpfs { size: None },
        MountKind::Tmpfs { size: Some(0) },
        secret("c", None, [1, 2, 3], false),
        secret("d", None, [1, 2, 3], false),
        secret("c", Some("e"), [1, 2, 3], false),
        secret("c", None, [9, 2, 3], false),
        secret("c", None, [1, 9, 3], false),
        secret("c", None, [1, 2, 9], false),
        secret("c", None, [1, 2, 3], true),
        variable,
        first(None, true),
        first(Some((1, "s")), false),
        first(Some((2, "s")), false),
        first(Some((1, "t")), false),
        ssh("c", [1, 2, 3], false),
        ssh("d", [1, 2, 3], false),
        ssh("c", [9, 2, 3], false),
        ssh("c", [1, 9, 3], false),
        ssh("c", [1, 2, 9], false),
        ssh("c", [1, 2, 3], true),
    ]
}

fn execs() -> Vec<Op> {
    let plain = Exec::new(Command::Shell("x".into()), ExecKind::Step);
    let Exec {
        command: _,
        env: _,
        workdir: _,
        user: _,
        network: _,
        security: _,
        hosts: _,
        hostname: _,
        shm_size: _,
        ulimits: _,
        timeout: _,
        mounts: _,
        kind: _,
        trace: _,
    } = &plain;
    let e = || plain.clone();
    let limit = |name: &str, soft, hard| Ulimit { name: name.into(), soft, hard };
    let at = |target: &str, kind| Mount { target: target.into(), kind };
    let mut all = vec![
        e(),
        Exec { command: Command::Shell("y".into()), ..e() },
        Exec { command: Command::Argv(list(&["x"])), ..e() },
        Exec { command: Command::Argv(list(&["x", "y"])), ..e() },
        Exec { command: Command::Argv(list(&["xy"])), ..e() },
        Exec { env: pair("a", "b"), ..e() },
        Exec { env: pair("ab", ""), ..e() },
        Exec { workdir: text("a"), ..e() },
        Exec { user: text("a"), ..e() },
        Exec { network: Network::None, ..e() },
        Exec { security: Security::Insecure, ..e() },
        Exec { hosts: pair("a", "b"), ..e() },
        Exec { hostname: text("a"), ..e() },
        Exec { shm_size: Some(1), ..e() },
        Exec { ulimits: vec![limit("a", Some(1), None)], ..e() },
        Exec { ulimits: vec![limit("b", Some(1), None)], ..e() },
        Exec { ulimits: vec![limit("a", None, Some(1))], ..e() },
        Exec { timeout: Some(Duration::from_secs(1)), ..e() },
        Exec { kind: ExecKind::Packages, ..e() },
        Exec { kind: ExecKind::Test, ..e() },
        Exec { trace: Trace::Off, ..e() },
        Exec { mounts: vec![at("/b", MountKind::Tmpfs { size: None })], ..e() },
    ];
    all.extend(mounts().into_iter().map(|kind| Exec { mounts: vec![at("/a", kind)], ..e() }));
    all.into_iter().map(Op::Exec).collect()
}

fn files() -> Vec<Op> {
    let plain = Copy::new(list(&["a"]), "d");
    let Copy {
        sources: _,
        dest: _,
        exclude: _,
        exclude_from: _,
        owner: _,
        mode: _,
        keep_mtime: _,
        parents: _,
        link: _,
        allow_empty: _,
    } = &plain;
    let c = || plain.clone();
    let from = |input, path: &str, unpack| CopySource::Path { input, path: path.into(), unpack };
    let inline = |name: &str, content: &[u8]| CopySource::Inline {
        name: name.into(),
        content: content.to_vec(),
    };
    let sources = |sources: &[CopySource]| Copy { sources: sources.to_vec(), ..c() };
    let symbols = |text: &str| Copy { mode: Some(Mode::parse(text).expect("a mode")), ..c() };
    let write = |path: &str, content: &[u8], owner: Option<&str>, mode| FileOp::Write {
        path: path.into(),
        content: content.to_vec(),
        owner: owner.map(str::to_owned),
        mode,
    };
    let mkdir = |path: &str, owner: Option<&str>, mode| FileOp::Mkdir {
        path: path.into(),
        owner: owner.map(str::to_owned),
        mode,
        applies: Applies::Last,
    };
    let made = FileOp::Mkdir { path: "a".into(), owner: None, mode: None, applies: Applies::Made };
    let link =
        |target: &str, path: &str| FileOp::Symlink { target: target.into(), path: path.into() };
    let remove = |paths: &[&str], required| FileOp::Remove { paths: list(paths), required };
    vec![
        FileOp::Copy(c()),
        FileOp::Copy(sources(&[from(2, "a", Unpack::Never)])),
        FileOp::Copy(sources(&[from(1, "b", Unpack::Never)])),
        FileOp::Copy(sources(&[from(1, "a", Unpack::Archives)])),
        FileOp::Copy(sources(&[inline("a", b"x")])),
        FileOp::Copy(sources(&[inline("b", b"x")])),
        FileOp::Copy(sources(&[inline("a", b"y")])),
        FileOp::Copy(sources(&[])),
        FileOp::Copy(Copy::new(list(&["a", "d"]), "")),
        FileOp::Copy(Copy { dest: "e".into(), ..c() }),
        FileOp::Copy(Copy { exclude: list(&["a"]), ..c() }),
        FileOp::Copy(Copy { owner: text("a"), ..c() }),
        FileOp::Copy(Copy { mode: Some(Mode::octal(0)), ..c() }),
        FileOp::Copy(symbols("u=r")),
        FileOp::Copy(Copy { exclude_from: ExcludeFrom::Source, ..c() }),
        FileOp::Copy(symbols("u=w")),
        FileOp::Copy(Copy { parents: true, ..c() }),
        FileOp::Copy(Copy { link: true, ..c() }),
        FileOp::Copy(Copy { allow_empty: true, ..c() }),
        made,
        FileOp::Copy(Copy { keep_mtime: true, ..c() }),
        write("a", b"b", None, None),
        write("ab", b"", None, None),
        write("a", b"b", Some("o"), None),
        write("a", b"b", None, Some(0)),
        write("a", b"c", None, None),
        mkdir("a", None, None),
        mkdir("b", None, None),
        mkdir("a", Some("o"), None),
        mkdir("a", None, Some(0)),
        link("a", "b"),
        link("b", "a"),
        link("ab", ""),
        remove(&["a"], false),
        remove(&["a", "b"], false),
        remove(&["ab"], false),
        remove(&["a"], true),
    ]
    .into_iter()
    .map(Op::File)
    .collect()
}

fn configs() -> Vec<Op> {
    let none = ConfigPatch::default();
    let ConfigPatch {
        entrypoint: _,
        cmd: _,
        env: _,
        labels: _,
        expose: _,
        volumes: _,
        user: _,
        workdir: _,
        stop_signal: _,
        healthcheck: _,
        shell: _,
        onbuild: _,
        author: _,
        platform: _,
    } = &none;
    let check = Healthcheck {
        test: vec![],
        interval: None,
        timeout: None,
        start_period: None,
        start_interval: None,
        retries: None,
    };
    let Healthcheck {
        test: _,
        interval: _,
        timeout: _,
        start_period: _,
        start_interval: _,
        retries: _,
    } = &check;
    let p = || none.clone();
    let h = |healthcheck| ConfigPatch { healthcheck: Some(healthcheck), ..p() };
    let c = || check.clone();
    let of = |os: &str, architecture: &str, variant: Option<&str>| ConfigPatch {
        platform: Some(Box::new(ImagePlatform {
            os: os.to_owned(),
            architecture: architecture.to_owned(),
            variant: variant.map(str::to_owned),
        })),
        ..p()
    };
    vec![
        p(),
        ConfigPatch { entrypoint: Some(vec![]), ..p() },
        ConfigPatch { entrypoint: Some(list(&["a"])), ..p() },
        ConfigPatch { cmd: Some(list(&["a"])), ..p() },
        ConfigPatch { env: pair("a", "b"), ..p() },
        ConfigPatch { env: [pair("a", "b"), pair("c", "d")].concat(), ..p() },
        ConfigPatch { env: [pair("c", "d"), pair("a", "b")].concat(), ..p() },
        ConfigPatch { labels: [("a".to_owned(), "b".to_owned())].into(), ..p() },
        ConfigPatch { expose: list(&["a"]), ..p() },
        ConfigPatch { volumes: list(&["a"]), ..p() },
        ConfigPatch { user: text("a"), ..p() },
        ConfigPatch { workdir: text("a"), ..p() },
        ConfigPatch { stop_signal: text("a"), ..p() },
        ConfigPatch { author: text("a"), ..p() },
        of("a", "b", None),
        of("b", "b", None),
        of("a", "a", None),
        of("a", "b", Some("c")),
        h(c()),
        h(Healthcheck { test: list(&["a"]), ..c() }),
        h(Healthcheck { interval: Some(1), ..c() }),
        h(Healthcheck { timeout: Some(1), ..c() }),
        h(Healthcheck { start_period: Some(1), ..c() }),
        h(Healthcheck { start_interval: Some(1), ..c() }),
        h(Healthcheck { retries: Some(1), ..c() }),
        ConfigPatch { shell: Some(vec![]), ..p() },
        ConfigPatch { shell: Some(list(&["a"])), ..p() },
        ConfigPatch { onbuild: Some(vec![]), ..p() },
        ConfigPatch { onbuild: Some(list(&["a"])), ..p() },
    ]
    .into_iter()
    .map(Op::Config)
    .collect()
}

#[test]
fn every_field_of_every_operation_is_encoded() {
    all_differ([sources(), execs(), files(), configs()].concat());
}

fn word() -> impl Strategy<Value = String> {
    prop::sample::select(vec!["", "a", "b", "aa", "ab", "\0", "\u{1}"]).prop_map(str::to_owned)
}

fn words() -> impl Strategy<Value = Vec<String>> {
    prop::collection::vec(word(), 0..3)
}

fn maybe() -> impl Strategy<Value = Option<String>> {
    prop::option::of(word())
}

fn ops() -> impl Strategy<Value = Op> {
    let copy = (words(), word(), words(), maybe(), any::<bool>()).prop_map(
        |(sources, dest, exclude, owner, keep_mtime)| {
            Op::File(FileOp::Copy(Copy { exclude, owner, keep_mtime, ..Copy::new(sources, dest) }))
        },
    );
    let pairs = || prop::collection::vec((word(), word()), 0..3);
    let exec = (words(), pairs(), maybe(), maybe()).prop_map(|(argv, env, workdir, user)| {
        Op::Exec(Exec { env, workdir, user, ..Exec::new(Command::Argv(argv), ExecKind::Step) })
    });
    let config = (prop::option::of(words()), prop::option::of(words()), pairs(), words(), words())
        .prop_map(|(entrypoint, cmd, env, expose, volumes)| {
            Op::Config(ConfigPatch {
                entrypoint,
                cmd,
                env,
                expose,
                volumes,
                ..ConfigPatch::default()
            })
        });
    let write = (word(), word(), maybe()).prop_map(|(path, content, owner)| {
        Op::File(FileOp::Write { path, content: content.into_bytes(), owner, mode: None })
    });
    prop_oneof![copy, exec, config, write]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// Few letters and short lists, so that boundaries between fields meet.
    #[test]
    fn operations_encode_alike_exactly_when_they_are_equal(
        many in prop::collection::vec(ops(), 60),
    ) {
        let mut seen: BTreeMap<[u8; 32], &Op> = BTreeMap::new();
        for op in &many {
            let known = *seen.entry(id(op)).or_insert(op);
            prop_assert_eq!(known, op);
            prop_assert_eq!(id(op), id(&op.clone()));
        }
    }
}
