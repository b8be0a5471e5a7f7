//! Archives that lie: each a clear error, nothing left in the store.

use tar::{Builder, EntryType, Header};

use super::super::import::import_within;
use super::super::pass::Limits;
use super::super::{import, untar};
use super::*;

/// A member with a raw name, its checksum right.
fn member(name: &[u8], kind: u8, size: u64, change: impl FnOnce(&mut [u8; 512])) -> Vec<u8> {
    let mut header = Header::new_ustar();
    header.set_entry_type(EntryType::new(kind));
    header.set_size(size);
    header.set_mode(0o644);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header.as_old_mut().name[..name.len()].copy_from_slice(name);
    change(header.as_mut_bytes());
    header.set_cksum();
    header.as_bytes().to_vec()
}

fn plain(name: &[u8]) -> Vec<u8> {
    member(name, b'0', 0, |_| {})
}

fn linked(name: &[u8], kind: u8, target: &[u8]) -> Vec<u8> {
    member(name, kind, 0, |header| header[157..157 + target.len()].copy_from_slice(target))
}

fn pax(records: &[u8], then: Vec<u8>) -> Vec<u8> {
    let mut tar = member(b"pax", b'x', records.len() as u64, |_| {});
    tar.extend_from_slice(records);
    tar.resize(tar.len().next_multiple_of(512), 0);
    tar.extend(then);
    tar
}

fn record(key: &str, value: &str) -> Vec<u8> {
    let rest = key.len() + value.len() + 3;
    let len = (1..).find(|len: &usize| rest + len.to_string().len() == *len).expect("some");
    format!("{len} {key}={value}\n").into_bytes()
}

fn sized(field: &[u8; 12]) -> Vec<u8> {
    let field = *field;
    member(b"f", b'0', 0, move |header| header[124..136].copy_from_slice(&field))
}

/// Archives, each wrong in one way, and what the error says.
fn table() -> Vec<(&'static str, Vec<u8>)> {
    let broken = |mut tar: Vec<u8>| {
        tar[148] ^= 1;
        tar
    };
    let with_pax = |key: &str, value: &str| pax(&record(key, value), plain(b"f"));
    let sparse = |map: &str| {
        let records = [record("GNU.sparse.size", "100"), record("GNU.sparse.map", map)].concat();
        pax(&records, [member(b"f", b'0', 10, |_| {}), vec![0; 512]].concat())
    };
    let device = |name: &[u8]| member(name, b'3', 0, |_| {});
    vec![
        ("`..` component", plain(b"a/../../b")),
        ("`..` component", plain(b"..")),
        ("`..` component", linked(b"l", b'1', b"../../etc/passwd")),
        ("`..` component", with_pax("path", "../x")),
        ("NUL byte", with_pax("path", "a\0b")),
        ("too long", with_pax("path", &"n".repeat(256))),
        ("too long", with_pax("path", &"n/".repeat(20_000))),
        ("not a single name", plain(b"a/.wh.")),
        ("checksum", broken(plain(b"a"))),
        ("checksum", b"this is no tar at all".repeat(40)),
        ("cut off", plain(b"a")[..300].to_vec()),
        ("cut off", member(b"a", b'0', 5000, |_| {})),
        ("cut off", sized(b"77777777777\0")),
        ("negative", sized(&[0xff; 12])),
        ("the size", sized(b"12x45678901\0")),
        ("the size", sized(&[0x80, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0, 0])),
        ("too large", member(b"pax", b'x', 1_000_000_000, |_| {})),
        ("too large", member(b"long", b'L', 1_000_000_000, |_| {})),
        ("cut off", with_pax("size", "1000000000")),
        ("out of range", with_pax("size", "18446744073709551615")),
        ("PAX number", with_pax("size", "-1")),
        ("PAX number", with_pax("uid", "99999999999999999999999")),
        ("malformed", with_pax("uid", "4294967296")),
        ("PAX time", with_pax("mtime", "1e9")),
        ("length is wrong", pax(b"999 path=a\n", plain(b"f"))),
        ("followed by nothing", pax(&record("path", "a"), vec![0; 1024])),
        ("cut off", pax(&record("path", "a"), vec![])),
        ("in a row", (0..17).flat_map(|_| pax(&record("path", "a"), vec![])).collect()),
        ("sparse map", sparse("0,10,5,10")),
        ("sparse map", sparse("95,10")),
        ("sparse map", sparse("0,11")),
        ("sparse map", sparse("18446744073709551615,2")),
        ("sparse map", sparse("0")),
        ("sparse map", sparse("a,b")),
        ("removal", device(b"dev/zero")),
        ("unknown", member(b"f", b'M', 0, |_| {})),
        ("empty", linked(b"l", b'2', b"")),
        ("itself", linked(b"l", b'1', b"./l")),
        ("circle", [linked(b"a", b'1', b"b"), linked(b"b", b'1', b"a")].concat()),
        ("one name only", [member(b"d/", b'5', 0, |_| {}), linked(b"l", b'1', b"d")].concat()),
        ("not a directory", [linked(b"s", b'2', b"/etc"), plain(b"s/passwd")].concat()),
        ("not a directory", [plain(b"s"), plain(b"s/x")].concat()),
        ("not a directory", [linked(b"s", b'2', b".."), linked(b"s/x", b'1', b"y")].concat()),
        ("expands", with_gnu_sparse(1 << 50)),
    ]
}

