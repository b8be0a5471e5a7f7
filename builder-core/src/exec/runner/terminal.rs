//! A terminal for a step: of the step's own devpts, so that it has a name there.

use std::fs;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use rustix::fs::{CWD, Mode, OFlags, Uid, fchown, openat};
use rustix::mount::mount_bind;
use rustix::pty::{OpenptFlags, ioctl_tiocgptpeer, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};

use super::super::TerminalSize;
use super::super::spec::{Fault, OrFault, Report, Step};
use super::super::wire::Wire;
use super::mounts::{below, by_fd};

/// Opens a terminal in the step's root, hands its other end to Phoenix, and
/// gives the three streams of the step.
pub(super) fn open(
    wire: &Wire,
    step: &Step,
    root: &Path,
    size: TerminalSize,
) -> Result<[OwnedFd; 3], Fault> {
    let root = openat(CWD, root, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
        .or_fault("opening the root")?;
    let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
    let ours = below(root.as_fd(), "dev/pts/ptmx")
        .and_then(|at| Ok(openat(CWD, by_fd(&at), flags, Mode::empty())?))
        .or_fault("opening a terminal")?;
    unlockpt(&ours).or_fault("opening a terminal")?;
    let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
    let theirs = ioctl_tiocgptpeer(&ours, flags).or_fault("opening a terminal")?;
    let size = Winsize { ws_row: size.rows, ws_col: size.columns, ws_xpixel: 0, ws_ypixel: 0 };
    tcsetwinsize(&theirs, size).or_fault("sizing the terminal")?;
    fchown(&theirs, Some(Uid::from_raw(step.uid)), None).or_fault("owning the terminal")?;
    // Docker's users find it there too.
    below(root.as_fd(), "dev")
        .and_then(|dev| {
            let console = by_fd(&dev).join("console");
            fs::File::create_new(&console)?;
            Ok(mount_bind(by_fd(&theirs), &console)?)
        })
        .or_fault("making /dev/console")?;
    wire.send(&Report::Terminal, &[ours.as_fd()]).or_fault("handing out the terminal")?;
    let copy = || theirs.try_clone().or_fault("copying a descriptor");
    Ok([copy()?, copy()?, theirs])
}
