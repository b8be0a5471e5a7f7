//! Package archives (deb(5)): ar of `debian-binary`, `control.tar.*`, `data.tar.*`.
//!
//! In: an open archive whose digest was checked. Out: its control files in
//! memory, its data's contents appended to a spool, and what each entry is.
//! Names that leave the root, odd types and oversized control files are errors.

use std::fs::File;
use std::io::{self, BufWriter, Read, Seek, SeekFrom};

use tar::EntryType;

use super::unpack;
use crate::layer::{LayerPath, Mtime};

/// Limits of one package.
const CONTROL_LIMIT: u64 = 64 << 20;
const DATA_LIMIT: u64 = 16 << 30;
const ENTRIES_LIMIT: usize = 1_000_000;

/// A control file: name, whether it is executable, content.
#[derive(Debug, Clone)]
pub(super) struct ControlFile {
    pub(super) name: String,
    pub(super) executable: bool,
    pub(super) content: Vec<u8>,
}

/// What one entry of the data is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Data {
    /// Its bytes stand in the spool at the offset.
    File {
        offset: u64,
        size: u64,
    },
    /// Its bytes are these.
    Bytes(Vec<u8>),
    Directory,
    Symlink(Vec<u8>),
    Hardlink(LayerPath),
    Char(u32, u32),
    Block(u32, u32),
    Fifo,
}

/// One entry of the data.
#[derive(Debug, Clone)]
pub(super) struct DataEntry {
    pub(super) path: LayerPath,
    pub(super) mode: u32,
    pub(super) uid: u32,
    pub(super) gid: u32,
    pub(super) mtime: Mtime,
    pub(super) data: Data,
}

impl DataEntry {
    /// An entry of root's, with the constant time.
    pub(super) fn plain(path: LayerPath, mode: u32, data: Data) -> Self {
        Self { path, mode, uid: 0, gid: 0, mtime: Mtime::CONSTANT, data }
    }
}

/// A package, taken apart.
#[derive(Debug)]
pub(super) struct Contents {
    pub(super) control: String,
    pub(super) files: Vec<ControlFile>,
    pub(super) entries: Vec<DataEntry>,
}

/// The spool that files' contents are appended to.
pub(super) struct Spool {
    file: BufWriter<File>,
    len: u64,
}

impl Spool {
    pub(super) fn new(file: File) -> Self {
        Self { file: BufWriter::with_capacity(256 << 10, file), len: 0 }
    }

    pub(super) fn finish(self) -> io::Result<File> {
        self.file.into_inner().map_err(io::IntoInnerError::into_error)
    }

    fn take(&mut self, content: &mut impl Read) -> io::Result<(u64, u64)> {
        let offset = self.len;
        let size = io::copy(content, &mut self.file)?;
        self.len += size;
        Ok((offset, size))
    }
}

/// Takes a package apart.
pub(super) fn read(deb: &mut File, spool: &mut Spool) -> Result<Contents, String> {
    let fail = |e: io::Error| e.to_string();
    let (mut control, mut entries) = (None, None);
    let end = deb.seek(SeekFrom::End(0)).map_err(fail)?;
    let mut at = magic(deb).map_err(fail)?;
    while at < end {
        let member = member(deb, at).map_err(fail)??;
        if member.start.checked_add(member.size).is_none_or(|stop| stop > end) {
            return Err(format!("member `{}` is cut off", member.name));
        }
        deb.seek(SeekFrom::Start(member.start)).map_err(fail)?;
        let bytes = (&mut *deb).take(member.size);
        if let Some(packing) = member.name.strip_prefix("control.tar") {
            control = Some(control_files(unpack::reader(bytes, packing)?)?);
        } else if let Some(packing) = member.name.strip_prefix("data.tar") {
            entries = Some(data_entries(unpack::reader(bytes, packing)?, spool)?);
        }
        at = member.start + member.size + member.size % 2;
    }
    let (control, files) = control.ok_or("it has no control.tar")?;
    Ok(Contents { control, files, entries: entries.ok_or("it has no data.tar")? })
}

struct Member {
    name: String,
    start: u64,
    size: u64,
}

fn magic(deb: &mut File) -> io::Result<u64> {
    let mut magic = [0; 8];
    deb.seek(SeekFrom::Start(0))?;
    deb.read_exact(&mut magic)?;
    if magic == *b"!<arch>\n" { Ok(8) } else { Err(io::Error::other("not an ar archive")) }
}

fn member(deb: &mut File, at: u64) -> io::Result<Result<Member, String>> {
    let mut header = [0; 60];
    deb.seek(SeekFrom::Start(at))?;
    deb.read_exact(&mut header)?;
    let text =
        |range: std::ops::Range<usize>| std::str::from_utf8(&header[range]).ok().map(str::trim_end);
    let parsed = (header[58..] == *b"`\n").then(|| {
        let name = text(0..16)?.trim_end_matches('/').to_owned();
        Some(Member { name, start: at + 60, size: text(48..58)?.parse().ok()? })
    });
    Ok(parsed.flatten().ok_or_else(|| format!("bad ar header at {at}")))
}

