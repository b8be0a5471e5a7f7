//! One step, from order to done.

use std::fs::{self};
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::mount::{UnmountFlags, unmount};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open};
use rustix::thread::UnshareFlags;

use super::super::spec::{Fault, FaultKind, Ids, OrFault, Report, Step, WireEntry};
use super::super::wire::{CONTENT, Wire};
use super::super::{RootKind, sys};
use super::mounts::{Prepared, Written};
use super::{inside, mounts, next_order, remove, stopped, terminal, userns};
use crate::root::capture::{EntrySink, Marks, walk_upper};
use crate::root::copied::walk_changes;

/// An errno that no system call of ours gives: the child has said already what
/// failed.
const REPORTED: i32 = libc::EUCLEAN;

/// Runs the step; its work directory is empty afterwards, whatever happens.
pub(super) fn run(wire: &Wire, step: &Step, stdio: Vec<OwnedFd>) -> Result<(), Fault> {
    userns::enter(wire, step.ids)?;
    let result = in_namespaces(wire, step, stdio);
    let cleaned = clean_up(step);
    result.and(cleaned)
}

fn in_namespaces(wire: &Wire, step: &Step, stdio: Vec<OwnedFd>) -> Result<(), Fault> {
    if step.inherit {
        sys::ignore_interrupts(true);
    } else {
        // Out of the terminal's reach: only Phoenix takes its signals.
        let _ = rustix::process::setsid();
    }
    sys::unshare(UnshareFlags::NEWNS)
        .or_kind(FaultKind::UserNamespace, "making a mount namespace")?;
    let mut flags = UnshareFlags::NEWPID | UnshareFlags::NEWIPC | UnshareFlags::NEWUTS;
    if step.own_network {
        flags |= UnshareFlags::NEWNET;
    }
    sys::unshare(flags).or_fault("making namespaces")?;
    // Without it the host's control groups are named in /proc/self/cgroup.
    let _ = sys::unshare(UnshareFlags::NEWCGROUP);
    if step.own_network {
        let socket = rustix::net::socket(
            rustix::net::AddressFamily::INET,
            rustix::net::SocketType::DGRAM,
            None,
        )
        .or_fault("making a socket")?;
        sys::loopback_up(&socket).or_fault("switching the loopback device on")?;
    }
    let Prepared { root, written } = mounts::prepare(wire, step)?;
    let mut child = spawn(wire, step, &root, stdio)?;
    let told = wire.send(&Report::Started, &[]);
    let (status, stop) = wait(wire, &mut child).or_fault("waiting for the step")?;
    told.or_fault("telling that the step runs")?;
    if stop {
        return Err(stopped());
    }
    let ended = Report::Ended { code: status.code(), signal: status.signal() };
    wire.send(&ended, &[]).or_fault("telling that the step ended")?;
    if step.capture && status.success() { capture(wire, step.ids, &written) } else { Ok(()) }
}

/// Forks and executes the program.
fn spawn(wire: &Wire, step: &Step, root: &Path, stdio: Vec<OwnedFd>) -> Result<Child, Fault> {
    let [stdin, stdout, stderr] = match step.terminal {
        Some(size) => terminal::open(wire, step, root, size)?,
        None => <[OwnedFd; 3]>::try_from(stdio).map_err(|_| {
            Fault::new(FaultKind::Setup, "taking streams", &io::ErrorKind::InvalidInput.into())
        })?,
    };
    if !step.inherit && step.terminal.is_none() {
        // So that a step of another user can open /dev/stdout.
        for pipe in [&stdout, &stderr] {
            let owner = (rustix::fs::Uid::from_raw(step.uid), rustix::fs::Gid::from_raw(step.gid));
            let _ = rustix::fs::fchown(pipe, Some(owner.0), Some(owner.1));
        }
    }
    let mut argv = step.argv.iter();
    let program = argv.next().ok_or_else(|| {
        Fault::new(FaultKind::NotFound, "", &io::Error::from_raw_os_error(libc::ENOENT))
    })?;
    let mut command = Command::new(program);
    command.args(argv).env_clear().envs(step.env.iter().map(|(k, v)| (k, v)));
    command.stdin(Stdio::from(stdin)).stdout(Stdio::from(stdout)).stderr(Stdio::from(stderr));
    let socket = rustix::io::fcntl_dupfd_cloexec(wire, 3).or_fault("copying a descriptor")?;
    let (wire_inside, inside_step, root) =
        (Wire::new(socket), Arc::new(step.clone()), root.to_owned());
    sys::before_exec(&mut command, move || match inside::enter(&inside_step, &root) {
        Ok(()) => Ok(()),
        Err(fault) => {
            wire_inside.send(&Report::Fault(fault), &[])?;
            Err(io::Error::from_raw_os_error(REPORTED))
        }
    });
    command.spawn().map_err(|error| match error.raw_os_error() {
        Some(REPORTED) => stopped(),
        Some(libc::ENOENT | libc::ENOTDIR) => Fault::new(FaultKind::NotFound, program, &error),
        Some(libc::ENOMEM | libc::EAGAIN) | None => {
            Fault::new(FaultKind::Setup, "starting the step", &error)
        }
        Some(_) => Fault::new(FaultKind::NotExecutable, program, &error),
    })
}

