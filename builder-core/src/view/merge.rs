//! The lazy merge of a stack of tables of contents.
//!
//! In: layers, lowest first. Out: a [`Tree`]. One directory is merged when it
//! is first asked for and kept; opening a view costs nothing. A view on another
//! one takes from it each directory in which its own layer has nothing.
//!
//! The rules (OCI image spec, "Whiteouts"): a name in an upper layer hides the
//! same name below, unless both are directories, which merge; a whiteout hides
//! the name below; an opaque directory hides all that is inside it below.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use super::{Links, Node, NodeKind, ReadAt, Tree, TreeError};
use crate::digest::ContentDigest;
use crate::layer::{Extent, Item, Kind, Layer, LayerPath, Meta, Mtime};

/// Deepest chain of hard links into lower layers that is followed.
const MAX_LINKS: usize = 40;

/// The merged view of a stack of layers, lowest first.
pub struct View {
    layers: Vec<Layer>,
    /// The view of all layers but the last, if it is there.
    below: Option<Arc<View>>,
    directories: Mutex<HashMap<LayerPath, Option<Arc<Merged>>>>,
}

/// One directory of the view.
#[derive(Debug)]
struct Merged {
    children: BTreeMap<Vec<u8>, Found>,
}

/// What the stack has under one name.
#[derive(Debug, Clone)]
enum Found {
    /// A directory, with the layers that have something inside it, top first.
    Directory { meta: Meta, inside: Vec<usize> },
    /// Anything else, and the layer that it is in.
    Leaf { layer: usize, item: Item },
}

/// A name on its way to being [`Found`], from the top layer down.
struct Pending {
    meta: Option<Meta>,
    inside: Vec<usize>,
    leaf: Option<(usize, Item)>,
    closed: bool,
}

impl View {
    /// A view of `layers`, lowest first. Constant time.
    #[must_use]
    pub fn new(layers: Vec<Layer>) -> Self {
        Self { layers, below: None, directories: Mutex::default() }
    }

    /// The view of `below` with one more layer on top.
    #[must_use]
    pub fn on(below: Arc<Self>, layer: Layer) -> Self {
        let layers = below.layers.iter().cloned().chain([layer]).collect();
        Self { layers, below: Some(below), directories: Mutex::default() }
    }

    /// Which layer, counted from the lowest, what is at `path` is of; `None` for
    /// a directory, which several may have, and where there is nothing.
    ///
    /// # Errors
    /// [`TreeError`].
    pub fn layer_of(&self, path: &LayerPath) -> Result<Option<usize>, TreeError> {
        match self.found(path)? {
            Some(Found::Leaf { layer, .. }) => Ok(Some(layer)),
            Some(Found::Directory { .. }) | None => Ok(None),
        }
    }

    /// What is known of a directory: `None` if nothing is.
    fn known(&self, path: &LayerPath) -> Option<Option<Arc<Merged>>> {
        let directories = self.directories.lock().unwrap_or_else(PoisonError::into_inner);
        directories.get(path).cloned()
    }

    /// The directory at `path`, `None` where there is none. Merged from the top
    /// down, without recursion: how deep a path is, is not ours to choose.
    fn merged(&self, path: &LayerPath) -> Result<Option<Arc<Merged>>, TreeError> {
        if let Some(known) = self.known(path) {
            return Ok(known);
        }
        let mut missing = vec![path.clone()];
        let mut above = None;
        while let Some(parent) = missing.last().and_then(LayerPath::parent) {
            above = self.known(&parent);
            if above.is_some() {
                break;
            }
            missing.push(parent);
        }
        while let Some(path) = missing.pop() {
            let inside = match (path.split(), above.flatten()) {
                (None, _) => self.visible_inside(&path, (0..self.layers.len()).rev())?,
                (Some((_, name)), Some(parent)) => match parent.children.get(name) {
                    Some(Found::Directory { inside, .. }) => inside.clone(),
                    _ => return Ok(None),
                },
                (Some(_), None) => return Ok(None),
            };
            let merged = match &self.below {
                // The lower layers have the same numbers there.
                Some(below) if !inside.contains(&(self.layers.len() - 1)) => below.merged(&path)?,
                _ => Some(Arc::new(self.merge(&path, &inside)?)),
            };
            let mut directories = self.directories.lock().unwrap_or_else(PoisonError::into_inner);
            above = Some(directories.entry(path).or_insert(merged).clone());
        }
        Ok(above.flatten())
    }

