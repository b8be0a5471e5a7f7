//! Reads foreign tars: old, ustar, PAX, GNU; sparse in all its forms.
//!
//! In: a stream. Out: entries in the order of the archive, with where their
//! bytes stand. Guards: nothing is believed that the stream does not hold; every
//! length is bounded before memory is taken; names are made relative and never
//! climb. The `tar` crate's reader is not used because it knows neither the
//! sparse forms of PAX nor offsets of runs.

use std::io::{self, Read};

use tar::{EntryType, Header};

use super::header::{BLOCK, padding};
use super::pax::Pax;
use super::sparse;
use super::writer::{OPAQUE_NAME, WHITEOUT_PREFIX, check_kind};
use super::{Change, Entry, Extent, Kind, LayerError, LayerPath, Meta, Mtime, PathError};
use crate::digest::ContentDigest;

/// The most bytes that headers of one entry may take.
pub(crate) const MAX_EXTENSION: u64 = 8 << 20;
/// Most bytes of all of them; a base of 100,000 files has some 20 MiB.
pub(crate) const MAX_EXTENDED: u64 = 512 << 20;
/// aufs kept its own files under names with this prefix: they are no content.
const AUFS_PREFIX: &[u8] = b".wh..wh.";

/// The tar as it streams by.
pub(super) struct Stream<'a> {
    input: &'a mut dyn Read,
    pub(super) at: u64,
    /// Bytes of extended headers so far: names and attributes stay in memory.
    extended: u64,
    /// Set when the stream ended inside something or failed.
    failed: Option<io::Error>,
}

impl Stream<'_> {
    fn fill(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let mut done = 0;
        while done < buf.len() {
            match self.input.read(&mut buf[done..]) {
                Ok(0) => break,
                Ok(len) => done += len,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        self.at += done as u64;
        Ok(done)
    }

    fn exact(&mut self, buf: &mut [u8]) -> Result<(), LayerError> {
        let at = self.at;
        match self.fill(buf).map_err(LayerError::io("reading the tar"))? {
            len if len == buf.len() => Ok(()),
            _ => Err(LayerError::Truncated { at }),
        }
    }

    pub(super) fn block(&mut self) -> Result<[u8; BLOCK], LayerError> {
        let mut block = [0; BLOCK];
        self.exact(&mut block)?;
        Ok(block)
    }

    fn skip(&mut self, mut len: u64) -> Result<(), LayerError> {
        let mut scratch = vec![0; len.min(64 * 1024) as usize];
        while len > 0 {
            let part = len.min(scratch.len() as u64) as usize;
            self.exact(&mut scratch[..part])?;
            len -= part as u64;
        }
        Ok(())
    }

    fn extension(&mut self, size: u64) -> Result<Vec<u8>, LayerError> {
        if size > MAX_EXTENSION {
            return Err(self.malformed("an extended header is too large"));
        }
        self.extended += size;
        if self.extended > MAX_EXTENDED {
            return Err(self.malformed("the extended headers together are too large"));
        }
        let mut bytes = vec![0; size as usize];
        self.exact(&mut bytes)?;
        self.skip(padding(size) as u64)?;
        Ok(bytes)
    }

    pub(super) fn malformed(&self, reason: &'static str) -> LayerError {
        LayerError::Malformed { at: self.at, reason }
    }
}

/// An entry and where its bytes stand.
pub(super) struct Found {
    pub(super) entry: Entry,
    pub(super) extents: Vec<Extent>,
}

/// A file's content, holes as zeros.
pub(super) struct Content<'s, 'a> {
    stream: &'s mut Stream<'a>,
    extents: &'s [Extent],
    size: u64,
    at: u64,
}

impl Read for Content<'_, '_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        while self.extents.first().is_some_and(|run| run.at + run.len <= self.at) {
            self.extents = &self.extents[1..];
        }
        let (end, hole) = match self.extents.first() {
            Some(run) if run.at > self.at => (run.at, true),
            Some(run) => (run.at + run.len, false),
            None => (self.size, true),
        };
        let len = usize::try_from(end - self.at).unwrap_or(usize::MAX).min(buf.len());
        let buf = &mut buf[..len];
        if hole {
            buf.fill(0);
        } else {
            let read = self.stream.fill(buf).and_then(|read| match read {
                read if read == len => Ok(()),
                _ => Err(io::ErrorKind::UnexpectedEof.into()),
            });
            if let Err(error) = read {
                let told = io::Error::new(error.kind(), error.to_string());
                self.stream.failed = Some(error);
                return Err(told);
            }
        }
        self.at += len as u64;
        Ok(len)
    }
}

