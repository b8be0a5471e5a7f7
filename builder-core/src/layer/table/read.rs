//! Reads a table: the header at once, a directory when it is asked for.
//!
//! Guards: nothing is believed before its BLAKE3 matches. Any failure is
//! [`Broken`]: the layer then makes its table again from the blob.

use std::collections::HashMap;
use std::fs::File;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use super::build::{IMPLIED, LINK_BELOW, PRESENT, WHITEOUT};
use super::format::{BlockRef, Broken, Cursor, FRAME_RECORD, Facts, Frame, HEADER_LEN, Header};
use super::persist;
use crate::layer::{Directory, Item, Kind, LayerError, LayerPath, Meta};
use crate::store::Store;

/// Names held in the cache of decoded directories before it starts anew.
const CACHED_NAMES: usize = 100_000;

/// An open table.
#[derive(Debug)]
pub(in crate::layer) struct Table {
    file: File,
    len: u64,
    placed: (i64, i64),
    header: Header,
    cache: Mutex<Cache>,
}

#[derive(Debug, Default)]
struct Cache {
    names: usize,
    directories: HashMap<LayerPath, Arc<Decoded>>,
}

/// A directory and where its subdirectories are.
#[derive(Debug, Default)]
struct Decoded {
    directory: Arc<Directory>,
    /// By position in `directory.children`; `None` for an empty one.
    blocks: HashMap<usize, Option<BlockRef>>,
    root_meta: Option<Meta>,
}

impl Table {
    /// Opens a table: one read, whatever its size.
    pub(in crate::layer) fn open(path: &Path) -> Result<Self, Broken> {
        let file = File::open(path).map_err(|_| Broken)?;
        let meta = file.metadata().map_err(|_| Broken)?;
        let (len, placed) = (meta.len(), (meta.ctime(), meta.ctime_nsec()));
        let mut header = [0; HEADER_LEN];
        file.read_exact_at(&mut header, 0).map_err(|_| Broken)?;
        let header = Header::decode(&header)?;
        let frames_end = (FRAME_RECORD as u64)
            .checked_mul(header.frame_count)
            .and_then(|bytes| bytes.checked_add(header.frames_at));
        if frames_end != Some(len) {
            return Err(Broken);
        }
        Ok(Self { file, len, placed, header, cache: Mutex::default() })
    }

    /// Whether the blob at `path` stands there, with that size, as it did when
    /// the table was put in its place: a table comes after its blob, so a blob
    /// that was changed since shows a later time.
    pub(in crate::layer) fn follows(&self, path: &Path, size: u64) -> bool {
        let changed = |meta: &std::fs::Metadata| (meta.ctime(), meta.ctime_nsec());
        path.metadata().is_ok_and(|blob| blob.len() == size && changed(&blob) <= self.placed)
    }

    pub(in crate::layer) fn header(&self) -> &Header {
        &self.header
    }

    /// Frame number `index`. It is unverified: a wrong one fails at its use.
    pub(in crate::layer) fn frame(&self, index: u64) -> Result<Frame, Broken> {
        let mut record = [0; FRAME_RECORD];
        let at = self.header.frames_at + index * FRAME_RECORD as u64;
        self.file.read_exact_at(&mut record, at).map_err(|_| Broken)?;
        Frame::decode(&record)
    }

    /// Writes this table anew for another blob of the same tar.
    pub(in crate::layer) fn copy(
        &self,
        store: &Store,
        facts: Facts,
        frames: &[Frame],
    ) -> Result<(), LayerError> {
        let path = store.table_path(&facts.blob);
        let frame_count = frames.len() as u64;
        let mut bytes = Header { facts, frame_count, ..self.header.clone() }.encode();
        let temp = store.temp_file()?;
        let mut written = temp.as_file().write_all_at(&bytes, 0);
        bytes.resize(64 * 1024, 0);
        let mut at = HEADER_LEN as u64;
        while written.is_ok() && at < self.header.frames_at {
            let len = (self.header.frames_at - at).min(bytes.len() as u64) as usize;
            written = self.file.read_exact_at(&mut bytes[..len], at);
            written = written.and_then(|()| temp.as_file().write_all_at(&bytes[..len], at));
            at += len as u64;
        }
        bytes.clear();
        frames.iter().for_each(|frame| frame.encode(&mut bytes));
        written
            .and_then(|()| temp.as_file().write_all_at(&bytes, at))
            .map_err(LayerError::io("writing the table"))?;
        persist(temp, path)
    }

    pub(in crate::layer) fn root_meta(&self) -> Result<Option<Meta>, Broken> {
        Ok(self.decoded(&LayerPath::root())?.and_then(|root| root.root_meta.clone()))
    }

    pub(in crate::layer) fn directory(
        &self,
        path: &LayerPath,
    ) -> Result<Option<Arc<Directory>>, Broken> {
        Ok(self.decoded(path)?.map(|found| found.directory.clone()))
    }

