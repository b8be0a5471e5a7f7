//! Writes tar headers: ustar where it can say all, PAX records where not.
//!
//! In: what a member is. Out: its header blocks. The same member always gives
//! the same bytes ([pax interchange format][pax]; extended attributes as
//! `SCHILY.xattr.*`). Names that are not UTF-8 are written as they are: readers
//! take them as bytes.
//!
//! [pax]: https://pubs.opengroup.org/onlinepubs/9699919799/utilities/pax.html

use tar::{EntryType, Header};

use super::{Meta, Mtime};

pub(super) const BLOCK: usize = 512;
const MAX_SIZE: u64 = 0o777_7777_7777;
const MAX_ID: u32 = 0o777_7777;

/// What a header is made from.
pub(super) struct Member<'a> {
    /// As it stands in the tar: a directory's ends with a slash.
    pub(super) name: &'a [u8],
    pub(super) kind: EntryType,
    pub(super) size: u64,
    pub(super) meta: &'a Meta,
    /// Target of a hard or symbolic link; else empty.
    pub(super) link: &'a [u8],
    pub(super) device: (u32, u32),
    /// Whether the extended attributes are written (not again for a hard link).
    pub(super) xattrs: bool,
}

impl Member<'_> {
    /// Appends the header blocks, PAX before ustar.
    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        let mut pax = Vec::new();
        let mut header = Header::new_ustar();
        if !put_name(&mut header, self.name) {
            record(&mut pax, b"path", self.name);
            put_field(&mut header.as_old_mut().name, self.name);
        }
        if !put_field(&mut header.as_old_mut().linkname, self.link) {
            record(&mut pax, b"linkpath", self.link);
        }
        let Meta { mode, uid, gid, mtime, xattrs } = self.meta;
        let or_pax = |pax: &mut Vec<u8>, key: &[u8], value: u64, max: u64| {
            if value <= max {
                return value;
            }
            record(pax, key, value.to_string().as_bytes());
            0
        };
        header.set_mode(*mode);
        header.set_size(or_pax(&mut pax, b"size", self.size, MAX_SIZE));
        header.set_uid(or_pax(&mut pax, b"uid", u64::from(*uid), u64::from(MAX_ID)));
        header.set_gid(or_pax(&mut pax, b"gid", u64::from(*gid), u64::from(MAX_ID)));
        let whole = u64::try_from(mtime.secs).ok().filter(|secs| *secs <= MAX_SIZE);
        if whole.is_none() || mtime.nanos != 0 {
            record(&mut pax, b"mtime", decimal(*mtime).as_bytes());
        }
        header.set_mtime(whole.unwrap_or(0));
        if matches!(self.kind, EntryType::Char | EntryType::Block) {
            let ustar = header.as_ustar_mut().expect("it was made as ustar");
            ustar.set_device_major(self.device.0);
            ustar.set_device_minor(self.device.1);
        }
        if self.xattrs {
            for (name, value) in xattrs {
                record(&mut pax, &[b"SCHILY.xattr.", &name[..]].concat(), value);
            }
        }
        header.set_entry_type(self.kind);
        header.set_cksum();
        if !pax.is_empty() {
            put_pax(out, self.name, &pax);
        }
        out.extend_from_slice(header.as_bytes());
    }
}

/// The zeros that follow `size` bytes of content.
pub(super) fn padding(size: u64) -> usize {
    (size.next_multiple_of(BLOCK as u64) - size) as usize
}

fn put_pax(out: &mut Vec<u8>, name: &[u8], pax: &[u8]) {
    let mut header = Header::new_ustar();
    let base = name.strip_suffix(b"/").unwrap_or(name).rsplit(|b| *b == b'/').next();
    let name = [b"PaxHeaders.0/", base.unwrap_or_default()].concat();
    put_field(&mut header.as_old_mut().name, &name);
    header.set_mode(0o644);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header.set_size(pax.len() as u64);
    header.set_entry_type(EntryType::XHeader);
    header.set_cksum();
    out.extend_from_slice(header.as_bytes());
    out.extend_from_slice(pax);
    out.resize(out.len() + padding(pax.len() as u64), 0);
}

/// Puts `value` into a field, cut where it is too long; whether it fitted.
fn put_field(field: &mut [u8], value: &[u8]) -> bool {
    let len = value.len().min(field.len());
    field[..len].copy_from_slice(&value[..len]);
    len == value.len()
}

/// Puts a name into the name field, or into it and the prefix, if it fits.
fn put_name(header: &mut Header, name: &[u8]) -> bool {
    let ustar = header.as_ustar_mut().expect("it was made as ustar");
    if name.len() <= ustar.name.len() {
        return put_field(&mut ustar.name, name);
    }
    let mut slashes = name.iter().enumerate().filter(|(_, b)| **b == b'/').map(|(at, _)| at);
    let fits = |at: &usize| {
        (1..=ustar.prefix.len()).contains(at)
            && (1..=ustar.name.len()).contains(&(name.len() - at - 1))
    };
    match slashes.find(fits) {
        Some(at) => {
            put_field(&mut ustar.prefix, &name[..at]) && put_field(&mut ustar.name, &name[at + 1..])
        }
        None => false,
    }
}

/// `LENGTH KEY=VALUE\n`, the length counting its own digits.
fn record(pax: &mut Vec<u8>, key: &[u8], value: &[u8]) {
    let rest = key.len() + value.len() + 3;
    let mut len = rest + 1;
    while rest + len.to_string().len() != len {
        len = rest + len.to_string().len();
    }
    pax.extend_from_slice(len.to_string().as_bytes());
    pax.push(b' ');
    pax.extend_from_slice(key);
    pax.push(b'=');
    pax.extend_from_slice(value);
    pax.push(b'\n');
}

fn decimal(mtime: Mtime) -> String {
    let Mtime { secs, nanos } = mtime;
    if nanos == 0 {
        return secs.to_string();
    }
    // The fraction counts away from zero: -1 s and 500,000,000 ns are -0.5.
    let (sign, whole, fraction) = match secs {
        0.. => ("", secs.unsigned_abs(), nanos),
        _ => ("-", (secs + 1).unsigned_abs(), 1_000_000_000 - nanos),
    };
    format!("{sign}{whole}.{fraction:09}").trim_end_matches('0').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_counts_its_own_length() {
        for len in [0, 1, 80, 87, 88, 89, 90, 91, 980, 985, 986, 987, 988, 989, 990] {
            let mut pax = vec![];
            record(&mut pax, b"path", &vec![b'x'; len]);
            let text = String::from_utf8(pax.clone()).expect("ASCII");
            let stated = text.split(' ').next().and_then(|digits| digits.parse().ok());
            assert_eq!(stated, Some(pax.len()), "{len}");
        }
    }

    #[test]
    fn times_before_1970_count_away_from_zero() {
        let text = |secs, nanos| decimal(Mtime { secs, nanos });
        assert_eq!(text(-1, 500_000_000), "-0.5");
        assert_eq!(text(-2, 1), "-1.999999999");
        assert_eq!(text(-2, 0), "-2");
        assert_eq!(text(7, 120_000_000), "7.12");
    }
}
