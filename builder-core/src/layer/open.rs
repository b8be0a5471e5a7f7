//! Open layers: table and data of one blob, mended where they are damaged.

use std::fmt;
use std::io::Read;
use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock};

use super::data::{Data, Fault};
use super::import::index;
use super::table::{Broken, Facts, Frame, Table};
use super::{Change, Directory, Entry, Item, Kind, LayerDesc, LayerError, LayerPath, Meta};
use crate::store::Store;

/// An open layer; cheap to clone.
#[derive(Clone)]
pub struct Layer {
    inner: Arc<Inner>,
}

struct Inner {
    store: Store,
    desc: LayerDesc,
    contents: RwLock<Arc<Contents>>,
    /// Held while the table is made again.
    mending: Mutex<()>,
}

struct Contents {
    table: Table,
    data: OnceLock<Data>,
}

impl fmt::Debug for Layer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Layer").field(&self.inner.desc).finish()
    }
}

impl Layer {
    /// Opens a layer: constant time, whatever its size. A missing or broken
    /// table is made again from the blob.
    ///
    /// # Errors
    /// If the blob is missing or damaged, or is not what `desc` says.
    pub fn open(store: &Store, desc: &LayerDesc) -> Result<Self, LayerError> {
        let table = match open_table(store, desc) {
            Ok(table) => table,
            Err(Broken) => make_table(store, desc)?,
        };
        Ok(Self {
            inner: Arc::new(Inner {
                store: store.clone(),
                desc: desc.clone(),
                contents: RwLock::new(Arc::new(Contents { table, data: OnceLock::new() })),
                mending: Mutex::new(()),
            }),
        })
    }

    /// What names it.
    #[must_use]
    pub fn desc(&self) -> &LayerDesc {
        &self.inner.desc
    }

    /// Whether any file of the layer may have extended attributes.
    #[must_use]
    pub fn has_xattrs(&self) -> bool {
        self.contents().table.header().xattrs
    }

    /// The size of the uncompressed tar in bytes.
    #[must_use]
    pub fn tar_size(&self) -> u64 {
        self.contents().table.header().facts.tar_size
    }

    /// Mode, owner, time, attributes of the layer's root, where it says so.
    ///
    /// # Errors
    /// If the table is damaged and cannot be made again.
    pub fn root_meta(&self) -> Result<Option<Meta>, LayerError> {
        self.mended("table", |contents| Ok(contents.table.root_meta()?))
    }

    /// One directory of the table; `None` if the layer holds nothing there.
    ///
    /// # Errors
    /// If the table is damaged and cannot be made again.
    pub fn directory(&self, path: &LayerPath) -> Result<Option<Arc<Directory>>, LayerError> {
        self.mended("table", |contents| Ok(contents.table.directory(path)?))
    }

    /// Uncompressed bytes of the tar at `offset`: fills and checks as far as
    /// needed. Short only at the end of the tar.
    ///
    /// # Errors
    /// If the blob is damaged: no unchecked byte is ever given.
    pub fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<usize, LayerError> {
        let mut done = 0;
        while done < buf.len() {
            let rest = &mut buf[done..];
            let at = offset + done as u64;
            let read = self.mended("data", |contents| {
                let data = self.data(contents)?;
                data.read(&contents.table, at, rest)
            })?;
            if read == 0 {
                break;
            }
            done += read;
        }
        Ok(done)
    }

    /// All entries in order of paths (walks the table), as
    /// [`LayerWriter`](super::LayerWriter) takes them.
    ///
    /// # Errors
    /// If the table is damaged and cannot be made again.
    pub fn entries(&self) -> Result<Vec<Entry>, LayerError> {
        let mut entries = vec![];
        if let Some(meta) = self.root_meta()? {
            let change = Change::Present { meta, kind: Kind::Directory };
            entries.push(Entry { path: LayerPath::root(), change });
        }
        self.walk(&LayerPath::root(), &mut |entry, _| entries.push(entry))?;
        Ok(entries)
    }

    /// All entries below `path` with what the table says of each.
    pub(super) fn walk(
        &self,
        path: &LayerPath,
        visit: &mut dyn FnMut(Entry, Option<&Item>),
    ) -> Result<(), LayerError> {
        let mut stack = vec![path.clone()];
        let mut pending: Vec<(LayerPath, Arc<Directory>, usize)> = vec![];
        loop {
            if let Some(path) = stack.pop() {
                let directory = self.directory(&path)?.unwrap_or_default();
                if directory.opaque {
                    visit(Entry { path: path.clone(), change: Change::Opaque }, None);
                }
                pending.push((path, directory, 0));
            }
            let Some((parent, directory, at)) = pending.last_mut() else { return Ok(()) };
            let Some((name, item)) = directory.children.get(*at) else {
                pending.pop();
                continue;
            };
            *at += 1;
            let path = parent.join(name).map_err(|source| LayerError::Name {
                name: String::from_utf8_lossy(name).into_owned(),
                source,
            })?;
            if let Some(change) = change(&path, item) {
                visit(Entry { path: path.clone(), change }, Some(item));
            }
            if matches!(item, Item::Implied | Item::Present { kind: Kind::Directory, .. }) {
                stack.push(path);
            }
        }
    }

