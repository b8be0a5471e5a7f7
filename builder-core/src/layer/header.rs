//! Tar headers, exactly: ustar where it fits, PAX where it does not.
//!
//! In: an entry of a layer. Out: the blocks before its content. The same entry
//! is always the same bytes: no names of owners, no access times, no clock.

use tar::{EntryType, Header};

use super::{Change, Entry, Kind, LayerError, LayerPath, Meta, Mtime};

const MAX_OCTAL_7: u64 = 0o777_7777;
const MAX_OCTAL_11: u64 = 0o777_7777_7777;

/// The header blocks of an entry.
pub(super) fn blocks(entry: &Entry) -> Result<Vec<u8>, LayerError> {
    let plain = Meta::root_owned(0);
    let path = &entry.path;
    match &entry.change {
        Change::Whiteout => {
            let (parent, name) = path.split().unwrap_or_default();
            let name = [b".wh.", name].concat();
            build(&below(&parent, &name), EntryType::Regular, &plain, 0, b"", (0, 0))
        }
        Change::Opaque => {
            let name = below(path, b".wh..wh..opq");
            build(&name, EntryType::Regular, &plain, 0, b"", (0, 0))
        }
        Change::Hardlink { target } => {
            build(path.as_bytes(), EntryType::Link, &plain, 0, target.as_bytes(), (0, 0))
        }
        Change::Present { meta, kind } => present(path, meta, kind),
    }
}

fn below(parent: &LayerPath, name: &[u8]) -> Vec<u8> {
    let slash: &[u8] = if parent.is_root() { b"" } else { b"/" };
    [parent.as_bytes(), slash, name].concat()
}

fn present(path: &LayerPath, meta: &Meta, kind: &Kind) -> Result<Vec<u8>, LayerError> {
    let name = path.as_bytes();
    let device = |major: &u32, minor: &u32| (*major, *minor);
    match kind {
        Kind::File { size, .. } => build(name, EntryType::Regular, meta, *size, b"", (0, 0)),
        Kind::Directory => {
            let name = if path.is_root() { b"./".to_vec() } else { [name, b"/"].concat() };
            build(&name, EntryType::Directory, meta, 0, b"", (0, 0))
        }
        Kind::Symlink { target } => build(name, EntryType::Symlink, meta, 0, target, (0, 0)),
        Kind::CharDevice { major: 0, minor: 0 } => {
            let reason = "a character device 0:0 would act as a whiteout";
            Err(LayerError::Unsupported { path: path.display(), reason })
        }
        Kind::CharDevice { major, minor } => {
            build(name, EntryType::Char, meta, 0, b"", device(major, minor))
        }
        Kind::BlockDevice { major, minor } => {
            build(name, EntryType::Block, meta, 0, b"", device(major, minor))
        }
        Kind::Fifo => build(name, EntryType::Fifo, meta, 0, b"", (0, 0)),
        Kind::Socket => {
            let reason = "a tar cannot hold a socket";
            Err(LayerError::Unsupported { path: path.display(), reason })
        }
    }
}

fn build(
    name: &[u8],
    kind: EntryType,
    meta: &Meta,
    size: u64,
    link: &[u8],
    device: (u32, u32),
) -> Result<Vec<u8>, LayerError> {
    let mut pax = Vec::new();
    let mut header = Header::new_ustar();
    header.set_entry_type(kind);
    header.set_mode(meta.mode & 0o7777);
    set_name(&mut header, name, &mut pax);
    set_link(&mut header, link, &mut pax);
    for (key, value, limit) in [
        ("uid", u64::from(meta.uid), MAX_OCTAL_7),
        ("gid", u64::from(meta.gid), MAX_OCTAL_7),
        ("size", size, MAX_OCTAL_11),
    ] {
        let fits = value <= limit;
        if !fits {
            record(&mut pax, key.as_bytes(), value.to_string().as_bytes());
        }
        let value = if fits { value } else { 0 };
        match key {
            "uid" => header.set_uid(value),
            "gid" => header.set_gid(value),
            _ => header.set_size(value),
        }
    }
    set_mtime(&mut header, meta.mtime, &mut pax);
    if matches!(kind, EntryType::Char | EntryType::Block) {
        let set =
            header.set_device_major(device.0).and_then(|()| header.set_device_minor(device.1));
        set.map_err(LayerError::io("writing a device's header"))?;
    }
    for (key, value) in &meta.xattrs {
        record(&mut pax, &[b"SCHILY.xattr.", &key[..]].concat(), value);
    }
    header.set_cksum();
    let mut out = Vec::with_capacity(1536);
    if !pax.is_empty() {
        out.extend_from_slice(pax_header(name, pax.len() as u64).as_bytes());
        out.extend_from_slice(&pax);
        out.resize(out.len().next_multiple_of(512), 0);
    }
    out.extend_from_slice(header.as_bytes());
    Ok(out)
}

