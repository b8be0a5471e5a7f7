//! Steps in the sandbox: what they see, what they may, what becomes of it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use builder_core::exec::{
    Cancel, ExecError, ExitStatus, JobMount, JobMountKind, Owner, Process, RootKind,
};
use builder_core::layer::{Change, Kind, Meta};
use builder_core::plan::op::Network;
use builder_core::view::{Links, Node, NodeKind};

use crate::exec_support::{Bench, Memory, path, sh, skip};

fn mount(target: &str, kind: JobMountKind) -> JobMount {
    JobMount { target: target.to_owned(), kind }
}

#[test]
fn a_step_that_writes_nothing_leaves_nothing() {
    let Some(bench) = Bench::new() else { return };
    let seen = bench
        .sh("cat /etc/resolv.conf /etc/hosts >/dev/null; ls -la / /proc /sys /dev /etc >/dev/null");
    assert_eq!(seen.paths(), [""; 0]);
}

#[test]
fn exit_codes_and_signals_are_told() {
    let Some(bench) = Bench::new() else { return };
    let (_, exit) = bench.run(sh("exit 42"), vec![]);
    assert_eq!(exit.status, ExitStatus::Code(42));
    let (_, exit) = bench.run(sh("(kill -9 $$; sleep 1); exec sh -c 'sleep 0; exit 3'"), vec![]);
    assert_eq!(exit.status, ExitStatus::Code(3), "process 1 is not killed from inside");
}

#[test]
fn output_arrives_whole_and_apart() {
    let Some(bench) = Bench::new() else { return };
    let seen = bench.sh("seq 1 100000; echo problem >&2; echo end");
    assert_eq!(seen.out.len(), 588_895 + 4);
    assert!(seen.out().ends_with("100000\nend\n"));
    assert_eq!(seen.err(), "problem\n");
}

#[test]
fn environment_directory_user_and_name_are_as_asked() {
    let Some(bench) = Bench::new() else { return };
    let mut process = sh("pwd; env; id; hostname; umask; echo hello >/dev/stdout");
    process.cwd = "/opt".to_owned();
    process.env.push(("GREETING".to_owned(), "hi there".to_owned()));
    (process.uid, process.gid, process.groups) = (33, 33, vec![33, 44]);
    let (seen, exit) = bench.run(process, vec![]);
    assert!(exit.success(), "{}", seen.err());
    let out = seen.out();
    assert!(out.starts_with("/opt\n"), "{out}");
    assert!(out.contains("GREETING=hi there\n"), "{out}");
    assert!(out.contains("uid=33(www) gid=33(www) groups=33(www),44"), "{out}");
    assert!(out.ends_with("phoenix\n0022\nhello\n"), "{out}");
    for host in ["HOME=", "USER=", "CARGO"] {
        assert!(!out.contains(host), "the host's environment stays out: {out}");
    }
}

#[test]
fn what_is_not_there_is_named() {
    let Some(bench) = Bench::new() else { return };
    let of = |process: Process| bench.try_run(bench.job(process, vec![]), &Cancel::new()).1;
    let program = |name: &str| Process { argv: vec![name.to_owned()], ..sh("") };
    assert!(
        matches!(of(program("nosuch")), Err(ExecError::NotFound { program }) if program == "nosuch")
    );
    assert!(matches!(of(program("/etc/passwd")), Err(ExecError::NotExecutable { .. })));
    let lost = Process { cwd: "/nowhere".to_owned(), ..sh("true") };
    assert!(matches!(of(lost), Err(ExecError::Cwd { cwd, .. }) if cwd == "/nowhere"));
}

