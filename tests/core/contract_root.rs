//! What a step stands on: the served view against a kernel's directory of the
//! same content.
//!
//! A program (`fixtures/probe`) tells all that it can see of a tree and of what
//! became of it, once on the tree as it is served and once on the same tree
//! written out on a disk. Every stat, listing, link group, attribute and byte,
//! and every captured entry, must be the same.

use std::collections::BTreeMap;
use std::process::Command;
use std::sync::OnceLock;

use builder_core::exec::{Cancel, ExecError, IdMap, Process, RootKind};
use builder_core::layer::{Change, Entry, LayerPath, Meta, Mtime};
use builder_core::view::{Links, Node, NodeKind, Tree, TreeError};

use crate::exec_support::{Bench, Memory, Seen, as_user, path, sh, skip};

/// The probe, compiled once; `None` (said loudly) where there is no compiler.
pub(crate) fn probe() -> Option<&'static [u8]> {
    static PROBE: OnceLock<Option<Vec<u8>>> = OnceLock::new();
    let build = || {
        if let Some(path) = std::env::var_os("PROBE") {
            return std::fs::read(path).ok();
        }
        let dir = tempfile::tempdir().expect("a directory");
        let out = dir.path().join("probe");
        let source = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/fixtures/probe/probe.c");
        let built =
            Command::new("cc").args(["-static", "-O1", "-o"]).arg(&out).arg(source).status();
        built.ok().filter(std::process::ExitStatus::success)?;
        std::fs::read(out).ok()
    };
    let probe = PROBE.get_or_init(build).as_deref();
    if probe.is_none() {
        skip("no C compiler with a static library (build-essential)");
    }
    probe
}

struct Made(Node);

fn file(content: &[u8]) -> Made {
    let kind = NodeKind::File { size: content.len() as u64 };
    Made(Node { meta: Meta::root_owned(0o644), kind, links: None })
}

fn other(kind: NodeKind, mode: u32) -> Made {
    Made(Node { meta: Meta::root_owned(mode), kind, links: None })
}

impl Made {
    fn mode(mut self, mode: u32) -> Self {
        self.0.meta.mode = mode;
        self
    }
    fn owner(mut self, uid: u32, gid: u32) -> Self {
        (self.0.meta.uid, self.0.meta.gid) = (uid, gid);
        self
    }
    fn time(mut self, secs: i64) -> Self {
        self.0.meta.mtime = Mtime { secs, nanos: 0 };
        self
    }
    fn attribute(mut self, name: &str, value: &[u8]) -> Self {
        self.0.meta.xattrs.insert(name.into(), value.to_vec());
        self
    }
    fn links(mut self, first: &str, count: u32) -> Self {
        self.0.links = Some(Links { first: path(first), count });
        self
    }
}

fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|at| (at * 31 + at / 251) as u8).collect()
}

/// An access control list of version 2: the file's modes and user 33 with `r`.
fn acl() -> Vec<u8> {
    let mut value = 2_u32.to_le_bytes().to_vec();
    let none = u32::MAX;
    for (tag, perm, id) in
        [(1_u16, 6_u16, none), (2, 4, 33), (4, 0, none), (16, 4, none), (32, 0, none)]
    {
        value.extend(tag.to_le_bytes());
        value.extend(perm.to_le_bytes());
        value.extend(id.to_le_bytes());
    }
    value
}

/// `cap_net_raw+ep` as of `linux/capability.h`, version 2.
fn capability() -> Vec<u8> {
    [&[1, 0, 0, 2, 0, 0x20, 0, 0][..], &[0; 12]].concat()
}