/// Limits of what is read.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    /// Bytes that all files together may have, holes included.
    pub(super) content: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { content: 64 << 30 }
    }
}

/// Reads a whole tar, up to its end mark, and shows each entry to `visit`.
pub(super) fn walk(
    tar: &mut dyn Read,
    limits: Limits,
    visit: &mut dyn FnMut(Found, &mut dyn Read) -> Result<(), LayerError>,
) -> Result<(), LayerError> {
    let mut stream = Stream { input: tar, at: 0, extended: 0, failed: None };
    let (mut global, mut total) = (Pax::default(), 0_u64);
    while let Some(raw) = next(&mut stream, &mut global)? {
        let Some(found) = raw.found(&stream)? else {
            stream.skip(raw.stored + padding(raw.stored) as u64)?;
            continue;
        };
        let size = match &found.entry.change {
            Change::Present { kind: Kind::File { size, .. }, .. } => *size,
            _ => 0,
        };
        total = total.saturating_add(size);
        if total > limits.content {
            return Err(LayerError::Bomb { limit: limits.content, compressed: stream.at });
        }
        let (began, extents) = (stream.at, found.extents.clone());
        let mut content = Content { stream: &mut stream, extents: &extents, size, at: 0 };
        let visited = visit(found, &mut content);
        if let Some(error) = stream.failed.take() {
            return Err(match error.kind() {
                io::ErrorKind::UnexpectedEof => LayerError::Truncated { at: stream.at },
                _ => LayerError::Io { action: "reading the tar", source: error },
            });
        }
        visited?;
        let rest = raw.stored - (stream.at - began);
        stream.skip(rest + padding(raw.padded) as u64)?;
    }
    Ok(())
}

/// Whether a stream begins with a header.
pub(super) fn begins(tar: &mut dyn Read) -> bool {
    let mut stream = Stream { input: tar, at: 0, extended: 0, failed: None };
    matches!(header(&mut stream, false), Ok(Some(_)))
}

/// One member with all that its extended headers say.
struct Raw {
    header: Header,
    pax: Pax,
    long_name: Option<Vec<u8>>,
    long_link: Option<Vec<u8>>,
    /// Bytes of data that are still to come.
    stored: u64,
    /// What the padding is counted from: data with a sparse map before it.
    padded: u64,
    sparse: Option<(u64, Vec<Extent>)>,
}

/// The next member; `None` at the end mark or at the end of the stream.
fn next(stream: &mut Stream<'_>, global: &mut Pax) -> Result<Option<Raw>, LayerError> {
    let (mut pax, mut long_name, mut long_link) = (None::<Pax>, None, None);
    let mut extensions = 0;
    loop {
        let Some(header) = header(stream, extensions > 0)? else { return Ok(None) };
        let size = field(&header.as_old().size).ok_or_else(|| stream.malformed("the size"))?;
        let size = u64::try_from(size).map_err(|_| stream.malformed("a size is negative"))?;
        extensions += 1;
        if extensions > 16 {
            return Err(stream.malformed("too many extended headers in a row"));
        }
        match header.entry_type() {
            EntryType::XHeader => {
                let records = stream.extension(size)?;
                let pax = pax.get_or_insert_with(|| global.clone());
                pax.read(&records).map_err(|reason| stream.malformed(reason))?;
            }
            EntryType::XGlobalHeader => {
                let records = stream.extension(size)?;
                global.read(&records).map_err(|reason| stream.malformed(reason))?;
                (global.path, global.linkpath, global.size) = (None, None, None);
                // They would be each entry's, and nobody writes them.
                global.xattrs.clear();
            }
            EntryType::GNULongName => long_name = Some(text(&stream.extension(size)?)),
            EntryType::GNULongLink => long_link = Some(text(&stream.extension(size)?)),
            _ => {
                let pax = pax.unwrap_or_else(|| global.clone());
                let stored = match header.entry_type().as_byte() {
                    b'1'..=b'6' => 0,
                    _ => pax.size.unwrap_or(size),
                };
                if stored > i64::MAX as u64 {
                    return Err(stream.malformed("a size is out of range"));
                }
                let sparse = None;
                let mut raw =
                    Raw { header, pax, long_name, long_link, stored, padded: stored, sparse };
                raw.read_sparse(stream)?;
                return Ok(Some(raw));
            }
        }
    }
}