#[test]
fn writes_are_captured_with_their_kinds_owners_and_modes() {
    let Some(mut bench) = Bench::new() else { return };
    bench.tree =
        bench.tree.clone().file("opt/gone", 0o644, b"x").file("opt/changed", 0o640, b"old");
    let seen = bench.sh(
        "rm /opt/gone; echo new >/opt/changed; mkdir -m 700 /srv; echo data >/srv/f; chown 33:44 /srv/f
         chmod 4755 /srv/f; ln /srv/f /srv/g; ln -s f /srv/l; mkfifo /srv/p; mknod /srv/d c 1 3
         dd if=/dev/zero of=/srv/big bs=1M count=3 2>/dev/null",
    );
    let expected = [
        "/opt",
        "/opt/changed",
        "/opt/gone",
        "/srv",
        "/srv/big",
        "/srv/d",
        "/srv/f",
        "/srv/g",
        "/srv/l",
        "/srv/p",
    ];
    assert_eq!(seen.paths(), expected);
    assert_eq!(seen.entries["/opt/gone"].0.change, Change::Whiteout);
    assert_eq!(seen.entries["/opt/changed"].1, b"new\n");
    assert_eq!(seen.meta("/opt/changed").0.mode, 0o640);
    let (meta, _) = seen.meta("/srv/f");
    assert_eq!((meta.uid, meta.gid, meta.mode), (33, 44, 0o4755));
    assert_eq!(seen.entries["/srv/g"].0.change, Change::Hardlink { target: path("/srv/f") });
    assert_eq!(seen.meta("/srv/l").1, &Kind::Symlink { target: b"f".to_vec() });
    assert_eq!(seen.meta("/srv/p").1, &Kind::Fifo);
    assert_eq!(seen.meta("/srv/d").1, &Kind::CharDevice { major: 1, minor: 3 });
    assert_eq!(seen.entries["/srv/big"].1.len(), 3 << 20);
}

#[test]
fn a_directory_made_again_hides_what_was_in_it() {
    let Some(mut bench) = Bench::new() else { return };
    bench.tree = bench.tree.clone().dir("opt/d").file("opt/d/old", 0o644, b"x").dir("opt/kept");
    let seen = bench.sh("rm -r /opt/d; mkdir /opt/d; echo new >/opt/d/new; echo x >/opt/kept/f");
    assert_eq!(seen.paths(), ["/opt", "/opt/d", "/opt/d/new", "/opt/kept", "/opt/kept/f"]);
    assert_eq!(seen.opaque, ["/opt/d"]);
    assert!(seen.meta("/opt/d").0.xattrs.is_empty());
}

#[test]
fn a_failed_step_gives_nothing() {
    let Some(bench) = Bench::new() else { return };
    let (seen, exit) = bench.run(sh("echo x >/f; exit 1"), vec![]);
    assert_eq!((exit.status, seen.entries.len()), (ExitStatus::Code(1), 0));
}

#[test]
fn the_network_is_the_hosts_or_none() {
    let Some(bench) = Bench::new() else { return };
    let inside = |network| {
        let process =
            Process { network, ..sh("readlink /proc/self/ns/net; cat /proc/net/dev; ifconfig lo") };
        let (seen, exit) = bench.run(process, vec![]);
        assert!(exit.success(), "{}", seen.err());
        seen.out()
    };
    let host = std::fs::read_link("/proc/self/ns/net").expect("a link");
    assert!(inside(Network::Host).starts_with(host.to_str().expect("ASCII")));
    let none = inside(Network::None);
    assert!(!none.starts_with(host.to_str().expect("ASCII")));
    assert_eq!(
        none.lines().filter(|line| line.contains(": ") && line.contains(" 0 ")).count(),
        1,
        "lo alone: {none}"
    );
    assert!(none.contains("UP LOOPBACK RUNNING"), "{none}");
}

