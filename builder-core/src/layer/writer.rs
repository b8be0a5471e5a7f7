//! Writes a layer in one pass: tar, hashes, compression and table.
//!
//! In: entries in the order of paths. Out: a blob and its table in the store.
//! Guards: what is written can be read back as the same entries, by Phoenix and
//! by others; what a tar or the OCI rules cannot say is refused, not bent.

use std::io::{self, Read};

use tar::EntryType;

use super::compress::FRAME_LEN;
use super::header::{BLOCK, Member, padding};
use super::pipeline::{Pipeline, Written, cores};
use super::table::{Draft, Facts, TableBuilder};
use super::{
    Change, Compression, Entry, Extent, Kind, LayerDesc, LayerError, LayerPath, Meta, Mtime,
};
use crate::digest::ContentDigest;
use crate::store::Store;

/// Prefix of names that say that something is gone (OCI image spec, "Whiteouts").
pub(super) const WHITEOUT_PREFIX: &[u8] = b".wh.";
/// Name that says that all a directory held below is gone.
pub(super) const OPAQUE_NAME: &[u8] = b".wh..wh..opq";
/// The ustar fields for device numbers have seven octal digits.
const MAX_DEVICE: u32 = 0o777_7777;

/// Writes a layer: see [`LayerWriter::append`].
pub struct LayerWriter {
    store: Store,
    compression: Compression,
    pipeline: Pipeline,
    table: TableBuilder,
    last: Option<(LayerPath, Last)>,
    header: Vec<u8>,
}

/// What the last entry was, for the check of order.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Last {
    Directory,
    Opaque,
    Other,
}

impl LayerWriter {
    /// Begins a layer. Nothing is visible in the store until `finish`.
    ///
    /// # Errors
    /// If the store cannot be written.
    pub fn new(store: &Store, compression: Compression) -> Result<Self, LayerError> {
        Self::with_threads(store, compression, cores())
    }

    pub(super) fn with_threads(
        store: &Store,
        compression: Compression,
        threads: usize,
    ) -> Result<Self, LayerError> {
        Ok(Self {
            store: store.clone(),
            compression,
            pipeline: Pipeline::new(store, compression, threads)?,
            table: TableBuilder::default(),
            last: None,
            header: vec![],
        })
    }

    /// Appends an entry; paths must come in strictly increasing order, save
    /// that `Opaque` follows its directory. For a `Kind::File`, exactly `size`
    /// bytes are read from `content` (none is needed for an empty file), and
    /// the digest in the entry is checked unless it is all zeros, which means
    /// "not known yet"; the table gets the true one. Other entries take no
    /// content. A hard link's target must be an earlier entry of this layer:
    /// other tools give a link's own header to what it links to.
    ///
    /// # Errors
    /// If the entry cannot be written; the layer is then of no more use.
    pub fn append(
        &mut self,
        entry: &Entry,
        content: Option<&mut dyn Read>,
    ) -> Result<(), LayerError> {
        self.check_order(entry)?;
        check_names(&entry.path)?;
        match &entry.change {
            Change::Present { meta, kind } => self.present(entry, meta, kind, content)?,
            Change::Hardlink { target } => self.hardlink(entry, target)?,
            Change::Whiteout => {
                let (parent, name) = entry.path.split().ok_or_else(|| {
                    unsupported(&entry.path, "the root of a layer cannot be removed")
                })?;
                let name = [WHITEOUT_PREFIX, name].concat();
                self.marker(entry, &parent, &name)?;
            }
            Change::Opaque => self.marker(entry, &entry.path, OPAQUE_NAME)?,
        }
        let last = match &entry.change {
            Change::Present { kind: Kind::Directory, .. } => Last::Directory,
            Change::Opaque => Last::Opaque,
            _ => Last::Other,
        };
        self.last = Some((entry.path.clone(), last));
        Ok(())
    }

