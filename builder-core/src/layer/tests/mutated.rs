//! Mutated archives, compressed streams, tables and names.

use std::io::Write as _;

use super::super::{import, read_tar};
use super::*;
use crate::mutate::{Rng, as_it_is, hammer, mend_tar};

/// Tars of every type and dialect.
fn tars() -> Vec<Vec<u8>> {
    let scratch = scratch();
    let long = "d/".repeat(80) + "x";
    let attribute = |name: &str| {
        let xattrs = [(name.as_bytes().to_vec(), b"v\0\xff".to_vec())].into();
        let mtime = Mtime { secs: -3, nanos: 5 };
        Meta { uid: 3_000_000, mtime, xattrs, ..Meta::root_owned(0o4755) }
    };
    let target = || Change::Hardlink { target: path("a/f") };
    let pieces = [
        directory("a"),
        change("a", Change::Opaque),
        file("a/f", "content"),
        change("a/g", target()),
        change("a/h", Change::Whiteout),
        piece("c", attribute("user.x"), Kind::CharDevice { major: 1, minor: 3 }),
        piece("l", attribute("user.y"), Kind::Symlink { target: b"../\xff".to_vec() }),
        piece("p", attribute("security.z"), Kind::Fifo),
        file(b"\xff\xfe", [&b"x"[..], &[0; 9000], b"y"].concat()),
    ];
    let desc = write(&scratch.store, Compression::None, 1, &pieces).expect("written");
    let ours = tar_bytes(&open(&scratch.store, &desc));
    let mut gnu = tar::Builder::new(vec![]);
    let mut header = tar::Header::new_gnu();
    header.set_size(4);
    header.set_mode(0o644);
    gnu.append_data(&mut header, &long, &b"long"[..]).expect("written");
    header.set_size(0);
    header.set_entry_type(tar::EntryType::Link);
    gnu.append_link(&mut header, "link", &long).expect("written");
    let sparse = [
        &b"22 GNU.sparse.major=1\n22 GNU.sparse.minor=0\n"[..],
        b"23 GNU.sparse.name=hole\n29 GNU.sparse.realsize=9000\n",
    ]
    .concat();
    let mut holes = tar::Builder::new(vec![]);
    header.set_entry_type(tar::EntryType::XHeader);
    header.set_size(sparse.len() as u64);
    header.set_cksum();
    holes.append(&header, &sparse[..]).expect("written");
    let map = [&b"2\n0\n3\n8997\n3\n"[..], &[0; 499], b"abcdef"].concat();
    header.set_entry_type(tar::EntryType::Regular);
    header.set_size(map.len() as u64);
    header.set_cksum();
    holes.append(&header, &map[..]).expect("written");
    let done = |tar: tar::Builder<Vec<u8>>| tar.into_inner().expect("complete");
    vec![ours, done(gnu), done(holes)]
}

/// Takes it in and reads all that came of it.
fn take_in(scratch: &Scratch, blob: &[u8], compression: Compression) {
    let Ok(desc) = import(&scratch.store, &mut &blob[..], compression, None) else { return };
    let layer = open(&scratch.store, &desc);
    let entries = layer.entries().expect("what was taken in can be read");
    // In the order of paths; a directory may also be opaque.
    assert!(entries.windows(2).all(|two| two[0].path <= two[1].path));
    contents(&layer).expect("what was taken in can be read");
}

#[test]
fn no_mutation_of_a_tar_makes_its_import_panic() {
    let scratch = scratch();
    hammer("tar", &tars(), &mend_tar, &|tar| take_in(&scratch, tar, Compression::None));
    hammer("tar-stream", &tars(), &mend_tar, &|mut tar| {
        let _ = read_tar(&mut tar, &mut |_, content| {
            std::io::copy(content, &mut std::io::sink())
                .map(drop)
                .map_err(|source| LayerError::Io { action: "reading", source })
        });
    });
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(vec![], flate2::Compression::fast());
    encoder.write_all(bytes).expect("in memory");
    encoder.finish().expect("in memory")
}

#[test]
fn no_mutation_of_a_compressed_layer_makes_its_import_panic() {
    let scratch = scratch();
    let zstd = |bytes: &[u8]| zstd::encode_all(bytes, 1).expect("compresses");
    for (name, compression, pack) in [
        ("gzip", Compression::Gzip, &gzip as &dyn Fn(&[u8]) -> Vec<u8>),
        ("zstd", Compression::Zstd, &zstd),
    ] {
        let mut seeds: Vec<Vec<u8>> = tars().iter().map(|tar| pack(tar)).collect();
        let halves = tars()[0].chunks(1024).flat_map(&pack).collect();
        seeds.push(halves);
        let ours = write(&scratch.store, compression, 1, &[file("f", noise(4000, 1))]);
        let ours = ours.expect("written");
        seeds.push(scratch.store.read_blob(&ours.blob, 1 << 20).expect("there"));
        hammer(name, &seeds, &as_it_is, &|blob| take_in(&scratch, blob, compression));
    }
}

/// Makes the header's hash right again, so that what it says is looked at.
fn mend_table(table: &mut [u8], _: &mut Rng) {
    if table.len() >= 256 {
        let hash = blake3::hash(&table[..224]);
        table[224..256].copy_from_slice(hash.as_bytes());
    }
}

#[test]
fn no_mutation_of_a_table_makes_a_layer_panic_or_believe_it() {
    let scratch = scratch();
    let pieces = [directory("d"), file("d/f", "text"), change("e", Change::Whiteout)];
    let desc = write(&scratch.store, Compression::Gzip, 1, &pieces).expect("written");
    let at = scratch.store.table_path(&desc.blob);
    let good = std::fs::read(&at).expect("there");
    let expected = open(&scratch.store, &desc).entries().expect("readable");
    hammer("table", &[good], &mend_table, &|table| {
        std::fs::write(&at, table).expect("writable");
        let layer = open(&scratch.store, &desc);
        match layer.entries() {
            Ok(entries) => assert_eq!(entries, expected),
            Err(error) => panic!("it is not mended: {error}"),
        }
    });
}

#[test]
fn every_path_is_normal_or_refused() {
    let seeds = ["a/b", "/./a//b/", "a/../b", "\u{1F600}/x", ".wh.a", "a b/\\c"];
    let seeds: Vec<Vec<u8>> = seeds.iter().map(|text| text.as_bytes().to_vec()).collect();
    hammer("path", &seeds, &as_it_is, &|name| {
        let Ok(path) = LayerPath::new(name) else { return };
        assert_eq!(LayerPath::new(path.as_bytes()), Ok(path.clone()), "normal is a fixed point");
        let mut joined = LayerPath::root();
        for component in path.components() {
            assert!(![&b".."[..], b".", b""].contains(&component));
            assert!(!component.contains(&0));
            joined = joined.join(component).expect("each is a name");
        }
        assert_eq!(joined, path);
        assert_eq!(path.ancestors().count(), path.components().count());
    });
}
