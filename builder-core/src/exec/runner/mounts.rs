//! The mounts that stand before the process starts: root, `/dev`, `/sys`, the
//! job's own.
//!
//! Every target is opened below the new root with openat2 (`RESOLVE_IN_ROOT`,
//! no symbolic links) and mounted on through `/proc/self/fd`, so that nothing
//! in a tree can send a mount elsewhere.

use std::ffi::CString;
use std::fs;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};

use rustix::fs::{
    CWD, FileType, Mode, OFlags, ResolveFlags, makedev, mknodat, openat, openat2, removexattr,
};
use rustix::io::Errno;
use rustix::mount::{
    MountFlags, MountPropagationFlags, mount, mount_bind, mount_bind_recursive, mount_change,
    mount_remount,
};

use super::super::spec::{Fault, FaultKind, Ids, MountSpec, MountSpecKind, OrFault, Report, Step};
use super::super::wire::Wire;
use super::super::{Owner, RootKind};
use super::{etc, unpack};
use crate::root::copied::Before;
use crate::root::served::MOUNT_OPTIONS;

/// Where things are in the job's work directory, which is the current one: so
/// no mount option names a path of the host.
const ROOT: &str = "root";
const STAGING: &str = "staging";
const DEVICE_NODES: &str = "devices";
const UPPER: &str = "upper";

/// Where the step's root is.
pub(super) struct Prepared {
    pub(super) root: PathBuf,
    /// Where what it wrote will be found.
    pub(super) written: Written,
}

/// Where what the step wrote is found.
pub(super) enum Written {
    /// In the upper of an overlayfs.
    Upper(PathBuf),
    /// In the difference between a directory and what it was.
    Copy(PathBuf, Before),
}

/// Mounts all that does not need to be mounted inside the pid namespace.
pub(super) fn prepare(wire: &Wire, step: &Step) -> Result<Prepared, Fault> {
    mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC)
        .or_fault("making mounts private")?;
    std::env::set_current_dir(&step.work).or_fault(format!("entering {}", step.work.display()))?;
    // The upper would inherit it, and all that the step makes.
    without(DEFAULT_LIST, Path::new(".")).or_fault("making the work directory")?;
    for dir in [ROOT, STAGING, DEVICE_NODES] {
        make_dir(dir, 0o755).or_fault("making the work directory")?;
    }
    // Mode 0: nothing in it is found by a name but what is bound from it.
    mount("tmpfs", STAGING, "tmpfs", MountFlags::NOSUID | MountFlags::NODEV, Some(c"mode=0700"))
        .or_fault("mounting tmpfs")?;
    let flags = MountFlags::NOSUID | MountFlags::STRICTATIME;
    mount("tmpfs", DEVICE_NODES, "tmpfs", flags, Some(c"mode=0700,size=64k"))
        .or_fault("mounting tmpfs")?;
    let written = if written_root(wire, step)? {
        Written::Upper(step.work.join(UPPER))
    } else {
        let copy = step.work.join(format!("{UPPER}.copy"));
        let before = Before::take(&copy).or_fault("looking at the unpacked tree")?;
        Written::Copy(copy, before)
    };
    let root = step.work.join(ROOT);
    let root_fd =
        openat(CWD, &root, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
            .or_fault("opening the root")?;
    dev(step, root_fd.as_fd())?;
    sys(step, root_fd.as_fd())?;
    for (index, spec) in step.mounts.iter().enumerate() {
        job_mount(wire, step, index + 1, spec, root_fd.as_fd())?;
    }
    Ok(Prepared { root, written })
}

/// Makes the root; `true` where it is an overlayfs, `false` where it is a copy.
fn written_root(wire: &Wire, step: &Step) -> Result<bool, Fault> {
    if step.kind != RootKind::Copied {
        lower(wire, step, 0, "lower")?;
        match overlay(step.ids, "lower", UPPER, "work", ROOT, step.root) {
            Ok(()) => return Ok(true),
            Err(fault) if !cannot_overlay(&fault) => return Err(fault),
            Err(_) => {}
        }
    }
    copy(wire, 0, &format!("{UPPER}.copy"), ROOT)?;
    Ok(false)
}