fn pax_header(name: &[u8], size: u64) -> Header {
    let mut header = Header::new_ustar();
    header.set_entry_type(EntryType::XHeader);
    header.set_mode(0o644);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header.set_size(size);
    let last = name.strip_suffix(b"/").unwrap_or(name).rsplit(|b| *b == b'/').next();
    let short = [b"PaxHeaders.0/", last.unwrap_or_default()].concat();
    let len = short.len().min(99);
    if let Some(ustar) = header.as_ustar_mut() {
        ustar.name[..len].copy_from_slice(&short[..len]);
    }
    header.set_cksum();
    header
}

/// One record of a PAX header (POSIX pax, "Extended Header"): its length
/// counts its own digits.
fn record(pax: &mut Vec<u8>, key: &[u8], value: &[u8]) {
    let rest = key.len() + value.len() + 3;
    let mut len = rest + 1;
    while len != rest + len.to_string().len() {
        len = rest + len.to_string().len();
    }
    pax.extend_from_slice(len.to_string().as_bytes());
    for part in [b" ", key, b"=", value, b"\n"] {
        pax.extend_from_slice(part);
    }
}

fn set_name(header: &mut Header, name: &[u8], pax: &mut Vec<u8>) {
    let Some(ustar) = header.as_ustar_mut() else { return };
    if name.len() <= 100 {
        ustar.name[..name.len()].copy_from_slice(name);
        return;
    }
    let split = (1..name.len()).filter(|at| name[*at] == b'/').find(|at| {
        let rest = name.len() - at - 1;
        *at <= 155 && (1..=100).contains(&rest)
    });
    if let Some(at) = split {
        ustar.prefix[..at].copy_from_slice(&name[..at]);
        ustar.name[..name.len() - at - 1].copy_from_slice(&name[at + 1..]);
    } else {
        ustar.name.copy_from_slice(&name[..100]);
        record(pax, b"path", name);
    }
}

fn set_link(header: &mut Header, link: &[u8], pax: &mut Vec<u8>) {
    let Some(ustar) = header.as_ustar_mut() else { return };
    let len = link.len().min(100);
    ustar.linkname[..len].copy_from_slice(&link[..len]);
    if link.len() > 100 {
        record(pax, b"linkpath", link);
    }
}

fn set_mtime(header: &mut Header, mtime: Mtime, pax: &mut Vec<u8>) {
    let fits = u64::try_from(mtime.secs).ok().filter(|secs| *secs <= MAX_OCTAL_11);
    header.set_mtime(fits.unwrap_or(0));
    if fits.is_some() && mtime.nanos == 0 {
        return;
    }
    // A decimal number counts from its sign on: -1.5 is 500 ms before -1.
    let text = match (mtime.secs, mtime.nanos) {
        (secs, 0) => secs.to_string(),
        (secs, nanos) if secs >= 0 => format!("{secs}.{nanos:09}"),
        (secs, nanos) => format!("-{}.{:09}", -(secs + 1), 1_000_000_000 - nanos),
    };
    record(pax, b"mtime", text.as_bytes());
}
