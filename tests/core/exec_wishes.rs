//! What a step may ask of its sandbox: names of hosts, shared memory, limits, an
//! agent, everything that root may.

use std::os::unix::net::UnixListener;
use std::process::{Child, Command, Stdio};

use builder_core::exec::{Cancel, ExecError, JobMount, JobMountKind, Owner, Process};
use builder_core::plan::op::{Network, Security, Ulimit};

use crate::exec_support::{Bench, as_user, sh, skip};

fn limit(name: &str, soft: Option<u64>, hard: Option<u64>) -> Ulimit {
    Ulimit { name: name.to_owned(), soft, hard }
}

fn wishes(bench: &Bench) {
    let process = Process {
        hosts: vec![
            ("one.test".to_owned(), "192.0.2.1".to_owned()),
            ("six.test".to_owned(), "2001:db8::1".to_owned()),
        ],
        shm_size: Some(3 << 20),
        ulimits: vec![limit("nofile", Some(77), Some(88)), limit("core", Some(0), Some(0))],
        hostname: "named".to_owned(),
        network: Network::None,
        ..sh("cat /etc/hosts; ulimit -Sn; ulimit -Hn; hostname
              grep ' /dev/shm ' /proc/self/mountinfo
              ! dd if=/dev/zero of=/dev/shm/big bs=1M count=4 2>/dev/null
              dd if=/dev/zero of=/dev/shm/big bs=1M count=3 2>/dev/null")
    };
    let (seen, exit) = bench.run(process, vec![]);
    assert!(exit.success(), "{} {}", seen.out(), seen.err());
    let out = seen.out();
    assert!(out.contains("192.0.2.1\tone.test\n2001:db8::1\tsix.test\n77\n88\nnamed\n"), "{out}");
    assert!(out.contains("size=3072k"), "{out}");
    assert_eq!(seen.paths(), [""; 0]);
    let unknown = Process { ulimits: vec![limit("nonsense", None, None)], ..sh("true") };
    let (_, refused) = bench.try_run(bench.job(unknown, vec![]), &Cancel::new());
    assert!(
        matches!(&refused, Err(ExecError::Limit { name, .. }) if name == "nonsense"),
        "{refused:?}"
    );
}

/// A socket of the host is where the step wants it, with the owner it wants.
fn socket(bench: &Bench, agent: bool) {
    let path = bench.work.path().join("socket");
    let _listener = UnixListener::bind(&path).expect("bound");
    let owner = Owner { mode: 0o600, uid: 33, gid: 33 };
    let mount = JobMount {
        target: "/run/buildkit/ssh_agent.0".to_owned(),
        kind: JobMountKind::Socket { path, owner },
    };
    let script = "test -S /run/buildkit/ssh_agent.0; stat -c '%a %u:%g' /run/buildkit/ssh_agent.0";
    let (seen, exit) = bench.run(sh(script), vec![mount]);
    assert!(exit.success(), "{} {}", seen.out(), seen.err());
    assert_eq!(seen.out(), "600 33:33\n");
    assert_eq!(seen.paths(), [""; 0]);
    if agent {
        asked(bench);
    }
}

struct Agent(Child);

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A program in a step asks an agent outside.
fn asked(bench: &Bench) {
    let Some(tree) = with_program(bench, "/usr/bin/ssh-add") else { return };
    let path = bench.work.path().join("agent");
    let mut agent = Command::new("ssh-agent");
    agent.arg("-D").arg("-a").arg(&path).stdout(Stdio::null());
    let Ok(agent) = agent.spawn().map(Agent) else {
        skip("no ssh-agent (openssh-client)");
        return;
    };
    while std::os::unix::net::UnixStream::connect(&path).is_err() {
        std::thread::yield_now();
    }
    let owner = Owner { mode: 0o600, uid: 0, gid: 0 };
    let kind = JobMountKind::Socket { path, owner };
    let mount = JobMount { target: "/run/agent".to_owned(), kind };
    let mut job = bench.job(sh("SSH_AUTH_SOCK=/run/agent ssh-add -l || true"), vec![mount]);
    job.root = std::sync::Arc::new(tree);
    let (seen, exit) = bench.try_run(job, &Cancel::new());
    assert!(exit.is_ok_and(|exit| exit.success()), "{}", seen.err());
    assert!(seen.out().contains("no identities"), "{} {}", seen.out(), seen.err());
    drop(agent);
}

/// The bench's tree with a program of this host and the libraries it wants.
fn with_program(bench: &Bench, program: &str) -> Option<crate::exec_support::Memory> {
    let Ok(listed) = Command::new("ldd").arg(program).output() else {
        skip("no ldd");
        return None;
    };
    if !listed.status.success() {
        skip("no ssh-add (openssh-client)");
        return None;
    }
    let text = String::from_utf8_lossy(&listed.stdout).into_owned();
    let libraries = text.split_whitespace().filter(|word| word.starts_with('/'));
    let mut tree = bench.tree.clone().dir("usr").dir("usr/bin").dir("run");
    for path in libraries.chain([program]) {
        let content = std::fs::read(path).expect("it is there");
        let path = path.trim_start_matches('/');
        let above = std::path::Path::new(path)
            .ancestors()
            .skip(1)
            .filter(|a| *a != std::path::Path::new(""));
        for directory in above {
            tree = tree.dir(directory.to_str().expect("ASCII"));
        }
        tree = tree.file(path, 0o755, &content);
    }
    Some(tree)
}

#[test]
fn hosts_shared_memory_limits_and_a_socket_are_as_asked() {
    let Some(bench) = Bench::new() else { return };
    wishes(&bench);
    socket(&bench, true);
}

#[test]
fn an_ordinary_user_has_hosts_shared_memory_limits_and_a_socket() {
    as_user("exec_wishes::part_as_a_user", "phoenix-full");
}

#[test]
#[ignore = "a part of `an_ordinary_user_has_hosts_shared_memory_limits_and_a_socket`"]
fn part_as_a_user() {
    let bench = Bench::new().expect("all is there");
    wishes(&bench);
    socket(&bench, true);
}

#[test]
fn an_insecure_step_has_all_that_root_has_and_its_mounts_stay_its_own() {
    let Some(bench) = Bench::new() else { return };
    let process = Process {
        security: Security::Insecure,
        ..sh("grep -E '^(CapEff|CapBnd|Seccomp:)' /proc/self/status
              mkdir /m; mount -t tmpfs none /m; touch /m/x; umount /m; rmdir /m
              unshare -m true")
    };
    let (seen, exit) = bench.run(process, vec![]);
    assert!(exit.success(), "{} {}", seen.out(), seen.err());
    let out = seen.out();
    assert!(out.contains("Seccomp:\t0"), "{out}");
    let capability = |name: &str, text: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name)).expect("a line");
        u64::from_str_radix(line.trim(), 16).expect("a number")
    };
    let own = std::fs::read_to_string("/proc/self/status").expect("read");
    let (has, may) = (capability("CapEff:", &out), capability("CapBnd:", &own));
    assert_eq!(has, may, "{out}");
    let user = Process {
        security: Security::Insecure,
        uid: 33,
        gid: 33,
        ..sh("grep CapEff /proc/self/status")
    };
    let (seen, _) = bench.run(user, vec![]);
    assert_eq!(capability("CapEff:", &seen.out()), 0);
}
