//! Foreign tars: whatever other tools write, as entries of a layer.
//!
//! Names are normalised (`./a`, `/a` and `a/` are `a`); `..` is refused, and
//! so is all that the model cannot hold. Whiteouts become changes.

use std::io::Read;

use tar::{Archive, EntryType};

use super::{Change, Entry, Kind, LayerError, LayerPath, Meta, Mtime, Xattrs};
use crate::digest::ContentDigest;

/// Longest PAX value that counts.
const MAX_XATTR: usize = 1 << 20;

/// Takes an entry, its content, and where that stands in the tar.
pub(super) type Sink<'a> = &'a mut dyn FnMut(Entry, u64, &mut dyn Read) -> Result<(), LayerError>;

/// Reads a foreign tar (any order, hard links before or after, PAX, GNU, old
/// GNU sparse) and gives its entries to `sink`, content as a stream. Digests
/// of content are all zeros: not known yet.
///
/// # Errors
/// [`LayerError`] where the tar is malformed or holds what is refused.
pub fn read_tar(
    tar: &mut dyn Read,
    sink: &mut dyn FnMut(Entry, &mut dyn Read) -> Result<(), LayerError>,
) -> Result<(), LayerError> {
    read(tar, true, &mut |entry, _, content| sink(entry, content))
}

/// As [`read_tar`], with positions; sparse files only where `sparse`.
pub(super) fn read(tar: &mut dyn Read, sparse: bool, sink: Sink<'_>) -> Result<(), LayerError> {
    let mut archive = Archive::new(tar);
    let entries = archive.entries().map_err(|error| malformed(0, &error))?;
    let mut at = 0;
    for entry in entries {
        let mut entry = entry.map_err(|error| malformed(at, &error))?;
        at = entry.raw_file_position();
        let kind = entry.header().entry_type();
        if kind == EntryType::GNUSparse && !sparse {
            let path = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
            return Err(LayerError::Unsupported {
                path,
                reason: "sparse files in a layer are not read",
            });
        }
        if let Some(found) = convert(&mut entry, kind, at)? {
            sink(found, at, &mut entry)?;
        }
    }
    Ok(())
}

fn malformed(at: u64, error: &std::io::Error) -> LayerError {
    match error.kind() {
        std::io::ErrorKind::UnexpectedEof => LayerError::Truncated { at },
        std::io::ErrorKind::InvalidInput | std::io::ErrorKind::InvalidData => {
            LayerError::Decompress { source: std::io::Error::new(error.kind(), error.to_string()) }
        }
        _ => {
            let text = error.to_string();
            let reason = if text.contains("cksum") {
                "a header's checksum is wrong"
            } else if text.contains("numeric") {
                "a number is malformed"
            } else {
                return LayerError::Decompress { source: std::io::Error::new(error.kind(), text) };
            };
            LayerError::Malformed { at, reason }
        }
    }
}

fn layer_path(name: &[u8]) -> Result<LayerPath, LayerError> {
    LayerPath::new(name).map_err(|source| LayerError::Name {
        name: String::from_utf8_lossy(name).into_owned(),
        source,
    })
}

/// What PAX says over the header.
#[derive(Default)]
struct Pax {
    uid: Option<u32>,
    gid: Option<u32>,
    mtime: Option<Mtime>,
    xattrs: Xattrs,
}

fn pax<R: Read>(entry: &mut tar::Entry<'_, R>, at: u64) -> Result<Pax, LayerError> {
    let mut pax = Pax::default();
    let bad = LayerError::Malformed { at, reason: "a PAX header is malformed" };
    let Some(extensions) = entry.pax_extensions().map_err(|error| malformed(at, &error))? else {
        return Ok(pax);
    };
    for extension in extensions {
        let Ok(extension) = extension else { return Err(bad) };
        let (key, value) = (extension.key_bytes(), extension.value_bytes());
        let text = std::str::from_utf8(value).unwrap_or_default();
        match key {
            b"uid" => pax.uid = Some(text.parse().map_err(|_| number(at))?),
            b"gid" => pax.gid = Some(text.parse().map_err(|_| number(at))?),
            b"mtime" => pax.mtime = Some(decimal(text).ok_or_else(|| number(at))?),
            _ if key.starts_with(b"GNU.sparse.") => {
                return Err(LayerError::Malformed { at, reason: "PAX sparse files are not read" });
            }
            _ => {
                if let Some(name) = key.strip_prefix(b"SCHILY.xattr.")
                    && value.len() <= MAX_XATTR
                {
                    pax.xattrs.insert(name.to_vec(), value.to_vec());
                }
            }
        }
    }
    Ok(pax)
}