/// The next header block, its checksum checked.
fn header(stream: &mut Stream<'_>, needed: bool) -> Result<Option<Header>, LayerError> {
    let at = stream.at;
    let mut block = [0; BLOCK];
    match stream.fill(&mut block).map_err(LayerError::io("reading the tar"))? {
        0 if !needed => return Ok(None),
        BLOCK => {}
        _ => return Err(LayerError::Truncated { at }),
    }
    if block.iter().all(|byte| *byte == 0) {
        if needed {
            return Err(stream.malformed("an extended header is followed by nothing"));
        }
        return Ok(None);
    }
    let header = Header::from_byte_slice(&block).clone();
    let sums = block.iter().enumerate().map(|(at, byte)| match at {
        148..156 => b' ',
        _ => *byte,
    });
    // Some old writers summed signed bytes.
    let unsigned: i64 = sums.clone().map(i64::from).sum();
    let signed: i64 = sums.map(|byte| i64::from(byte.cast_signed())).sum();
    match field(&header.as_old().cksum) {
        Some(stated) if stated == unsigned || stated == signed => Ok(Some(header)),
        _ => Err(LayerError::Malformed { at, reason: "the checksum of a header is wrong" }),
    }
}

/// A number field: octal text, or base 256 with a sign.
pub(super) fn field(bytes: &[u8]) -> Option<i64> {
    let first = *bytes.first()?;
    if first & 0x80 != 0 {
        // The first byte is 0x80 or 0xff; all bits but its highest count.
        let negative = first & 0x40 != 0;
        let mut value: i128 = if negative { -1 } else { 0 };
        for (at, byte) in bytes.iter().enumerate() {
            let byte = if at == 0 && !negative { byte & 0x7f } else { *byte };
            value = value << 8 | i128::from(byte);
        }
        return i64::try_from(value).ok();
    }
    let text = bytes.split(|b| *b == 0).next().unwrap_or_default().trim_ascii();
    text.iter().try_fold(0_i64, |value, digit| match digit {
        b'0'..=b'7' => value.checked_mul(8)?.checked_add(i64::from(digit - b'0')),
        _ => None,
    })
}

fn text(bytes: &[u8]) -> Vec<u8> {
    bytes.split(|b| *b == 0).next().unwrap_or_default().to_vec()
}

impl Raw {
    fn read_sparse(&mut self, stream: &mut Stream<'_>) -> Result<(), LayerError> {
        let before = stream.at;
        let pax = &self.pax.sparse;
        let (real_size, map) = if self.header.entry_type() == EntryType::GNUSparse {
            let block: &[u8; BLOCK] = self.header.as_bytes();
            let (size, map) = sparse::gnu(&block.clone(), stream)?;
            // The map's own blocks are headers, not data.
            (size, map)
        } else if pax.map_in_data {
            let real_size = pax.real_size.ok_or_else(|| stream.malformed("a sparse file"))?;
            let map = sparse::in_data(stream, self.stored)?;
            let taken = stream.at - before;
            let left = self.stored.checked_sub(taken);
            self.stored = left.ok_or_else(|| stream.malformed("a sparse map is cut off"))?;
            self.padded = self.stored;
            (real_size, map)
        } else if pax.has_map {
            let real_size = pax.real_size.ok_or_else(|| stream.malformed("a sparse file"))?;
            (real_size, pax.map.clone())
        } else {
            return Ok(());
        };
        let extents = sparse::extents(&map, real_size, self.stored, stream)?;
        self.sparse = Some((real_size, extents));
        Ok(())
    }

    fn name(&self) -> Vec<u8> {
        let pax = self.pax.sparse.name.as_ref().or(self.pax.path.as_ref());
        if let Some(name) = pax.or(self.long_name.as_ref()) {
            return name.clone();
        }
        let name = text(&self.header.as_old().name);
        match self.header.as_ustar().map(|ustar| text(&ustar.prefix)) {
            Some(prefix) if !prefix.is_empty() => [&prefix[..], b"/", &name].concat(),
            _ => name,
        }
    }

    fn link(&self) -> Vec<u8> {
        let long = self.pax.linkpath.as_ref().or(self.long_link.as_ref());
        long.cloned().unwrap_or_else(|| text(&self.header.as_old().linkname))
    }