    /// The uncompressed tar as a stream, verified against the diffID.
    ///
    /// # Errors
    /// If the store cannot be read; a difference is an error at the stream's end.
    pub fn tar(&self) -> Result<Box<dyn Read + Send>, LayerError> {
        super::recompress::tar_of(&self.inner.store, &self.inner.desc)
    }

    /// Writes the table anew for another blob of the same tar.
    pub(super) fn copy_table(&self, facts: Facts, frames: &[Frame]) -> Result<(), LayerError> {
        self.contents().table.copy(&self.inner.store, facts, frames)
    }

    fn data<'a>(&self, contents: &'a Contents) -> Result<&'a Data, Fault> {
        if let Some(data) = contents.data.get() {
            return Ok(data);
        }
        let data = Data::open(&self.inner.store, &contents.table).map_err(Fault::Store)?;
        Ok(contents.data.get_or_init(|| data))
    }

    fn contents(&self) -> Arc<Contents> {
        // The lock guards a single assignment, which a panic cannot halve.
        self.inner.contents.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Does `work`; where what is stored is broken, makes table and data again
    /// from the blob, once, and tries again.
    fn mended<T>(
        &self,
        what: &'static str,
        mut work: impl FnMut(&Contents) -> Result<T, Fault>,
    ) -> Result<T, LayerError> {
        let contents = self.contents();
        match work(&contents) {
            Ok(done) => return Ok(done),
            Err(Fault::Store(error)) => return Err(error),
            Err(Fault::Broken) => {}
        }
        let mending = self.inner.mending.lock().unwrap_or_else(PoisonError::into_inner);
        if Arc::ptr_eq(&contents, &self.contents()) {
            let made = make_table(&self.inner.store, &self.inner.desc);
            if let Err(LayerError::Damaged { .. } | LayerError::Digest { .. }) = &made {
                // So that the next build finds that the blob is not whole.
                let _ = std::fs::remove_file(self.inner.store.table_path(&self.inner.desc.blob));
            }
            let table = made?;
            let new = Arc::new(Contents { table, data: OnceLock::new() });
            *self.inner.contents.write().unwrap_or_else(PoisonError::into_inner) = new;
        }
        drop(mending);
        work(&self.contents()).map_err(|fault| match fault {
            Fault::Store(error) => error,
            Fault::Broken => self.damaged(what),
        })
    }

    fn damaged(&self, what: &'static str) -> LayerError {
        LayerError::Damaged { what, layer: self.inner.desc.blob.short() }
    }
}

fn change(path: &LayerPath, item: &Item) -> Option<Change> {
    Some(match item {
        Item::Present { links, .. } if links.first().is_some_and(|first| first != path) => {
            Change::Hardlink { target: links[0].clone() }
        }
        Item::Present { meta, kind, .. } => {
            Change::Present { meta: meta.clone(), kind: kind.clone() }
        }
        Item::LinkBelow { target } => Change::Hardlink { target: target.clone() },
        Item::Whiteout => Change::Whiteout,
        Item::Implied => return None,
    })
}

fn open_table(store: &Store, desc: &LayerDesc) -> Result<Table, Broken> {
    let table = Table::open(&store.table_path(&desc.blob))?;
    let facts = &table.header().facts;
    let fits = facts.blob == desc.blob
        && facts.diff_id == desc.diff_id
        && facts.blob_size == desc.size
        && facts.compression == desc.compression;
    // A table outlives its blob where something else removed or changed the latter.
    if fits && table.follows(&store.blob_path(&desc.blob), desc.size) {
        Ok(table)
    } else {
        Err(Broken)
    }
}

/// Whether the store holds the layer whole. The blob is read only where there
/// is no table that was made after it.
///
/// # Errors
/// If the store cannot be read or written.
pub fn is_whole(store: &Store, desc: &LayerDesc) -> Result<bool, LayerError> {
    if store.blob_size(&desc.blob)? != Some(desc.size) {
        return Ok(false);
    }
    if open_table(store, desc).is_ok() {
        return Ok(true);
    }
    match make_table(store, desc) {
        Ok(_) => Ok(true),
        Err(LayerError::Damaged { .. } | LayerError::Digest { .. }) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Makes table and data again in one verified pass over the blob.
fn make_table(store: &Store, desc: &LayerDesc) -> Result<Table, LayerError> {
    let actual = index(store, &desc.blob, desc.compression)?;
    if actual.diff_id != desc.diff_id {
        return Err(LayerError::Digest {
            what: "diffID",
            expected: desc.diff_id.to_string(),
            actual: actual.diff_id.to_string(),
        });
    }
    open_table(store, desc)
        .map_err(|Broken| LayerError::Damaged { what: "table", layer: desc.blob.short() })
}
