//! The few system calls that have no safe wrapper: the only unsafe code.
//!
//! All of it runs in the runner, which has one thread.
#![expect(unsafe_code, reason = "system calls without a safe wrapper")]

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::process::CommandExt;
use std::process::Command;

use rustix::thread::{UnshareFlags, unshare_unsafe};

/// One instruction of a classic BPF program.
pub(super) type Instruction = libc::sock_filter;

/// Has `prepare` run in the child between fork and exec.
///
/// The caller promises that this process has one thread: then the child of a
/// fork may do anything, memory allocation included.
pub(super) fn before_exec(
    command: &mut Command,
    prepare: impl FnMut() -> io::Result<()> + Send + Sync + 'static,
) {
    // SAFETY: the runner never starts a thread, so no lock can be held by
    // another thread at the time of the fork.
    unsafe { command.pre_exec(prepare) };
}

/// Takes descriptor `fd`, which the executing process left open for us.
pub(super) fn take_inherited(fd: RawFd) -> io::Result<OwnedFd> {
    // SAFETY: fcntl only looks whether the number is open.
    if unsafe { libc::fcntl(fd, libc::F_GETFD) } < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: it is open, and called once, at the start, for a descriptor that
    // nothing else in this process owns.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Closes every descriptor but the three standard ones. For the start of the
/// process only, before anything owns one.
pub(super) fn close_the_rest() {
    // SAFETY: nothing in this process owns a descriptor above 2 yet. Should
    // the kernel lack the call (before 5.9), all stay open, marked below.
    let done = unsafe { libc::syscall(libc::SYS_close_range, 3_u32, u32::MAX, 0_u32) };
    if done != 0 {
        for fd in 3..1024 {
            // SAFETY: as above; closing a number that is not open is an error
            // that is ignored.
            unsafe { libc::close(fd) };
        }
    }
}

/// Installs a system call filter for this thread without `no_new_privs`, which
/// takes `CAP_SYS_ADMIN` in the user namespace.
pub(super) fn install_filter(program: &[Instruction]) -> io::Result<()> {
    let len =
        u16::try_from(program.len()).map_err(|_| io::Error::from_raw_os_error(libc::E2BIG))?;
    let prog = libc::sock_fprog { len, filter: program.as_ptr().cast_mut() };
    // SAFETY: the kernel copies the program and does not write to it.
    let done = unsafe {
        libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, 0, &raw const prog)
    };
    if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Switches the loopback device of this network namespace on.
pub(super) fn loopback_up(socket: &OwnedFd) -> io::Result<()> {
    // SAFETY: all zeros is a valid ifreq.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    request.ifr_name[0] = b'l'.cast_signed() as libc::c_char;
    request.ifr_name[1] = b'o'.cast_signed() as libc::c_char;
    request.ifr_ifru.ifru_flags = (libc::IFF_UP | libc::IFF_RUNNING) as libc::c_short;
    // SAFETY: the request lives for the call, which reads an ifreq.
    let done =
        unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCSIFFLAGS as _, &raw const request) };
    if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Whether the terminal's interrupt and quit keys are ignored by this process.
pub(super) fn ignore_interrupts(ignore: bool) {
    let action = if ignore { libc::SIG_IGN } else { libc::SIG_DFL };
    for signal in [libc::SIGINT, libc::SIGQUIT] {
        // SAFETY: neither disposition runs code of this process.
        unsafe { libc::signal(signal, action) };
    }
}

/// Leaves the namespaces of `flags` for new ones.
pub(super) fn unshare(flags: UnshareFlags) -> io::Result<()> {
    debug_assert!(!flags.contains(UnshareFlags::FILES), "descriptors are never unshared");
    // SAFETY: only namespaces are unshared, by a process of one thread.
    Ok(unsafe { unshare_unsafe(flags) }?)
}
