//! A directory of this host as a tree: the build context.
//!
//! In: a root, looked at only where it is asked. Out: a [`Tree`] with owners
//! 0:0 and the constant time. Sockets are skipped; extended attributes are not
//! taken. Since no more is looked at than is asked for, nodes know of no hard
//! links; [`Tree::host_file`] says which names are one file. What a list of
//! patterns leaves out is not there.
//!
//! Invariant: what was seen of a path first holds as long as the tree lives.
//! What is handed out has the digest that [`Tree::content`] told, or reading
//! fails and [`ContextTree::violation`] names the file.

mod ahead;
mod capture;
mod ignored;
mod record;
#[cfg(test)]
mod tests;

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io::{self, Read, Seek as _, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use rustix::fs::{FileType, Stat};

use self::capture::{Captured, Checked};
use self::record::{Files, Hashed, Signature};
use crate::digest::ContentDigest;
use crate::layer::{LayerPath, Meta, Mtime};
use crate::pattern::{PatternError, Patterns};
use crate::rooted::Root;
use crate::store::{Store, StoreError};
use crate::view::{HostFile, Node, NodeKind, ReadAt, Tree, TreeError};

/// Up to this size a file is read at once to be hashed.
const SMALL: u64 = 64 << 10;

/// Area of the store's records that holds what was seen of each context.
pub const AREA: &str = "contexts";

/// The files of which a record of [`AREA`] knows the content: captured ones
/// among them may be of use again.
///
/// # Errors
/// Those of the store.
pub fn remembered(store: &Store, record: &str) -> Result<Vec<ContentDigest>, StoreError> {
    let files = store.get_record(AREA, record)?.and_then(|bytes| record::decode(&bytes));
    Ok(files.into_iter().flatten().map(|(_, hashed)| hashed.content).collect())
}

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
    /// The list of what is left out is malformed.
    #[error("what the context leaves out: {0}")]
    Ignore(#[from] PatternError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What was seen of a path first.
#[derive(Debug)]
struct Seen {
    node: Node,
    signature: Signature,
    mtime: Mtime,
    /// Whether the host's file has several names, be they in the context or not.
    is_linked: bool,
}

#[derive(Debug, Default)]
struct State {
    /// From earlier builds.
    before: Files,
    /// `None` where nothing is, or nothing that a tree shows.
    seen: HashMap<LayerPath, Option<Arc<Seen>>>,
    listed: HashMap<LayerPath, Arc<Vec<Vec<u8>>>>,
    /// With whether a later build may trust it.
    hashed: HashMap<LayerPath, (Hashed, bool)>,
    /// Captured files that are known to be whole.
    whole: HashSet<ContentDigest>,
    violation: Option<LayerPath>,
}

/// See the module. Cheap to clone.
#[derive(Debug, Clone)]
pub struct ContextTree {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    root: Root,
    ignore: Patterns,
    store: Option<Store>,
    record: String,
    state: Mutex<State>,
}

impl ContextTree {
    /// Opens the context at `root`. With a store, digests of files whose stat
    /// did not change since an earlier build are not computed again.
    ///
    /// # Errors
    /// [`ContextError`].
    pub fn open(store: Option<&Store>, root: &Path) -> Result<Self, ContextError> {
        Self::open_without(store, root, &[])
    }

    /// The same without what `ignore` leaves out, by the rules of
    /// `.dockerignore`.
    ///
    /// # Errors
    /// [`ContextError`].
    pub fn open_without(
        store: Option<&Store>,
        root: &Path,
        ignore: &[String],
    ) -> Result<Self, ContextError> {
        let open = |source| ContextError::Open { path: root.to_owned(), source };
        let absolute = root.canonicalize().map_err(open)?;
        let mut identity = absolute.as_os_str().as_encoded_bytes().to_vec();
        for pattern in ignore {
            identity.extend([b"\0", pattern.as_bytes()].concat());
        }
        let record = ContentDigest::of(&identity).hex();
        let bytes = store.map(|store| store.get_record(AREA, &record)).transpose()?.flatten();
        if let Some(store) = store.filter(|_| bytes.is_some()) {
            store.touch_record(AREA, &record);
        }
        // A broken record only costs hashing.
        let before = bytes.and_then(|bytes| record::decode(&bytes)).unwrap_or_default();
        let root = Root::open(&absolute).map_err(open)?;
        let state = Mutex::new(State { before, ..State::default() });
        let (ignore, store) = (Patterns::new(ignore)?, store.cloned());
        Ok(Self { inner: Arc::new(Inner { root, ignore, store, record, state }) })
    }

    /// Does without what earlier builds learnt: every file that is asked for is
    /// read. For a tree that nobody else has yet.
    pub fn forget(&mut self) {
        self.state().before = Files::new();
    }

    /// The first file that was found to have changed while it was used.
    #[must_use]
    pub fn violation(&self) -> Option<LayerPath> {
        self.state().violation.clone()
    }

    /// Keeps in the store what was learnt, for later builds; writes nothing
    /// where that is nothing.
    ///
    /// # Errors
    /// Those of the store.
    pub fn remember(&self) -> Result<(), ContextError> {
        let Some(store) = &self.inner.store else { return Ok(()) };
        let mut state = self.state();
        let State { before, seen, listed, hashed, .. } = &mut *state;
        let mut files = before.clone();
        // What a listing no longer shows is gone.
        files.retain(|path, _| {
            let listed = path.parent().is_some_and(|parent| listed.contains_key(&parent));
            !listed || matches!(seen.get(path), Some(Some(_)))
        });
        for (path, (hashed, settled)) in hashed.iter() {
            match settled {
                true => drop(files.insert(path.clone(), *hashed)),
                false => drop(files.remove(path)),
            }
        }
        if files != *before {
            store.put_record(AREA, &self.inner.record, &record::encode(&files))?;
            *before = files;
        }
        Ok(())
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.inner.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn changed(&self, path: &LayerPath) -> TreeError {
        self.state().violation.get_or_insert_with(|| path.clone());
        TreeError::Changed { path: path.display() }
    }

    /// What is at `path`, as it was seen first.
    fn seen(&self, path: &LayerPath) -> Result<Option<Arc<Seen>>, TreeError> {
        {
            let state = self.state();
            if let Some(seen) = state.seen.get(path) {
                return Ok(seen.clone());
            }
            // A directory that was listed has no other names than those.
            if path.parent().is_some_and(|parent| state.listed.contains_key(&parent)) {
                return Ok(None);
            }
        }
        let mut seen = None;
        if !self.surely_left_out(path) {
            let found = self.inner.root.look(path.as_bytes()).map_err(failed(path))?;
            seen = found.and_then(|(stat, target)| Seen::new(&stat, target)).map(Arc::new);
            if let Some(there) = &seen
                && !self.shows(path, there)?
            {
                seen = None;
            }
        }
        Ok(self.state().seen.entry(path.clone()).or_insert(seen).clone())
    }

    fn names(&self, path: &LayerPath) -> Result<Arc<Vec<Vec<u8>>>, TreeError> {
        if let Some(names) = self.state().listed.get(path) {
            return Ok(Arc::clone(names));
        }
        if !self.seen(path)?.is_some_and(|seen| seen.node.is_dir()) {
            return Err(TreeError::Type { path: path.display(), expected: "directory" });
        }
        let found = self.inner.root.list(path.as_bytes()).map_err(|source| {
            if is_other(&source) { self.changed(path) } else { failed(path)(source) }
        })?;
        let matched = self.matched(path);
        let mut all = Vec::with_capacity(found.len());
        for (name, stat, target) in found {
            // No layer could hold such a name.
            let Ok(child) = path.join(&name) else { continue };
            let mut seen = Seen::new(&stat, target);
            if let Some(there) = &seen
                && !self.shows_in(&matched, &child, there.node.is_dir())?
            {
                seen = None;
            }
            all.push((name, child, seen));
        }
        let mut state = self.state();
        let mut names = Vec::with_capacity(all.len());
        for (name, child, seen) in all {
            if state.seen.entry(child).or_insert_with(|| seen.map(Arc::new)).is_some() {
                names.push(name);
            }
        }
        Ok(Arc::clone(state.listed.entry(path.clone()).or_insert_with(|| Arc::new(names))))
    }

    fn file(&self, path: &LayerPath) -> Result<File, TreeError> {
        self.inner.root.file(path.as_bytes()).map_err(|source| {
            // It was a file when it was seen.
            if is_other(&source) { self.changed(path) } else { failed(path)(source) }
        })
    }

    fn hash(&self, path: &LayerPath, signature: Signature) -> Result<(Hashed, bool), TreeError> {
        let start = now();
        let file = self.file(path)?;
        let same = || {
            let stat = rustix::fs::fstat(&file).map_err(|error| failed(path)(error.into()))?;
            Ok::<_, TreeError>(Signature::of(&stat) == signature)
        };
        if !same()? {
            return Err(self.changed(path));
        }
        let mut hasher = blake3::Hasher::new();
        if signature.size() < SMALL {
            // One read, and no buffer that is larger than the file.
            let room = usize::try_from(signature.size() + 1).expect("it is small");
            let mut bytes = Vec::with_capacity(room);
            (&file).take(SMALL).read_to_end(&mut bytes).map_err(failed(path))?;
            hasher.update(&bytes);
        } else {
            match &self.inner.store {
                Some(store) => hasher.update_reader(store.cancel().guard(&file)),
                None => hasher.update_reader(&file),
            }
            .map_err(failed(path))?;
        }
        if !same()? {
            return Err(self.changed(path));
        }
        let content = ContentDigest::from_bytes(*hasher.finalize().as_bytes());
        Ok((Hashed { signature, content }, signature.settled(start)))
    }

    fn copy(&self, path: &LayerPath, mut to: impl Write) -> Result<(), TreeError> {
        let mut from = self.stream(path)?;
        match io::copy(&mut from, &mut to) {
            Ok(_) => Ok(()),
            // `Checked` says so where the file changed.
            Err(error) => Err(error.downcast::<TreeError>().unwrap_or_else(failed(path))),
        }
    }

    /// The captured file of that content, if it is there and whole.
    fn captured(&self, place: &Path, content: &ContentDigest) -> Option<File> {
        let mut file = File::open(place).ok()?;
        if self.state().whole.contains(content) {
            return Some(file);
        }
        let mut hasher = blake3::Hasher::new();
        hasher.update_reader(&mut file).ok()?;
        let whole = hasher.finalize().as_bytes() == content.as_bytes();
        whole.then(|| self.state().whole.insert(*content)).map(|_| file)
    }
}

impl Seen {
    fn new(stat: &Stat, target: Option<Vec<u8>>) -> Option<Self> {
        let nanos = u32::try_from(stat.st_mtime_nsec).unwrap_or_default();
        let mtime = Mtime { secs: stat.st_mtime, nanos };
        let (node, signature) = (node(stat, target)?, Signature::of(stat));
        let is_linked = stat.st_nlink > 1 && matches!(node.kind, NodeKind::File { .. });
        Some(Self { node, signature, mtime, is_linked })
    }
}

fn failed(path: &LayerPath) -> impl Fn(io::Error) -> TreeError {
    move |source| TreeError::Io { path: path.display(), source }
}

/// Whether something has gone, or has become something else, or a link has come
/// in its way (links are never followed).
fn is_other(error: &io::Error) -> bool {
    use io::ErrorKind::{InvalidInput, NotADirectory, NotFound};
    matches!(error.kind(), InvalidInput | NotADirectory | NotFound)
        || error.raw_os_error() == Some(rustix::io::Errno::LOOP.raw_os_error())
}

fn now() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(now.as_secs()).unwrap_or(i64::MAX)
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
        // An overlay would take it as a whiteout.
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
        Ok(self.seen(path)?.map(|seen| seen.node.clone()))
    }

    fn list(&self, path: &LayerPath) -> Result<Vec<(Vec<u8>, Node)>, TreeError> {
        let names = self.names(path)?;
        let mut nodes = Vec::with_capacity(names.len());
        for name in names.iter() {
            let child = path.join(name).expect("it was joined when it was listed");
            if let Some(seen) = self.seen(&child)? {
                nodes.push((name.clone(), seen.node.clone()));
            }
        }
        Ok(nodes)
    }

    fn content(&self, path: &LayerPath) -> Result<ContentDigest, TreeError> {
        if let Some((hashed, _)) = self.state().hashed.get(path) {
            return Ok(hashed.content);
        }
        let signature = match self.seen(path)?.as_deref() {
            Some(Seen { node: Node { kind: NodeKind::File { .. }, .. }, signature, .. }) => {
                *signature
            }
            _ => return Err(TreeError::Type { path: path.display(), expected: "file" }),
        };
        let before = self.state().before.get(path).copied();
        let hashed = match before.filter(|hashed| hashed.signature == signature) {
            Some(hashed) => (hashed, true),
            None => self.hash(path, signature)?,
        };
        // Where two threads hashed at once, the first answer stands for both.
        Ok(self.state().hashed.entry(path.clone()).or_insert(hashed).0.content)
    }

    fn at_hand(&self, path: &LayerPath) -> Option<ContentDigest> {
        self.known(path)
    }

    /// Captures the file, so that what is read can change no more.
    fn open(&self, path: &LayerPath) -> Result<Arc<dyn ReadAt>, TreeError> {
        let content = self.content(path)?;
        let Some(store) = &self.inner.store else {
            let flags = rustix::fs::MemfdFlags::CLOEXEC;
            let memory = rustix::fs::memfd_create("context", flags);
            let memory = File::from(memory.map_err(|error| failed(path)(error.into()))?);
            self.copy(path, &memory)?;
            return Ok(Arc::new(Captured(memory)));
        };
        let place = store.captured_path(&content);
        if let Some(file) = self.captured(&place, &content) {
            return Ok(Arc::new(Captured(file)));
        }
        let temp = store.temp_file();
        let mut temp = temp.map_err(|error| failed(path)(io::Error::other(error)))?;
        self.copy(path, temp.as_file_mut())?;
        temp.as_file_mut().rewind().map_err(failed(path))?;
        if let Some(directory) = place.parent() {
            std::fs::create_dir_all(directory).map_err(failed(path))?;
        }
        // Not synced: it is checked before it is used again, and made anew.
        let file = temp.persist(&place).map_err(|error| failed(path)(error.error))?;
        self.state().whole.insert(content);
        Ok(Arc::new(Captured(file)))
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
        Ok(self.seen(path)?.map(|seen| seen.mtime))
    }

    fn host_file(&self, path: &LayerPath) -> Result<Option<HostFile>, TreeError> {
        let linked = self.seen(path)?.filter(|seen| seen.is_linked);
        Ok(linked.map(|seen| HostFile(seen.signature.0)))
    }
}
