//! Gathers what a tar says, in any order, and writes it as a table.
//!
//! In: entries with the extents of their bytes. Out: the table's file. The last
//! entry of a path wins, as if the tar were unpacked; hard links may come
//! before their targets. Limitation: it holds all entries in memory, about 250
//! bytes each.

use std::collections::{BTreeMap, HashMap};
use std::io::{self, Seek, SeekFrom, Write};
use std::iter::Peekable;

use super::format::{
    BlockRef, Facts, Frame, HEADER_LEN, Header, put_block, put_bytes, put_extents, put_kind,
    put_meta, put_number,
};
use crate::layer::{Change, Entry, Extent, Kind, LayerError, LayerPath, Meta};

/// A file of any kind, by however many names.
#[derive(Debug)]
pub(in crate::layer) struct Node {
    pub(in crate::layer) meta: Meta,
    pub(in crate::layer) kind: Kind,
    pub(in crate::layer) extents: Vec<Extent>,
}

#[derive(Debug, Clone)]
enum Bound {
    Node(usize),
    /// A hard link whose target has not come yet.
    Pending(LayerPath),
    Below(LayerPath),
}

#[derive(Debug, Default)]
struct Slot {
    whiteout: bool,
    opaque: bool,
    bound: Option<Bound>,
}

/// See the module.
#[derive(Debug, Default)]
pub(in crate::layer) struct TableBuilder {
    names: BTreeMap<LayerPath, Slot>,
    nodes: Vec<Node>,
}

impl TableBuilder {
    /// Takes one entry, as if it were unpacked over what came before it.
    pub(in crate::layer) fn add(&mut self, entry: Entry, extents: Vec<Extent>) {
        let Entry { path, change } = entry;
        let bound = match change {
            Change::Whiteout => return self.slot(path).whiteout = true,
            Change::Opaque => return self.slot(path).opaque = true,
            Change::Present { meta, kind } => {
                if !kind.is_dir() {
                    self.clear_below(&path);
                }
                self.nodes.push(Node { meta, kind, extents });
                Bound::Node(self.nodes.len() - 1)
            }
            Change::Hardlink { target } => {
                self.clear_below(&path);
                match self.names.get(&target).and_then(|slot| slot.bound.clone()) {
                    Some(bound) => bound,
                    None => Bound::Pending(target),
                }
            }
        };
        self.slot(path).bound = Some(bound);
    }

    /// What a path is bound to so far.
    pub(in crate::layer) fn node(&self, path: &LayerPath) -> Option<&Node> {
        match self.names.get(path)?.bound {
            Some(Bound::Node(node)) => Some(&self.nodes[node]),
            _ => None,
        }
    }

    fn slot(&mut self, path: LayerPath) -> &mut Slot {
        self.names.entry(path).or_default()
    }

    /// A file that replaces a directory takes all below it away.
    fn clear_below(&mut self, path: &LayerPath) {
        let after = (std::ops::Bound::Excluded(path), std::ops::Bound::Unbounded);
        while let Some((below, _)) = self.names.range(after).next()
            && below.starts_with(path)
        {
            let below = below.clone();
            self.names.remove(&below);
        }
    }

    /// Binds links that came before their targets.
    fn resolve(&mut self) -> Result<(), LayerError> {
        let pending: Vec<LayerPath> = self
            .names
            .iter()
            .filter(|(_, slot)| matches!(slot.bound, Some(Bound::Pending(_))))
            .map(|(path, _)| path.clone())
            .collect();
        for path in pending {
            let mut chain = vec![];
            let mut at = path.clone();
            // Each step of a chain is bound at its end, so all chains together
            // cost no more than there are links.
            let bound = loop {
                match self.names.get(&at).and_then(|slot| slot.bound.clone()) {
                    Some(Bound::Pending(target)) => {
                        if chain.len() > self.names.len() {
                            return Err(link_error(&path, &target, "the links form a circle"));
                        }
                        chain.push(std::mem::replace(&mut at, target));
                    }
                    Some(bound) => break bound,
                    None => break Bound::Below(at.clone()),
                }
            };
            for link in chain {
                self.slot(link).bound = Some(bound.clone());
            }
        }
        Ok(())
    }

