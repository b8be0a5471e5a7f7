//! What earlier builds saw of a context's files: stat and digest.
//!
//! | bytes of the record | |
//! |---|---|
//! | 8 | magic and version |
//! | 32 | BLAKE3 of what follows |
//! | per file | length of the path (u32), path, seven stat fields (u64), BLAKE3 of the content |
//!
//! Limitations: who can set a file's ctime (the clock, the disk itself) can
//! make an edit go unseen.

use std::collections::HashMap;

use rustix::fs::Stat;

use crate::digest::ContentDigest;
use crate::layer::LayerPath;

const MAGIC: &[u8; 8] = b"phxctx\0\x01";
/// A file changed as shortly as this (in seconds) before it was hashed may
/// change again without its times showing it.
const RACY: i64 = 2;

/// Device, inode, size, seconds and nanoseconds of mtime, and of ctime.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Signature(pub(super) [u64; 7]);

impl Signature {
    #[allow(
        clippy::unnecessary_cast,
        clippy::useless_conversion,
        reason = "the types of these fields differ by machine"
    )]
    pub(super) fn of(stat: &Stat) -> Self {
        Self([
            stat.st_dev.into(),
            stat.st_ino.into(),
            stat.st_size as u64,
            stat.st_mtime as u64,
            stat.st_mtime_nsec as u64,
            stat.st_ctime as u64,
            stat.st_ctime_nsec as u64,
        ])
    }

    /// Length in bytes.
    pub(super) fn size(&self) -> u64 {
        self.0[2]
    }

    /// Whether an edit after `now` will show in the ctime.
    pub(super) fn settled(&self, now: i64) -> bool {
        self.0[5].cast_signed().saturating_add(RACY) < now
    }
}

/// A file's digest, and the stat that it had.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Hashed {
    pub signature: Signature,
    pub content: ContentDigest,
}

pub(super) type Files = HashMap<LayerPath, Hashed>;

pub(super) fn encode(files: &Files) -> Vec<u8> {
    let mut sorted: Vec<_> = files.iter().collect();
    sorted.sort_by_key(|(path, _)| *path);
    let mut body = Vec::with_capacity(files.len() * 150);
    for (path, Hashed { signature, content }) in sorted {
        let length = u32::try_from(path.as_bytes().len()).expect("paths are bounded");
        body.extend(length.to_le_bytes());
        body.extend(path.as_bytes());
        signature.0.iter().for_each(|field| body.extend(field.to_le_bytes()));
        body.extend(content.as_bytes());
    }
    [&MAGIC[..], blake3::hash(&body).as_bytes(), &body].concat()
}

/// `None` where the record is damaged or of another version: files are hashed again.
pub(super) fn decode(bytes: &[u8]) -> Option<Files> {
    let (sum, mut body) = bytes.strip_prefix(MAGIC)?.split_first_chunk::<32>()?;
    if blake3::hash(body).as_bytes() != sum {
        return None;
    }
    let mut files = Files::new();
    while !body.is_empty() {
        let (length, rest) = body.split_first_chunk::<4>()?;
        let length = usize::try_from(u32::from_le_bytes(*length)).ok()?;
        let (path, mut rest) = rest.split_at_checked(length)?;
        let mut signature = Signature([0; 7]);
        for field in &mut signature.0 {
            let (value, more) = rest.split_first_chunk::<8>()?;
            *field = u64::from_le_bytes(*value);
            rest = more;
        }
        let (content, rest) = rest.split_first_chunk::<32>()?;
        let content = ContentDigest::from_bytes(*content);
        files.insert(LayerPath::new(path).ok()?, Hashed { signature, content });
        body = rest;
    }
    Some(files)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mutate::{Rng, hammer};

    #[test]
    fn a_record_round_trips_and_a_damaged_one_is_none() {
        let hashed = |n| Hashed {
            signature: Signature([n, 2, 3, 4, 5, u64::MAX, 7]),
            content: ContentDigest::of(b"x"),
        };
        let path = |text: &[u8]| LayerPath::new(text).expect("a path");
        let files = Files::from([(path(b"a/b"), hashed(1)), (path(b"\xff"), hashed(9))]);
        let bytes = encode(&files);
        assert_eq!(decode(&bytes), Some(files));
        assert_eq!(decode(&encode(&Files::new())), Some(Files::new()));
        for at in 0..bytes.len() {
            let mut bad = bytes.clone();
            bad[at] ^= 1;
            assert_eq!(decode(&bad), None, "byte {at}");
            assert_eq!(decode(&bytes[..at]), None, "cut at {at}");
        }
    }

    #[test]
    fn no_mutation_of_a_record_makes_it_panic() {
        let path = |text: &[u8]| LayerPath::new(text).expect("a path");
        let hashed = Hashed { signature: Signature([9; 7]), content: ContentDigest::of(b"x") };
        let files = Files::from([(path(b"a/b"), hashed), (path(b"\xff"), hashed)]);
        let mend = |record: &mut [u8], _: &mut Rng| {
            if record.len() > 40 {
                let sum = blake3::hash(&record[40..]);
                record[8..40].copy_from_slice(sum.as_bytes());
            }
        };
        hammer("context-record", &[encode(&files)], &mend, &|bytes| {
            if let Some(files) = decode(bytes) {
                assert_eq!(decode(&encode(&files)), Some(files));
            }
        });
    }

    #[test]
    fn a_file_changed_just_before_it_was_hashed_is_not_trusted() {
        let changed = |ctime| Signature([0, 0, 0, 0, 0, ctime, 0]);
        assert!(changed(97).settled(100));
        assert!(!changed(98).settled(100));
        assert!(!changed(500).settled(100), "a clock that was set back");
    }
}
