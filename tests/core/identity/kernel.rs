//! The same changes made by a kernel, through an overlayfs.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use builder_core::layer::{Change, Entry, Kind, LayerPath, Meta, Mtime};
use builder_core::view::NodeKind;
use rustix::fs::{AtFlags, CWD, FileType, Gid, Mode, Timespec, Timestamps, Uid, XattrFlags};

use super::tree::{Picture, Piece, Shown};

/// An overlayfs over `lower`, mounted until it is dropped.
pub(super) struct Overlay {
    dir: tempfile::TempDir,
}

impl Overlay {
    pub(super) fn mount(lower: &Path) -> Self {
        let dir = tempfile::tempdir_in("/dev/shm").expect("a directory in memory");
        for name in ["upper", "work", "merged"] {
            fs::create_dir(dir.path().join(name)).expect("made");
        }
        let at = |name: &str| dir.path().join(name).display().to_string();
        let options = format!(
            "lowerdir={},upperdir={},workdir={},metacopy=off,redirect_dir=off,index=off",
            lower.display(),
            at("upper"),
            at("work")
        );
        let args = ["-t", "overlay", "overlay", "-o", &options, &at("merged")];
        crate::support::tools::run("mount", args);
        Self { dir }
    }

    pub(super) fn upper(&self) -> PathBuf {
        self.dir.path().join("upper")
    }

    pub(super) fn merged(&self) -> PathBuf {
        self.dir.path().join("merged")
    }
}

impl Drop for Overlay {
    fn drop(&mut self) {
        let _ = rustix::mount::unmount(self.merged(), rustix::mount::UnmountFlags::DETACH);
    }
}

fn on_host(root: &Path, path: &LayerPath) -> PathBuf {
    root.join(OsStr::from_bytes(path.as_bytes()))
}

/// Makes the changes of a layer in a directory, as a process would.
pub(super) fn apply(root: &Path, pieces: &[Piece]) {
    for (Entry { path, change }, _) in pieces {
        if *change == Change::Opaque && on_host(root, path).is_dir() {
            gone(&on_host(root, path));
            directory(root, path);
        }
    }
    for (Entry { path, change }, bytes) in pieces {
        let at = on_host(root, path);
        for ancestor in path.ancestors() {
            directory(root, &ancestor);
        }
        match change {
            Change::Opaque => {}
            Change::Whiteout => gone(&at),
            Change::Hardlink { target } => {
                gone(&at);
                fs::hard_link(on_host(root, target), &at).expect("linked");
            }
            Change::Present { meta, kind } => {
                if kind.is_dir() {
                    directory(root, path);
                } else {
                    gone(&at);
                    make(&at, kind, bytes);
                }
                dress(&at, meta, kind);
            }
        }
    }
}

fn gone(at: &Path) {
    match at.symlink_metadata() {
        Ok(found) if found.is_dir() => fs::remove_dir_all(at).expect("removed"),
        Ok(_) => fs::remove_file(at).expect("removed"),
        Err(_) => {}
    }
}

/// A directory, where there is none already.
fn directory(root: &Path, path: &LayerPath) {
    let at = on_host(root, path);
    if !at.symlink_metadata().is_ok_and(|found| found.is_dir()) {
        gone(&at);
        fs::create_dir(&at).expect("made");
        // A directory above that is set-gid would give its group.
        rustix::fs::chown(&at, Some(Uid::ROOT), Some(Gid::ROOT)).expect("set");
        rustix::fs::chmod(&at, Mode::from_raw_mode(0o755)).expect("set");
    }
}

fn make(at: &Path, kind: &Kind, bytes: &[u8]) {
    let private = Mode::from_raw_mode(0o600);
    let special = |kind, dev| rustix::fs::mknodat(CWD, at, kind, private, dev).expect("made");
    match kind {
        Kind::File { .. } => fs::write(at, bytes).expect("written"),
        Kind::Symlink { target } => {
            std::os::unix::fs::symlink(OsStr::from_bytes(target), at).expect("linked");
        }
        Kind::CharDevice { major, minor } => {
            special(FileType::CharacterDevice, rustix::fs::makedev(*major, *minor));
        }
        Kind::BlockDevice { major, minor } => {
            special(FileType::BlockDevice, rustix::fs::makedev(*major, *minor));
        }
        Kind::Fifo => special(FileType::Fifo, 0),
        Kind::Directory | Kind::Socket => panic!("{kind:?} is not made here"),
    }
}