#[test]
fn mounts_are_there_and_leave_no_trace() {
    let Some(bench) = Bench::new() else { return };
    let tree = || {
        Arc::new(
            Memory::new().dir("src").file("src/a", 0o644, b"from tree").file("one", 0o600, b"1"),
        )
    };
    let cache = bench.work.path().join("cache");
    let owner = Owner { mode: 0o750, uid: 0, gid: 0 };
    let mounts = vec![
        mount("/mnt/ro", JobMountKind::Tree { tree: tree(), source: path("src"), writable: false }),
        mount("/mnt/rw", JobMountKind::Tree { tree: tree(), source: path("/"), writable: true }),
        mount(
            "/mnt/file",
            JobMountKind::Tree { tree: tree(), source: path("one"), writable: false },
        ),
        mount(
            "/cache",
            JobMountKind::HostDir { path: cache.clone(), writable: true, make: Some(owner) },
        ),
        mount("/scratch", JobMountKind::Tmpfs { size: Some(1 << 20) }),
        mount("/scratch/deep/er", JobMountKind::Tmpfs { size: None }),
        mount(
            "/run/secrets/token",
            JobMountKind::Secret {
                content: b"hush".to_vec(),
                owner: Owner { mode: 0o400, uid: 0, gid: 0 },
            },
        ),
    ];
    let script = "
        [ \"$(cat /mnt/ro/a)\" = 'from tree' ]; ! touch /mnt/ro/b 2>/dev/null
        echo more >/mnt/rw/src/b; cat /mnt/rw/src/b; cat /mnt/file; echo
        echo kept >/cache/k; stat -c %a /cache; echo x >/scratch/x; echo y >/scratch/deep/er/y
        cat /run/secrets/token; echo; stat -c %a /run/secrets/token; ! dd if=/dev/zero of=/scratch/big bs=1M count=4 2>/dev/null
        grep -c secrets /proc/self/mountinfo;  ! grep -F -e upperdir=/ -e lowerdir=/ /proc/self/mountinfo";
    let (seen, exit) = bench.run(sh(script), mounts);
    assert!(exit.success(), "{} {}", seen.out(), seen.err());
    assert_eq!(seen.paths(), [""; 0]);
    assert!(seen.out().starts_with("more\n1\n750\nhush\n400\n"), "{}", seen.out());
    assert_eq!(std::fs::read(cache.join("k")).expect("it is kept"), b"kept\n");
}

#[test]
fn a_target_through_a_link_stays_in_the_root() {
    let Some(mut bench) = Bench::new() else { return };
    bench.tree = bench.tree.clone().link("var", "../../../../etc").link("loop", "loop");
    let tmpfs = || JobMountKind::Tmpfs { size: None };
    let (seen, exit) = bench.run(sh("echo x >/etc/here/f"), vec![mount("/var/here", tmpfs())]);
    assert!(exit.success(), "{}", seen.err());
    assert_eq!(seen.paths(), [""; 0]);
    assert!(!std::path::Path::new("/etc/here").exists());
    let (_, bad) =
        bench.try_run(bench.job(sh("true"), vec![mount("/loop/x", tmpfs())]), &Cancel::new());
    assert!(matches!(bad, Err(ExecError::Mount { .. })), "{bad:?}");
}

#[test]
fn capabilities_filter_and_devices_are_those_of_docker() {
    let Some(bench) = Bench::new() else { return };
    let seen = bench.sh("grep -E '^(Cap|Sec|NoNew)' /proc/self/status; ls /dev; ls -l /dev/ptmx; echo x >/dev/null; head -c 4 /dev/urandom | wc -c; ls -ld /dev/shm");
    let out = seen.out();
    for line in [
        "CapEff:\t00000000a80425fb",
        "CapPrm:\t00000000a80425fb",
        "CapBnd:\t00000000a80425fb",
        "CapInh:\t0000000000000000",
        "CapAmb:\t0000000000000000",
        "Seccomp:\t2",
        "NoNewPrivs:\t0",
    ] {
        assert!(out.contains(line), "{line}: {out}");
    }
    for device in
        "core fd full mqueue null ptmx pts random shm stderr stdin stdout tty urandom zero"
            .split(' ')
    {
        assert!(out.lines().any(|line| line == device), "{device}: {out}");
    }
    let user = Process {
        uid: 33,
        gid: 33,
        ..sh("grep Cap /proc/self/status; echo x >/dev/null; su www -c id 2>&1 || true")
    };
    let (seen, _) = bench.run(user, vec![]);
    assert!(seen.out().contains("CapEff:\t0000000000000000"), "{}", seen.out());
    assert!(seen.out().contains("CapBnd:\t00000000a80425fb"), "{}", seen.out());
}

/// A step may execute what the runner is (`/proc/self/exe`), and what it then
/// holds is not the host's file.
#[test]
fn the_hosts_program_is_out_of_reach() {
    let Some(bench) = Bench::new() else { return };
    let before = std::fs::metadata(crate::exec_support::runner()).expect("the runner");
    let mut process = sh("");
    process.argv = vec!["/proc/self/exe".to_owned()];
    // It wants a loader that the base has not; an attacker's base has one.
    let _ = bench.try_run(bench.job(process, vec![]), &Cancel::new());
    let seen = bench.sh("ls -l /proc/1/exe; chmod 4755 /proc/self/exe 2>/dev/null || true");
    assert!(!seen.out().contains("examples"), "{}", seen.out());
    let after = std::fs::metadata(crate::exec_support::runner()).expect("the runner");
    assert_eq!(before.permissions(), after.permissions());
}

#[test]
fn what_would_change_the_host_is_denied() {
    let Some(bench) = Bench::new() else { return };
    for script in [
        "mount -t tmpfs none /tmp",
        "umount /proc",
        "unshare -m true",
        "unshare -U true",
        "hostname other",
        "mkdir /sys/x",
        "echo 1 >/proc/sys/kernel/printk",
        "echo b >/proc/sysrq-trigger",
        "mknod /disk b 254 0 || true; head -c 1 /disk",
        "mknod /dev/disk b 254 0 || true; head -c 1 /dev/disk",
        "mknod /tmp/mem c 1 1 || true; head -c 1 /tmp/mem",
        "mkdir /dev/shm/x; mknod /dev/shm/x/disk b 254 0 || true; head -c 1 /dev/shm/x/disk",
    ] {
        let (_, exit) = bench.run(sh(script), vec![]);
        assert!(!exit.success(), "{script}");
    }
    let seen = bench.sh("cat /proc/kcore /proc/keys 2>/dev/null | wc -c; ls /sys/firmware | wc -l; cat /proc/1/root/etc/passwd | head -c 4; echo; ls /proc | grep -c '^[0-9]' ");
    assert!(seen.out().starts_with("0\n0\nroot"), "{}", seen.out());
    let processes: u32 = seen.out().lines().last().and_then(|n| n.parse().ok()).unwrap_or(99);
    assert!(processes < 8, "the host's processes are not seen: {processes}");
}

/// A set-user-id `su`, which asks for no password where there is none, makes a
/// user root: the filter leaves `no_new_privs` alone, and the root is no `nosuid`.
pub(crate) fn set_user_id_programs_work(bench: &Bench) {
    let busybox = crate::exec_support::busybox().expect("the bench has it");
    // By its path: busybox's shell runs what it is itself without executing it.
    let mut tree = bench.tree.clone().file(
        "etc/passwd",
        0o644,
        b"root::0:0::/:/bin/sh\nwww:x:33:33::/:/bin/sh\n",
    );
    tree = tree.file("bin/privileged", 0o4755, &busybox).link("bin/su", "privileged");
    let as_user =
        Process { uid: 33, gid: 33, ..sh("id -u; /bin/su -c 'id -u; echo x >/etc/by-root'") };
    let mut job = bench.job(as_user, vec![]);
    job.root = Arc::new(tree.clone());
    let (seen, exit) = bench.try_run(job, &Cancel::new());
    assert!(exit.expect("it runs").success(), "{} {}", seen.out(), seen.err());
    assert_eq!(seen.out(), "33\n0\n");
    assert_eq!(seen.meta("/etc/by-root").0.uid, 0);
    let mut job = bench.job(sh("/bin/su www -c 'id -u; touch /tmp/by-www'"), vec![]);
    job.root = Arc::new(tree);
    let (seen, exit) = bench.try_run(job, &Cancel::new());
    assert!(exit.expect("it runs").success(), "{} {}", seen.out(), seen.err());
    assert_eq!((seen.out().as_str(), seen.meta("/tmp/by-www").0.uid), ("33\n", 33));
}

#[test]
fn a_step_can_become_another_user_and_root_again() {
    let Some(bench) = Bench::new() else { return };
    set_user_id_programs_work(&bench);
}

#[test]
fn a_time_limit_kills_everything_in_time() {
    let Some(bench) = Bench::new() else { return };
    let limit = Some(Duration::from_millis(300));
    let begun = Instant::now();
    let process = Process { timeout: limit, ..sh("echo begun; sleep 1000.25 & sleep 1000.25") };
    let (seen, exit) = bench.run(process, vec![]);
    assert_eq!((exit.status, seen.out().as_str()), (ExitStatus::TimedOut, "begun\n"));
    assert!(begun.elapsed() < Duration::from_secs(10));
    assert!(!running("1000.25"));
}

#[test]
fn cancelling_kills_everything() {
    let Some(bench) = Bench::new() else { return };
    let cancel = Cancel::new();
    let job = bench.job(sh("sleep 1000.5"), vec![]);
    let other = cancel.clone();
    let thread = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(200));
        other.cancel();
    });
    let (_, exit) = bench.try_run(job, &cancel);
    thread.join().expect("it cancels");
    assert!(matches!(exit, Err(ExecError::Canceled)), "{exit:?}");
    assert!(!running("1000.5"));
    let (_, exit) = bench.try_run(bench.job(sh("true"), vec![]), &cancel);
    assert!(matches!(exit, Err(ExecError::Canceled)), "it stays so: {exit:?}");
}

