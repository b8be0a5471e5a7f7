//! The bytes of a table: header, blocks, varints.
//!
//! In: values. Out: bytes, and back. Every length is bounded by the block that
//! holds it, so a damaged table can cost no more memory than its own size.
//!
//! A table is a tree in the manner of Merkle: the header holds offset, length
//! and BLAKE3 of the root directory's block, a directory's block those of its
//! subdirectories and link groups. So one checked header vouches for all, a
//! look-up reads the directories on its way and nothing else, and opening reads
//! 256 bytes whatever the layer's size.
//!
//! | bytes | what |
//! |---|---|
//! | 0 to 255 | header, its last 32 bytes the BLAKE3 of the others |
//! | then | link group and directory blocks, children before parents |
//! | then | frame table: 48 bytes a frame |
//!
//! The frame table has no checksum: a wrong record can only make a frame's
//! bytes *fail* their check, never pass it.

use crate::digest::{BlobDigest, ContentDigest, DiffId};
use crate::layer::entry::{Kind, Meta, Mtime, Xattrs};
use crate::layer::{Compression, Extent};

pub(super) const HEADER_LEN: usize = 256;
pub(in crate::layer) const FRAME_RECORD: usize = 48;
const MAGIC: &[u8; 8] = b"PHXTABLE";
const VERSION: u32 = 2;

/// A table that is not one, or was damaged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::layer) struct Broken;

/// Where a block stands and what it must hash to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(in crate::layer) struct BlockRef {
    pub(super) offset: u64,
    pub(super) len: u64,
    pub(super) hash: [u8; 32],
}

/// What a layer is, as known to who makes its table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::layer) struct Facts {
    pub(in crate::layer) blob: BlobDigest,
    pub(in crate::layer) diff_id: DiffId,
    pub(in crate::layer) blob_size: u64,
    pub(in crate::layer) tar_size: u64,
    pub(in crate::layer) compression: Compression,
    /// Whether frames can be inflated one by one.
    pub(in crate::layer) seekable: bool,
}

/// What the header says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::layer) struct Header {
    pub(in crate::layer) facts: Facts,
    pub(in crate::layer) frames_at: u64,
    pub(in crate::layer) frame_count: u64,
    pub(in crate::layer) root: BlockRef,
    /// Whether any file has extended attributes, or had before another entry
    /// of the tar took its place.
    pub(in crate::layer) xattrs: bool,
}

/// One frame: `FRAME_LEN` bytes of the tar (the last one fewer).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::layer) struct Frame {
    /// Where it stands in the blob; 0 where it is not seekable.
    pub(in crate::layer) offset: u64,
    /// Its length in the blob.
    pub(in crate::layer) len: u64,
    /// BLAKE3 of its uncompressed bytes.
    pub(in crate::layer) hash: [u8; 32],
}

impl Frame {
    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.offset.to_le_bytes());
        out.extend_from_slice(&self.len.to_le_bytes());
        out.extend_from_slice(&self.hash);
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Self, Broken> {
        let mut at = Cursor(bytes);
        Ok(Self { offset: at.fixed64()?, len: at.fixed64()?, hash: at.array()? })
    }
}

impl Header {
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(HEADER_LEN);
        out.extend_from_slice(MAGIC);
        out.extend_from_slice(&VERSION.to_le_bytes());
        out.push(match self.facts.compression {
            Compression::None => 0,
            Compression::Gzip => 1,
            Compression::Zstd => 2,
        });
        out.push(u8::from(self.facts.seekable));
        out.extend_from_slice(self.facts.blob.as_bytes());
        out.extend_from_slice(self.facts.diff_id.as_bytes());
        for number in [
            self.facts.blob_size,
            self.facts.tar_size,
            self.frames_at,
            self.frame_count,
            self.root.offset,
            self.root.len,
        ] {
            out.extend_from_slice(&number.to_le_bytes());
        }
        out.extend_from_slice(&self.root.hash);
        out.push(u8::from(self.xattrs));
        out.resize(HEADER_LEN - 32, 0);
        let sum = *blake3::hash(&out).as_bytes();
        out.extend_from_slice(&sum);
        out
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Self, Broken> {
        let (body, sum) = bytes.split_at_checked(HEADER_LEN - 32).ok_or(Broken)?;
        let mut at = Cursor(body);
        let magic: [u8; 8] = at.array()?;
        let version: [u8; 4] = at.array()?;
        if &magic != MAGIC
            || version != VERSION.to_le_bytes()
            || sum != &blake3::hash(body).as_bytes()[..]
        {
            return Err(Broken);
        }
        let compression = match at.byte()? {
            0 => Compression::None,
            1 => Compression::Gzip,
            2 => Compression::Zstd,
            _ => return Err(Broken),
        };
        let seekable = at.byte()? != 0;
        let facts = Facts {
            blob: BlobDigest::from_bytes(at.array()?),
            diff_id: DiffId::from_bytes(at.array()?),
            blob_size: at.fixed64()?,
            tar_size: at.fixed64()?,
            compression,
            seekable,
        };
        Ok(Self {
            facts,
            frames_at: at.fixed64()?,
            frame_count: at.fixed64()?,
            root: BlockRef { offset: at.fixed64()?, len: at.fixed64()?, hash: at.array()? },
            xattrs: at.byte()? != 0,
        })
    }
}

