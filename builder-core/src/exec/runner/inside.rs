//! What the process does in the child before it becomes the step's program.
//!
//! It runs between fork and exec, as process 1 of the new pid namespace.

use std::io;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, Mode, OFlags, openat};
use rustix::mount::{MountFlags, UnmountFlags, mount, mount_bind, mount_bind_recursive, unmount};
use rustix::process::{
    Gid, Resource, Rlimit, Signal, Uid, getrlimit, ioctl_tiocsctty, pivot_root, setrlimit, setsid,
};
use rustix::thread::{
    CapabilitySet, CapabilitySets, UnshareFlags, clear_ambient_capability_set,
    remove_capability_from_bounding_set, set_capabilities, set_thread_groups, set_thread_res_gid,
    set_thread_res_uid,
};

use super::super::spec::{Fault, FaultKind, Ids, OrFault, Step};
use super::super::{seccomp, sys};
use super::mounts::{below, by_fd, read_only};
use crate::plan::op::Ulimit;

/// Docker's default capabilities (moby, `oci/caps/defaults.go`).
const CAPABILITIES: CapabilitySet = CapabilitySet::CHOWN
    .union(CapabilitySet::DAC_OVERRIDE)
    .union(CapabilitySet::FSETID)
    .union(CapabilitySet::FOWNER)
    .union(CapabilitySet::MKNOD)
    .union(CapabilitySet::NET_RAW)
    .union(CapabilitySet::SETGID)
    .union(CapabilitySet::SETUID)
    .union(CapabilitySet::SETFCAP)
    .union(CapabilitySet::SETPCAP)
    .union(CapabilitySet::NET_BIND_SERVICE)
    .union(CapabilitySet::SYS_CHROOT)
    .union(CapabilitySet::KILL)
    .union(CapabilitySet::AUDIT_WRITE);

/// Docker's default masked paths (moby, `oci/defaults.go`).
const MASKED: [&str; 13] = [
    "proc/asound",
    "proc/acpi",
    "proc/interrupts",
    "proc/kcore",
    "proc/keys",
    "proc/latency_stats",
    "proc/timer_list",
    "proc/timer_stats",
    "proc/sched_debug",
    "proc/scsi",
    "sys/firmware",
    "sys/devices/virtual/powercap",
    "sys/kernel/debug",
];
/// Docker's default read-only paths.
const READ_ONLY: [&str; 5] = ["proc/bus", "proc/fs", "proc/irq", "proc/sys", "proc/sysrq-trigger"];

/// Everything up to exec.
pub(super) fn enter(step: &Step, root: &Path) -> Result<(), Fault> {
    if step.inherit {
        sys::ignore_interrupts(false);
    } else {
        setsid().or_fault("making a session")?;
    }
    if step.terminal.is_some() {
        ioctl_tiocsctty(io::stdin()).or_fault("taking the terminal")?;
    }
    rustix::system::sethostname(step.hostname.as_bytes()).or_fault("setting the host name")?;
    // Of its own, so that the runner keeps its root when this one is changed.
    sys::unshare(UnshareFlags::NEWNS).or_fault("making a mount namespace")?;
    change_root(root, step.insecure)?;
    rustix::process::umask(Mode::from_raw_mode(0o022));
    limits().or_fault("setting limits")?;
    for ulimit in &step.ulimits {
        limit(ulimit).or_kind(FaultKind::Limit, &ulimit.name)?;
    }
    become_user(step)?;
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL))
        .or_fault("tying the step to its runner")?;
    std::env::set_current_dir(&step.cwd).or_kind(FaultKind::Cwd, &step.cwd)
}