    /// Those of `layers` (top first) that are seen inside `path`: down to the
    /// first in which it is opaque.
    fn visible_inside(
        &self,
        path: &LayerPath,
        layers: impl Iterator<Item = usize>,
    ) -> Result<Vec<usize>, TreeError> {
        let mut inside = Vec::new();
        for layer in layers {
            let Some(directory) = self.layers[layer].directory(path)? else { continue };
            inside.push(layer);
            if directory.opaque {
                break;
            }
        }
        Ok(inside)
    }

    fn merge(&self, path: &LayerPath, inside: &[usize]) -> Result<Merged, TreeError> {
        let mut pending: BTreeMap<Vec<u8>, Pending> = BTreeMap::new();
        for &layer in inside {
            let Some(directory) = self.layers[layer].directory(path)? else { continue };
            for (name, item) in &directory.children {
                let entry = pending.entry(name.clone()).or_insert_with(Pending::new);
                entry.put(layer, item);
            }
        }
        let mut children = BTreeMap::new();
        for (name, pending) in pending {
            let found = match pending {
                Pending { leaf: Some((layer, item)), .. } => Found::Leaf { layer, item },
                Pending { meta, inside, .. } if !inside.is_empty() => {
                    let Ok(child) = path.join(&name) else { continue };
                    let inside = self.visible_inside(&child, inside.into_iter())?;
                    let mut meta = meta.unwrap_or_else(|| Meta::root_owned(0o755));
                    meta.mtime = Mtime::CONSTANT;
                    Found::Directory { meta, inside }
                }
                Pending { .. } => continue,
            };
            children.insert(name, found);
        }
        Ok(Merged { children })
    }

    fn found(&self, path: &LayerPath) -> Result<Option<Found>, TreeError> {
        let Some((parent, name)) = path.split() else { return Ok(None) };
        Ok(self.merged(&parent)?.and_then(|merged| merged.children.get(name).cloned()))
    }

    /// The file behind a leaf: for a link into a lower layer, what that has.
    fn behind(
        &self,
        layer: usize,
        item: &Item,
        depth: usize,
    ) -> Result<Option<(usize, Item)>, TreeError> {
        let Item::LinkBelow { target } = item else { return Ok(Some((layer, item.clone()))) };
        if depth == MAX_LINKS {
            return Ok(None);
        }
        let below = Self::new(self.layers[..layer].to_vec());
        match below.found(target)? {
            Some(Found::Leaf { layer, item }) => below.behind(layer, &item, depth + 1),
            _ => Ok(None),
        }
    }

    fn node_of(&self, found: &Found) -> Result<Option<Node>, TreeError> {
        let (layer, item) = match found {
            Found::Directory { meta, .. } => {
                return Ok(Some(Node {
                    meta: meta.clone(),
                    kind: NodeKind::Directory,
                    links: None,
                }));
            }
            Found::Leaf { layer, item } => match self.behind(*layer, item, 0)? {
                Some(behind) => behind,
                None => return Ok(None),
            },
        };
        let Item::Present { meta, kind, links, .. } = item else { return Ok(None) };
        let links = if links.is_empty() { None } else { self.links(layer, &links)? };
        Ok(Some(Node { meta, kind: node_kind(&kind), links }))
    }

    /// Which names of a link group this view still has.
    fn links(&self, layer: usize, names: &[LayerPath]) -> Result<Option<Links>, TreeError> {
        let mut first = None;
        let mut count = 0;
        for name in names {
            let Some(Found::Leaf { layer: found, item: Item::Present { .. } }) =
                self.found(name)?
            else {
                continue;
            };
            if found == layer {
                first.get_or_insert_with(|| name.clone());
                count += 1;
            }
        }
        Ok(first.filter(|_| count > 1).map(|first| Links { first, count }))
    }

    /// A regular file: its layer, size, digest and extents.
    fn file(
        &self,
        path: &LayerPath,
    ) -> Result<(usize, u64, ContentDigest, Vec<Extent>), TreeError> {
        let not_a_file = || TreeError::Type { path: path.display(), expected: "file" };
        let Some(Found::Leaf { layer, item }) = self.found(path)? else { return Err(not_a_file()) };
        match self.behind(layer, &item, 0)? {
            Some((layer, Item::Present { kind: Kind::File { size, content }, extents, .. })) => {
                Ok((layer, size, content, extents))
            }
            _ => Err(not_a_file()),
        }
    }