pub(super) fn put_number(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

pub(super) fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put_number(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

pub(super) fn put_block(out: &mut Vec<u8>, block: &BlockRef) {
    put_number(out, block.offset);
    put_number(out, block.len);
    out.extend_from_slice(&block.hash);
}

pub(super) fn put_meta(out: &mut Vec<u8>, meta: &Meta) {
    for number in [meta.mode, meta.uid, meta.gid, meta.mtime.nanos] {
        put_number(out, u64::from(number));
    }
    out.extend_from_slice(&meta.mtime.secs.to_le_bytes());
    put_number(out, meta.xattrs.len() as u64);
    for (name, value) in &meta.xattrs {
        put_bytes(out, name);
        put_bytes(out, value);
    }
}

pub(super) fn put_kind(out: &mut Vec<u8>, kind: &Kind) {
    match kind {
        Kind::File { size, content } => {
            out.push(0);
            put_number(out, *size);
            out.extend_from_slice(content.as_bytes());
        }
        Kind::Directory => out.push(1),
        Kind::Symlink { target } => {
            out.push(2);
            put_bytes(out, target);
        }
        Kind::CharDevice { major, minor } | Kind::BlockDevice { major, minor } => {
            out.push(if matches!(kind, Kind::CharDevice { .. }) { 3 } else { 4 });
            put_number(out, u64::from(*major));
            put_number(out, u64::from(*minor));
        }
        Kind::Fifo => out.push(5),
        Kind::Socket => out.push(6),
    }
}

pub(super) fn put_extents(out: &mut Vec<u8>, extents: &[Extent]) {
    put_number(out, extents.len() as u64);
    for extent in extents {
        put_number(out, extent.at);
        put_number(out, extent.offset);
        put_number(out, extent.len);
    }
}

/// Takes values off the front of a block.
pub(super) struct Cursor<'a>(pub(super) &'a [u8]);

impl<'a> Cursor<'a> {
    fn take(&mut self, len: usize) -> Result<&'a [u8], Broken> {
        let (head, tail) = self.0.split_at_checked(len).ok_or(Broken)?;
        self.0 = tail;
        Ok(head)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Broken> {
        self.take(N)?.try_into().map_err(|_| Broken)
    }

    fn fixed64(&mut self) -> Result<u64, Broken> {
        self.array().map(u64::from_le_bytes)
    }

    pub(super) fn byte(&mut self) -> Result<u8, Broken> {
        Ok(self.take(1)?[0])
    }

    pub(super) fn number(&mut self) -> Result<u64, Broken> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(Broken)
    }

    fn small(&mut self) -> Result<u32, Broken> {
        self.number()?.try_into().map_err(|_| Broken)
    }

    pub(super) fn bytes(&mut self) -> Result<&'a [u8], Broken> {
        let len = self.number()?.try_into().map_err(|_| Broken)?;
        self.take(len)
    }

    pub(super) fn block(&mut self) -> Result<BlockRef, Broken> {
        Ok(BlockRef { offset: self.number()?, len: self.number()?, hash: self.array()? })
    }

    pub(super) fn meta(&mut self) -> Result<Meta, Broken> {
        let (mode, uid, gid, nanos) = (self.small()?, self.small()?, self.small()?, self.small()?);
        let secs = i64::from_le_bytes(self.array()?);
        let mut xattrs = Xattrs::new();
        for _ in 0..self.number()? {
            xattrs.insert(self.bytes()?.to_vec(), self.bytes()?.to_vec());
        }
        Ok(Meta { mode, uid, gid, mtime: Mtime { secs, nanos }, xattrs })
    }

    pub(super) fn kind(&mut self) -> Result<Kind, Broken> {
        Ok(match self.byte()? {
            0 => Kind::File {
                size: self.number()?,
                content: ContentDigest::from_bytes(self.array()?),
            },
            1 => Kind::Directory,
            2 => Kind::Symlink { target: self.bytes()?.to_vec() },
            3 => Kind::CharDevice { major: self.small()?, minor: self.small()? },
            4 => Kind::BlockDevice { major: self.small()?, minor: self.small()? },
            5 => Kind::Fifo,
            6 => Kind::Socket,
            _ => return Err(Broken),
        })
    }

    pub(super) fn extents(&mut self) -> Result<Vec<Extent>, Broken> {
        let mut extents = Vec::new();
        for _ in 0..self.number()? {
            extents.push(Extent {
                at: self.number()?,
                offset: self.number()?,
                len: self.number()?,
            });
        }
        Ok(extents)
    }
}
