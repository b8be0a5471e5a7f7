//! The sandbox beside a real Docker: the verdict of the filter on every system
//! call, and what else a process can see of its confinement.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use builder_core::exec::Process;
use builder_core::plan::op::Network;

use crate::exec_support::{Bench, busybox, sh};
use crate::support::docker::Docker;
use crate::support::tools;

/// A call, a family or a flag where Debian 12's Docker (20.10) and a step differ,
/// and why. Everywhere else they must say the same.
fn known(key: &str) -> Option<&'static str> {
    let words: Vec<&str> = key.split(' ').collect();
    let number: u32 = words[1].parse().expect("a number");
    match (words[0], number, words.get(2).copied()) {
        ("x32", ..) => Some("x32 is not offered"),
        (_, 425..=427, _) => Some("io_uring: denied since Docker 25"),
        (_, _, Some("socket=0x26" | "socket=0x28")) => {
            Some("AF_ALG and AF_VSOCK: denied by today's Docker")
        }
        (_, 450..=466, None) => Some("newer than that Docker"),
        ("native", 303, _) | ("x86", 341, _) => Some("name_to_handle_at: allowed since Docker 23"),
        ("native", 310..=311, _) | ("x86", 347..=348, _) => {
            Some("process_vm_readv and _writev: allowed since Docker 23, as ptrace")
        }
        ("native", 329..=331, _) | ("x86", 380..=382, _) => {
            Some("protection keys: allowed since Docker 23")
        }
        _ => None,
    }
}

/// The probe, compiled; `None` (said loudly) where there is no compiler.
fn probe(dir: &Path) -> Option<Vec<u8>> {
    if !tools::have(&["cc"]) {
        return None;
    }
    let (source, binary) = (dir.join("probe.c"), dir.join("probe"));
    std::fs::write(&source, include_str!("../fixtures/filter_probe.c")).expect("a new file");
    let mut compile = Command::new("cc");
    tools::success(
        compile.args(["-static", "-O1", "-D_GNU_SOURCE", "-o"]).args([&binary, &source]),
    );
    Some(std::fs::read(&binary).expect("it was made"))
}

/// A Docker with an image of a busybox and `extra` in its `/bin`.
fn docker(dir: &Path, extra: &[(&str, &[u8])]) -> Option<Docker> {
    let docker = Docker::start()?;
    let bin = dir.join("root/bin");
    std::fs::create_dir_all(&bin).expect("a new directory");
    std::fs::create_dir(dir.join("root/etc")).expect("a new directory");
    std::fs::write(dir.join("root/etc/passwd"), "root:x:0:0:root:/root:/bin/sh\n").expect("new");
    let put = |name: &str, bytes: &[u8]| {
        use std::os::unix::fs::PermissionsExt;
        let path = bin.join(name);
        std::fs::write(&path, bytes).expect("a new file");
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o755)).expect("it is ours");
    };
    put("busybox", &busybox()?);
    extra.iter().for_each(|(name, bytes)| put(name, bytes));
    std::os::unix::fs::symlink("busybox", bin.join("sh")).expect("a new link");
    let (root, tar) = (dir.join("root"), dir.join("root.tar"));
    tools::run("tar", [Path::new("-C"), &root, Path::new("-cf"), &tar, Path::new(".")]);
    docker.run(&["import", tar.to_str().expect("UTF-8"), "probe"]);
    Some(docker)
}