/// Every type of file, and what is hard to show.
fn everything(mut tree: Memory) -> Memory {
    let mut put = |at: &[u8], made: Made, content: &[u8]| {
        tree = std::mem::take(&mut tree).with(at, made.0, content);
    };
    let dir = |mode| other(NodeKind::Directory, mode);
    put(b"t", dir(0o755), b"");
    for size in [0, 1, 4095, 4096, 4097, 131_072, 300_001] {
        let content = pattern(size);
        put(format!("t/size-{size}").as_bytes(), file(&content), &content);
    }
    put(b"t/suid", file(b"x").mode(0o6755).owner(33, 44), b"x");
    put(b"t/none", file(b"y").mode(0), b"y");
    put(b"t/early", file(b"z").time(-86_400), b"z");
    put(b"t/late", file(b"z").time(4_000_000_000), b"z");
    put(b"t/note", file(b"n").attribute("user.note", b"a\0b").attribute("user.empty", b""), b"n");
    put(b"t/ping", file(b"c").mode(0o755).attribute("security.capability", &capability()), b"c");
    put(b"t/shared", file(b"acl").mode(0o640).attribute("system.posix_acl_access", &acl()), b"acl");
    // What would steer overlayfs is not shown.
    put(b"t/whiteout", file(b"").attribute("user.overlay.whiteout", b"y"), b"");
    put(b"t/opaque", dir(0o755).attribute("user.overlay.opaque", b"y"), b"");
    put(b"t/opaque/in", file(b"in").attribute("trusted.overlay.origin", b"x"), b"in");
    put(b"t/dir", dir(0o1777).owner(33, 33), b"");
    put(b"t/dir/closed", dir(0).owner(33, 33), b"");
    put(b"t/dir/closed/in", file(b"in").owner(33, 33), b"in");
    for name in ["t/a-first", "t/dir/second", "t/third"] {
        put(name.as_bytes(), file(b"linked").links("t/a-first", 3), b"linked");
    }
    put(b"t/link", other(NodeKind::Symlink { target: b"../t/size-1".to_vec() }, 0o777), b"");
    put(b"t/loop", other(NodeKind::Symlink { target: b"loop".to_vec() }, 0o777).owner(33, 33), b"");
    put(b"t/far", other(NodeKind::Symlink { target: vec![b'x'; 4000] }, 0o777).time(5), b"");
    put(b"t/fifo", other(NodeKind::Fifo, 0o600), b"");
    put(b"t/socket", other(NodeKind::Socket, 0o700), b"");
    put(b"t/\xff\xfe \n", file(b"odd"), b"odd");
    put(format!("t/{}", "n".repeat(255)).as_bytes(), file(b"long"), b"long");
    put(b"t/deep", dir(0o755), b"");
    let mut deep = "t/deep".to_owned();
    for _ in 0..40 {
        deep.push_str("/down");
        put(deep.as_bytes(), dir(0o755), b"");
    }
    put(b"t/many", dir(0o755), b"");
    for name in 0..600 {
        put(format!("t/many/a-name-of-some-length-{name}").as_bytes(), file(b"m"), b"m");
    }
    tree
}

/// What changes the tree: copy-up, rename, removal, opaque directories.
const CHANGES: &str = r#"
cd /t
probe open size-0 ; probe open size-1 ; probe open none
probe mmap size-300001 ; probe hole size-131072
echo more >>size-4096 ; : >size-4097 ; chmod 600 size-4095 ; chown 44:33 early
probe touch late 7 ; probe touch dir 9 ; probe touch far 11
probe set note user.note changed ; probe set note user.new 1 ; probe unset ping security.capability
probe set dir user.dir 1 ; probe unset note user.absent ; probe set size-1 user.overlay.origin x
probe link a-first fourth ; echo changed >>third ; cat a-first fourth dir/second
probe link fifo fifo2 ; probe link link link2 ; probe link socket socket2
probe rename note moved ; probe rename link suid ; probe rename size-0 dir/closed
probe rename dir elsewhere ; probe rename opaque dir ; probe swap early late ; probe swap fifo opaque
mkdir new ; probe rename new new2 ; probe rename new2 deep
rm -r many ; mkdir many ; echo one >many/a-name-of-some-length-7
rm -r deep/down/down ; mkdir deep/down/down ; rm a-first ; rm fifo
rm opaque/in ; rmdir opaque ; mv dir/closed closed2 ; ln -s gone dangling ; mknod null c 1 3 || true
echo x >'odd' ; rm "$(printf '\377\376 \n_')" 2>/dev/null || true
cp -a suid copied ; cp -a shared copied2 ; mkfifo pipe ; chmod 0700 /t
"#;