    /// The entry; `None` for what is no content.
    fn found(&self, stream: &Stream<'_>) -> Result<Option<Found>, LayerError> {
        let name = self.name();
        // Told apart before the name is judged: with its prefix it may be longer than a name.
        let end = name.iter().rposition(|b| *b != b'/').map_or(0, |at| at + 1);
        let (parent, last) = match name[..end].iter().rposition(|b| *b == b'/') {
            Some(at) => (&name[..at], &name[at + 1..end]),
            None => (&b""[..], &name[..end]),
        };
        if last.starts_with(WHITEOUT_PREFIX) {
            return marker(&name, &layer_path(parent)?, last);
        }
        let path = layer_path(&name)?;
        let change = self.change(&name, &path, stream)?;
        let Some(change) = change else { return Ok(None) };
        let mut extents = vec![];
        if let Change::Present { kind, .. } = &change {
            check_kind(&path, kind)?;
            if let Kind::File { size, .. } = kind {
                extents = match &self.sparse {
                    Some((_, extents)) => extents.clone(),
                    None if *size > 0 => vec![Extent { at: 0, offset: stream.at, len: *size }],
                    None => vec![],
                };
            }
        }
        Ok(Some(Found { entry: Entry { path, change }, extents }))
    }

    fn change(
        &self,
        name: &[u8],
        path: &LayerPath,
        stream: &Stream<'_>,
    ) -> Result<Option<Change>, LayerError> {
        let size = self.sparse.as_ref().map_or(self.stored, |(size, _)| *size);
        let file = Kind::File { size, content: ContentDigest::from_bytes([0; 32]) };
        let kind = match self.header.entry_type().as_byte() {
            // Tars before ustar mark directories by their slash alone.
            0 | b'0' if name.ends_with(b"/") => Kind::Directory,
            0 | b'0' | b'7' | b'S' => file,
            b'1' => {
                let target = layer_path(&self.link())?;
                if path.is_root() || target == *path {
                    let (path, target) = (path.display(), target.display());
                    let reason = "it links to itself";
                    return Err(LayerError::Link { path, target, reason });
                }
                return Ok(Some(Change::Hardlink { target }));
            }
            b'2' => Kind::Symlink { target: self.link() },
            kind @ (b'3' | b'4') => {
                let ustar = &self.header.as_bytes()[329..345];
                let device = |bytes| field(bytes).and_then(|number| u32::try_from(number).ok());
                let device = device(&ustar[..8]).zip(device(&ustar[8..]));
                let (major, minor) =
                    device.ok_or_else(|| stream.malformed("a device number is malformed"))?;
                match kind {
                    b'3' => Kind::CharDevice { major, minor },
                    _ => Kind::BlockDevice { major, minor },
                }
            }
            b'5' | b'D' => Kind::Directory,
            b'6' => Kind::Fifo,
            // A volume's label.
            b'V' => return Ok(None),
            _ => return Err(stream.malformed("the type of an entry is unknown")),
        };
        Ok(Some(Change::Present { meta: self.meta(stream)?, kind }))
    }

    fn meta(&self, stream: &Stream<'_>) -> Result<Meta, LayerError> {
        let old = self.header.as_old();
        let bad = || stream.malformed("mode, owner or time is malformed");
        let id = |pax: Option<u64>, bytes| match pax {
            Some(id) => u32::try_from(id).ok(),
            None => field(bytes).and_then(|id| u32::try_from(id).ok()),
        };
        let mode = field(&old.mode).ok_or_else(bad)? & 0o7777;
        let mtime = match self.pax.mtime {
            Some(mtime) => mtime,
            None => Mtime { secs: field(&old.mtime).ok_or_else(bad)?, nanos: 0 },
        };
        Ok(Meta {
            mode: mode as u32,
            uid: id(self.pax.uid, &old.uid).ok_or_else(bad)?,
            gid: id(self.pax.gid, &old.gid).ok_or_else(bad)?,
            mtime,
            xattrs: self.pax.xattrs.clone(),
        })
    }
}

/// What a name that begins with `.wh.` says of `parent`.
fn marker(name: &[u8], parent: &LayerPath, last: &[u8]) -> Result<Option<Found>, LayerError> {
    let entry = match last {
        OPAQUE_NAME => Entry { path: parent.clone(), change: Change::Opaque },
        _ if last.starts_with(AUFS_PREFIX) => return Ok(None),
        _ => {
            let gone = parent.join(&last[WHITEOUT_PREFIX.len()..]);
            let path = gone.map_err(|source| name_error(name, source))?;
            Entry { path, change: Change::Whiteout }
        }
    };
    Ok(Some(Found { entry, extents: vec![] }))
}

fn layer_path(name: &[u8]) -> Result<LayerPath, LayerError> {
    LayerPath::new(name).map_err(|source| name_error(name, source))
}

fn name_error(name: &[u8], source: PathError) -> LayerError {
    let name = String::from_utf8_lossy(&name[..name.len().min(512)]).into_owned();
    LayerError::Name { name, source }
}