/// Owner, attributes, mode and time, in an order in which none undoes another.
fn dress(at: &Path, meta: &Meta, kind: &Kind) {
    let (uid, gid) = (Uid::from_raw(meta.uid), Gid::from_raw(meta.gid));
    let nofollow = AtFlags::SYMLINK_NOFOLLOW;
    rustix::fs::chownat(CWD, at, Some(uid), Some(gid), nofollow).expect("set");
    for name in xattrs(at).into_keys() {
        rustix::fs::lremovexattr(at, &name[..]).expect("removed");
    }
    for (name, value) in &meta.xattrs {
        rustix::fs::lsetxattr(at, &name[..], value, XattrFlags::empty()).expect("set");
    }
    if !matches!(kind, Kind::Symlink { .. }) {
        rustix::fs::chmod(at, Mode::from_raw_mode(meta.mode)).expect("set");
    }
    let time = Timespec { tv_sec: meta.mtime.secs, tv_nsec: i64::from(meta.mtime.nanos) };
    let times = Timestamps { last_access: time, last_modification: time };
    rustix::fs::utimensat(CWD, at, &times, nofollow).expect("set");
}

fn xattrs(at: &Path) -> BTreeMap<Vec<u8>, Vec<u8>> {
    let mut names = vec![0; 1 << 16];
    let length = rustix::fs::llistxattr(at, &mut names[..]).expect("listed");
    let names = names[..length].split(|byte| *byte == 0).filter(|name| !name.is_empty());
    names
        .map(|name| {
            let mut value = vec![0; 1 << 16];
            let length = rustix::fs::lgetxattr(at, name, &mut value[..]).expect("read");
            value.truncate(length);
            (name.to_vec(), value)
        })
        .collect()
}

/// What the kernel shows of a directory.
pub(super) fn picture(root: &Path) -> Picture {
    let mut picture = Picture::new();
    let mut names: BTreeMap<(u64, u64), Vec<LayerPath>> = BTreeMap::new();
    let mut pending = vec![LayerPath::root()];
    while let Some(path) = pending.pop() {
        let at = on_host(root, &path);
        let found = at.symlink_metadata().expect("there");
        if found.is_dir() {
            for entry in fs::read_dir(&at).expect("listed") {
                let name = entry.expect("listed").file_name();
                pending.push(path.join(name.as_bytes()).expect("a name"));
            }
        } else {
            names.entry((found.dev(), found.ino())).or_default().push(path.clone());
        }
        picture.insert(path, shown(&at, &found));
    }
    for group in names.values_mut().filter(|group| group.len() > 1) {
        group.sort();
        let links = (group[0].clone(), u32::try_from(group.len()).expect("few"));
        for path in group.iter() {
            picture.get_mut(path).expect("it was just put in").links = Some(links.clone());
        }
    }
    picture
}

fn shown(at: &Path, found: &fs::Metadata) -> Shown {
    let kind = found.file_type();
    let (major, minor) = (rustix::fs::major(found.rdev()), rustix::fs::minor(found.rdev()));
    let mut content = Vec::new();
    let kind = if kind.is_dir() {
        NodeKind::Directory
    } else if kind.is_symlink() {
        NodeKind::Symlink { target: fs::read_link(at).expect("read").into_os_string().into_vec() }
    } else if kind.is_char_device() {
        NodeKind::CharDevice { major, minor }
    } else if kind.is_block_device() {
        NodeKind::BlockDevice { major, minor }
    } else if kind.is_fifo() {
        NodeKind::Fifo
    } else {
        content = fs::read(at).expect("read");
        NodeKind::File { size: found.len() }
    };
    let nanos = u32::try_from(found.mtime_nsec()).expect("less than a second");
    let mtime = match kind {
        NodeKind::Directory => Mtime::CONSTANT,
        _ => Mtime { secs: found.mtime(), nanos },
    };
    let (uid, gid) = (found.uid(), found.gid());
    let meta = Meta { mode: found.mode() & 0o7777, uid, gid, mtime, xattrs: xattrs(at) };
    Shown { meta, kind, content, links: None }
}