/// A file that is one hole.
fn with_gnu_sparse(size: u64) -> Vec<u8> {
    let mut field = [0; 12];
    field[0] = 0x80;
    field[4..].copy_from_slice(&size.to_be_bytes());
    member(b"f", b'S', 0, |header| header[483..495].copy_from_slice(&field))
}

#[test]
fn each_lie_is_a_clear_error_and_leaves_nothing() {
    let scratch = scratch();
    let before = scratch.files();
    for (at, (expected, tar)) in table().into_iter().enumerate() {
        for compression in ALL {
            let blob = match compression {
                Compression::None => tar.clone(),
                Compression::Gzip => {
                    use std::io::Write;
                    let level = flate2::Compression::fast();
                    let mut encoder = flate2::write::GzEncoder::new(vec![], level);
                    encoder.write_all(&tar).expect("in memory");
                    encoder.finish().expect("in memory")
                }
                Compression::Zstd => zstd::encode_all(&tar[..], 1).expect("in memory"),
            };
            let error = import(&scratch.store, &mut &blob[..], compression, None);
            let error = error.expect_err(expected).to_string();
            assert!(error.contains(expected), "{at} {expected}: {error}");
        }
        assert_eq!(scratch.files(), before, "{expected}");
    }
}

#[test]
fn no_cut_of_a_tar_panics_or_leaves_anything() {
    let mut tar = Builder::new(vec![]);
    let mut header = Header::new_gnu();
    header.set_size(5);
    let long = "x".repeat(120);
    tar.append_data(&mut header, long, &b"hello"[..]).expect("written");
    let tar = tar.into_inner().expect("complete");
    let scratch = scratch();
    let before = scratch.files();
    for len in 1..tar.len() - 1024 {
        // Where one member ends and none has begun a tar may end.
        let error = import(&scratch.store, &mut &tar[..len], Compression::None, None);
        assert!(matches!(error, Err(LayerError::Truncated { .. })), "{len}: {error:?}");
    }
    assert_eq!(scratch.files(), before);
    for at in 0..tar.len() {
        let mut bad = tar.clone();
        bad[at] ^= 0x55;
        let _ = import(&scratch.store, &mut &bad[..], Compression::None, None);
    }
}

#[test]
fn bombs_are_refused_early() {
    let scratch = scratch();
    let before = scratch.files();
    let limits = Limits { free: 3 << 20, ratio: 50, tar: untar::Limits::default() };
    let mut tar = member(b"f", b'0', 64 << 20, |_| {});
    tar.resize(tar.len() + (64 << 20) + 1024, 0);
    for compression in [Compression::Gzip, Compression::Zstd] {
        let source = write_blob(compression, &tar);
        let refused = import_within(&scratch.store, &mut &source[..], compression, None, limits);
        assert!(matches!(refused, Err(LayerError::Bomb { .. })), "{refused:?}");
    }
    assert_eq!(scratch.files(), before);
}

fn write_blob(compression: Compression, tar: &[u8]) -> Vec<u8> {
    let mut packer = super::super::compress::Packer::new(compression).expect("made");
    tar.chunks(1 << 20).flat_map(|chunk| packer.pack(chunk).expect("packs")).collect()
}

#[test]
fn damaged_and_cut_blobs_are_refused_and_leave_nothing() {
    let scratch = scratch();
    let pieces = [file("n", noise(2_300_000, 3))];
    for compression in [Compression::Gzip, Compression::Zstd] {
        let other = super::scratch();
        let desc = write(&other.store, compression, 1, &pieces).expect("written");
        let blob = other.store.read_blob(&desc.blob, u64::MAX).expect("there");
        let before = scratch.files();
        let mut flipped = blob.clone();
        flipped[blob.len() / 3] ^= 1;
        let garbage = [&blob[..], b"garbage"].concat();
        for bad in [&blob[..blob.len() - 9], &blob[..0], &flipped, &garbage] {
            let error = import(&scratch.store, &mut &bad[..], compression, Some(&desc.blob));
            assert!(matches!(error, Err(LayerError::Digest { .. })), "{error:?}");
        }
        for bad in [&blob[..blob.len() - 9], &blob[..0], &garbage] {
            let error = import(&scratch.store, &mut &bad[..], compression, None);
            assert!(matches!(error, Err(LayerError::Decompress { .. })), "{error:?}");
        }
        assert_eq!(scratch.files(), before);
    }
}