fn change_root(root: &Path, open: bool) -> Result<(), Fault> {
    let fd = openat(CWD, root, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
        .or_fault("opening the root")?;
    let quiet = MountFlags::NOSUID | MountFlags::NOEXEC | MountFlags::NODEV;
    below(fd.as_fd(), "proc")
        .and_then(|at| Ok(mount("proc", by_fd(&at), "proc", quiet, None)?))
        .or_fault("mounting /proc")?;
    rustix::process::fchdir(&fd).or_fault("entering the root")?;
    pivot_root(".", ".").or_fault("changing the root")?;
    unmount(".", UnmountFlags::DETACH).or_fault("leaving the host's root")?;
    std::env::set_current_dir("/").or_fault("entering the root")?;
    if open {
        return Ok(());
    }
    for path in MASKED {
        mask(path).or_fault(format!("masking /{path}"))?;
    }
    for path in READ_ONLY {
        let path = PathBuf::from("/").join(path);
        pass_absent(mount_bind_recursive(&path, &path))
            .and_then(|there| if there { remount(&path) } else { Ok(()) })
            .or_fault(format!("protecting {}", path.display()))?;
    }
    Ok(())
}

fn remount(path: &Path) -> io::Result<()> {
    read_only(&openat(CWD, path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?)
}

/// Hides a directory behind an empty one, a file behind `/dev/null`.
fn mask(path: &str) -> io::Result<()> {
    let path = Path::new("/").join(path);
    match path.symlink_metadata() {
        Ok(meta) if meta.is_dir() => {
            Ok(mount("tmpfs", &path, "tmpfs", MountFlags::RDONLY, Some(c"size=0k"))?)
        }
        Ok(_) => pass_absent(mount_bind("/dev/null", &path)).map(drop),
        Err(_) => Ok(()),
    }
}

fn pass_absent(result: rustix::io::Result<()>) -> io::Result<bool> {
    match result {
        Err(rustix::io::Errno::NOENT | rustix::io::Errno::NOTDIR) => Ok(false),
        other => Ok(other.map(|()| true)?),
    }
}

/// No core dumps, which would land in the layer; and the usual number of open
/// files, as some programs close every possible descriptor one by one.
fn limits() -> rustix::io::Result<()> {
    let hard = getrlimit(Resource::Core).maximum;
    setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: hard })?;
    let hard = getrlimit(Resource::Nofile).maximum.unwrap_or(u64::MAX).min(1 << 20);
    setrlimit(Resource::Nofile, Rlimit { current: Some(hard.min(1024)), maximum: Some(hard) })
}

/// A limit that the step asks for.
fn limit(Ulimit { name, soft, hard }: &Ulimit) -> io::Result<()> {
    let resource = match name.as_str() {
        "core" => Resource::Core,
        "cpu" => Resource::Cpu,
        "data" => Resource::Data,
        "fsize" => Resource::Fsize,
        "locks" => Resource::Locks,
        "memlock" => Resource::Memlock,
        "msgqueue" => Resource::Msgqueue,
        "nice" => Resource::Nice,
        "nofile" => Resource::Nofile,
        "nproc" => Resource::Nproc,
        "rss" => Resource::Rss,
        "rtprio" => Resource::Rtprio,
        "rttime" => Resource::Rttime,
        "sigpending" => Resource::Sigpending,
        "stack" => Resource::Stack,
        _ => return Err(io::Error::from_raw_os_error(libc::EINVAL)),
    };
    Ok(setrlimit(resource, Rlimit { current: *soft, maximum: *hard })?)
}

/// From root with all capabilities to what the step may be. The filter comes
/// first: without `no_new_privs`, which would break `su` and `sudo`, it takes
/// a capability that is dropped then.
fn become_user(step: &Step) -> Result<(), Fault> {
    if step.insecure {
        // All that root has is kept, and lost by whoever is not root.
        return take_ids(step);
    }
    for number in 0..64_u32 {
        let capability = CapabilitySet::from_bits_retain(1 << number);
        if CAPABILITIES.contains(capability) {
            continue;
        }
        match remove_capability_from_bounding_set(capability) {
            // The kernel knows none of this number, nor any above.
            Err(rustix::io::Errno::INVAL) => break,
            other => other.or_fault("dropping capabilities")?,
        }
    }
    clear_ambient_capability_set().or_fault("dropping capabilities")?;
    seccomp::install(step.inherit).or_fault("installing the system call filter")?;
    take_ids(step)?;
    let held = if step.uid == 0 { CAPABILITIES } else { CapabilitySet::empty() };
    let sets =
        CapabilitySets { effective: held, permitted: held, inheritable: CapabilitySet::empty() };
    set_capabilities(None, sets).or_fault("dropping capabilities")
}

/// Becomes the step's user, with its groups.
fn take_ids(step: &Step) -> Result<(), Fault> {
    if step.ids != Ids::Single {
        // The own group is among the others, as under Docker: else a set-group-id
        // program could shed it, and with it what modes deny to the group.
        let own = (!step.groups.contains(&step.gid)).then_some(step.gid);
        let all = own.iter().chain(&step.groups);
        let groups: Vec<Gid> = all.map(|id| Gid::from_raw(*id)).collect();
        set_thread_groups(&groups).or_fault("setting groups")?;
    }
    let (uid, gid) = (Uid::from_raw(step.uid), Gid::from_raw(step.gid));
    set_thread_res_gid(gid, gid, gid).or_fault(format!("becoming group {}", step.gid))?;
    set_thread_res_uid(uid, uid, uid).or_fault(format!("becoming user {}", step.uid))
}
