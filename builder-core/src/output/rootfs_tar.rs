//! The merged root file system as one deterministic tar.
//!
//! Sorted, numeric owners, PAX records only where ustar cannot hold a value;
//! whiteouts are applied, hard links point to the first name of their group.

use std::io::{self, Write};

use super::place::write_to;
use super::walk::{Content, view, walk};
use super::{Dest, Export, Output, OutputError, Written};
use crate::layer::{LayerPath, Meta};
use crate::view::{Node, NodeKind, Tree};

/// The largest number of 11 octal digits.
const MAX_OCTAL_11: u64 = 0o777_7777_7777;
/// The largest number of 7 octal digits.
const MAX_OCTAL_7: u64 = 0o777_7777;

/// Writes the root file system as a tar.
#[derive(Debug, Clone)]
pub struct Tar {
    /// Where to.
    pub dest: Dest,
}

impl Output for Tar {
    fn describe(&self) -> String {
        format!("tar {}", self.dest)
    }

    fn write(&self, export: &Export<'_>) -> Result<Written, OutputError> {
        let view = view(export)?;
        let mut warnings = Vec::new();
        write_to(&self.dest, |out| write_tree(&view, out, &mut warnings))?;
        Ok(Written { warnings })
    }
}

pub(super) fn write_tree(
    tree: &dyn Tree,
    out: &mut dyn Write,
    warnings: &mut Vec<String>,
) -> Result<(), OutputError> {
    let mut builder = tar::Builder::new(out);
    walk(tree, &mut |path, node| {
        if node.kind == NodeKind::Socket {
            warnings.push(format!("{} is a socket: no tar can hold it", path.display()));
            return Ok(());
        }
        append(&mut builder, tree, path, node)
    })?;
    let out = builder.into_inner().map_err(OutputError::io("writing", "the tar's end"))?;
    out.flush().map_err(OutputError::io("writing", "the tar's end"))
}

fn append(
    builder: &mut tar::Builder<&mut dyn Write>,
    tree: &dyn Tree,
    path: &LayerPath,
    node: &Node,
) -> Result<(), OutputError> {
    let io = || OutputError::io("writing", path.display());
    let (header, records) = encode(path, node);
    if !records.is_empty() {
        let records = records.iter().map(|(key, value)| (key.as_str(), value.as_slice()));
        builder.append_pax_extensions(records).map_err(io())?;
    }
    let NodeKind::File { size } = node.kind else {
        return builder.append(&header, io::empty()).map_err(io());
    };
    if header.entry_type() != tar::EntryType::Regular {
        return builder.append(&header, io::empty()).map_err(io());
    }
    let mut content = Content::open(tree, path)?;
    let mut counted = Counted { inner: &mut content, read: 0 };
    builder.append(&header, &mut counted).map_err(io())?;
    match counted.read == size {
        true => Ok(()),
        false => Err(io()(io::ErrorKind::UnexpectedEof.into())),
    }
}

struct Counted<'a> {
    inner: &'a mut Content,
    read: u64,
}

impl io::Read for Counted<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buf)?;
        self.read += read as u64;
        Ok(read)
    }
}

type Records = Vec<(String, Vec<u8>)>;