#[test]
fn background_processes_end_with_the_command() {
    let Some(bench) = Bench::new() else { return };
    let seen =
        bench.sh("(while true; do echo x >>/log; sleep 0.01; done) & sleep 1000.75 & sleep 0.1");
    assert_eq!(seen.paths(), ["/log"]);
    assert!(!running("1000.75"));
}

#[test]
fn many_steps_run_at_the_same_time() {
    let Some(bench) = Bench::new() else { return };
    std::thread::scope(|scope| {
        for number in 0..6 {
            let bench = &bench;
            scope.spawn(move || {
                let seen = bench.sh(&format!("echo {number} >/f; cat /f"));
                assert_eq!(seen.out(), format!("{number}\n"));
                assert_eq!(seen.paths(), ["/f"]);
            });
        }
    });
}

/// Whether a process of the host has `word` as an argument.
fn running(word: &str) -> bool {
    let processes = std::fs::read_dir("/proc").expect("/proc").flatten();
    processes
        .filter_map(|entry| std::fs::read(entry.path().join("cmdline")).ok())
        .any(|line| line.split(|b| *b == 0).any(|arg| arg == word.as_bytes()))
}

const KINDS: [RootKind; 3] = [RootKind::Served, RootKind::Unpacked, RootKind::Copied];