#[test]
fn every_system_call_fares_in_a_step_as_in_docker() {
    let Some(mut bench) = Bench::new() else { return };
    let dir = tempfile::tempdir().expect("a temporary directory");
    let Some(probe) = probe(dir.path()) else { return };
    let Some(docker) = docker(dir.path(), &[("probe", &probe)]) else { return };
    let theirs = docker.run(&["run", "--rm", "--network", "none", "probe", "/bin/probe"]);
    bench.tree = bench.tree.clone().file("bin/probe", 0o755, &probe);
    let ours = bench.sh("probe").out();
    let (ours, theirs) = (verdicts(&ours), verdicts(&theirs));
    for table in [&ours, &theirs] {
        let allowed = table.values().filter(|verdict| *verdict == "allow").count();
        assert!(allowed > 300 && table.len() > allowed + 80, "{allowed} of {}", table.len());
    }
    assert!(ours.keys().eq(theirs.keys()), "both were asked the same");
    let strange = |(key, ours): &(&String, &String)| theirs[*key] != **ours && known(key).is_none();
    let told =
        |(key, ours): (&String, &String)| format!("{key}: {ours}, in docker {}", theirs[key]);
    let strange: Vec<String> = ours.iter().filter(strange).map(told).collect();
    assert!(strange.is_empty(), "{}", strange.join("\n"));
}

/// Verdicts by call and argument.
fn verdicts(text: &str) -> BTreeMap<String, String> {
    let entry = |line: &str| {
        let mut words: Vec<&str> = line.split(' ').collect();
        let verdict = words.remove(2).to_owned();
        (words.join(" "), verdict)
    };
    text.lines().map(entry).collect()
}

/// Prints what a process can see of its confinement, one fact a line.
const FACTS: &str = r#"
grep() { busybox grep "$@"; }
grep -E '^(Uid|Gid|Groups|Umask|Cap...|NoNewPrivs|Seccomp):' /proc/self/status
grep '^Max core' /proc/self/limits
for file in /dev/*; do
    if [ -L $file ]; then echo "$file $(busybox readlink $file)"
    else busybox stat -c '%n %F %a %u:%g %t:%T' $file; fi
done
busybox awk '$5 ~ "^/(proc|sys|dev)(/|$)" {
    for (i = 7; $i != "-"; i++); print "mount", $5, $6, $(i + 1)
}' /proc/self/mountinfo
for path in /proc/sys/kernel/x /proc/sysrq-trigger /sys/x /proc/acpi/x /dev/x; do
    if (echo > $path) 2>/dev/null; then echo "writable: $path"; fi
done
busybox rm -f /dev/x
"#;

#[test]
fn a_step_is_confined_as_a_container_of_docker() {
    let Some(bench) = Bench::new() else { return };
    let dir = tempfile::tempdir().expect("a temporary directory");
    let Some(docker) = docker(dir.path(), &[]) else { return };
    let theirs = docker.run(&["run", "--rm", "--network", "none", "probe", "/bin/sh", "-c", FACTS]);
    let (seen, exit) = bench.run(Process { network: Network::None, ..sh(FACTS) }, vec![]);
    assert!(exit.success(), "{}", seen.err());
    let ours = seen.out();
    let apart = |a: &str, b: &str, allowed: &[&str]| -> Vec<String> {
        let known = |line: &&str| !allowed.iter().any(|start| line.starts_with(start));
        let only = a.lines().filter(|line| !b.lines().any(|other| other == *line));
        only.filter(known).map(str::to_owned).collect()
    };
    // Masked since later versions of Docker, and what it masks only where it is.
    let more = ["mount /proc/interrupts ", "mount /sys/devices/", "mount /sys/kernel/debug "];
    // Without control groups only `nodev` says which devices open: each of the
    // few is a mount of its own.
    let devices = ["null ", "zero ", "full ", "random ", "urandom ", "tty "]
        .map(|name| format!("mount /dev/{name}"));
    let devices = devices.each_ref().map(String::as_str);
    let known = [&more[..], &devices, &["mount /dev ", "/dev/core "]].concat();
    assert_eq!(apart(&ours, &theirs, &known), [""; 0]);
    // Steps have no control groups of their own, and see none.
    assert_eq!(apart(&theirs, &ours, &["mount /sys/fs/cgroup", "mount /dev "]), [""; 0]);
    assert!(ours.lines().count() > 35, "{ours}");
}