/// Changes that are told alike where there is no overlayfs: no hard links
/// across copy-up, no renames of directories, none made again.
const PLAIN: &str = r#"
cd /t
probe mmap size-300001 ; echo more >>size-4096 ; : >size-4097 ; chmod 600 size-4095
chown 44:33 early ; probe touch late 7 ; probe touch far 11
probe set note user.new 1 ; probe unset ping security.capability
probe rename note moved ; probe rename size-0 dir/closed/under ; probe swap early late
mkdir -p new/deep ; echo x >new/deep/x ; rm -r many ; rm fifo loop ; ln -s gone dangling
mknod null c 1 3 || true ; cp -a suid copied ; mkfifo pipe ; rm -r deep ; echo file >deep
"#;

/// One run: what the program saw, and what was captured.
struct Run {
    seen: Seen,
}

fn run(bench: &mut Bench, kind: RootKind, process: Process) -> Run {
    bench.sandbox = bench.sandbox.clone().with(bench.sandbox.ids().clone(), kind);
    let (seen, exit) = bench.run(process, Vec::new());
    assert!(exit.success(), "{kind:?}: {exit:?}: {} {}", seen.out(), seen.err());
    Run { seen }
}

/// The same process on both kinds of roots: what it says must be the same.
fn same(bench: &mut Bench, process: &Process) -> Run {
    let served = run(bench, RootKind::Served, process.clone());
    let kernels = run(bench, RootKind::Unpacked, process.clone());
    let (ours, theirs) = (served.seen.out(), kernels.seen.out());
    for (ours, theirs) in ours.lines().zip(theirs.lines()) {
        assert_eq!(ours, theirs, "left is served, right is the kernel's");
    }
    assert_eq!(ours.lines().count(), theirs.lines().count());
    assert_eq!(served.seen.err(), kernels.seen.err());
    assert_eq!(captured(&served.seen), captured(&kernels.seen), "what the upper holds");
    assert_eq!(served.seen.opaque, kernels.seen.opaque);
    served
}

/// Captured entries without the times that are those of the run.
fn captured(seen: &Seen) -> BTreeMap<String, (Entry, Vec<u8>)> {
    let mut entries = seen.entries.clone();
    for (entry, _) in entries.values_mut() {
        if let Change::Present { meta, .. } = &mut entry.change
            && meta.mtime.secs > 1_700_000_000
            && meta.mtime.secs != 4_000_000_000
        {
            meta.mtime = Mtime::CONSTANT;
        }
    }
    entries
}

fn bench() -> Option<Bench> {
    let mut bench = Bench::new()?;
    bench.tree = everything(bench.tree).file("bin/probe", 0o755, probe()?);
    Some(bench)
}

