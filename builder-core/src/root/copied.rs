//! What a step wrote, where there is no overlayfs: by comparing its root, which
//! is a copy of the tree, with what it was before.
//!
//! In: a directory, before and after. Out: entries as overlayfs's upper would
//! give them ([`capture`](super::capture)): what was changed in content, mode,
//! owner, attributes or links, with the directories that lead there, and a
//! whiteout for what is gone.
//!
//! A change is told by the time of change (ctime), which no program can set,
//! and by all else that `stat` says. Limitations: a file that was opened for
//! writing and not written, or given the mode that it had, is no change here
//! and is one to overlayfs; a directory that was made again is whiteouts of
//! what it held, not an opaque directory. A file of several names that is
//! written in place changes under all of them, where overlayfs changes the one.
//! Paths longer than 4 KiB on the host are refused.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, Metadata};
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::capture::{EntrySink, Marks, Reading, give};
use crate::layer::{Change, Entry, LayerPath};

/// Longer than the kernel's clock for ctimes stands still (10 ms at HZ=100).
const TICK: Duration = Duration::from_millis(20);

/// What `stat` says, but for the time of access.
#[derive(PartialEq, Eq)]
struct Stamp {
    inode: u64,
    mode: u32,
    owner: (u32, u32),
    device: u64,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Stamp {
    fn of(found: &Metadata) -> Self {
        Self {
            inode: found.ino(),
            mode: found.mode(),
            owner: (found.uid(), found.gid()),
            device: found.rdev(),
            size: found.size(),
            modified: (found.mtime(), found.mtime_nsec()),
            changed: (found.ctime(), found.ctime_nsec()),
        }
    }

    fn is_dir(&self) -> bool {
        rustix::fs::FileType::from_raw_mode(self.mode) == rustix::fs::FileType::Directory
    }
}

/// A tree as it was.
pub struct Before(BTreeMap<LayerPath, Stamp>);

impl Before {
    /// Looks at all of `dir`, in which nobody writes. Whatever is changed after
    /// this has returned is seen by [`walk_changes`].
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn take(dir: &Path) -> io::Result<Self> {
        let stamps = stamps(dir)?;
        std::thread::sleep(TICK);
        Ok(Self(stamps))
    }
}

/// Gives every entry that makes `dir` what it is now from what it was, in the
/// order of paths.
///
/// # Errors
/// If the directory cannot be read, or the sink refuses.
pub fn walk_changes(dir: &Path, before: &Before, sink: EntrySink<'_>) -> io::Result<()> {
    let after = stamps(dir)?;
    let mut reading = Reading::new(Marks::None);
    for path in differing(&before.0, &after) {
        if path.is_root() {
            continue;
        }
        if after.contains_key(&path) {
            give(&host(dir, &path), &path, &mut reading, sink)?;
        } else {
            sink(&Entry { path, change: Change::Whiteout }, None)?;
        }
    }
    Ok(())
}

/// The paths that are not as they were, and the directories that lead to them.
/// Of what is gone only the uppermost.
fn differing(
    before: &BTreeMap<LayerPath, Stamp>,
    after: &BTreeMap<LayerPath, Stamp>,
) -> BTreeSet<LayerPath> {
    let changed = after.iter().filter(|(path, stamp)| before.get(*path) != Some(*stamp));
    let is_dir = |path: &LayerPath| after.get(path).is_some_and(Stamp::is_dir);
    // Below what is gone, or is a directory no more, nothing needs to be said.
    let gone = before.keys().filter(|path| {
        !after.contains_key(*path) && path.parent().is_some_and(|parent| is_dir(&parent))
    });
    let mut paths: BTreeSet<LayerPath> =
        changed.map(|(path, _)| path).chain(gone).cloned().collect();
    let leading: Vec<LayerPath> = paths.iter().flat_map(LayerPath::ancestors).collect();
    paths.extend(leading);
    paths
}

/// What all of a directory is, without following links.
fn stamps(dir: &Path) -> io::Result<BTreeMap<LayerPath, Stamp>> {
    let mut stamps = BTreeMap::new();
    let mut todo = vec![LayerPath::root()];
    while let Some(path) = todo.pop() {
        let at = host(dir, &path);
        let stamp = Stamp::of(&at.symlink_metadata()?);
        if stamp.is_dir() {
            for entry in fs::read_dir(&at)? {
                let name = entry?.file_name().into_vec();
                let invalid = |error| io::Error::new(io::ErrorKind::InvalidData, error);
                todo.push(path.join(&name).map_err(invalid)?);
            }
        }
        stamps.insert(path, stamp);
    }
    Ok(stamps)
}

fn host(dir: &Path, path: &LayerPath) -> PathBuf {
    dir.join(std::ffi::OsStr::from_bytes(path.as_bytes()))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn what_changed_is_given_with_what_leads_there_and_nothing_else() {
        let dir = tempfile::tempdir().expect("a temp dir");
        let at = |name: &str| dir.path().join(name);
        for name in ["a/b", "gone/deep", "kept", "file"] {
            fs::create_dir_all(at(name)).expect("made");
        }
        for name in
            ["a/b/same", "a/b/written", "a/b/mode", "gone/deep/x", "kept/x", "file/x", "one"]
        {
            fs::write(at(name), "old").expect("written");
        }
        fs::hard_link(at("one"), at("two")).expect("linked");
        let before = Before::take(dir.path()).expect("read");
        // The same size, and the time put back.
        let time = fs::metadata(at("a/b/written")).expect("there").modified().expect("a time");
        fs::write(at("a/b/written"), "new").expect("written");
        let file = fs::File::options().append(true).open(at("a/b/written")).expect("opened");
        file.set_modified(time).expect("set");
        fs::set_permissions(at("a/b/mode"), fs::Permissions::from_mode(0o600)).expect("set");
        fs::remove_dir_all(at("gone")).expect("removed");
        fs::remove_dir_all(at("file")).expect("removed");
        fs::write(at("file"), "now a file").expect("written");
        fs::write(at("one"), "both").expect("written");
        fs::read(at("kept/x")).expect("read");
        let mut seen = Vec::new();
        walk_changes(dir.path(), &before, &mut |entry, content| {
            let mut text = String::new();
            content.map(|content| content.read_to_string(&mut text)).transpose()?;
            let what = match &entry.change {
                Change::Whiteout => "gone".to_owned(),
                Change::Hardlink { target } => target.display(),
                _ => text,
            };
            seen.push((entry.path.display(), what));
            Ok(())
        })
        .expect("walked");
        let expected = [
            ("/a", ""),
            ("/a/b", ""),
            ("/a/b/mode", "old"),
            ("/a/b/written", "new"),
            ("/file", "now a file"),
            ("/gone", "gone"),
            ("/one", "both"),
            ("/two", "/one"),
        ];
        assert_eq!(seen, expected.map(|(path, what)| (path.to_owned(), what.to_owned())));
    }
}
