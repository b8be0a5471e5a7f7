//! Archives that a copy unpacks into its destination.
//!
//! What stands there is replaced by what the archive holds, but directories,
//! which merge and get mode and owner of the archive's; so does `ADD` of
//! BuildKit. Symbolic links of the target on the way are followed, inside it.
//! Modes, owners and times are the archive's.

use std::sync::Arc;

use super::copy::Copier;
use super::draft::Draft;
use super::{FileOpError, Input};
use crate::digest::ContentDigest;
use crate::layer::{Change, Entry, LayerPath, Meta};
use crate::view::{Node, NodeKind, ReadAt, Tree, TreeError, lookup};

/// An archive that was read.
#[derive(Clone)]
pub struct Archive {
    /// Its files.
    pub tree: Arc<dyn Tree>,
    /// Its entries in the order of paths: what it says nothing of is not here.
    pub entries: Arc<[Entry]>,
}

/// Reads the archive that a file of an input is; `None` where it is none.
pub type Unpacker<'a> =
    &'a dyn Fn(
        &Input,
        &LayerPath,
    ) -> Result<Option<Archive>, Box<dyn std::error::Error + Send + Sync + 'static>>;

/// The first number of what is no input but an archive in one.
const FIRST: usize = 1 << 32;

/// Archives that a copy takes files from.
#[derive(Default)]
pub(super) struct Archives(Vec<Input>);

impl Archives {
    /// The number under which a tree is found.
    fn add(&mut self, tree: Arc<dyn Tree>) -> usize {
        self.0.push(Input { tree, is_context: false });
        FIRST + self.0.len() - 1
    }

    pub(super) fn get(&self, number: usize) -> Option<&Input> {
        self.0.get(number.checked_sub(FIRST)?)
    }

    /// All of them by their numbers.
    pub(super) fn into_inputs(self) -> impl Iterator<Item = (usize, Input)> {
        self.0.into_iter().enumerate().map(|(at, input)| (FIRST + at, input))
    }
}

impl Copier<'_, '_> {
    /// Puts all that an archive holds below `dest`, a directory.
    pub(super) fn unpack(&mut self, archive: Archive, dest: &LayerPath) -> Result<(), FileOpError> {
        let Archive { tree, entries } = archive;
        let number = self.archives.add(Arc::clone(&tree));
        // Entries of one directory follow each other.
        let mut last: Option<(LayerPath, LayerPath)> = None;
        for Entry { path, change } in entries.iter() {
            if matches!(change, Change::Whiteout | Change::Opaque) {
                continue;
            }
            let Some(node) = tree.node(path)? else { continue };
            let to = match path.parent() {
                // The archive's own directory says nothing of the destination.
                None => continue,
                Some(parent) => {
                    let known = last.take().filter(|(known, _)| *known == parent);
                    let (parent, real) = match known {
                        Some(known) => known,
                        None => {
                            let real = self.real(dest, &parent)?;
                            (parent, real)
                        }
                    };
                    let to = join(&real, path.name());
                    last = Some((parent, real));
                    to?
                }
            };
            self.draft.replace(&to, node.is_dir())?;
            let meta = self.archived(&node);
            match node.is_dir() {
                true => {
                    self.draft.put_directory(&to, Meta { mtime: self.draft.mtime, ..meta })?;
                    last = None;
                }
                false => self.leaf_as((number, path), &node, &to, meta)?,
            }
        }
        Ok(())
    }

    fn archived(&self, node: &Node) -> Meta {
        let mut meta = node.meta.clone();
        (meta.uid, meta.gid) = self.owner.unwrap_or((meta.uid, meta.gid));
        meta.mode &= 0o7777;
        meta
    }

    /// Where a directory of an archive is in what there will be.
    fn real(&self, dest: &LayerPath, parent: &LayerPath) -> Result<LayerPath, FileOpError> {
        if parent.is_root() {
            return Ok(dest.clone());
        }
        let at = join(dest, parent.as_bytes())?;
        Ok(lookup::resolve(&Drafted(self.draft), &at)?.path)
    }
}

fn join(at: &LayerPath, below: &[u8]) -> Result<LayerPath, FileOpError> {
    let whole = [at.as_bytes(), b"/", below].concat();
    LayerPath::new(&whole).map_err(|source| FileOpError::Path {
        path: String::from_utf8_lossy(&whole).into_owned(),
        source,
    })
}

/// The target as it will be, as far as paths lead through it.
struct Drafted<'a, 'd>(&'a Draft<'d>);

impl Tree for Drafted<'_, '_> {
    fn node(&self, path: &LayerPath) -> Result<Option<Node>, TreeError> {
        self.0.node(path)
    }

    fn list(&self, path: &LayerPath) -> Result<Vec<(Vec<u8>, Node)>, TreeError> {
        self.0.target.list(path)
    }

    fn content(&self, path: &LayerPath) -> Result<ContentDigest, TreeError> {
        self.0.target.content(path)
    }

    fn open(&self, path: &LayerPath) -> Result<Arc<dyn ReadAt>, TreeError> {
        self.0.target.open(path)
    }
}

impl Draft<'_> {
    /// What will be at a path, its content aside.
    fn node(&self, path: &LayerPath) -> Result<Option<Node>, TreeError> {
        use crate::layer::Kind;
        let (meta, kind) = match self.items.get(path).map(|item| &item.change) {
            Some(Change::Present { meta, kind }) => (meta.clone(), kind),
            Some(_) => return Ok(None),
            None if self.is_replaced(path) => return Ok(None),
            None => return self.target.node(path),
        };
        let kind = match kind {
            Kind::Directory => NodeKind::Directory,
            Kind::Symlink { target } => NodeKind::Symlink { target: target.clone() },
            Kind::File { size, .. } => NodeKind::File { size: *size },
            _ => NodeKind::Fifo,
        };
        Ok(Some(Node { meta, kind, links: None }))
    }
}