    /// Names of each node that has several, in the order of paths.
    fn groups(&self) -> Result<HashMap<usize, Vec<&LayerPath>>, LayerError> {
        let mut counts = vec![0_u32; self.nodes.len()];
        let bound = || {
            self.names.iter().filter_map(|(path, slot)| match slot.bound {
                Some(Bound::Node(node)) => Some((path, node)),
                _ => None,
            })
        };
        bound().for_each(|(_, node)| counts[node] += 1);
        let mut groups: HashMap<usize, Vec<&LayerPath>> = HashMap::new();
        for (path, node) in bound().filter(|(_, node)| counts[*node] > 1) {
            let group = groups.entry(node).or_default();
            group.push(path);
            if self.nodes[node].kind.is_dir() && group.len() > 1 {
                return Err(link_error(path, group[0], "a directory has one name only"));
            }
        }
        Ok(groups)
    }

    /// Writes the table.
    pub(in crate::layer) fn write(
        mut self,
        out: impl Write + Seek,
        facts: Facts,
        frames: &[Frame],
    ) -> Result<(), LayerError> {
        self.resolve()?;
        let mut out = Blocks { out, at: HEADER_LEN as u64 };
        out.out.seek(SeekFrom::Start(out.at)).map_err(LayerError::io("writing the table"))?;
        let mut walk = Walk { stack: vec![], leaf: None, groups: HashMap::new() };
        for (node, group) in self.groups()? {
            let mut block = vec![];
            put_number(&mut block, group.len() as u64);
            group.iter().for_each(|path| put_bytes(&mut block, path.as_bytes()));
            walk.groups.insert(node, block);
        }
        let root = walk.run(&self, &mut out)?;
        let frame_count = frames.len() as u64;
        let xattrs = self.nodes.iter().any(|node| !node.meta.xattrs.is_empty());
        let header = Header { facts, frames_at: out.at, frame_count, root, xattrs };
        out.trailer(&header, frames).map_err(LayerError::io("writing the table"))
    }
}

fn link_error(path: &LayerPath, target: &LayerPath, reason: &'static str) -> LayerError {
    LayerError::Link { path: path.display(), target: target.display(), reason }
}

/// Appends blocks to the file.
struct Blocks<W> {
    out: W,
    at: u64,
}

impl<W: Write + Seek> Blocks<W> {
    fn put(&mut self, block: &[u8]) -> Result<BlockRef, LayerError> {
        self.out.write_all(block).map_err(LayerError::io("writing the table"))?;
        let len = block.len() as u64;
        let offset = self.at;
        self.at += len;
        Ok(BlockRef { offset, len, hash: *blake3::hash(block).as_bytes() })
    }

    fn trailer(&mut self, header: &Header, frames: &[Frame]) -> io::Result<()> {
        let mut bytes = vec![];
        frames.iter().for_each(|frame| frame.encode(&mut bytes));
        self.out.write_all(&bytes)?;
        self.out.seek(SeekFrom::Start(0))?;
        self.out.write_all(&header.encode())?;
        self.out.flush()
    }
}

/// A directory whose names are still coming.
struct OpenDir {
    path: LayerPath,
    opaque: bool,
    /// What its parent will say of it; for the root, what its own block says.
    item: Vec<u8>,
    count: u64,
    children: Vec<u8>,
}

impl OpenDir {
    fn block(&self, own: &[u8]) -> Vec<u8> {
        let mut block = vec![u8::from(self.opaque)];
        block.extend_from_slice(own);
        put_number(&mut block, self.count);
        block.extend_from_slice(&self.children);
        block
    }

    fn push(&mut self, name: &[u8], item: &[u8]) {
        put_bytes(&mut self.children, name);
        self.children.extend_from_slice(item);
        self.count += 1;
    }
}

/// Turns sorted names into blocks, children before parents.
struct Walk {
    stack: Vec<OpenDir>,
    /// The last name that is no directory: nothing may stand below it.
    leaf: Option<LayerPath>,
    groups: HashMap<usize, Vec<u8>>,
}

pub(super) const PRESENT: u8 = 0;
pub(super) const LINK_BELOW: u8 = 1;
pub(super) const WHITEOUT: u8 = 2;
pub(super) const IMPLIED: u8 = 3;

