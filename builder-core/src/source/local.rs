//! A directory of this host as a tree: the build context.
//!
//! In: a root, walked only where it is asked. Out: a [`Tree`] with owners 0:0
//! and the constant time. Invariant: what is handed out has the digest that
//! [`Tree::content`] told, or reading fails and [`ContextTree::violation`]
//! names the file. Sockets are skipped; hard links are files of their own;
//! extended attributes are not taken.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{SystemTime, UNIX_EPOCH};

use rustix::fs::{FileType, Stat};
use serde::{Deserialize, Serialize};

use crate::digest::ContentDigest;
use crate::layer::{LayerPath, Meta, Mtime};
use crate::rooted::Root;
use crate::store::{Store, StoreError};
use crate::view::{Node, NodeKind, ReadAt, Tree, TreeError};

/// Area of the store's records that holds what was seen of each context.
const AREA: &str = "contexts";
/// A file changed as shortly as this (in seconds) before it was hashed may
/// change again without its times showing it.
const RACY: i64 = 2;

/// Errors of opening a context and of remembering it.
#[derive(Debug, thiserror::Error)]
pub enum ContextError {
    /// The root is not there, or is no directory.
    #[error("opening the context {}: {source}", path.display())]
    Open {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Device, inode, size, and mtime and ctime in nanoseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Signature(u64, u64, u64, i64, i64, i64, i64);

impl Signature {
    fn of(file: &File) -> io::Result<Self> {
        let m = file.metadata()?;
        let (mtime, ctime) = ((m.mtime(), m.mtime_nsec()), (m.ctime(), m.ctime_nsec()));
        Ok(Self(m.dev(), m.ino(), m.size(), mtime.0, mtime.1, ctime.0, ctime.1))
    }

    fn settled(&self, now: i64) -> bool {
        self.5 + RACY < now
    }
}

#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
struct Seen {
    signature: Signature,
    content: ContentDigest,
    /// Whether the signature may be trusted by a later build.
    settled: bool,
}

#[derive(Debug, Default)]
struct State {
    /// From earlier builds; by hex of the path, as JSON has no bytes.
    before: HashMap<String, Seen>,
    now: HashMap<LayerPath, Seen>,
    violation: Option<LayerPath>,
}

/// See the module.
#[derive(Debug, Clone)]
pub struct ContextTree {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    root: Root,
    store: Option<Store>,
    record: String,
    state: Mutex<State>,
}

impl Inner {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn changed(&self, path: &LayerPath) -> TreeError {
        self.state().violation.get_or_insert_with(|| path.clone());
        TreeError::Changed { path: path.display().to_string() }
    }
}

fn failed(path: &LayerPath) -> impl Fn(io::Error) -> TreeError {
    let path = path.display().to_string();
    move |source| TreeError::Io { path: path.clone(), source }
}

fn now() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(now.as_secs()).unwrap_or(i64::MAX)
}

impl ContextTree {
    /// Opens the context at `root`. With a store, digests of files whose stat
    /// did not change since an earlier build are not computed again.
    ///
    /// # Errors
    /// [`ContextError`].
    pub fn open(store: Option<&Store>, root: &Path) -> Result<Self, ContextError> {
        let open = |source| ContextError::Open { path: root.to_owned(), source };
        let absolute = root.canonicalize().map_err(open)?;
        let name = ContentDigest::of(absolute.as_os_str().as_encoded_bytes()).hex();
        let bytes = store.map(|store| store.get_record(AREA, &name)).transpose()?.flatten();
        // A broken record only costs hashing.
        let before = bytes.and_then(|bytes| serde_json::from_slice(&bytes).ok());
        let state = State { before: before.unwrap_or_default(), ..State::default() };
        Ok(Self {
            inner: Arc::new(Inner {
                root: Root::open(&absolute).map_err(open)?,
                store: store.cloned(),
                record: name,
                state: Mutex::new(state),
            }),
        })
    }

    /// The first file that was found to have changed while it was used.
    #[must_use]
    pub fn violation(&self) -> Option<LayerPath> {
        self.inner.state().violation.clone()
    }

    /// Keeps in the store what was learnt, for later builds.
    ///
    /// # Errors
    /// Those of the store.
    pub fn remember(&self) -> Result<(), ContextError> {
        let Some(store) = &self.inner.store else { return Ok(()) };
        let mut state = self.inner.state();
        let State { before, now, .. } = &mut *state;
        for (path, seen) in now.iter() {
            let name = hex::encode(path.as_bytes());
            if seen.settled {
                before.insert(name, *seen);
            } else {
                before.remove(&name);
            }
        }
        let bytes = serde_json::to_vec(before).expect("maps of numbers and text are JSON");
        Ok(store.put_record(AREA, &self.inner.record, &bytes)?)
    }