    /// Completes the layer. The blob is durable before the call returns; the
    /// table is checked when it is opened and made again if a crash lost it.
    ///
    /// # Errors
    /// If the store cannot be written.
    pub fn finish(mut self) -> Result<LayerDesc, LayerError> {
        self.pipeline.write(&[0; 2 * BLOCK])?;
        let Written { blob, blob_size, diff_id, tar_size, frames } = self.pipeline.finish()?;
        let facts = Facts {
            blob,
            diff_id,
            blob_size,
            tar_size,
            compression: self.compression,
            seekable: true,
        };
        Draft::new(&self.store, self.table, facts, &frames)?.place()?;
        Ok(LayerDesc { blob, diff_id, size: blob_size, compression: self.compression })
    }

    fn check_order(&self, entry: &Entry) -> Result<(), LayerError> {
        let Some((after, last)) = &self.last else { return Ok(()) };
        let follows = *last == Last::Directory && entry.change == Change::Opaque;
        if entry.path < *after || (entry.path == *after && !follows) {
            return Err(LayerError::Order { path: entry.path.display(), after: after.display() });
        }
        if *last == Last::Other && entry.path.starts_with(after) {
            let (path, parent) = (entry.path.display(), after.display());
            return Err(LayerError::NotADirectory { path, parent });
        }
        Ok(())
    }

    fn present(
        &mut self,
        entry: &Entry,
        meta: &Meta,
        kind: &Kind,
        content: Option<&mut dyn Read>,
    ) -> Result<(), LayerError> {
        let path = &entry.path;
        check_meta(path, meta)?;
        check_kind(path, kind)?;
        let name = if path.is_root() { b"." } else { path.as_bytes() };
        let directory = [name, b"/"].concat();
        let mut member = Member {
            name,
            kind: EntryType::Regular,
            size: 0,
            meta,
            link: &[],
            device: (0, 0),
            xattrs: true,
        };
        match kind {
            Kind::File { size, .. } => member.size = *size,
            Kind::Directory => (member.kind, member.name) = (EntryType::Directory, &directory),
            Kind::Symlink { target } => (member.kind, member.link) = (EntryType::Symlink, target),
            Kind::CharDevice { major, minor } => {
                (member.kind, member.device) = (EntryType::Char, (*major, *minor));
            }
            Kind::BlockDevice { major, minor } => {
                (member.kind, member.device) = (EntryType::Block, (*major, *minor));
            }
            Kind::Fifo | Kind::Socket => member.kind = EntryType::Fifo,
        }
        self.put(&member)?;
        let mut entry = entry.clone();
        let mut extents = vec![];
        if let Change::Present { kind: Kind::File { size, content: digest }, .. } =
            &mut entry.change
        {
            let offset = self.pipeline.at();
            let actual = self.content(&entry.path, *size, content)?;
            if *digest != actual && *digest.as_bytes() != [0; 32] {
                return Err(LayerError::ContentDigest { path: entry.path.display() });
            }
            *digest = actual;
            if *size > 0 {
                extents.push(Extent { at: 0, offset, len: *size });
            }
        }
        self.table.add(entry, extents);
        Ok(())
    }

    fn content(
        &mut self,
        path: &LayerPath,
        size: u64,
        content: Option<&mut dyn Read>,
    ) -> Result<ContentDigest, LayerError> {
        let mut empty = io::empty();
        let content = content.unwrap_or(&mut empty);
        let mut hasher = blake3::Hasher::new();
        let mut left = size;
        while left > 0 {
            let limit = left.min(FRAME_LEN as u64);
            let read = self.pipeline.read_from(content, limit, &mut |bytes| {
                hasher.update(bytes);
            })?;
            match read {
                Ok(0) => {
                    let (expected, actual) = (size, size - left);
                    let path = path.display();
                    return Err(LayerError::ContentLength { path, expected, actual });
                }
                Ok(len) => left -= len as u64,
                Err(source) => return Err(LayerError::Content { path: path.display(), source }),
            }
        }
        self.pipeline.write(&[0; BLOCK][..padding(size)])?;
        Ok(ContentDigest::from_bytes(*hasher.finalize().as_bytes()))
    }