/// The control file proper, and the others.
fn control_files(tar: impl Read) -> Result<(String, Vec<ControlFile>), String> {
    let fail = |e: io::Error| format!("control.tar: {e}");
    let mut archive = tar::Archive::new(tar.take(CONTROL_LIMIT));
    let (mut control, mut files) = (None, Vec::new());
    for entry in archive.entries().map_err(fail)? {
        let mut entry = entry.map_err(fail)?;
        let path = LayerPath::new(&*entry.path_bytes()).map_err(|e| format!("control.tar: {e}"))?;
        if path.is_root() || entry.header().entry_type() != EntryType::Regular {
            continue;
        }
        let name =
            String::from_utf8(path.as_bytes().to_vec()).map_err(|_| "control.tar: bad name")?;
        let plain = name
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-_+.".contains(&b));
        if !plain {
            return Err(format!("control.tar: bad name `{name}`"));
        }
        let mut content = Vec::new();
        entry.read_to_end(&mut content).map_err(fail)?;
        if name == "control" {
            control = Some(String::from_utf8(content).map_err(|_| "control: not UTF-8")?);
            continue;
        }
        let executable = entry.header().mode().map_err(fail)? & 0o111 != 0;
        files.push(ControlFile { name, executable, content });
    }
    Ok((control.ok_or("control.tar has no control")?, files))
}

fn data_entries(tar: impl Read, spool: &mut Spool) -> Result<Vec<DataEntry>, String> {
    let fail = |e: io::Error| format!("data.tar: {e}");
    let mut tar = tar.take(DATA_LIMIT);
    let mut archive = tar::Archive::new(&mut tar);
    let mut all = Vec::new();
    for entry in archive.entries().map_err(fail)? {
        let mut entry = entry.map_err(fail)?;
        if let Some(entry) = data_entry(&mut entry, spool)? {
            all.push(entry);
        }
        if all.len() > ENTRIES_LIMIT {
            return Err(format!("data.tar has more than {ENTRIES_LIMIT} entries"));
        }
    }
    // The decompressor checks its trailer only when it is read to the end.
    io::copy(&mut tar, &mut io::sink()).map_err(fail)?;
    Ok(all)
}

fn data_entry<R: Read>(
    entry: &mut tar::Entry<'_, R>,
    spool: &mut Spool,
) -> Result<Option<DataEntry>, String> {
    let fail = |e: io::Error| format!("data.tar: {e}");
    let name = entry.path_bytes().into_owned();
    let bad = |what: &dyn std::fmt::Display| format!("data.tar: `{}`: {what}", name.escape_ascii());
    let path = LayerPath::new(&name).map_err(|e| bad(&e))?;
    let header = entry.header().clone();
    let target = || entry.link_name_bytes().map(|t| t.into_owned()).filter(|t| !t.is_empty());
    let device = || {
        let number = |n: io::Result<Option<u32>>| n.ok().flatten();
        number(header.device_major())
            .zip(number(header.device_minor()))
            .ok_or_else(|| bad(&"no device number"))
    };
    let data = match header.entry_type() {
        EntryType::Regular | EntryType::Continuous | EntryType::GNUSparse => {
            let wanted = entry.size();
            let (offset, size) = spool.take(entry).map_err(fail)?;
            if size != wanted {
                return Err(bad(&"cut off"));
            }
            Data::File { offset, size }
        }
        EntryType::Directory => Data::Directory,
        EntryType::Symlink => Data::Symlink(target().ok_or_else(|| bad(&"a link to nothing"))?),
        EntryType::Link => {
            let target = target().ok_or_else(|| bad(&"a link to nothing"))?;
            Data::Hardlink(LayerPath::new(target).map_err(|e| bad(&e))?)
        }
        EntryType::Char => device().map(|(major, minor)| Data::Char(major, minor))?,
        EntryType::Block => device().map(|(major, minor)| Data::Block(major, minor))?,
        EntryType::Fifo => Data::Fifo,
        EntryType::XGlobalHeader => return Ok(None),
        other => return Err(bad(&format!("type {other:?} has no place in a package"))),
    };
    if matches!(data, Data::Char(0, 0)) {
        return Err(bad(&"a device 0:0 would hide what is below it"));
    }
    let id = |id: io::Result<u64>| {
        id.ok().and_then(|id| u32::try_from(id).ok()).ok_or_else(|| bad(&"bad owner"))
    };
    let secs = i64::try_from(header.mtime().map_err(fail)?).map_err(|_| bad(&"bad time"))?;
    Ok(Some(DataEntry {
        mode: header.mode().map_err(fail)? & 0o7777,
        uid: id(header.uid())?,
        gid: id(header.gid())?,
        mtime: Mtime { secs, nanos: 0 },
        path,
        data,
    }))
}