#[test]
fn a_mount_on_one_name_of_a_file_leaves_the_others() {
    let Some(mut bench) = Bench::new() else { return };
    let links = Some(Links { first: path("aa"), count: 3 });
    let node = Node { meta: Meta::root_owned(0o644), kind: NodeKind::File { size: 7 }, links };
    for name in ["aa", "bb", "cc"] {
        bench.tree = bench.tree.with(name.as_bytes(), node.clone(), b"linked\n");
    }
    let script =
        "stat -c '%n %h %F' /aa /bb /cc; cat /bb /cc; test /bb -ef /cc; ! test /aa -ef /bb";
    for kind in KINDS {
        bench.sandbox = bench.sandbox.clone().with(bench.sandbox.ids().clone(), kind);
        let tmpfs = vec![mount("/aa", JobMountKind::Tmpfs { size: None })];
        let (seen, exit) = bench.run(sh(script), tmpfs);
        assert!(exit.success(), "{kind:?}: {}", seen.err());
        let (aa, rest) =
            seen.out().split_once('\n').map(|(a, b)| (a.to_owned(), b.to_owned())).expect("lines");
        assert!(aa.ends_with("directory"), "{kind:?}: {aa}");
        assert_eq!(rest, "/bb 2 regular file\n/cc 2 regular file\nlinked\nlinked\n", "{kind:?}");
    }
}