/// Whether there is no overlayfs here, or none of this kind.
fn cannot_overlay(fault: &Fault) -> bool {
    fault.kind == FaultKind::Overlay
        && [libc::ENODEV, libc::EPERM, libc::EINVAL].contains(&fault.errno)
}

/// Puts a copy of a tree at `at`, bound from `from`, so that the copy can be
/// read without what is mounted on it.
fn copy(wire: &Wire, index: usize, from: &str, at: &str) -> Result<(), Fault> {
    make_dir(from, 0o755).or_fault("making the work directory")?;
    unpack::receive(wire, index, Path::new(from))?;
    mount_bind(from, at)
        .map_err(io::Error::from)
        .and_then(|()| {
            let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
            restrict(&openat(CWD, at, flags, Mode::empty())?, true)
        })
        .or_fault("binding the unpacked tree")
}

fn make_dir(path: impl AsRef<Path>, mode: u32) -> io::Result<()> {
    fs::DirBuilder::new().mode(mode).create(&path)?;
    fs::set_permissions(path, fs::Permissions::from_mode(mode))
}

/// What is made in a directory with this list gets it, and an access list.
const DEFAULT_LIST: &str = "system.posix_acl_default";
const ACCESS_LIST: &str = "system.posix_acl_access";

/// Takes one of the host's access control lists from a directory.
fn without(list: &str, dir: &Path) -> io::Result<()> {
    match removexattr(dir, list) {
        Ok(()) | Err(Errno::NODATA | Errno::OPNOTSUPP) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Puts a tree at `at`, served or written out.
fn lower(wire: &Wire, step: &Step, index: usize, at: &str) -> Result<(), Fault> {
    make_dir(at, 0o755).or_fault("making the work directory")?;
    match step.kind {
        RootKind::Served => served(wire, index, at),
        RootKind::Unpacked | RootKind::Copied => unpack::receive(wire, index, Path::new(at)),
    }
}

/// Mounts a file system at `at` that Phoenix serves: it is sent the descriptor.
fn served(wire: &Wire, index: usize, at: &str) -> Result<(), Fault> {
    let fuse = fs::OpenOptions::new()
        .read(true)
        .write(true)
        .custom_flags(libc::O_CLOEXEC)
        .open("/dev/fuse")
        .or_kind(FaultKind::Fuse, "opening /dev/fuse")?;
    let options = format!("fd={},{MOUNT_OPTIONS}", fuse.as_raw_fd());
    let options = CString::new(options).expect("no NUL in numbers");
    mount("phoenix", at, "fuse", MountFlags::RDONLY | MountFlags::NODEV, Some(options.as_c_str()))
        .or_kind(FaultKind::Fuse, "mounting the served view")?;
    wire.send(&Report::Fuse { index }, &[fuse.as_fd()]).or_fault("handing out /dev/fuse")
}

/// What older kernels do not know: `uuid=null` those before 6.6, `volatile`
/// those before 5.10. Nothing of an upper outlives a crash, so nobody waits for
/// the disk; package managers ask for that thousands of times.
const NEWER_OPTIONS: [&str; 4] = [",volatile,uuid=null", ",volatile,uuid=off", ",uuid=off", ""];

/// Overlayfs of `lower` and a new upper at `at`, options said explicitly.
fn overlay(
    ids: Ids,
    lower: &str,
    upper: &str,
    work: &str,
    at: &str,
    root: Owner,
) -> Result<(), Fault> {
    make_dir(upper, root.mode).or_fault("making the upper")?;
    make_dir(work, 0o700).or_fault("making the upper")?;
    chown(upper, Some(root.uid), Some(root.gid)).or_fault("owning the upper")?;
    // chown clears set-id bits.
    fs::set_permissions(upper, fs::Permissions::from_mode(root.mode))
        .or_fault("making the upper")?;
    let xattr = if ids == Ids::Root { "" } else { ",userxattr" };
    // `redirect_dir=off` would follow redirects where the kernel's default is
    // so, and is refused beside `userxattr`.
    let options = format!(
        "lowerdir={lower},upperdir={upper},workdir={work},xino=on,metacopy=off,\
         redirect_dir=nofollow,index=off{xattr}"
    );
    let mut result = Ok(());
    for newer in NEWER_OPTIONS {
        let options = CString::new(format!("{options}{newer}")).expect("no NUL in these");
        result = mount("overlay", at, "overlay", MountFlags::NODEV, Some(options.as_c_str()));
        if result != Err(Errno::INVAL) {
            break;
        }
    }
    result.or_kind(FaultKind::Overlay, "mounting overlayfs")
}

/// Opens something below the root without following a symbolic link.
pub(super) fn below(root: BorrowedFd<'_>, path: impl AsRef<Path>) -> io::Result<OwnedFd> {
    Ok(openat2(
        root,
        path.as_ref(),
        OFlags::PATH | OFlags::CLOEXEC,
        Mode::empty(),
        ResolveFlags::IN_ROOT | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS,
    )?)
}

/// A name for what `fd` is open on.
pub(super) fn by_fd(fd: &OwnedFd) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{}", fd.as_raw_fd()))
}

/// Mounts a file system below the root; returns what is on top there.
fn mount_below(
    root: BorrowedFd<'_>,
    target: &str,
    kind: &str,
    flags: MountFlags,
    options: &str,
) -> Result<OwnedFd, Fault> {
    let options = CString::new(options).expect("no NUL in these");
    below(root, target)
        .and_then(|at| Ok(mount(kind, by_fd(&at), kind, flags, Some(options.as_c_str()))?))
        .and_then(|()| below(root, target))
        .or_fault(format!("mounting /{target}"))
}

const DEVICES: [(&str, u32, u32); 6] = [
    ("null", 1, 3),
    ("zero", 1, 5),
    ("full", 1, 7),
    ("random", 1, 8),
    ("urandom", 1, 9),
    ("tty", 5, 0),
];
const LINKS: [(&str, &str); 6] = [
    ("fd", "/proc/self/fd"),
    ("stdin", "/proc/self/fd/0"),
    ("stdout", "/proc/self/fd/1"),
    ("stderr", "/proc/self/fd/2"),
    ("core", "/proc/kcore"),
    ("ptmx", "pts/ptmx"),
];

/// A small `/dev`, as Docker's users know it.
fn dev(step: &Step, root: BorrowedFd<'_>) -> Result<(), Fault> {
    let quiet = MountFlags::NOSUID | MountFlags::NOEXEC;
    let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::STRICTATIME;
    let dev = mount_below(root, "dev", "tmpfs", flags, "mode=755,size=65536k")?;
    let path = by_fd(&dev);
    for (name, major, minor) in DEVICES {
        device(&dev, name, major, minor).or_fault(format!("making /dev/{name}"))?;
    }
    for (name, target) in LINKS {
        symlink(target, path.join(name)).or_fault("making links in /dev")?;
    }
    for name in ["pts", "shm", "mqueue"] {
        make_dir(path.join(name), 0o755).or_fault("making /dev")?;
    }
    let pts = "newinstance,ptmxmode=0666,mode=0620";
    let pts = if step.ids == Ids::Single { pts.to_owned() } else { format!("{pts},gid=5") };
    mount_below(root, "dev/pts", "devpts", quiet, &pts)?;
    let shm = format!("mode=1777,size={}", step.shm_size.unwrap_or(64 << 20));
    mount_below(root, "dev/shm", "tmpfs", quiet | MountFlags::NODEV, &shm)?;
    mount_below(root, "dev/mqueue", "mqueue", quiet | MountFlags::NODEV, "")?;
    Ok(())
}

/// Binds a device of our own making, or where that is not allowed the host's. No
/// other opens: a step may make devices, as in a container of Docker, but
/// without control groups only `nodev` on all that it can write to keeps it from
/// the host's disks. (The host's own nodes are not for root's `chmod`.)
fn device(dev: &OwnedFd, name: &str, major: u32, minor: u32) -> io::Result<()> {
    let path = by_fd(dev).join(name);
    fs::File::create_new(&path)?;
    let made = Path::new(DEVICE_NODES).join(name);
    let mode = Mode::from_raw_mode(0o666);
    match mknodat(CWD, &made, FileType::CharacterDevice, mode, makedev(major, minor)) {
        Ok(()) => {
            fs::set_permissions(&made, fs::Permissions::from_mode(0o666))?;
            Ok(mount_bind(&made, &path)?)
        }
        Err(Errno::PERM) => Ok(mount_bind(format!("/dev/{name}"), &path)?),
        Err(error) => Err(error.into()),
    }
}

/// `/sys`, read-only: of the step's own network namespace, or the host's.
fn sys(step: &Step, root: BorrowedFd<'_>) -> Result<(), Fault> {
    let flags = MountFlags::NOSUID | MountFlags::NOEXEC | MountFlags::NODEV | MountFlags::RDONLY;
    match mount_below(root, "sys", "sysfs", flags, "") {
        Ok(_) => return Ok(()),
        // A user namespace may mount the sysfs of its own network only.
        Err(fault) if step.ids == Ids::Root && fault.errno != libc::EPERM => return Err(fault),
        Err(_) => {}
    }
    below(root, "sys")
        .and_then(|at| Ok(mount_bind_recursive("/sys", by_fd(&at))?))
        .and_then(|()| below(root, "sys"))
        .and_then(|at| read_only(&at))
        .or_fault("binding /sys")?;
    // What is mounted below comes along writable, and groups may be delegated
    // to this user. In a network of its own a step sees none either.
    match below(root, "sys/fs/cgroup") {
        Ok(at) => mount("tmpfs", by_fd(&at), "tmpfs", flags, Some(c"size=0k,mode=0555"))
            .or_fault("hiding /sys/fs/cgroup"),
        Err(_) => Ok(()),
    }
}

/// Makes the mount that `fd` is on read-only, keeping the flags that it has.
pub(super) fn read_only(fd: &OwnedFd) -> io::Result<()> {
    restrict(fd, false)
}

/// Takes devices, and unless `writable` writing, from the mount that `fd` is on,
/// keeping the flags that it has.
fn restrict(fd: &OwnedFd, writable: bool) -> io::Result<()> {
    let has = rustix::fs::fstatvfs(fd)?.f_flag;
    let keep = [
        (rustix::fs::StatVfsMountFlags::RDONLY, MountFlags::RDONLY),
        (rustix::fs::StatVfsMountFlags::NOSUID, MountFlags::NOSUID),
        (rustix::fs::StatVfsMountFlags::NODEV, MountFlags::NODEV),
        (rustix::fs::StatVfsMountFlags::NOEXEC, MountFlags::NOEXEC),
        (rustix::fs::StatVfsMountFlags::NOATIME, MountFlags::NOATIME),
        (rustix::fs::StatVfsMountFlags::NODIRATIME, MountFlags::NODIRATIME),
        (rustix::fs::StatVfsMountFlags::RELATIME, MountFlags::RELATIME),
    ];
    let flags = keep
        .iter()
        .filter(|(has_it, _)| has.contains(*has_it))
        .fold(MountFlags::BIND | MountFlags::NODEV, |flags, (_, flag)| flags | *flag);
    let flags = if writable { flags } else { flags | MountFlags::RDONLY };
    Ok(mount_remount(by_fd(fd), flags, "")?)
}

/// One of the job's own mounts.
fn job_mount(
    wire: &Wire,
    step: &Step,
    index: usize,
    spec: &MountSpec,
    root: BorrowedFd<'_>,
) -> Result<(), Fault> {
    let shown = format!("/{}", spec.target.display());
    let bind = |source: &Path, writable: bool| -> Result<(), Fault> {
        let is_dir = source.is_dir();
        target(root, &spec.target, is_dir)
            .and_then(|at| Ok(mount_bind_recursive(source, by_fd(&at))?))
            .and_then(|()| restrict(&below(root, &spec.target)?, writable))
            .or_kind(FaultKind::Mount, &shown)
    };
    match &spec.kind {
        MountSpecKind::Served { source, root: owner, writable } => {
            let name = |part: &str| format!("{part}{index}");
            lower(wire, step, index, &name("lower"))?;
            let mut top = name("lower");
            if *writable {
                make_dir(name("merged"), 0o755).or_kind(FaultKind::Mount, &shown)?;
                let (upper, work) = (name(UPPER), name("work"));
                match overlay(step.ids, &top, &upper, &work, &name("merged"), *owner) {
                    Err(fault) if cannot_overlay(&fault) => {
                        copy(wire, index, &format!("{upper}.copy"), &name("merged"))?;
                    }
                    other => other?,
                }
                top = name("merged");
            }
            // The parts of `source` are no symbolic links: Phoenix resolved it.
            bind(&step.work.join(top).join(source), *writable)
        }
        MountSpecKind::HostDir { path, writable, make } => {
            if let Some(owner) = make {
                make_owned(path, *owner).or_kind(FaultKind::Mount, &shown)?;
            }
            bind(path, *writable)
        }
        MountSpecKind::Tmpfs { size } => {
            let size = size.map_or_else(String::new, |size| format!(",size={size}"));
            let options = CString::new(format!("mode=1777{size}")).expect("no NUL in numbers");
            let flags = MountFlags::NOSUID | MountFlags::NODEV;
            target(root, &spec.target, true)
                .and_then(|at| {
                    Ok(mount("tmpfs", by_fd(&at), "tmpfs", flags, Some(options.as_c_str()))?)
                })
                .or_kind(FaultKind::Mount, &shown)
        }
        MountSpecKind::File { content, owner } => {
            let path = staged(index, content, *owner).or_kind(FaultKind::Mount, &shown)?;
            bind(&step.work.join(path), false)
        }
        MountSpecKind::Socket { path, owner: Owner { mode, uid, gid } } => {
            chown(path, Some(*uid), Some(*gid))
                .and_then(|()| fs::set_permissions(path, fs::Permissions::from_mode(*mode)))
                .or_kind(FaultKind::Mount, &shown)?;
            bind(path, true)
        }
        MountSpecKind::Resolv | MountSpecKind::Hosts => {
            let content = match spec.kind {
                MountSpecKind::Resolv => etc::resolv_conf(step.own_network),
                _ => etc::hosts(step.own_network, &step.hostname, &step.hosts),
            };
            let owner = Owner { mode: 0o644, uid: 0, gid: 0 };
            let path = staged(index, &content, owner).or_kind(FaultKind::Mount, &shown)?;
            bind(&step.work.join(path), true)
        }
    }
}

/// A mount's target. It is an entry of the view; but below another mount it
/// may have to be made there.
fn target(root: BorrowedFd<'_>, path: &Path, is_dir: bool) -> io::Result<OwnedFd> {
    match below(root, path) {
        Err(error) if error.raw_os_error() == Some(libc::ENOENT) => {}
        other => return other,
    }
    let parent = path.parent().ok_or(io::ErrorKind::InvalidInput)?;
    let name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?;
    let parent = if parent.as_os_str().is_empty() {
        rustix::io::fcntl_dupfd_cloexec(root, 3)?
    } else {
        target(root, parent, true)?
    };
    if is_dir {
        make_dir(by_fd(&parent).join(name), 0o755)?;
    } else {
        fs::File::create_new(by_fd(&parent).join(name))?;
    }
    below(root, path)
}

/// A file in memory, to be bound from.
fn staged(index: usize, content: &[u8], owner: Owner) -> io::Result<PathBuf> {
    let path = Path::new(STAGING).join(index.to_string());
    fs::write(&path, content)?;
    chown(&path, Some(owner.uid), Some(owner.gid))?;
    fs::set_permissions(&path, fs::Permissions::from_mode(owner.mode))?;
    Ok(path)
}

/// Makes the directory of a cache mount, once.
fn make_owned(path: &Path, owner: Owner) -> io::Result<()> {
    match make_dir(path, owner.mode) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Ok(()),
        other => other?,
    }
    without(DEFAULT_LIST, path)?;
    without(ACCESS_LIST, path)?;
    chown(path, Some(owner.uid), Some(owner.gid))?;
    fs::set_permissions(path, fs::Permissions::from_mode(owner.mode))
}
