//! Reading a layer that is in the store.

use std::io::{self, Read};
use std::sync::Arc;

use super::data::Data;
use super::import::reindex;
use super::pipeline::Pipeline;
use super::table::{Broken, Table};
use super::writer::save_table;
use super::{
    Change, Compression, Directory, Entry, Item, Kind, LayerDesc, LayerError, LayerPath, Meta,
    compress,
};
use crate::store::Store;

/// An open layer; cheap to clone.
#[derive(Debug, Clone)]
pub struct Layer {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    store: Store,
    desc: LayerDesc,
    table: Table,
    data: Data,
}

impl Layer {
    /// Opens a layer: constant time, whatever its size. A missing or broken
    /// table is made again from the blob.
    ///
    /// # Errors
    /// If the blob is missing or damaged.
    pub fn open(store: &Store, desc: &LayerDesc) -> Result<Self, LayerError> {
        let table = match table(store, desc) {
            Ok(table) => table,
            Err(Broken) => {
                reindex(store, desc)?;
                table(store, desc).map_err(|Broken| damaged(desc))?
            }
        };
        let data = Data::new(store, desc);
        Ok(Self {
            inner: Arc::new(Inner { store: store.clone(), desc: desc.clone(), table, data }),
        })
    }

    /// What names it.
    #[must_use]
    pub fn desc(&self) -> &LayerDesc {
        &self.inner.desc
    }

    /// Mode, owner, time, attributes of the layer's root, where it says so.
    ///
    /// # Errors
    /// If the table is damaged.
    pub fn root_meta(&self) -> Result<Option<Meta>, LayerError> {
        self.inner.table.root_meta().map_err(|Broken| self.broken())
    }

    /// One directory of the table; `None` if the layer holds nothing there.
    ///
    /// # Errors
    /// If the table is damaged.
    pub fn directory(&self, path: &LayerPath) -> Result<Option<Arc<Directory>>, LayerError> {
        self.inner.table.directory(path).map_err(|Broken| self.broken())
    }

    /// A damaged table is dropped, so that the next opening makes it again.
    fn broken(&self) -> LayerError {
        let _ = std::fs::remove_file(self.inner.store.table_path(&self.inner.desc.blob));
        damaged(&self.inner.desc)
    }

    /// Uncompressed bytes of the tar at `offset`: fills and checks as far as
    /// needed. Short only at the end of the tar.
    ///
    /// # Errors
    /// If the blob is damaged.
    pub fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<usize, LayerError> {
        self.inner.data.read_at(&self.inner.table, offset, buf)
    }

    /// All entries in order of paths (walks the table).
    ///
    /// # Errors
    /// If the table is damaged.
    pub fn entries(&self) -> Result<Vec<Entry>, LayerError> {
        let mut entries = Vec::new();
        if let Some(meta) = self.root_meta()? {
            let change = Change::Present { meta, kind: Kind::Directory };
            entries.push(Entry { path: LayerPath::root(), change });
        }
        self.collect(&LayerPath::root(), &mut entries)?;
        Ok(entries)
    }

    fn collect(&self, path: &LayerPath, entries: &mut Vec<Entry>) -> Result<(), LayerError> {
        let Some(directory) = self.directory(path)? else { return Ok(()) };
        if directory.opaque {
            entries.push(Entry { path: path.clone(), change: Change::Opaque });
        }
        for (name, item) in &directory.children {
            let child = path
                .join(name)
                .map_err(|source| LayerError::Name { name: path.display(), source })?;
            let change = match item {
                Item::Present { links, .. }
                    if links.first().is_some_and(|first| *first != child) =>
                {
                    Some(Change::Hardlink { target: links[0].clone() })
                }
                Item::Present { meta, kind, .. } => {
                    Some(Change::Present { meta: meta.clone(), kind: kind.clone() })
                }
                Item::LinkBelow { target } => Some(Change::Hardlink { target: target.clone() }),
                Item::Whiteout => Some(Change::Whiteout),
                Item::Implied => None,
            };
            let inside =
                matches!(item, Item::Implied | Item::Present { kind: Kind::Directory, .. });
            entries.extend(change.map(|change| Entry { path: child.clone(), change }));
            if inside {
                self.collect(&child, entries)?;
            }
        }
        Ok(())
    }