#[test]
fn paths_of_any_bytes_reach_the_runner() {
    use std::os::unix::ffi::OsStrExt as _;

    let Some(mut bench) = Bench::new() else { return };
    let link = |target: &[u8]| Node {
        meta: Meta::root_owned(0o777),
        kind: NodeKind::Symlink { target: target.to_vec() },
        links: None,
    };
    bench.tree = bench.tree.with(b"l", link(b"/\xff"), b"").with(b"from", link(b"\xfe"), b"");
    let file = Node { kind: NodeKind::File { size: 4 }, ..link(b"") };
    let tree = Memory::new().with(b"\xfe", file, b"mine").with(b"from", link(b"\xfe"), b"");
    let tree = JobMountKind::Tree { tree: Arc::new(tree), source: path("from"), writable: false };
    let mounts = vec![mount("/l", JobMountKind::Tmpfs { size: None }), mount("/from", tree)];
    let mut job = bench.job(sh("echo there >/l/in; cat /l/in /from"), mounts);
    job.work = job.work.join(std::ffi::OsStr::from_bytes(b"\xfd"));
    std::fs::create_dir(&job.work).expect("made");
    let (seen, exit) = bench.try_run(job, &Cancel::new());
    assert!(exit.expect("it runs").success(), "{}", seen.err());
    assert_eq!(seen.out(), "there\nmine");
}

#[test]
fn an_order_that_cannot_be_sent_is_no_missing_runner() {
    let Some(bench) = Bench::new() else { return };
    let mut process = sh("true");
    process.env.push(("LONG".to_owned(), "x".repeat(64 << 20)));
    let (_, exit) = bench.try_run(bench.job(process, vec![]), &Cancel::new());
    let error = exit.expect_err("too long");
    assert!(matches!(error, ExecError::Runner { .. }), "{error}");
}

#[test]
fn access_control_lists_of_the_host_stay_out() {
    let Some(mut bench) = Bench::new() else { return };
    // Version 2; owner, user 33, group, mask and others, as of `linux/posix_acl_xattr.h`.
    let entry = |tag: u8, mode: u8, id: [u8; 4]| [&[tag, 0, mode, 0][..], &id].concat();
    let none = [0xff; 4];
    let entries =
        [(1, 7, none), (2, 7, [33, 0, 0, 0]), (4, 5, none), (0x10, 7, none), (0x20, 0, none)];
    let entries = entries.map(|(tag, mode, id)| entry(tag, mode, id)).concat();
    let list = [&[2, 0, 0, 0][..], &entries].concat();
    for kind in KINDS {
        bench.sandbox = bench.sandbox.clone().with(bench.sandbox.ids().clone(), kind);
        let job = bench.job(sh("mkdir /opt/d; echo x >/opt/d/f; echo y >/etc/group"), vec![]);
        let set = rustix::fs::setxattr(
            &job.work,
            "system.posix_acl_default",
            &list,
            rustix::fs::XattrFlags::empty(),
        );
        if let Err(error) = set {
            return skip(&format!("no access control lists in the directory for tests: {error}"));
        }
        let (seen, exit) = bench.try_run(job, &Cancel::new());
        assert!(exit.expect("it runs").success(), "{kind:?}: {}", seen.err());
        for (at, mode) in [("/opt/d", 0o755), ("/opt/d/f", 0o644), ("/etc/group", 0o644)] {
            let (meta, _) = seen.meta(at);
            assert!(meta.xattrs.is_empty(), "{kind:?}: {at}: {meta:?}");
            assert_eq!(meta.mode, mode, "{kind:?}: {at}");
        }
    }
}