    fn file(&self, path: &LayerPath) -> Result<File, TreeError> {
        self.inner.root.file(path.as_bytes()).map_err(|source| {
            if source.kind() == io::ErrorKind::InvalidInput {
                TreeError::Type { path: path.display().to_string(), expected: "file" }
            } else {
                failed(path)(source)
            }
        })
    }

    fn capture(&self, path: &LayerPath, mut to: impl Write) -> Result<(), TreeError> {
        let mut from = self.stream(path)?;
        match io::copy(&mut from, &mut to) {
            Ok(_) => Ok(()),
            // `Checked` says so where the file changed.
            Err(error) => Err(error.downcast::<TreeError>().unwrap_or_else(failed(path))),
        }
    }
}

fn node(stat: &Stat, target: Option<Vec<u8>>) -> Option<Node> {
    let device = || (rustix::fs::major(stat.st_rdev), rustix::fs::minor(stat.st_rdev));
    let kind = match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile => {
            NodeKind::File { size: u64::try_from(stat.st_size).unwrap_or_default() }
        }
        FileType::Directory => NodeKind::Directory,
        FileType::Symlink => NodeKind::Symlink { target: target? },
        FileType::Fifo => NodeKind::Fifo,
        FileType::CharacterDevice if stat.st_rdev == 0 => return None,
        FileType::CharacterDevice => {
            let (major, minor) = device();
            NodeKind::CharDevice { major, minor }
        }
        FileType::BlockDevice => {
            let (major, minor) = device();
            NodeKind::BlockDevice { major, minor }
        }
        FileType::Socket | FileType::Unknown => return None,
    };
    Some(Node { meta: Meta::root_owned(stat.st_mode & 0o7777), kind, links: None })
}

impl Tree for ContextTree {
    fn node(&self, path: &LayerPath) -> Result<Option<Node>, TreeError> {
        let found = self.inner.root.look(path.as_bytes()).map_err(failed(path))?;
        Ok(found.and_then(|(stat, target)| node(&stat, target)))
    }

    fn list(&self, path: &LayerPath) -> Result<Vec<(Vec<u8>, Node)>, TreeError> {
        let found = self.inner.root.list(path.as_bytes()).map_err(failed(path))?;
        let named = found.into_iter().map(|(name, stat, target)| (name, node(&stat, target)));
        Ok(named.filter_map(|(name, node)| Some((name, node?))).collect())
    }

    fn content(&self, path: &LayerPath) -> Result<ContentDigest, TreeError> {
        if let Some(seen) = self.inner.state().now.get(path) {
            return Ok(seen.content);
        }
        let start = now();
        let file = self.file(path)?;
        let signature = Signature::of(&file).map_err(failed(path))?;
        let before = self.inner.state().before.get(&hex::encode(path.as_bytes())).copied();
        let seen = match before.filter(|seen| seen.settled && seen.signature == signature) {
            Some(seen) => seen,
            None => {
                let mut hasher = blake3::Hasher::new();
                hasher.update_reader(&file).map_err(failed(path))?;
                if Signature::of(&file).map_err(failed(path))? != signature {
                    return Err(self.inner.changed(path));
                }
                let content = ContentDigest::from_bytes(*hasher.finalize().as_bytes());
                Seen { signature, content, settled: signature.settled(start) }
            }
        };
        // Where two threads hashed at once, the first answer stands for both.
        Ok(self.inner.state().now.entry(path.clone()).or_insert(seen).content)
    }

    /// Captures the file, so that what is read can change no more.
    fn open(&self, path: &LayerPath) -> Result<Arc<dyn ReadAt>, TreeError> {
        let content = self.content(path)?;
        let store_failed = |error: StoreError| failed(path)(io::Error::other(error));
        let Some(store) = &self.inner.store else {
            let flags = rustix::fs::MemfdFlags::CLOEXEC;
            let memory = rustix::fs::memfd_create("context", flags);
            let memory = File::from(memory.map_err(|error| failed(path)(error.into()))?);
            self.capture(path, &memory)?;
            return Ok(Arc::new(Captured(memory)));
        };
        let place = store.captured_path(&content);
        if let Ok(mut file) = File::open(&place) {
            let mut hasher = blake3::Hasher::new();
            hasher.update_reader(&mut file).map_err(failed(path))?;
            if hasher.finalize().as_bytes() == content.as_bytes() {
                return Ok(Arc::new(Captured(file)));
            }
        }
        let mut temp = store.temp_file().map_err(store_failed)?;
        self.capture(path, temp.as_file_mut())?;
        temp.as_file_mut().rewind().map_err(failed(path))?;
        store.persist(temp, &place).map_err(store_failed)?;
        Ok(Arc::new(Captured(File::open(&place).map_err(failed(path))?)))
    }