impl Walk {
    fn run(
        &mut self,
        table: &TableBuilder,
        out: &mut Blocks<impl Write + Seek>,
    ) -> Result<BlockRef, LayerError> {
        let mut group_refs = HashMap::new();
        for (node, block) in std::mem::take(&mut self.groups) {
            group_refs.insert(node, out.put(&block)?);
        }
        self.open_dir(LayerPath::root(), false, vec![IMPLIED]);
        let mut names = table.names.iter().peekable();
        while let Some((path, slot)) = names.next() {
            self.close_until(path, out)?;
            self.imply_parents(path)?;
            let item = item(table, slot, &group_refs);
            if is_dir(table, path, slot, &mut names) {
                // Whiteout and directory of one name: what was below is hidden.
                let item = if item == [WHITEOUT] { vec![IMPLIED] } else { item };
                self.open_dir(path.clone(), slot.opaque || slot.whiteout, item);
            } else {
                if path.is_root() || slot.opaque {
                    return Err(not_a_directory(path, path));
                }
                let parent = self.stack.last_mut().expect("the root is never closed here");
                parent.push(path.name(), &item);
                self.leaf = Some(path.clone());
            }
        }
        while self.stack.len() > 1 {
            self.close(out)?;
        }
        let root = self.stack.pop().expect("the root is open");
        out.put(&root.block(&root.item))
    }

    fn open_dir(&mut self, path: LayerPath, opaque: bool, item: Vec<u8>) {
        if path.is_root() {
            self.stack.clear();
        }
        self.stack.push(OpenDir { path, opaque, item, count: 0, children: vec![] });
    }

    fn close(&mut self, out: &mut Blocks<impl Write + Seek>) -> Result<(), LayerError> {
        let mut dir = self.stack.pop().expect("only open directories are closed");
        if dir.opaque || dir.count > 0 {
            let block = out.put(&dir.block(&[]))?;
            dir.item.push(1);
            put_block(&mut dir.item, &block);
        } else {
            dir.item.push(0);
        }
        let parent = self.stack.last_mut().expect("the root is closed last");
        parent.push(dir.path.name(), &dir.item);
        Ok(())
    }

    fn close_until(
        &mut self,
        path: &LayerPath,
        out: &mut Blocks<impl Write + Seek>,
    ) -> Result<(), LayerError> {
        while self.stack.len() > 1 && !self.stack.last().is_some_and(|d| path.starts_with(&d.path))
        {
            self.close(out)?;
        }
        Ok(())
    }

    fn imply_parents(&mut self, path: &LayerPath) -> Result<(), LayerError> {
        if let Some(leaf) = self.leaf.as_ref().filter(|leaf| path.starts_with(leaf)) {
            return Err(not_a_directory(path, leaf));
        }
        for parent in path.ancestors().skip(self.stack.len()) {
            self.open_dir(parent, false, vec![IMPLIED]);
        }
        Ok(())
    }
}

fn not_a_directory(path: &LayerPath, parent: &LayerPath) -> LayerError {
    LayerError::NotADirectory { path: path.display(), parent: parent.display() }
}

fn is_dir<'a>(
    table: &TableBuilder,
    path: &LayerPath,
    slot: &Slot,
    rest: &mut Peekable<impl Iterator<Item = (&'a LayerPath, &'a Slot)>>,
) -> bool {
    match &slot.bound {
        Some(Bound::Node(node)) => table.nodes[*node].kind.is_dir(),
        Some(_) => false,
        None => slot.opaque || rest.peek().is_some_and(|(next, _)| next.starts_with(path)),
    }
}

fn item(table: &TableBuilder, slot: &Slot, groups: &HashMap<usize, BlockRef>) -> Vec<u8> {
    match &slot.bound {
        None if slot.whiteout => vec![WHITEOUT],
        None => vec![IMPLIED],
        Some(Bound::Pending(target) | Bound::Below(target)) => {
            let mut item = vec![LINK_BELOW];
            put_bytes(&mut item, target.as_bytes());
            item
        }
        Some(Bound::Node(index)) => {
            let node = &table.nodes[*index];
            let mut item = vec![PRESENT];
            put_meta(&mut item, &node.meta);
            put_kind(&mut item, &node.kind);
            put_extents(&mut item, &node.extents);
            match groups.get(index) {
                Some(group) => {
                    item.push(1);
                    put_block(&mut item, group);
                }
                None => item.push(0),
            }
            item
        }
    }
}