fn contract(bench: &mut Bench) {
    let seen = same(bench, &sh("probe walk /t")).seen.out();
    // And both show what the tree says.
    let line = |name: &str| {
        let start = format!("/t/{name} ");
        seen.lines()
            .find(|line| line.starts_with(&start))
            .unwrap_or_else(|| panic!("{name}: {seen}"))
    };
    let is = |name: &str, what: &str| assert!(line(name).contains(what), "{what}: {}", line(name));
    is("suid", "106755 33:44 946684800 size=1 links=1");
    is("early", " -86400 ");
    is("late", " 4000000000 ");
    is("third", "links=3 same=/t/a-first");
    is("size-300001", "content=300001:");
    is("note", "@user.empty= @user.note=a\\000b absent=E61");
    is("ping", "@security.capability=");
    is("shared", "@system.posix_acl_access=");
    is("whiteout", "content=0:");
    is("many", "names=602 ");
    is("dir", "041777 33:33");
    assert!(!seen.contains("overlay."), "{seen}");
    let changed = same(bench, &sh(&format!("{CHANGES}\nprobe walk /t"))).seen;
    assert!(changed.out().contains("rename dir elsewhere = E18"), "{}", changed.out());
    let plain = sh(&format!("{PLAIN}\nprobe walk /t"));
    let served = run(bench, RootKind::Served, plain.clone()).seen;
    let copied = run(bench, RootKind::Copied, plain).seen;
    assert_eq!(served.out(), copied.out(), "left is served, right is a copy");
    assert_eq!(captured(&served), captured(&copied), "what was written");
    // Another user is bound by modes and lists.
    let user = Process {
        uid: 33,
        gid: 33,
        ..sh("cat /t/none; cat /t/shared; ls /t/dir/closed; echo x >/t/suid; \
              echo x >/t/shared; echo y >/t/dir/mine; rm /t/dir/second; probe walk /t/dir; true")
    };
    let user =
        Process { argv: user.argv.iter().filter(|arg| *arg != "-e").cloned().collect(), ..user };
    let seen = same(bench, &user).seen;
    assert!(
        seen.out().contains("acl"),
        "the list lets user 33 read: {} {}",
        seen.out(),
        seen.err()
    );
    assert!(seen.err().contains("denied"), "{}", seen.err());
}

#[test]
fn a_served_root_is_as_the_kernels_own_directory() {
    if let Some(mut bench) = bench() {
        contract(&mut bench);
    }
}

#[test]
fn a_served_root_is_as_the_kernels_own_directory_for_an_ordinary_user() {
    if probe().is_some() {
        as_user("contract_root::part_as_a_user", "phoenix-full");
    }
}

#[test]
#[ignore = "a part of `a_served_root_is_as_the_kernels_own_directory_for_an_ordinary_user`"]
fn part_as_a_user() {
    let mut bench = bench().expect("all is there");
    assert!(matches!(bench.sandbox.ids(), IdMap::Full { .. }), "{:?}", bench.sandbox.ids());
    contract(&mut bench);
}

#[test]
fn inodes_are_hashes_of_paths_and_do_not_tell_the_order_of_questions() {
    let Some(bench) = bench() else { return };
    let by = |script: &str| bench.sh(script).out();
    let asked = by("stat -c %i /t/third /t/dir /etc/passwd /t/many");
    assert_eq!(
        asked,
        by("ls -lR / >/dev/null 2>&1 || true; stat -c %i /t/third /t/dir /etc/passwd /t/many")
    );
    let mut smaller = bench;
    smaller.tree = smaller.tree.dir("aaa").dir("aaa/more");
    assert_eq!(asked, smaller.sh("stat -c %i /t/third /t/dir /etc/passwd /t/many").out());
    let listed = smaller.sh("ls -i /t | grep -E ' (a-first|third)$'").out();
    let numbers: Vec<_> = listed.split_whitespace().step_by(2).collect();
    assert_eq!((numbers.len(), numbers[0]), (2, numbers[1]), "{listed}");
}

#[test]
fn a_device_that_overlayfs_takes_for_a_deletion_is_refused() {
    let Some(mut bench) = bench() else { return };
    let device = other(NodeKind::CharDevice { major: 0, minor: 0 }, 0o600);
    bench.tree = bench.tree.with(b"t/gone", device.0, b"");
    for kind in [RootKind::Served, RootKind::Unpacked, RootKind::Copied] {
        bench.sandbox = bench.sandbox.clone().with(IdMap::detect(), kind);
        for script in ["cat /t/gone || true", "ls /t || true"] {
            let (_, exit) = bench.try_run(bench.job(sh(script), vec![]), &Cancel::new());
            let error = exit.expect_err("refused");
            let text = format!("{error} {:?}", std::error::Error::source(&error));
            assert!(text.contains("/t/gone"), "{text}");
        }
    }
}

/// A mounted overlayfs, gone with this.
struct Mounted(tempfile::TempDir);