    fn stream(&self, path: &LayerPath) -> Result<Box<dyn Read + Send>, TreeError> {
        Ok(Box::new(Checked {
            expected: self.content(path)?,
            file: self.file(path)?,
            hasher: blake3::Hasher::new(),
            tree: self.clone(),
            path: path.clone(),
        }))
    }

    fn host_mtime(&self, path: &LayerPath) -> Result<Option<Mtime>, TreeError> {
        let found = self.inner.root.look(path.as_bytes()).map_err(failed(path))?;
        Ok(found.map(|(stat, _)| Mtime {
            secs: stat.st_mtime,
            nanos: u32::try_from(stat.st_mtime_nsec).unwrap_or_default(),
        }))
    }
}

struct Captured(File);

impl ReadAt for Captured {
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        let mut done = 0;
        while done < buf.len() {
            match self.0.read_at(&mut buf[done..], offset + done as u64) {
                Ok(0) => break,
                Ok(read) => done += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(done)
    }
}

/// A file's bytes; fails at the end where they are not what was told.
struct Checked {
    expected: ContentDigest,
    file: File,
    hasher: blake3::Hasher,
    tree: ContextTree,
    path: LayerPath,
}

impl Read for Checked {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read(buf)?;
        self.hasher.update(&buf[..read]);
        let end = read == 0 && !buf.is_empty();
        if end && self.hasher.finalize().as_bytes() != self.expected.as_bytes() {
            return Err(io::Error::other(self.tree.inner.changed(&self.path)));
        }
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> LayerPath {
        LayerPath::new(text).expect("a path")
    }

    #[test]
    fn a_file_that_changes_after_it_was_hashed_is_refused_and_named() {
        let dir = tempfile::tempdir().expect("a directory");
        std::fs::write(dir.path().join("f"), "one").expect("written");
        for store in [false, true] {
            let place = tempfile::tempdir().expect("a directory");
            let store = store.then(|| Store::open(place.path()).expect("a store"));
            let tree = ContextTree::open(store.as_ref(), dir.path()).expect("opened");
            std::fs::write(dir.path().join("f"), "one").expect("written");
            assert_eq!(tree.content(&path("f")).expect("hashed"), ContentDigest::of(b"one"));
            std::fs::write(dir.path().join("f"), "two").expect("written");
            assert!(matches!(tree.open(&path("f")), Err(TreeError::Changed { .. })));
            let mut bytes = Vec::new();
            assert!(tree.stream(&path("f")).expect("open").read_to_end(&mut bytes).is_err());
            assert_eq!(tree.violation(), Some(path("f")));
        }
    }

    #[test]
    fn what_was_captured_stays_as_it_was() {
        let (dir, place) = (tempfile::tempdir().expect("dir"), tempfile::tempdir().expect("dir"));
        let store = Store::open(place.path()).expect("a store");
        std::fs::write(dir.path().join("f"), "one").expect("written");
        let tree = ContextTree::open(Some(&store), dir.path()).expect("opened");
        let open = tree.open(&path("f")).expect("captured");
        std::fs::write(dir.path().join("f"), "two").expect("written");
        let mut bytes = [0; 8];
        assert_eq!(open.read_at(0, &mut bytes).expect("read"), 3);
        assert_eq!(&bytes[..3], b"one");
        assert_eq!(tree.violation(), None);
    }

    #[test]
    fn a_digest_is_remembered_only_for_files_that_settled() {
        let (dir, place) = (tempfile::tempdir().expect("dir"), tempfile::tempdir().expect("dir"));
        let store = Store::open(place.path()).expect("a store");
        std::fs::write(dir.path().join("f"), "one").expect("written");
        let tree = ContextTree::open(Some(&store), dir.path()).expect("opened");
        tree.content(&path("f")).expect("hashed");
        tree.remember().expect("kept");
        let again = ContextTree::open(Some(&store), dir.path()).expect("opened");
        assert!(again.inner.state().before.is_empty(), "written just now, so it is racy");
        assert!(Signature(0, 0, 0, 0, 0, 97, 0).settled(100));
        assert!(!Signature(0, 0, 0, 0, 0, 98, 0).settled(100));
    }
}
