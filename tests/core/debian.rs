//! The native Debian base beside `mmdebstrap --variant=minbase`: the same
//! packages, and the same files but for the list in `DIFFERENT`.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use builder_core::layer::Compression;
use builder_core::plan::op::{self, ExecKind, Op};
use builder_core::recipe::{self, Params};
use builder_core::source::debian::{self, Settings};
use builder_core::store::Store;

/// What may differ, and why. A path ends with `/` where all below it is meant,
/// and begins with `*` where all that end so are.
const DIFFERENT: &[(&str, &str)] = &[
    ("dev/", "device nodes are the business of whoever runs the image"),
    ("proc/", "empty in an image"),
    ("run/", "made at every start"),
    ("tmp/", "made at every start"),
    ("etc/resolv.conf", "mmdebstrap copies the host's"),
    ("etc/hostname", "mmdebstrap copies the host's"),
    ("etc/fstab", "mmdebstrap writes one for machines that boot"),
    ("etc/apt/sources.list", "the same sources, written in another form"),
    ("etc/.pwd.lock", "left over from a lock"),
    ("etc/passwd-", "a backup"),
    ("etc/group-", "a backup"),
    ("etc/shadow-", "a backup"),
    ("etc/gshadow-", "a backup"),
    ("etc/shadow", "the day of the last change is the constant one"),
    ("etc/shells", "the same lines in another order: dash's preinst runs earlier"),
    ("etc/machine-id", "never made here"),
    ("var/cache/apt/archives/lock", "left over from a lock"),
    ("var/cache/apt/archives/partial", "apt, when it runs, gives it to its own user"),
    ("var/lib/apt/lists/lock", "left over from a lock"),
    ("var/lib/apt/lists/partial", "apt, when it runs, gives it to its own user"),
    ("var/lib/apt/lists/auxfiles", "apt, when it runs, makes it"),
    ("var/lib/apt/extended_states", "apt did not run: no package is marked as automatic"),
    ("var/cache/debconf/config.dat", "the owners of questions are listed in another form"),
    ("var/cache/debconf/config.dat-old", "a backup"),
    ("var/cache/debconf/templates.dat-old", "a backup"),
    ("var/lib/dpkg/available", "empty"),
    ("var/lib/dpkg/statoverride", "empty"),
    ("var/lib/dpkg/diversions-old", "a backup"),
    ("var/lib/dpkg/status-old", "a backup"),
    ("var/lib/dpkg/lock", "left over from a lock"),
    ("var/lib/dpkg/lock-frontend", "left over from a lock"),
    ("var/lib/dpkg/triggers/Lock", "left over from a lock"),
    ("etc/ssh/ssh_host_ecdsa_key", "keys of one machine do not belong into an image"),
    ("etc/ssh/ssh_host_ecdsa_key.pub", "as above"),
    ("etc/ssh/ssh_host_ed25519_key", "as above"),
    ("etc/ssh/ssh_host_ed25519_key.pub", "as above"),
    ("etc/ssh/ssh_host_rsa_key", "as above"),
    ("etc/ssh/ssh_host_rsa_key.pub", "as above"),
    ("*.pyc", "checked by hash and not by time, as SOURCE_DATE_EPOCH is set"),
];

/// What a larger base holds beside the minimum: packages with users, alternatives,
/// triggers of files, pre-dependencies, and scripts that need other packages' work.
const INCLUDE: &[&str] =
    &["nginx-light", "openssh-server", "ca-certificates", "fontconfig-config", "python3-minimal"];

/// Says that the test was skipped, or fails where tests must not be skipped.
fn skip(why: &str) {
    assert!(
        std::env::var_os("PHOENIX_TESTS_STRICT").is_none_or(|v| v != "1"),
        "not skipped: {why}"
    );
    eprintln!("SKIPPED: {why}");
}

fn missing() -> Option<&'static str> {
    if !is_root() {
        return Some("needs root");
    }
    let runs = |program: &str| Command::new(program).arg("--version").output().is_ok();
    if !runs("mmdebstrap") || !runs("unshare") {
        return Some("needs mmdebstrap and unshare");
    }
    let release = fs::read_to_string("/etc/os-release").unwrap_or_default();
    (!release.contains("bookworm")).then_some("needs a host whose apt knows bookworm")
}

fn is_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|m| m.uid() == 0)
}