impl Mounted {
    fn new() -> Option<Self> {
        let dir = tempfile::tempdir().expect("a directory");
        for name in ["lower", "upper", "work", "at"] {
            std::fs::create_dir(dir.path().join(name)).expect("made");
        }
        let options = "lowerdir=lower,upperdir=upper,workdir=work";
        let mounted = Command::new("mount")
            .args(["-t", "overlay", "overlay", "-o", options, "at"])
            .current_dir(dir.path())
            .output();
        mounted.ok()?.status.success().then_some(Self(dir))
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(self.0.path().join("at")).status();
    }
}

#[test]
fn a_disk_that_can_hold_no_upper_gets_a_copy() {
    let Some(bench) = bench() else { return };
    let Some(mounted) = Mounted::new() else { return skip("no overlayfs can be mounted") };
    let plain = sh(&format!("{PLAIN}\nprobe walk /t"));
    let (expected, _) = bench.run(plain.clone(), Vec::new());
    let work = tempfile::tempdir_in(mounted.0.path().join("at")).expect("a directory");
    let there = Bench { work, tree: bench.tree.clone(), sandbox: bench.sandbox };
    let (seen, exit) = there.run(plain, Vec::new());
    assert!(exit.success(), "{}", seen.err());
    assert_eq!(seen.out(), expected.out());
    assert_eq!(captured(&seen), captured(&expected));
    drop(there);
}

/// A tree that fails where it is asked for one path.
struct Failing {
    inner: Memory,
    how: fn() -> TreeError,
}

impl Tree for Failing {
    fn node(&self, path: &LayerPath) -> Result<Option<Node>, TreeError> {
        self.inner.node(path)
    }
    fn list(&self, path: &LayerPath) -> Result<Vec<(Vec<u8>, Node)>, TreeError> {
        self.inner.list(path)
    }
    fn content(&self, path: &LayerPath) -> Result<builder_core::digest::ContentDigest, TreeError> {
        self.inner.content(path)
    }
    fn open(
        &self,
        at: &LayerPath,
    ) -> Result<std::sync::Arc<dyn builder_core::view::ReadAt>, TreeError> {
        if *at == path("t/size-4096") { Err((self.how)()) } else { self.inner.open(at) }
    }
}

#[test]
fn a_step_that_was_answered_with_an_error_has_no_result_though_it_succeeds() {
    let Some(bench) = bench() else { return };
    let how = || TreeError::Changed { path: "/t/size-4096".to_owned() };
    for kind in [RootKind::Served, RootKind::Unpacked, RootKind::Copied] {
        let sandbox = bench.sandbox.clone().with(bench.sandbox.ids().clone(), kind);
        let bench =
            Bench { sandbox, work: tempfile::tempdir().expect("made"), tree: bench.tree.clone() };
        let mut job = bench.job(sh("cat /t/size-4096 2>/dev/null || true"), vec![]);
        job.root = std::sync::Arc::new(Failing { inner: bench.tree.clone(), how });
        let (_, exit) = bench.try_run(job, &Cancel::new());
        let error = exit.expect_err("void").to_string();
        assert!(error.contains("/t/size-4096 changed during the build"), "{kind:?}: {error}");
    }
}

#[test]
fn a_step_whose_server_dies_ends_at_once_and_has_no_result() {
    let Some(bench) = bench() else { return };
    // The server's thread ends with the panic, and its end of the mount closes.
    let how = || panic!("the server is killed by this test");
    let mut job = bench.job(
        sh("cat /t/size-4096; cat /t/size-1; ls /t/dir; while :; do cat /t/size-4097 || exit 9; done"),
        vec![],
    );
    job.process.argv.retain(|arg| arg != "-e");
    job.process.timeout = Some(std::time::Duration::from_secs(60));
    job.root = std::sync::Arc::new(Failing { inner: bench.tree.clone(), how });
    let (seen, exit) = bench.try_run(job, &Cancel::new());
    match exit {
        Err(ExecError::Tree(error)) => assert!(error.to_string().contains("panicked"), "{error}"),
        other => panic!("{other:?}: {}", seen.err()),
    }
    assert!(!seen.out().contains("in"), "nothing is read after the end: {}", seen.out());
}