/// Header and PAX records of one path.
fn encode(path: &LayerPath, node: &Node) -> (tar::Header, Records) {
    let mut header = tar::Header::new_ustar();
    let mut records = Records::new();
    let mut name = path.as_bytes().to_vec();
    if node.kind == NodeKind::Directory {
        name = if path.is_root() { b"./".to_vec() } else { [&name[..], b"/"].concat() };
    }
    text(&mut header, 0, 100, "path", &name, &mut records);
    let first = node.links.as_ref().map(|links| &links.first).filter(|first| *first != path);
    let (kind, link, size) = match (&node.kind, first) {
        (_, Some(first)) => (tar::EntryType::Link, Some(first.as_bytes()), 0),
        (NodeKind::File { size }, None) => (tar::EntryType::Regular, None, *size),
        (NodeKind::Directory, None) => (tar::EntryType::Directory, None, 0),
        (NodeKind::Symlink { target }, None) => (tar::EntryType::Symlink, Some(&target[..]), 0),
        (NodeKind::CharDevice { major, minor }, None) => {
            device(&mut header, *major, *minor, &mut records);
            (tar::EntryType::Char, None, 0)
        }
        (NodeKind::BlockDevice { major, minor }, None) => {
            device(&mut header, *major, *minor, &mut records);
            (tar::EntryType::Block, None, 0)
        }
        (NodeKind::Fifo | NodeKind::Socket, None) => (tar::EntryType::Fifo, None, 0),
    };
    header.set_entry_type(kind);
    if let Some(link) = link {
        text(&mut header, 157, 100, "linkpath", link, &mut records);
    }
    let size = number("size", size, MAX_OCTAL_11, &mut records);
    header.set_size(size);
    meta(&mut header, &node.meta, &mut records);
    header.set_cksum();
    (header, records)
}

fn meta(header: &mut tar::Header, meta: &Meta, records: &mut Records) {
    let Meta { mode, uid, gid, mtime, xattrs } = meta;
    header.set_mode(*mode);
    header.set_uid(number("uid", u64::from(*uid), MAX_OCTAL_7, records));
    header.set_gid(number("gid", u64::from(*gid), MAX_OCTAL_7, records));
    match u64::try_from(mtime.secs) {
        Ok(secs) if mtime.nanos == 0 && secs <= MAX_OCTAL_11 => header.set_mtime(secs),
        _ => {
            header.set_mtime(0);
            records.push(("mtime".into(), decimal(mtime.secs, mtime.nanos).into_bytes()));
        }
    }
    for (name, value) in xattrs {
        // A name that is no UTF-8 or holds `=` cannot be written in PAX.
        if let Ok(name) = std::str::from_utf8(name).map(|n| n.to_owned())
            && !name.contains('=')
        {
            records.push((format!("SCHILY.xattr.{name}"), value.clone()));
        }
    }
}

/// Seconds as a decimal fraction; nanoseconds count upwards, also before 1970.
fn decimal(secs: i64, nanos: u32) -> String {
    let total = i128::from(secs) * 1_000_000_000 + i128::from(nanos);
    let sign = if total < 0 { "-" } else { "" };
    let (secs, nanos) = (total.abs() / 1_000_000_000, total.abs() % 1_000_000_000);
    match nanos {
        0 => format!("{sign}{secs}"),
        _ => format!("{sign}{secs}.{}", format!("{nanos:09}").trim_end_matches('0')),
    }
}

fn device(header: &mut tar::Header, major: u32, minor: u32, records: &mut Records) {
    let major = number("SCHILY.devmajor", u64::from(major), MAX_OCTAL_7, records);
    let minor = number("SCHILY.devminor", u64::from(minor), MAX_OCTAL_7, records);
    let small = |n: u64| u32::try_from(n).expect("bounded by seven octal digits");
    header.set_device_major(small(major)).expect("ustar has devices");
    header.set_device_minor(small(minor)).expect("ustar has devices");
}

/// What goes into the header; a larger number goes into a record.
fn number(key: &str, value: u64, limit: u64, records: &mut Records) -> u64 {
    if value <= limit {
        return value;
    }
    records.push((key.to_owned(), value.to_string().into_bytes()));
    0
}

/// Writes a text field; a longer one, or one with bytes beyond ASCII, goes
/// into a record, and its start into the header.
fn text(
    header: &mut tar::Header,
    at: usize,
    room: usize,
    key: &str,
    value: &[u8],
    records: &mut Records,
) {
    if value.len() > room || !value.is_ascii() {
        if std::str::from_utf8(value).is_err() {
            records.push(("hdrcharset".to_owned(), b"BINARY".to_vec()));
        }
        records.push((key.to_owned(), value.to_vec()));
    }
    let length = value.len().min(room);
    header.as_mut_bytes()[at..at + length].copy_from_slice(&value[..length]);
}
