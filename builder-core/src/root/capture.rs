//! What a step wrote: the upper of an overlayfs as entries of a layer.
//!
//! In: the upper's directory, read inside the namespaces in which it was
//! written, so that ids are the image's. Out: entries in the order of paths,
//! content as a stream.
//!
//! All that the upper holds is given, never compared with what is below.
//! Overlayfs's own marks become changes (kernel documentation, "overlayfs"):
//! character devices 0:0 and files marked `overlay.whiteout` are whiteouts,
//! directories marked `overlay.opaque` hide what is below; its attributes are
//! dropped. Limitation: sockets are left out, as no tar can hold one.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::fs::{self, File, Metadata};
use std::io::{self, Read};
use std::os::fd::AsRawFd;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use rustix::fs::{Mode, OFlags};

use crate::digest::ContentDigest;
use crate::layer::{Change, Entry, Kind, LayerPath, Meta, Mtime, Xattrs};
use crate::view::is_overlays;

/// Takes an entry, and for a regular file its content.
pub type EntrySink<'a> = &'a mut dyn FnMut(&Entry, Option<&mut dyn Read>) -> io::Result<()>;

/// Largest list of attributes' names, and largest value, in Linux.
const MAX_XATTR: usize = 64 << 10;

/// From which length on a path is begun anew.
const LONG: usize = 2000;

/// Whose attributes mark what overlayfs left in an upper.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Marks {
    /// `trusted.overlay.*`: it was mounted by root.
    Trusted,
    /// `user.overlay.*`: with `userxattr`.
    User,
    /// No overlayfs wrote here.
    None,
}

impl Marks {
    fn prefix(self) -> Option<&'static str> {
        match self {
            Self::Trusted => Some("trusted.overlay."),
            Self::User => Some("user.overlay."),
            Self::None => None,
        }
    }

    /// Whether overlayfs has left this mark. One of another prefix is a step's
    /// own, and says nothing.
    fn has(self, all: &Xattrs, mark: &str) -> Option<Vec<u8>> {
        all.get(format!("{}{mark}", self.prefix()?).as_bytes()).cloned()
    }
}

/// Gives every entry of an upper, in the order of paths. The digests of files
/// are all zeros: not known yet.
///
/// # Errors
/// If the upper cannot be read, or the sink refuses.
pub fn walk_upper(upper: &Path, marks: Marks, sink: EntrySink<'_>) -> io::Result<()> {
    let mut reading = Reading::new(marks);
    let root = Place { host: upper.to_owned(), path: LayerPath::root(), base: None };
    // A stack and not recursion: the depth of an upper is not ours to choose.
    let mut pending = children(root)?;
    while let Some(place) = pending.pop() {
        if give(&place.host, &place.path, &mut reading, sink)? {
            pending.extend(children(place)?);
        }
    }
    Ok(())
}

/// Something in the upper.
struct Place {
    host: PathBuf,
    path: LayerPath,
    /// The open directory that `host` begins at, if it begins at one.
    base: Option<Rc<File>>,
}

/// What is in a directory, the last name first. A step may use paths of 4 KiB,
/// and the upper lies somewhere itself, so a long path goes on from an open
/// directory.
fn children(directory: Place) -> io::Result<Vec<Place>> {
    let Place { mut host, path, mut base } = directory;
    if host.as_os_str().len() > LONG {
        let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let open = File::from(rustix::fs::open(&host, flags, Mode::empty())?);
        host = PathBuf::from(format!("/proc/self/fd/{}", open.as_raw_fd()));
        base = Some(Rc::new(open));
    }
    let names = fs::read_dir(&host)?.map(|entry| Ok(entry?.file_name().into_vec()));
    let mut names: Vec<Vec<u8>> = names.collect::<io::Result<_>>()?;
    names.sort_by(|a, b| b.cmp(a));
    let place = |name: Vec<u8>| {
        let bad = |error| io::Error::new(io::ErrorKind::InvalidData, error);
        let (path, base) = (path.join(&name).map_err(bad)?, base.clone());
        Ok(Place { host: host.join(OsStr::from_bytes(&name)), path, base })
    };
    names.into_iter().map(place).collect()
}

/// What is known while entries are given.
pub(super) struct Reading {
    marks: Marks,
    /// The first name of each file that has several.
    links: HashMap<(u64, u64), LayerPath>,
}

impl Reading {
    pub(super) fn new(marks: Marks) -> Self {
        Self { marks, links: HashMap::new() }
    }
}