    fn root_node(&self) -> Result<Node, TreeError> {
        for layer in self.layers.iter().rev() {
            if let Some(mut meta) = layer.root_meta()? {
                meta.mtime = Mtime::CONSTANT;
                return Ok(Node { meta, kind: NodeKind::Directory, links: None });
            }
        }
        Ok(Node { meta: Meta::root_owned(0o755), kind: NodeKind::Directory, links: None })
    }
}

impl Pending {
    fn new() -> Self {
        Self { meta: None, inside: Vec::new(), leaf: None, closed: false }
    }

    fn put(&mut self, layer: usize, item: &Item) {
        if self.closed {
            return;
        }
        match item {
            Item::Present { kind: Kind::Directory, meta, .. } => {
                self.inside.push(layer);
                self.meta.get_or_insert_with(|| meta.clone());
            }
            Item::Implied => self.inside.push(layer),
            Item::Whiteout => self.closed = true,
            Item::Present { .. } | Item::LinkBelow { .. } => {
                self.closed = true;
                // Below a directory it is hidden.
                if self.inside.is_empty() {
                    self.leaf = Some((layer, item.clone()));
                }
            }
        }
    }
}

fn node_kind(kind: &Kind) -> NodeKind {
    match kind {
        Kind::File { size, content: _ } => NodeKind::File { size: *size },
        Kind::Directory => NodeKind::Directory,
        Kind::Symlink { target } => NodeKind::Symlink { target: target.clone() },
        Kind::CharDevice { major, minor } => NodeKind::CharDevice { major: *major, minor: *minor },
        Kind::BlockDevice { major, minor } => {
            NodeKind::BlockDevice { major: *major, minor: *minor }
        }
        Kind::Fifo => NodeKind::Fifo,
        Kind::Socket => NodeKind::Socket,
    }
}

impl Tree for View {
    fn has_xattrs(&self) -> bool {
        self.layers.iter().any(Layer::has_xattrs)
    }

    fn node(&self, path: &LayerPath) -> Result<Option<Node>, TreeError> {
        if path.is_root() {
            return self.root_node().map(Some);
        }
        match self.found(path)? {
            Some(found) => self.node_of(&found),
            None => Ok(None),
        }
    }

    fn list(&self, path: &LayerPath) -> Result<Vec<(Vec<u8>, Node)>, TreeError> {
        let Some(merged) = self.merged(path)? else {
            return Err(TreeError::Type { path: path.display(), expected: "directory" });
        };
        let mut nodes = Vec::with_capacity(merged.children.len());
        for (name, found) in &merged.children {
            if let Some(node) = self.node_of(found)? {
                nodes.push((name.clone(), node));
            }
        }
        Ok(nodes)
    }

    fn content(&self, path: &LayerPath) -> Result<ContentDigest, TreeError> {
        self.file(path).map(|(_, _, content, _)| content)
    }

    fn open(&self, path: &LayerPath) -> Result<Arc<dyn ReadAt>, TreeError> {
        let (layer, size, _, extents) = self.file(path)?;
        Ok(Arc::new(LayerFile { layer: self.layers[layer].clone(), size, extents }))
    }
}

/// A file's bytes in a layer's tar.
struct LayerFile {
    layer: Layer,
    size: u64,
    extents: Vec<Extent>,
}

impl ReadAt for LayerFile {
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        let len = usize::try_from(self.size.saturating_sub(offset)).unwrap_or(usize::MAX);
        let len = len.min(buf.len());
        let buf = &mut buf[..len];
        let end = offset + len as u64;
        let whole =
            matches!(self.extents.as_slice(), [one] if one.at <= offset && one.at + one.len >= end);
        if !whole {
            buf.fill(0);
        }
        for extent in &self.extents {
            let (from, to) = (offset.max(extent.at), end.min(extent.at + extent.len));
            if from >= to {
                continue;
            }
            let index = |at: u64| usize::try_from(at - offset).expect("within a buffer");
            let part = &mut buf[index(from)..index(to)];
            let read = self.layer.read_at(extent.offset + (from - extent.at), part);
            let read = read.map_err(|error| io::Error::other(error.to_string()))?;
            if read != part.len() {
                return Err(io::Error::from(io::ErrorKind::UnexpectedEof));
            }
        }
        Ok(len)
    }
}
