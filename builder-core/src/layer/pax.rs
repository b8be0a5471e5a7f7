//! Reads PAX extended headers.
//!
//! In: the records of an `x` or `g` header. Out: what they say that matters.
//! Limitation: `LIBARCHIVE.xattr.*` duplicates and `hdrcharset` are passed over.

use super::{Mtime, Xattrs};

/// The longest value of an extended attribute in Linux (`XATTR_SIZE_MAX`).
const MAX_XATTR: usize = 64 << 10;

/// What PAX records say of the entry that follows.
#[derive(Debug, Clone, Default)]
pub(super) struct Pax {
    pub(super) path: Option<Vec<u8>>,
    pub(super) linkpath: Option<Vec<u8>>,
    pub(super) size: Option<u64>,
    pub(super) uid: Option<u64>,
    pub(super) gid: Option<u64>,
    pub(super) mtime: Option<Mtime>,
    pub(super) xattrs: Xattrs,
    pub(super) sparse: PaxSparse,
}

/// The `GNU.sparse.*` records.
#[derive(Debug, Clone, Default)]
pub(super) struct PaxSparse {
    /// Version 1.0: the map stands before the data.
    pub(super) map_in_data: bool,
    pub(super) name: Option<Vec<u8>>,
    pub(super) real_size: Option<u64>,
    /// Versions 0.0 and 0.1: offsets and lengths in turn.
    pub(super) map: Vec<u64>,
    pub(super) has_map: bool,
}

/// At most this many runs of a sparse file are accepted.
pub(super) const MAX_SPARSE: usize = 1_000_000;

impl Pax {
    /// Takes all records of one header; why not, otherwise.
    pub(super) fn read(&mut self, mut bytes: &[u8]) -> Result<(), &'static str> {
        while !bytes.is_empty() {
            let bad = "a PAX record's length is wrong";
            let space = bytes.iter().take(20).position(|b| *b == b' ').ok_or(bad)?;
            let len = number(&bytes[..space]).and_then(|len| usize::try_from(len).ok());
            let len = len.filter(|len| *len > space + 1 && *len <= bytes.len()).ok_or(bad)?;
            let record = bytes[space + 1..len].strip_suffix(b"\n").ok_or(bad)?;
            let equals = record.iter().position(|b| *b == b'=');
            let equals = equals.filter(|at| *at > 0).ok_or("a PAX record has no key")?;
            self.record(&record[..equals], &record[equals + 1..])?;
            bytes = &bytes[len..];
        }
        Ok(())
    }

    fn record(&mut self, key: &[u8], value: &[u8]) -> Result<(), &'static str> {
        // An empty value takes back what was said before.
        let text = || (!value.is_empty()).then(|| value.to_vec());
        let count = || match value {
            b"" => Ok(None),
            _ => number(value).map(Some).ok_or("a PAX number is malformed"),
        };
        match key {
            b"path" => self.path = text(),
            b"linkpath" => self.linkpath = text(),
            b"size" => self.size = count()?,
            b"uid" => self.uid = count()?,
            b"gid" => self.gid = count()?,
            b"mtime" if value.is_empty() => self.mtime = None,
            b"mtime" => self.mtime = Some(time(value).ok_or("a PAX time is malformed")?),
            b"GNU.sparse.major" => self.sparse.map_in_data = value == b"1",
            b"GNU.sparse.name" => self.sparse.name = text(),
            b"GNU.sparse.size" | b"GNU.sparse.realsize" => self.sparse.real_size = count()?,
            b"GNU.sparse.offset" | b"GNU.sparse.numbytes" => {
                let expected = self.sparse.map.len() % 2 == usize::from(key.ends_with(b"bytes"));
                let number = count()?.filter(|_| expected && self.sparse.map.len() < MAX_SPARSE);
                self.sparse.map.push(number.ok_or("a sparse map is malformed")?);
                self.sparse.has_map = true;
            }
            b"GNU.sparse.map" => {
                let numbers = value.split(|b| *b == b',').take(2 * MAX_SPARSE).map(number);
                let map: Option<Vec<u64>> = numbers.collect();
                self.sparse.map = map.ok_or("a sparse map is malformed")?;
                self.sparse.has_map = true;
            }
            _ => {
                if let Some(name) = key.strip_prefix(b"SCHILY.xattr.") {
                    if value.len() > MAX_XATTR {
                        return Err("an extended attribute is longer than 64 KiB");
                    }
                    self.xattrs.insert(name.to_vec(), value.to_vec());
                }
            }
        }
        Ok(())
    }
}

/// A decimal number, digits only.
pub(super) fn number(text: &[u8]) -> Option<u64> {
    let digits = !text.is_empty() && text.iter().all(u8::is_ascii_digit);
    digits.then(|| std::str::from_utf8(text).ok()?.parse().ok()).flatten()
}

/// Seconds with an optional fraction, of which nine digits are kept.
fn time(text: &[u8]) -> Option<Mtime> {
    let (negative, text) = match text.strip_prefix(b"-") {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let mut parts = text.splitn(2, |b| *b == b'.');
    let secs = i64::try_from(number(parts.next()?)?).ok()?;
    let mut nanos = 0;
    let fraction = parts.next().unwrap_or_default();
    if !fraction.iter().all(u8::is_ascii_digit) {
        return None;
    }
    for place in 0..9 {
        nanos = nanos * 10 + u32::from(fraction.get(place).map_or(0, |digit| digit - b'0'));
    }
    Some(match (negative, nanos) {
        (false, _) => Mtime { secs, nanos },
        (true, 0) => Mtime { secs: -secs, nanos },
        (true, _) => Mtime { secs: -secs - 1, nanos: 1_000_000_000 - nanos },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_read_and_malformed_ones_refused() {
        let mut pax = Pax::default();
        pax.read(b"11 path=ab\n19 mtime=-1.2500001\n").expect_err("the second is one too short");
        let mut pax = Pax::default();
        pax.read(b"11 path=ab\n20 mtime=-1.25000001\n").expect_err("the second is cut");
        let mut pax = Pax::default();
        pax.read(b"11 path=ab\n14 mtime=-0.5\n").expect("well formed");
        assert_eq!(pax.path.as_deref(), Some(&b"ab"[..]));
        assert_eq!(pax.mtime, Some(Mtime { secs: -1, nanos: 500_000_000 }));
        for bad in [
            &b"path=ab\n"[..],
            b"999999999 path=ab\n",
            b"11 path=abc",
            b"6 =ab\n",
            b"11 size=-1\n",
            b"12 size=1e9\n",
            b"13 mtime=abc\n",
            b"99999999999999999999 a=b\n",
            b"24 GNU.sparse.numbytes=1\n",
        ] {
            assert!(Pax::default().read(bad).is_err(), "{}", String::from_utf8_lossy(bad));
        }
    }
}