/// Gives one entry; says whether it is a directory.
pub(super) fn give(
    host: &Path,
    path: &LayerPath,
    reading: &mut Reading,
    sink: EntrySink<'_>,
) -> io::Result<bool> {
    let found = host.symlink_metadata()?;
    if found.file_type().is_socket() {
        return Ok(false);
    }
    let all = xattrs(host)?;
    let change = change(host, path, &found, &all, reading)?;
    let is_file = matches!(&change, Change::Present { kind: Kind::File { .. }, .. });
    let mut content = if is_file { Some(File::open(host)?.take(found.len())) } else { None };
    let entry = Entry { path: path.clone(), change };
    sink(&entry, content.as_mut().map(|content| content as &mut dyn Read))?;
    if found.is_dir() && is_opaque(&all, reading.marks) {
        sink(&Entry { path: path.clone(), change: Change::Opaque }, None)?;
    }
    Ok(found.is_dir())
}

fn change(
    host: &Path,
    path: &LayerPath,
    found: &Metadata,
    all: &Xattrs,
    reading: &mut Reading,
) -> io::Result<Change> {
    let kind = found.file_type();
    let is_device = kind.is_char_device() && found.rdev() == 0;
    if is_device || (kind.is_file() && reading.marks.has(all, "whiteout").is_some()) {
        return Ok(Change::Whiteout);
    }
    if found.nlink() > 1 && !kind.is_dir() {
        let identity = (found.dev(), found.ino());
        if let Some(target) = reading.links.get(&identity) {
            return Ok(Change::Hardlink { target: target.clone() });
        }
        reading.links.insert(identity, path.clone());
    }
    let (major, minor) = (rustix::fs::major(found.rdev()), rustix::fs::minor(found.rdev()));
    let kind = if kind.is_dir() {
        Kind::Directory
    } else if kind.is_symlink() {
        Kind::Symlink { target: fs::read_link(host)?.into_os_string().into_vec() }
    } else if kind.is_char_device() {
        Kind::CharDevice { major, minor }
    } else if kind.is_block_device() {
        Kind::BlockDevice { major, minor }
    } else if kind.is_fifo() {
        Kind::Fifo
    } else {
        Kind::File { size: found.len(), content: ContentDigest::from_bytes([0; 32]) }
    };
    let nanos = u32::try_from(found.mtime_nsec()).unwrap_or(0);
    let meta = Meta {
        mode: found.mode() & 0o7777,
        uid: found.uid(),
        gid: found.gid(),
        mtime: Mtime { secs: found.mtime(), nanos },
        xattrs: all.iter().filter_map(|(name, value)| kept(name, value)).collect(),
    };
    Ok(Change::Present { meta, kind })
}

/// Whether a directory hides what is below it. (A mark of `x` says only that
/// there may be whiteouts in it.)
fn is_opaque(all: &Xattrs, marks: Marks) -> bool {
    marks.has(all, "opaque").is_some_and(|value| value == b"y")
}

/// An attribute as the image carries it; `None` for what belongs to the host.
fn kept(name: &[u8], value: &[u8]) -> Option<(Vec<u8>, Vec<u8>)> {
    if is_overlays(name) {
        return None;
    }
    if name == b"security.capability" {
        return Some((name.to_vec(), without_namespace(value)));
    }
    let carried: [&[u8]; 3] = [b"user.", b"trusted.", b"system.posix_acl_"];
    carried.iter().any(|prefix| name.starts_with(prefix)).then(|| (name.to_vec(), value.to_vec()))
}

/// File capabilities without the id of the user namespace's root: version 3
/// as version 2 (`linux/capability.h`, `struct vfs_ns_cap_data`).
fn without_namespace(value: &[u8]) -> Vec<u8> {
    let mut value = value.to_vec();
    if value.len() == 24 && value[3] == 3 {
        value.truncate(20);
        value[3] = 2;
    }
    value
}