/// Waits for process 1, and thereby for all of its pid namespace, or kills it
/// when Phoenix wants that or is gone; says whether that was so.
fn wait(wire: &Wire, child: &mut Child) -> io::Result<(std::process::ExitStatus, bool)> {
    let pid = Pid::from_child(child);
    let pidfd = pidfd_open(pid, PidfdFlags::empty())?;
    let mut stop = false;
    while !stop {
        let mut fds = [PollFd::new(&pidfd, PollFlags::IN), PollFd::new(wire, PollFlags::IN)];
        match poll(&mut fds, None) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        if !fds[0].revents().is_empty() {
            break;
        }
        if !fds[1].revents().is_empty() {
            // Whatever it says: nothing but an end is to be said now.
            let _ = next_order(wire);
            rustix::process::pidfd_send_signal(&pidfd, Signal::KILL)?;
            stop = true;
        }
    }
    Ok((child.wait()?, stop))
}

/// Tells Phoenix every entry that the step wrote.
fn capture(wire: &Wire, ids: Ids, written: &Written) -> Result<(), Fault> {
    let sink: EntrySink<'_> = &mut |entry, content| {
        wire.send(&Report::Entry(WireEntry::from(entry)), &[])?;
        content.map_or(Ok(()), |content| send_content(wire, content))
    };
    let marks = if ids == Ids::Root { Marks::Trusted } else { Marks::User };
    let walked = match written {
        Written::Upper(upper) => walk_upper(upper, marks, sink),
        Written::Copy(copy, before) => walk_changes(copy, before, sink),
    };
    walked.map_err(|error| Fault::new(FaultKind::Capture, error.to_string(), &error))
}

fn send_content(wire: &Wire, content: &mut dyn Read) -> io::Result<()> {
    let mut buf = vec![0; CONTENT];
    loop {
        match content.read(&mut buf) {
            Ok(0) => return Ok(()),
            Ok(n) => wire.send_content(&buf[..n])?,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// Takes the mounts off and removes what the step wrote.
fn clean_up(step: &Step) -> Result<(), Fault> {
    let _ = std::env::set_current_dir("/");
    let what = || format!("emptying {}", step.work.display());
    let entries: Vec<_> =
        fs::read_dir(&step.work).and_then(Iterator::collect::<io::Result<_>>).or_fault(what())?;
    // All of them first: what is bound elsewhere is a mount point there, too.
    for entry in &entries {
        while unmount(entry.path(), UnmountFlags::DETACH).is_ok() {}
    }
    for entry in entries {
        let path = entry.path();
        let name = entry.file_name();
        let written = name.as_encoded_bytes();
        let ours = |name: &&[u8]| written.starts_with(name);
        let unpacked = step.kind != RootKind::Served && written.starts_with(b"lower");
        if unpacked || [&b"upper"[..], b"work"].iter().any(ours) {
            remove::tree(&path).or_fault(what())?;
        } else {
            // A mount point, empty, or it is not removed: never through a mount.
            fs::remove_dir(&path).or_fault(what())?;
        }
    }
    Ok(())
}