    /// The uncompressed tar as a stream; the blob it comes from is verified.
    ///
    /// # Errors
    /// If the blob is missing.
    pub fn tar(&self) -> Result<Box<dyn Read + Send>, LayerError> {
        let blob = self.inner.store.blob_reader(&self.inner.desc.blob)?;
        compress::decoder(blob, self.inner.desc.compression)
    }
}

fn table(store: &Store, desc: &LayerDesc) -> Result<Table, Broken> {
    let table = Table::open(&store.table_path(&desc.blob))?;
    let header = &table.header().facts;
    let fits = header.blob == desc.blob && header.diff_id == desc.diff_id;
    fits.then_some(table).ok_or(Broken)
}

fn damaged(desc: &LayerDesc) -> LayerError {
    LayerError::Damaged { what: "table", layer: desc.blob.short() }
}

/// The layer as another compression has it: the same diffID.
///
/// # Errors
/// If the blob is damaged or the store cannot be written.
pub fn recompress(
    store: &Store,
    desc: &LayerDesc,
    to: Compression,
) -> Result<LayerDesc, LayerError> {
    let mut tar = Layer::open(store, desc)?.tar()?;
    let width = std::thread::available_parallelism().map_or(1, usize::from);
    let mut pipeline = Pipeline::new(store, to, width)?;
    let mut builder = super::table::TableBuilder::default();
    let mut copy = Copy { tar: &mut tar, pipeline: &mut pipeline };
    super::import::entries(&mut copy, &mut builder)?;
    let (header, frames) = pipeline.finish()?;
    if header.diff_id != desc.diff_id {
        let (expected, actual) = (desc.diff_id.to_string(), header.diff_id.to_string());
        return Err(LayerError::Digest { what: "diffID", expected, actual });
    }
    save_table(store, builder, header, &frames)
}

/// Passes a tar on and compresses a copy.
struct Copy<'a> {
    tar: &'a mut dyn Read,
    pipeline: &'a mut Pipeline,
}

impl Read for Copy<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let read = self.tar.read(buf)?;
        let written = self.pipeline.write(&buf[..read]);
        written.map_err(|error| io::Error::other(error.to_string()))?;
        Ok(read)
    }
}

/// The paths in which two layers differ, and how, in order.
///
/// # Errors
/// If a table is damaged.
pub fn diff(a: &Layer, b: &Layer) -> Result<Vec<String>, LayerError> {
    let (a, b) = (a.entries()?, b.entries()?);
    let key = |entry: &Entry| (entry.path.clone(), entry.change == Change::Opaque);
    let (mut a, mut b) = (a.into_iter().peekable(), b.into_iter().peekable());
    let mut differences = Vec::new();
    loop {
        match (a.peek(), b.peek()) {
            (None, None) => return Ok(differences),
            (Some(x), Some(y)) if key(x) == key(y) => {
                if x != y {
                    differences.push(format!(
                        "{}: {}",
                        x.path.display(),
                        how(&x.change, &y.change)
                    ));
                }
                (a.next(), b.next());
            }
            (Some(x), y) if y.is_none_or(|y| key(x) < key(y)) => {
                differences.push(format!("{}: only in the first", x.path.display()));
                a.next();
            }
            (_, Some(y)) => {
                differences.push(format!("{}: only in the second", y.path.display()));
                b.next();
            }
            (Some(_), None) => unreachable!("covered by the arm before"),
        }
    }
}

fn how(a: &Change, b: &Change) -> &'static str {
    match (a, b) {
        (Change::Present { meta: m, kind: k }, Change::Present { meta: n, kind: l }) => {
            if std::mem::discriminant(k) != std::mem::discriminant(l) {
                "another type"
            } else if k != l {
                "another content"
            } else if m.mtime != n.mtime {
                "another time"
            } else if (m.uid, m.gid) != (n.uid, n.gid) {
                "another owner"
            } else if m.mode != n.mode {
                "another mode"
            } else {
                "other extended attributes"
            }
        }
        _ => "another kind of change",
    }
}