fn xattrs(host: &Path) -> io::Result<Xattrs> {
    let mut list = vec![0; MAX_XATTR];
    let len = match rustix::fs::llistxattr(host, &mut list[..]) {
        Ok(len) => len,
        Err(rustix::io::Errno::NOTSUP) => 0,
        Err(error) => return Err(error.into()),
    };
    let mut all = Xattrs::new();
    let mut value = Vec::new();
    for name in list[..len].split(|byte| *byte == 0).filter(|name| !name.is_empty()) {
        value.resize(MAX_XATTR, 0);
        match rustix::fs::lgetxattr(host, name, &mut value[..]) {
            Ok(len) => drop(all.insert(name.to_vec(), value[..len].to_vec())),
            Err(rustix::io::Errno::NODATA | rustix::io::Errno::PERM) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn capabilities_lose_their_namespace_and_the_hosts_attributes_stay_behind() {
        let mut v3 = vec![1, 0, 0, 3];
        v3.extend([7; 16]);
        v3.extend([0xa0, 0x86, 1, 0]);
        let (_, v2) = kept(b"security.capability", &v3).expect("carried");
        assert_eq!((v2.len(), v2[3], &v2[4..]), (20, 2, &[7; 16][..]));
        assert_eq!(kept(b"security.capability", &v2).expect("carried").1, v2);
        assert!(kept(b"user.note", b"x").is_some());
        for host in ["security.selinux", "trusted.overlay.origin", "user.overlay.opaque"] {
            assert_eq!(kept(host.as_bytes(), b"y"), None, "{host}");
        }
    }

    #[test]
    fn entries_come_in_order_with_their_links_and_without_sockets() {
        let dir = tempfile::tempdir().expect("a temp dir");
        let at = |name: &str| dir.path().join(name);
        fs::create_dir(at("a")).expect("made");
        fs::write(at("a/x"), "content").expect("written");
        fs::hard_link(at("a/x"), at("a.b")).expect("linked");
        std::os::unix::fs::symlink("../out", at("l")).expect("linked");
        let _socket = std::os::unix::net::UnixListener::bind(at("s")).expect("bound");
        let mut seen = Vec::new();
        walk_upper(dir.path(), Marks::User, &mut |entry, content| {
            let mut text = String::new();
            content.map(|content| content.read_to_string(&mut text)).transpose()?;
            let kind = match &entry.change {
                Change::Hardlink { target } => format!("link {}", target.display()),
                Change::Present { kind: Kind::Directory, .. } => "dir".into(),
                Change::Present { kind: Kind::Symlink { .. }, .. } => "symlink".into(),
                _ => text,
            };
            seen.push((entry.path.display(), kind));
            Ok(())
        })
        .expect("walked");
        let expected =
            [("/a", "dir"), ("/a/x", "content"), ("/a.b", "link /a/x"), ("/l", "symlink")];
        assert_eq!(seen, expected.map(|(path, kind)| (path.to_owned(), kind.to_owned())));
    }

    fn changes(upper: &Path) -> Vec<(String, Change)> {
        let mut seen = Vec::new();
        walk_upper(upper, Marks::User, &mut |entry, _| {
            seen.push((entry.path.display(), entry.change.clone()));
            Ok(())
        })
        .expect("walked");
        seen
    }

    #[test]
    fn only_a_mark_of_y_makes_a_directory_opaque() {
        let dir = tempfile::tempdir().expect("a temp dir");
        for (name, mark) in [("x", "x"), ("y", "y")] {
            fs::create_dir(dir.path().join(name)).expect("made");
            let flags = rustix::fs::XattrFlags::empty();
            let at = dir.path().join(name);
            rustix::fs::lsetxattr(at, "user.overlay.opaque", mark.as_bytes(), flags)
                .expect("user attributes in the temporary directory");
        }
        let opaque = changes(dir.path()).into_iter().filter(|(_, what)| *what == Change::Opaque);
        let opaque: Vec<_> = opaque.map(|(path, _)| path).collect();
        assert_eq!(opaque, ["/y"]);
    }

    #[test]
    #[expect(
        clippy::disallowed_methods,
        reason = "whether tests may be skipped is told by the environment"
    )]
    fn capabilities_of_a_file_are_captured() {
        let dir = tempfile::tempdir().expect("a temp dir");
        let file = dir.path().join("ping");
        fs::write(&file, "x").expect("written");
        let (name, flags) = ("security.capability", rustix::fs::XattrFlags::empty());
        let value = [&[1, 0, 0, 2, 0, 0x20, 0, 0][..], &[0; 12]].concat();
        if rustix::fs::lsetxattr(&file, name, &value, flags).is_err() {
            let strict = std::env::var_os("PHOENIX_TESTS_STRICT").is_some();
            assert!(!strict, "{name} cannot be set here");
            eprintln!("SKIPPED: {name} cannot be set here (wants root)");
            return;
        }
        match &changes(dir.path())[0].1 {
            Change::Present { meta, .. } => {
                assert_eq!(meta.xattrs.get(name.as_bytes()), Some(&value));
            }
            other => panic!("{other:?}"),
        }
    }
}