fn number(at: u64) -> LayerError {
    LayerError::Malformed { at, reason: "a number is malformed" }
}

/// A decimal time of PAX, which counts from its sign on.
fn decimal(text: &str) -> Option<Mtime> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let secs: i64 = whole.parse().ok()?;
    let digits: String = fraction.chars().chain(std::iter::repeat('0')).take(9).collect();
    let nanos: u32 = digits.parse().ok()?;
    if whole.starts_with('-') && nanos > 0 {
        return Some(Mtime { secs: secs.checked_sub(1)?, nanos: 1_000_000_000 - nanos });
    }
    Some(Mtime { secs, nanos })
}

fn convert<R: Read>(
    entry: &mut tar::Entry<'_, R>,
    kind: EntryType,
    at: u64,
) -> Result<Option<Entry>, LayerError> {
    if matches!(kind, EntryType::XGlobalHeader) {
        return Ok(None);
    }
    let path = layer_path(&entry.path_bytes())?;
    let name = path.name();
    if let Some(hidden) = name.strip_prefix(b".wh.") {
        return whiteout(&path, hidden);
    }
    let meta = meta(entry, at)?;
    let link = entry.link_name_bytes().map(|link| link.into_owned());
    let present = |kind| Change::Present { meta: meta.clone(), kind };
    let device = |n: std::io::Result<Option<u32>>| n.ok().flatten().unwrap_or(0);
    let (major, minor) =
        (device(entry.header().device_major()), device(entry.header().device_minor()));
    let change = match kind {
        EntryType::Link => {
            let target =
                link.ok_or(LayerError::Malformed { at, reason: "a link without a target" })?;
            Change::Hardlink { target: layer_path(&target)? }
        }
        EntryType::Symlink => {
            let target =
                link.ok_or(LayerError::Malformed { at, reason: "a link without a target" })?;
            if target.contains(&0) {
                return Err(LayerError::Malformed { at, reason: "a link's target holds a NUL" });
            }
            present(Kind::Symlink { target })
        }
        EntryType::Directory => present(Kind::Directory),
        EntryType::Char if (major, minor) == (0, 0) => {
            let reason = "a character device 0:0 would act as a whiteout";
            return Err(LayerError::Unsupported { path: path.display(), reason });
        }
        EntryType::Char => present(Kind::CharDevice { major, minor }),
        EntryType::Block => present(Kind::BlockDevice { major, minor }),
        EntryType::Fifo => present(Kind::Fifo),
        EntryType::Regular | EntryType::Continuous | EntryType::GNUSparse => {
            let content = ContentDigest::from_bytes([0; 32]);
            present(Kind::File { size: entry.size(), content })
        }
        _ => {
            let reason = "its type is not known";
            return Err(LayerError::Unsupported { path: path.display(), reason });
        }
    };
    Ok(Some(Entry { path, change }))
}

fn whiteout(path: &LayerPath, hidden: &[u8]) -> Result<Option<Entry>, LayerError> {
    let parent = path.parent().unwrap_or_default();
    if hidden == b".wh..opq" {
        return Ok(Some(Entry { path: parent, change: Change::Opaque }));
    }
    // Others of that prefix are aufs's own and mean nothing in an image.
    if hidden.starts_with(b".wh.") {
        return Ok(None);
    }
    let gone =
        parent.join(hidden).map_err(|source| LayerError::Name { name: path.display(), source })?;
    Ok(Some(Entry { path: gone, change: Change::Whiteout }))
}

fn meta<R: Read>(entry: &mut tar::Entry<'_, R>, at: u64) -> Result<Meta, LayerError> {
    let pax = pax(entry, at)?;
    let header = entry.header();
    let id = |id: std::io::Result<u64>| {
        id.ok().and_then(|id| u32::try_from(id).ok()).ok_or_else(|| number(at))
    };
    let uid = pax.uid.map_or_else(|| id(header.uid()), Ok)?;
    let gid = pax.gid.map_or_else(|| id(header.gid()), Ok)?;
    let secs = header.mtime().map_err(|_| number(at))?;
    let secs = i64::try_from(secs).map_err(|_| number(at))?;
    let mode = header.mode().map_err(|_| number(at))? & 0o7777;
    let mtime = pax.mtime.unwrap_or(Mtime { secs, nanos: 0 });
    Ok(Meta { mode, uid, gid, mtime, xattrs: pax.xattrs })
}