    fn hardlink(&mut self, entry: &Entry, target: &LayerPath) -> Result<(), LayerError> {
        let refuse = |reason| LayerError::Link {
            path: entry.path.display(),
            target: target.display(),
            reason,
        };
        let node = self.table.node(target);
        let node = node.ok_or_else(|| refuse("the target is no earlier entry of this layer"))?;
        if node.kind.is_dir() {
            return Err(refuse("a directory has one name only"));
        }
        let member = Member {
            name: entry.path.as_bytes(),
            kind: EntryType::Link,
            size: 0,
            meta: &node.meta,
            link: target.as_bytes(),
            device: (0, 0),
            xattrs: false,
        };
        self.header.clear();
        member.encode(&mut self.header);
        self.pipeline.write(&self.header)?;
        self.table.add(entry.clone(), vec![]);
        Ok(())
    }

    fn marker(&mut self, entry: &Entry, parent: &LayerPath, name: &[u8]) -> Result<(), LayerError> {
        let name = match parent.is_root() {
            true => name.to_vec(),
            false => [parent.as_bytes(), b"/", name].concat(),
        };
        let meta = Meta { mtime: Mtime::CONSTANT, ..Meta::root_owned(0o600) };
        self.put(&Member {
            name: &name,
            kind: EntryType::Regular,
            size: 0,
            meta: &meta,
            link: &[],
            device: (0, 0),
            xattrs: false,
        })?;
        self.table.add(entry.clone(), vec![]);
        Ok(())
    }

    fn put(&mut self, member: &Member<'_>) -> Result<(), LayerError> {
        self.header.clear();
        member.encode(&mut self.header);
        self.pipeline.write(&self.header)
    }
}

fn unsupported(path: &LayerPath, reason: &'static str) -> LayerError {
    LayerError::Unsupported { path: path.display(), reason }
}

fn check_names(path: &LayerPath) -> Result<(), LayerError> {
    if path.components().any(|name| name.starts_with(WHITEOUT_PREFIX)) {
        return Err(unsupported(path, "names that begin with `.wh.` mark removals in layers"));
    }
    Ok(())
}

fn check_meta(path: &LayerPath, meta: &Meta) -> Result<(), LayerError> {
    let refuse = |reason| Err(unsupported(path, reason));
    if meta.mode > 0o7777 {
        return refuse("a mode has permission bits only");
    }
    if meta.mtime.nanos > 999_999_999 || meta.mtime.secs == i64::MIN {
        return refuse("the modification time is out of range");
    }
    if meta.xattrs.keys().any(|name| name.is_empty() || name.iter().any(|b| b"=\0".contains(b))) {
        return refuse("a tar cannot hold an extended attribute of that name");
    }
    Ok(())
}

/// Whether a layer can hold it.
pub(super) fn check_kind(path: &LayerPath, kind: &Kind) -> Result<(), LayerError> {
    let refuse = |reason| Err(unsupported(path, reason));
    match kind {
        _ if path.is_root() && !kind.is_dir() => refuse("the root is a directory"),
        Kind::Socket => refuse("a tar cannot hold a socket"),
        Kind::CharDevice { major: 0, minor: 0 } => {
            refuse("overlayfs takes a character device 0:0 as a removal")
        }
        Kind::CharDevice { major, minor } | Kind::BlockDevice { major, minor }
            if *major > MAX_DEVICE || *minor > MAX_DEVICE =>
        {
            refuse("the device number is out of range")
        }
        Kind::Symlink { target } if target.is_empty() || target.contains(&0) => {
            refuse("the target of the symbolic link is empty or holds a NUL byte")
        }
        _ => Ok(()),
    }
}