fn run(command: &mut Command) {
    let output = command.output().expect("it starts");
    assert!(
        output.status.success(),
        "{command:?}: {}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}

/// What a recipe's configuration step would run.
fn configuration() -> op::Exec {
    let text = "from: {debian: bookworm}\n";
    let loaded =
        recipe::load(text, Path::new("recipe.yaml"), Path::new("/ctx"), &Params::default());
    let plan = loaded.expect("a valid recipe").plan;
    let exec = plan.vertices().iter().find_map(|vertex| match &vertex.op {
        Op::Exec(exec) if exec.kind == ExecKind::Packages => Some(exec.clone()),
        _ => None,
    });
    exec.expect("a debian base is configured")
}

/// Unpacks a layer and configures it in namespaces of its own.
fn configured(tar: &Path, root: &Path) {
    fs::create_dir_all(root).expect("mkdir");
    run(Command::new("tar").args(["--numeric-owner", "-xpf"]).arg(tar).arg("-C").arg(root));
    let exec = configuration();
    let script = "mkdir -p \"$1/proc\" \"$1/dev\"; mount --rbind /dev \"$1/dev\"; \
                  mount -t proc proc \"$1/proc\"; mount -t tmpfs tmp \"$1/tmp\"; \
                  exec chroot \"$@\"";
    let mut command = Command::new("unshare");
    command.args(["--mount", "--pid", "--fork", "sh", "-e", "-c", script, "sh"]).arg(root);
    command.args(exec.command.argv()).env_clear().env("SOURCE_DATE_EPOCH", "946684800");
    run(command.envs(exec.env));
}

/// Makes the layer as an uncompressed tar in `dir`; also its digest.
fn layer(dir: &Path, include: &[&str]) -> (PathBuf, String, Vec<String>) {
    let store = Store::open(&dir.join("store")).expect("opens");
    let request = op::Debian {
        suite: "bookworm".into(),
        mirror: None,
        keyring: None,
        components: vec![],
        include: include.iter().map(|name| (*name).to_owned()).collect(),
        arch: None,
    };
    let settings = Settings::default();
    let lock = debian::resolve(&request, &settings, &store, &|_| {}).expect("resolves");
    debian::fetch(&lock, &settings, &store, &|_| {}).expect("fetches");
    let desc = debian::layer(&lock, &store, Compression::None, &|_| {}).expect("is made");
    let path = dir.join("layer.tar");
    let mut out = fs::File::create(&path).expect("creates");
    io::copy(&mut store.blob_reader(&desc.blob).expect("is there"), &mut out).expect("copies");
    (path, desc.blob.to_string(), lock.packages.into_iter().map(|p| p.name).collect())
}

/// One line for each path below `root`: type, mode, owner, content.
fn listing(root: &Path) -> BTreeMap<Vec<u8>, String> {
    let mut all = BTreeMap::new();
    let mut dirs = vec![PathBuf::new()];
    while let Some(dir) = dirs.pop() {
        for entry in fs::read_dir(root.join(&dir)).expect("lists") {
            let path = dir.join(entry.expect("lists").file_name());
            let full = root.join(&path);
            let meta = fs::symlink_metadata(&full).expect("stats");
            let what = if meta.is_symlink() {
                format!("-> {}", fs::read_link(&full).expect("reads").display())
            } else if meta.is_dir() {
                dirs.push(path.clone());
                "directory".to_owned()
            } else if meta.is_file() {
                blake(&fs::read(&full).expect("reads"))
            } else {
                "special".to_owned()
            };
            let line = format!("{:o} {}:{} {what}", meta.mode(), meta.uid(), meta.gid());
            all.insert(path.as_os_str().as_bytes().to_vec(), line);
        }
    }
    all
}

fn blake(bytes: &[u8]) -> String {
    builder_core::digest::ContentDigest::of(bytes).to_string()
}

fn may_differ(path: &[u8]) -> bool {
    DIFFERENT.iter().any(|(listed, _)| match (listed.strip_suffix('/'), listed.strip_prefix('*')) {
        (Some(dir), _) => path.starts_with(listed.as_bytes()) || path == dir.as_bytes(),
        (_, Some(end)) => path.ends_with(end.as_bytes()),
        (None, None) => path == listed.as_bytes(),
    })
}

#[test]
fn the_base_is_what_mmdebstrap_makes() {
    compare(&[]);
}

#[test]
fn a_larger_base_is_what_mmdebstrap_makes_and_the_same_every_time() {
    compare(INCLUDE);
}

fn compare(include: &[&str]) {
    if let Some(why) = missing() {
        return skip(why);
    }
    let dir = tempfile::tempdir().expect("temp dir");
    let theirs = dir.path().join("theirs");
    let start = Instant::now();
    run(Command::new("mmdebstrap")
        .args(["--variant=minbase", "--quiet"])
        .args((!include.is_empty()).then(|| format!("--include={}", include.join(","))))
        .arg("bookworm")
        .arg(dir.path().join("theirs.tar")));
    let their_time = start.elapsed();
    fs::create_dir(&theirs).expect("mkdir");
    run(Command::new("tar")
        .args(["--numeric-owner", "-xpf"])
        .arg(dir.path().join("theirs.tar"))
        .arg("-C")
        .arg(&theirs));

    let ours = dir.path().join("ours");
    let start = Instant::now();
    let (tar, digest, mut packages) = layer(&dir.path().join("first"), include);
    configured(&tar, &ours);
    eprintln!("mmdebstrap {their_time:?}, phoenix {:?}", start.elapsed());

    let status = fs::read_to_string(theirs.join("var/lib/dpkg/status")).expect("reads");
    let mut their_packages: Vec<String> =
        status.lines().filter_map(|l| Some(l.strip_prefix("Package: ")?.to_owned())).collect();
    their_packages.sort();
    packages.sort();
    assert_eq!(packages, their_packages);

    for question in ["--audit", "--verify"] {
        let answer = Command::new("chroot").arg(&ours).args(["dpkg", question]).output();
        let answer = answer.expect("chroot starts");
        assert!(answer.stdout.is_empty(), "{question}: {answer:?}");
    }

    let (a, b) = (listing(&ours), listing(&theirs));
    let mut differ = Vec::new();
    for path in a.keys().chain(b.keys()) {
        if a.get(path) != b.get(path) && !may_differ(path) {
            let name = OsStr::from_bytes(path).display().to_string();
            differ.push(format!("{name}: ours {:?}, theirs {:?}", a.get(path), b.get(path)));
        }
    }
    differ.sort();
    differ.dedup();
    assert!(differ.is_empty(), "{differ:#?}");

    if include.is_empty() {
        return; // the larger one shows that it is the same every time
    }
    let again = dir.path().join("again");
    let (tar, other, _) = layer(&dir.path().join("second"), include);
    assert_eq!(digest, other, "two fresh stores give the same layer");
    configured(&tar, &again);
    assert_eq!(a, listing(&again), "two runs of the configuration give the same files");
}
