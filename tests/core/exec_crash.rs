//! What is left of a step when Phoenix is killed: nothing that runs or is
//! mounted, and files that the next run sweeps. And how a step fares as an
//! ordinary user.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use builder_core::exec::{Cancel, ExecError, IdMap, Process, RootKind};

use crate::exec_support::{Bench, as_user, is_empty, sh};

/// Executes this test program again for one ignored test of this file.
fn again(test: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().expect("this executable"));
    command.args(["--exact", &format!("exec_crash::{test}"), "--ignored", "--nocapture"]);
    command
}

#[test]
#[ignore = "a part of `a_killed_builder_leaves_no_process_and_no_mount`"]
fn part_that_is_killed() {
    let Some(bench) = Bench::new() else { return };
    let dir = std::env::var("EXEC_TEST_WORK").expect("set by the other part");
    let mut job = bench.job(sh("echo x >/f; sleep 1000.125 & sleep 1000.125"), vec![]);
    job.work = dir.into();
    let _ = bench.try_run(job, &Cancel::new());
}

#[test]
fn a_killed_builder_leaves_no_process_and_no_mount() {
    let Some(bench) = Bench::new() else { return };
    let work = tempfile::tempdir().expect("a directory");
    for moment in [0, 5, 20, 60, 400] {
        let mut child = again("part_that_is_killed")
            .env("EXEC_TEST_WORK", work.path())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("it starts");
        let begun = Instant::now();
        while moment > 0 && is_empty(work.path()) && begun.elapsed() < Duration::from_secs(20) {
            std::thread::sleep(Duration::from_millis(1));
        }
        std::thread::sleep(Duration::from_millis(moment));
        child.kill().expect("it is killed");
        child.wait().expect("it is dead");
        let path = work.path().to_str().expect("ASCII").to_owned();
        let swept = || {
            for entry in std::fs::read_dir(work.path()).expect("a directory").flatten() {
                bench.sandbox.clean(&[&entry.path()]).expect("it is swept");
            }
            is_empty(work.path())
        };
        let gone = || !mentions("cmdline", "1000.125") && !mentions("mountinfo", &path) && swept();
        eventually(gone, &format!("all is gone after {moment} ms"));
    }
}

/// Whether any process of the host has `word` in a file of its /proc.
fn mentions(file: &str, word: &str) -> bool {
    let processes = std::fs::read_dir("/proc").expect("/proc").flatten();
    processes
        .filter_map(|entry| std::fs::read(entry.path().join(file)).ok())
        .any(|text| text.windows(word.len()).any(|part| part == word.as_bytes()))
}

fn eventually(holds: impl Fn() -> bool, what: &str) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < Duration::from_secs(10), "{what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn a_program_that_is_no_runner_is_found_out() {
    let Some(bench) = Bench::new() else { return };
    for program in ["/bin/true", "/bin/cat"] {
        let path = builder_core::exec::RunnerPath::Path(program.into());
        let sandbox = builder_core::exec::Sandbox::detect(path).expect("nothing is executed yet");
        let bench = Bench {
            sandbox,
            work: tempfile::tempdir().expect("a directory"),
            tree: bench.tree.clone(),
        };
        let (_, exit) = bench.try_run(bench.job(sh("true"), vec![]), &Cancel::new());
        assert!(
            matches!(exit, Err(ExecError::NoRunner { .. } | ExecError::Runner { .. })),
            "{exit:?}"
        );
    }
    let own = builder_core::exec::Sandbox::detect(builder_core::exec::RunnerPath::CurrentExe);
    assert!(
        matches!(own, Err(ExecError::NoRunner { .. })),
        "this test has no runner_main: {own:?}"
    );
}

#[test]
fn an_ordinary_user_with_subordinate_ids_has_all_of_it() {
    as_user("exec_crash::part_with_subordinate_ids", "phoenix-full");
}

#[test]
#[ignore = "a part of `an_ordinary_user_with_subordinate_ids_has_all_of_it`"]
fn part_with_subordinate_ids() {
    let bench = Bench::new().expect("all is there");
    assert!(matches!(bench.sandbox.ids(), IdMap::Full { .. }), "{:?}", bench.sandbox.ids());
    let seen = bench.sh(
        "echo x >/srv; chown 33:44 /srv; chmod 4750 /srv; mkdir -m 0 /locked; chown 33 /locked; rm /etc/passwd
         id; grep -E '^(CapEff|Seccomp:)' /proc/self/status; echo y >/dev/null; cat /etc/hosts >/dev/null; ls /sys",
    );
    assert_eq!(seen.paths(), ["/etc", "/etc/passwd", "/locked", "/srv"]);
    let (meta, _) = seen.meta("/srv");
    assert_eq!((meta.uid, meta.gid, meta.mode), (33, 44, 0o4750));
    assert!(
        seen.out().contains("uid=0") && seen.out().contains("00000000a80425fb"),
        "{}",
        seen.out()
    );
    let user = Process { uid: 33, gid: 33, groups: vec![44], ..sh("id; echo ok >/dev/stdout") };
    let (seen, exit) = bench.run(user, vec![]);
    assert!(
        exit.success() && seen.out().contains("uid=33") && seen.out().ends_with("ok\n"),
        "{}{}",
        seen.out(),
        seen.err()
    );
    let none = Process {
        network: builder_core::plan::op::Network::None,
        ..sh("ifconfig lo; ls /sys/class/net")
    };
    let (seen, exit) = bench.run(none, vec![]);
    assert!(exit.success() && seen.out().contains("RUNNING"), "{}{}", seen.out(), seen.err());
    crate::exec_steps::set_user_id_programs_work(&bench);
    // What a crash left with others' ids is swept.
    let left = bench.work.path().join("left");
    std::fs::create_dir(&left).expect("made");
    bench.sandbox.clean(&[&left]).expect("swept");
    assert!(!left.exists());
}

#[test]
fn an_ordinary_user_with_one_id_is_root_or_told_at_once() {
    as_user("exec_crash::part_with_one_id", "phoenix-full");
}

#[test]
#[ignore = "a part of `an_ordinary_user_with_one_id_is_root_or_told_at_once`"]
fn part_with_one_id() {
    let mut bench = Bench::new().expect("all is there");
    bench.sandbox = bench.sandbox.with(IdMap::Single, RootKind::Served);
    let seen = bench.sh("echo x >/f; id -u; mkdir -p /a/b; ls -l /etc/passwd; ls /dev/pts");
    assert_eq!(seen.paths(), ["/a", "/a/b", "/f"]);
    assert_eq!(seen.meta("/f").0.uid, 0);
    let refused = [Process { uid: 33, ..sh("true") }, Process { needs_ids: true, ..sh("true") }];
    for process in refused {
        let (_, exit) = bench.try_run(bench.job(process, vec![]), &Cancel::new());
        let error = exit.expect_err("refused").to_string();
        assert!(error.contains("uidmap") && error.contains("/etc/subuid"), "{error}");
    }
    let (seen, exit) = bench.run(sh("echo x >/f; chown 33 /f"), vec![]);
    assert!(!exit.success(), "{}", seen.err());
}

/// Not a test of a promise but the figure that the docs name: run with
/// `--ignored --nocapture`.
#[test]
#[ignore = "measures"]
fn start_up_time() {
    let Some(bench) = Bench::new() else { return };
    let mut times: Vec<_> = (0..30)
        .map(|_| {
            let begun = Instant::now();
            bench.sh("true");
            begun.elapsed()
        })
        .collect();
    times.sort();
    println!("median {:?}, least {:?}, most {:?}", times[15], times[0], times[29]);
}