    fn decoded(&self, path: &LayerPath) -> Result<Option<Arc<Decoded>>, Broken> {
        if let Some(found) = self.cached(path) {
            return Ok(Some(found));
        }
        let mut at = match self.cached(&LayerPath::root()) {
            Some(root) => root,
            None => self.load(LayerPath::root(), Some(&self.header.root))?,
        };
        for below in path.ancestors().skip(1).chain((!path.is_root()).then(|| path.clone())) {
            if let Some(found) = self.cached(&below) {
                at = found;
                continue;
            }
            let children = &at.directory.children;
            let place = children.binary_search_by(|(name, _)| (**name).cmp(below.name()));
            let Some(block) = place.ok().and_then(|place| at.blocks.get(&place).copied()) else {
                return Ok(None);
            };
            at = self.load(below, block.as_ref())?;
        }
        Ok(Some(at))
    }

    fn cached(&self, path: &LayerPath) -> Option<Arc<Decoded>> {
        // A panic elsewhere cannot leave the map half-changed.
        let cache = self.cache.lock().unwrap_or_else(PoisonError::into_inner);
        cache.directories.get(path).cloned()
    }

    fn load(&self, path: LayerPath, block: Option<&BlockRef>) -> Result<Arc<Decoded>, Broken> {
        let decoded = match block {
            Some(block) => self.decode(&self.block(block)?, path.is_root())?,
            None => Decoded::default(),
        };
        let decoded = Arc::new(decoded);
        let mut cache = self.cache.lock().unwrap_or_else(PoisonError::into_inner);
        cache.names += decoded.directory.children.len() + 1;
        if cache.names > CACHED_NAMES {
            *cache = Cache::default();
        }
        cache.directories.insert(path, decoded.clone());
        Ok(decoded)
    }

    fn block(&self, block: &BlockRef) -> Result<Vec<u8>, Broken> {
        if block.offset.checked_add(block.len).is_none_or(|end| end > self.len) {
            return Err(Broken);
        }
        let mut bytes = vec![0; usize::try_from(block.len).map_err(|_| Broken)?];
        self.file.read_exact_at(&mut bytes, block.offset).map_err(|_| Broken)?;
        (*blake3::hash(&bytes).as_bytes() == block.hash).then_some(bytes).ok_or(Broken)
    }

    fn decode(&self, block: &[u8], is_root: bool) -> Result<Decoded, Broken> {
        let mut at = Cursor(block);
        let opaque = at.byte()? != 0;
        let mut groups = HashMap::new();
        let mut root_meta = None;
        if is_root && let Item::Present { meta, .. } = self.item(&mut at, &mut groups)? {
            root_meta = Some(meta);
        }
        let (mut children, mut blocks) = (Vec::new(), HashMap::new());
        for place in 0..at.number()? {
            let name = at.bytes()?.to_vec();
            let item = self.item(&mut at, &mut groups)?;
            if matches!(item, Item::Implied | Item::Present { kind: Kind::Directory, .. }) {
                let block = if at.byte()? != 0 { Some(at.block()?) } else { None };
                blocks.insert(place as usize, block);
            }
            children.push((name, item));
        }
        Ok(Decoded { directory: Arc::new(Directory { opaque, children }), blocks, root_meta })
    }

    fn item(
        &self,
        at: &mut Cursor<'_>,
        groups: &mut HashMap<u64, Arc<[LayerPath]>>,
    ) -> Result<Item, Broken> {
        Ok(match at.byte()? {
            PRESENT => {
                let (meta, kind, extents) = (at.meta()?, at.kind()?, at.extents()?);
                let links = match at.byte()? {
                    0 => Arc::default(),
                    _ => self.group(&at.block()?, groups)?,
                };
                Item::Present { meta, kind, extents, links }
            }
            LINK_BELOW => Item::LinkBelow { target: layer_path(at.bytes()?)? },
            WHITEOUT => Item::Whiteout,
            IMPLIED => Item::Implied,
            _ => return Err(Broken),
        })
    }

    fn group(
        &self,
        block: &BlockRef,
        groups: &mut HashMap<u64, Arc<[LayerPath]>>,
    ) -> Result<Arc<[LayerPath]>, Broken> {
        if let Some(found) = groups.get(&block.offset) {
            return Ok(found.clone());
        }
        let bytes = self.block(block)?;
        let mut at = Cursor(&bytes);
        let names: Result<Vec<_>, _> = (0..at.number()?).map(|_| layer_path(at.bytes()?)).collect();
        let names: Arc<[LayerPath]> = names?.into();
        groups.insert(block.offset, names.clone());
        Ok(names)
    }
}

fn layer_path(bytes: &[u8]) -> Result<LayerPath, Broken> {
    LayerPath::new(bytes).map_err(|_| Broken)
}
