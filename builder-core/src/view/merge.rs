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
    /// What is left of each link group that was met, by its layer and the first
    /// name that it has there: each of its names is asked for it.
    groups: Mutex<HashMap<(usize, LayerPath), Option<Links>>>,
    /// The views of so many layers that links into lower layers were followed in.
    unders: Mutex<HashMap<usize, Arc<View>>>,
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
        Self::over(None, layers)
    }

    /// The view of `below` with one more layer on top.
    #[must_use]
    pub fn on(below: Arc<Self>, layer: Layer) -> Self {
        let layers = below.layers.iter().cloned().chain([layer]).collect();
        Self::over(Some(below), layers)
    }

    fn over(below: Option<Arc<Self>>, layers: Vec<Layer>) -> Self {
        let (groups, unders) = (Mutex::default(), Mutex::default());
        Self { layers, below, directories: Mutex::default(), groups, unders }
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
    fn behind(&self, layer: usize, item: &Item) -> Result<Option<(usize, Item)>, TreeError> {
        let (mut layer, mut item) = (layer, item.clone());
        for _ in 0..=MAX_LINKS {
            let Item::LinkBelow { target } = &item else { return Ok(Some((layer, item))) };
            match self.under(layer).found(target)? {
                Some(Found::Leaf { layer: lower, item: behind }) => (layer, item) = (lower, behind),
                _ => return Ok(None),
            }
        }
        Ok(None)
    }

    /// The view of the lowest `count` layers.
    fn under(&self, count: usize) -> Arc<Self> {
        let mut nearest = self;
        while let Some(below) = nearest.below.as_ref().filter(|below| below.layers.len() >= count) {
            if below.layers.len() == count {
                return Arc::clone(below);
            }
            nearest = below;
        }
        let mut unders = nearest.unders.lock().unwrap_or_else(PoisonError::into_inner);
        let under = unders.entry(count);
        Arc::clone(under.or_insert_with(|| Arc::new(Self::new(self.layers[..count].to_vec()))))
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
            Found::Leaf { layer, item } => match self.behind(*layer, item)? {
                Some(behind) => behind,
                None => return Ok(None),
            },
        };
        let Item::Present { meta, kind, links, .. } = item else { return Ok(None) };
        let links = self.links(layer, &links)?;
        Ok(Some(Node { meta, kind: node_kind(&kind), links }))
    }

    /// What this view still has of a link group, counted once.
    fn links(&self, layer: usize, names: &[LayerPath]) -> Result<Option<Links>, TreeError> {
        let Some(first) = names.first() else { return Ok(None) };
        let group = (layer, first.clone());
        let known = || self.groups.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(links) = known().get(&group) {
            return Ok(links.clone());
        }
        let links = self.count(layer, names)?;
        known().insert(group, links.clone());
        Ok(links)
    }

    /// Which names of a link group this view still has.
    fn count(&self, layer: usize, names: &[LayerPath]) -> Result<Option<Links>, TreeError> {
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
        match self.behind(layer, &item)? {
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

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use tar::{Builder, EntryType, Header};

    use super::*;
    use crate::layer::{Compression, import};
    use crate::store::Store;

    const NAMES: usize = 1000;

    fn path(text: &str) -> LayerPath {
        LayerPath::new(text).expect("a test's path is valid")
    }

    /// A layer with a directory of many names; a link wherever `target` says to what.
    fn layer(store: &Store, dir: &str, target: impl Fn(usize) -> Option<&'static str>) -> Layer {
        let mut tar = Builder::new(Vec::new());
        for at in 0..NAMES {
            let name = format!("{dir}/{at:04}");
            let mut header = Header::new_gnu();
            header.set_size(0);
            header.set_mode(0o644);
            let added = if let Some(target) = target(at) {
                header.set_entry_type(EntryType::Link);
                tar.append_link(&mut header, name, target)
            } else {
                header.set_entry_type(EntryType::Regular);
                tar.append_data(&mut header, name, io::empty())
            };
            added.expect("written");
        }
        let tar = tar.into_inner().expect("complete");
        let desc = import(store, &mut &tar[..], Compression::None, None).expect("imported");
        Layer::open(store, &desc).expect("it opens")
    }

    fn listed(layers: &[Layer], dir: &str) -> (Vec<(Vec<u8>, Node)>, Duration) {
        let (view, began) = (View::new(layers.to_vec()), Instant::now());
        let nodes = view.list(&path(dir)).expect("it can be listed");
        (nodes, began.elapsed())
    }

    #[test]
    fn a_name_of_a_link_group_costs_no_more_than_a_file_of_its_own() {
        let scratch = tempfile::tempdir().expect("a temp dir");
        let store = Store::open(scratch.path()).expect("a fresh store opens");
        let first = |at| (at > 0).then_some("linked/0000");
        let layers = [
            layer(&store, "apart", |_| None),
            layer(&store, "linked", first),
            layer(&store, "below", |_| Some("apart/0000")),
        ];
        let (apart, own) = listed(&layers, "apart");
        assert!(apart.iter().all(|(_, node)| node.links.is_none()));
        let limit = own * 30 + Duration::from_millis(100);
        let (linked, took) = listed(&layers, "linked");
        let links = Links { first: path("linked/0000"), count: 1000 };
        assert!(linked.iter().all(|(_, node)| node.links.as_ref() == Some(&links)));
        assert!(took < limit, "{took:?} for links, {own:?} for files");
        let (below, took) = listed(&layers, "below");
        assert_eq!(below.len(), NAMES);
        assert!(took < limit, "{took:?} for links into a lower layer, {own:?} for files");
        // The view that is there is the one that links are followed in.
        let [a, b, c] = layers;
        let under = Arc::new(View::on(Arc::new(View::new(vec![a])), b));
        let view = View::on(Arc::clone(&under), c);
        assert!(Arc::ptr_eq(&view.under(2), &under));
        assert!(Arc::ptr_eq(&view.under(0), &view.under(0)));
    }
}
