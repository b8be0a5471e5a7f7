//! Access to files below a root that is not trusted.
//!
//! In: a directory of the host and relative paths (bytes). Out: descriptors,
//! stats, link targets, names. Invariant: the kernel (`openat2`) refuses to
//! follow any symbolic link, magic link or `..` on the way, so nothing outside
//! the root is ever reached, whoever changes the tree meanwhile.
//!
//! Limitations: needs Linux 5.6; mount points below the root are entered.

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::fs::{AtFlags, Dir, Mode, OFlags, ResolveFlags, Stat};
use rustix::io::Errno;

/// How often an opening is tried that renames elsewhere disturb.
const TRIES: u32 = 1000;

/// An open root directory.
#[derive(Debug)]
pub struct Root {
    dir: OwnedFd,
}

impl Root {
    /// Opens the directory `path`, which itself is trusted.
    ///
    /// # Errors
    /// Where it is not there, or is no directory.
    pub fn open(path: &Path) -> io::Result<Self> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok(Self { dir: rustix::fs::open(path, flags, Mode::empty())? })
    }

    fn at(&self, path: &[u8], flags: OFlags) -> Result<OwnedFd, Errno> {
        let path = if path.is_empty() { b"." } else { path };
        let resolve =
            ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS | ResolveFlags::NO_SYMLINKS;
        let flags = flags | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        let name = OsStr::from_bytes(path);
        for _ in 1..TRIES {
            match rustix::fs::openat2(&self.dir, name, flags, Mode::empty(), resolve) {
                // A rename ran meanwhile, so the kernel could not be sure.
                Err(Errno::AGAIN | Errno::INTR) => {}
                result => return result,
            }
        }
        rustix::fs::openat2(&self.dir, name, flags, Mode::empty(), resolve)
    }

    /// Stat of `path` itself, and its target where it is a symbolic link;
    /// `None` where nothing is there or an ancestor is no directory.
    ///
    /// # Errors
    /// Those of the system.
    pub fn look(&self, path: &[u8]) -> io::Result<Option<(Stat, Option<Vec<u8>>)>> {
        let fd = match self.at(path, OFlags::PATH) {
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => return Ok(None),
            result => result?,
        };
        let stat = rustix::fs::fstat(&fd)?;
        let target = if is_link(&stat) { Some(read_link(&fd, b"")?) } else { None };
        Ok(Some((stat, target)))
    }

    /// Opens a regular file for reading; never blocks on a pipe.
    ///
    /// # Errors
    /// Those of the system; `InvalidInput` for another type of file.
    pub fn file(&self, path: &[u8]) -> io::Result<File> {
        // Looked at before it is opened: opening a device can have effects.
        let kind = |stat: &Stat| rustix::fs::FileType::from_raw_mode(stat.st_mode);
        let regular = |stat: &Stat| kind(stat).is_file();
        let refuse = || io::Error::new(io::ErrorKind::InvalidInput, "not a regular file");
        if !regular(&rustix::fs::fstat(&self.at(path, OFlags::PATH)?)?) {
            return Err(refuse());
        }
        let fd = self.at(path, OFlags::RDONLY | OFlags::NONBLOCK)?;
        if regular(&rustix::fs::fstat(&fd)?) { Ok(File::from(fd)) } else { Err(refuse()) }
    }

    /// Names in a directory, sorted by bytes, each with its stat and target.
    ///
    /// # Errors
    /// Those of the system.
    #[expect(clippy::type_complexity, reason = "name, stat, target")]
    pub fn list(&self, path: &[u8]) -> io::Result<Vec<(Vec<u8>, Stat, Option<Vec<u8>>)>> {
        let fd = self.at(path, OFlags::RDONLY | OFlags::DIRECTORY)?;
        let mut found = Vec::new();
        for entry in Dir::read_from(&fd)? {
            let entry = entry?;
            let name = entry.file_name().to_bytes();
            if matches!(name, b"." | b"..") {
                continue;
            }
            let os = OsStr::from_bytes(name);
            let stat = match rustix::fs::statat(&fd, os, AtFlags::SYMLINK_NOFOLLOW) {
                Err(Errno::NOENT) => continue,
                result => result?,
            };
            let target = if is_link(&stat) { Some(read_link(&fd, name)?) } else { None };
            found.push((name.to_vec(), stat, target));
        }
        found.sort_by(|a, b| a.0.cmp(&b.0));
        Ok(found)
    }
}

fn is_link(stat: &Stat) -> bool {
    rustix::fs::FileType::from_raw_mode(stat.st_mode).is_symlink()
}

fn read_link(fd: impl AsFd, name: &[u8]) -> io::Result<Vec<u8>> {
    Ok(rustix::fs::readlinkat(fd, OsStr::from_bytes(name), Vec::new())?.into_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_outside_the_root_is_reached() {
        let dir = tempfile::tempdir().expect("a directory");
        let make = |name: &str| dir.path().join(name);
        std::fs::create_dir_all(make("root/sub")).expect("made");
        std::fs::write(make("secret"), "x").expect("written");
        std::fs::write(make("root/sub/f"), "y").expect("written");
        std::os::unix::fs::symlink("../secret", make("root/out")).expect("linked");
        std::os::unix::fs::symlink("sub", make("root/in")).expect("linked");
        let root = Root::open(&make("root")).expect("opened");
        for bad in ["../secret", "out", "in/f", "/etc/passwd", "sub/../../secret"] {
            assert!(root.file(bad.as_bytes()).is_err(), "{bad}");
        }
        assert!(root.file(b"sub/f").is_ok());
        assert!(root.look(b"in/f").expect("looked").is_none());
        let link = root.look(b"out").expect("looked").expect("there").1;
        assert_eq!(link.as_deref(), Some(&b"../secret"[..]));
        let names = root.list(b"").expect("listed");
        let names: Vec<_> = names.iter().map(|n| &n.0[..]).collect();
        assert_eq!(names, [&b"in"[..], b"out", b"sub"]);
    }
}
