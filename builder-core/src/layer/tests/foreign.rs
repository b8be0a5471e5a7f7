//! Tars that others made: any order, any dialect.

use std::process::Command;

use flate2::write::GzEncoder;
use tar::{Builder, EntryType, Header};

use super::super::{import, read_tar};
use super::*;

fn header(kind: EntryType, size: u64) -> Header {
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    header.set_size(size);
    header.set_mode(0o644);
    header.set_uid(1);
    header.set_gid(2);
    header.set_mtime(77);
    header
}

fn put(tar: &mut Builder<Vec<u8>>, name: &str, content: &[u8]) {
    let mut header = header(EntryType::Regular, content.len() as u64);
    tar.append_data(&mut header, name, content).expect("written");
}

fn put_link(tar: &mut Builder<Vec<u8>>, kind: EntryType, name: &str, target: &str) {
    tar.append_link(&mut header(kind, 0), name, target).expect("written");
}

fn finish(tar: Builder<Vec<u8>>) -> Vec<u8> {
    tar.into_inner().expect("complete")
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    use std::io::Write;
    let mut encoder = GzEncoder::new(vec![], flate2::Compression::fast());
    encoder.write_all(bytes).expect("in memory");
    encoder.finish().expect("in memory")
}

fn imported(store: &Store, tar: &[u8]) -> Layer {
    let desc = import(store, &mut &tar[..], Compression::None, None).expect("imported");
    open(store, &desc)
}

fn names(layer: &Layer) -> Vec<String> {
    let entries = layer.entries().expect("readable");
    entries.iter().map(|entry| entry.path.display()).collect()
}

#[test]
fn the_last_of_a_path_wins_and_names_are_made_relative() {
    let mut tar = Builder::new(vec![]);
    put(&mut tar, "./z/deep", b"1");
    put(&mut tar, "a", b"old");
    put(&mut tar, "z/deep", b"second");
    put(&mut tar, "a", b"new");
    put(&mut tar, &format!("long/{}", "x".repeat(200)), b"L");
    put(&mut tar, "z/gone/below", b"");
    put(&mut tar, "z/gone", b"now a file");
    let mut tar = finish(tar);
    // The first name again, absolute.
    tar[..4].copy_from_slice(b"//z/");
    tar[4..8].copy_from_slice(b"deep");
    let mut first = Header::from_byte_slice(&tar[..512]).clone();
    first.set_cksum();
    tar[..512].copy_from_slice(first.as_bytes());
    let scratch = scratch();
    let layer = imported(&scratch.store, &tar);
    let found = contents(&layer).expect("readable");
    let texts: Vec<_> = found.iter().map(|(path, bytes)| (path.display(), &bytes[..])).collect();
    assert_eq!(texts[0], ("/a".into(), &b"new"[..]));
    assert_eq!(texts[2], ("/z/deep".into(), &b"second"[..]));
    assert_eq!(texts[3], ("/z/gone".into(), &b"now a file"[..]));
    assert_eq!(texts.len(), 4);
}

#[test]
fn hard_links_find_their_file_before_after_and_in_chains() {
    let mut tar = Builder::new(vec![]);
    put_link(&mut tar, EntryType::Link, "early", "middle");
    put_link(&mut tar, EntryType::Link, "middle", "file");
    put(&mut tar, "file", b"content");
    put_link(&mut tar, EntryType::Link, "late", "./file");
    put_link(&mut tar, EntryType::Link, "outside", "/of/a/layer/below");
    // Replacing the first name leaves the others what they were.
    put_link(&mut tar, EntryType::Link, "kept", "file");
    let scratch = scratch();
    let layer = imported(&scratch.store, &finish(tar));
    let root = layer.directory(&path("")).expect("readable").expect("there");
    for (name, item) in &root.children {
        match item {
            Item::LinkBelow { target } => {
                assert_eq!((&name[..], target), (&b"outside"[..], &path("of/a/layer/below")));
            }
            Item::Present { links, .. } => assert_eq!(links.len(), 5, "{links:?}"),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn whiteouts_become_removals_and_opaque_directories() {
    let mut tar = Builder::new(vec![]);
    put(&mut tar, "a/.wh.gone", b"");
    put(&mut tar, "o/.wh..wh..opq", b"");
    put(&mut tar, "o/new", b"");
    put(&mut tar, ".wh.r", b"");
    put(&mut tar, "r/inside", b"");
    put(&mut tar, ".wh..wh.plnk", b"");
    put(&mut tar, "both", b"wins");
    put(&mut tar, ".wh.both", b"");
    let scratch = scratch();
    let layer = imported(&scratch.store, &finish(tar));
    let dir = |name| layer.directory(&path(name)).expect("readable").expect("there");
    assert_eq!(dir("a").children, [(b"gone".to_vec(), Item::Whiteout)]);
    assert!(dir("o").opaque && dir("r").opaque && !dir("").opaque && !dir("a").opaque);
    assert_eq!(names(&layer), ["/a/gone", "/both", "/o", "/o/new", "/r", "/r/inside"]);
}

#[test]
fn a_blob_keeps_its_digest_however_it_is_compressed() {
    let scratch = scratch();
    let pieces = [file("n", noise(2_300_000, 3)), file("o", "small")];
    let ours = write(&scratch.store, Compression::None, 1, &pieces).expect("written");
    let tar = tar_bytes(&open(&scratch.store, &ours));
    let (head, tail) = tar.split_at(999_999);
    let zstd = |bytes: &[u8]| zstd::encode_all(bytes, 1).expect("in memory");
    let cases = [
        (Compression::Gzip, gzip(&tar)),
        (Compression::Gzip, [gzip(head), gzip(tail)].concat()),
        (Compression::Gzip, [gzip(&tar), vec![0; 700]].concat()),
        (Compression::Zstd, [zstd(head), zstd(b""), zstd(tail)].concat()),
    ];
    let expected = contents(&open(&scratch.store, &ours)).expect("readable");
    for (compression, blob) in cases {
        let digest = crate::digest::BlobDigest::of(&blob);
        let desc = import(&scratch.store, &mut &blob[..], compression, Some(&digest));
        let desc = desc.expect("imported");
        assert_eq!((desc.blob, desc.diff_id), (digest, ours.diff_id));
        let layer = open(&scratch.store, &desc);
        assert_eq!(contents(&layer).expect("readable"), expected);
        std::fs::remove_file(scratch.store.data_path(&desc.diff_id)).expect("there");
        assert_eq!(contents(&open(&scratch.store, &desc)).expect("made again"), expected);
    }
}

#[test]
fn a_blob_of_ours_is_seekable_after_import_too() {
    let (here, there) = (scratch(), scratch());
    for compression in ALL {
        let pieces = [file("n", noise(2_300_000, 3))];
        let desc = write(&here.store, compression, 2, &pieces).expect("written");
        let mut blob = here.store.blob_file(&desc.blob).expect("there");
        let other = import(&there.store, &mut blob, compression, Some(&desc.blob));
        assert_eq!(other.expect("imported"), desc);
        let table = |scratch: &Scratch| std::fs::read(scratch.store.table_path(&desc.blob));
        assert_eq!(table(&here).expect("there"), table(&there).expect("there"));
    }
}

#[test]
fn gnu_tar_in_every_dialect_is_read_as_it_was() {
    let dir = tempfile::tempdir().expect("a temp directory");
    let at = |name: &str| dir.path().join(name);
    std::fs::create_dir(at("d")).expect("made");
    std::fs::write(at("d/file"), noise(70_000, 2)).expect("written");
    std::fs::hard_link(at("d/file"), at("d/link")).expect("linked");
    std::os::unix::fs::symlink("../nowhere", at("d/sym")).expect("linked");
    std::fs::write(at(&format!("d/{}", "n".repeat(180))), "long").expect("written");
    let sparse = std::fs::File::create_new(at("d/sparse")).expect("made");
    for run in 0..60 {
        let offset = run * 1_048_576 + 8192;
        std::os::unix::fs::FileExt::write_all_at(&sparse, &noise(4096, run as u8), offset)
            .expect("written");
    }
    sparse.set_len(80 << 20).expect("extended");
    let expected = std::fs::read(at("d/sparse")).expect("readable");
    for options in [
        &["--format=gnu"][..],
        &["--format=gnu", "--sparse"],
        &["--format=posix"],
        &["--format=posix", "--sparse", "--sparse-version=0.0"],
        &["--format=posix", "--sparse", "--sparse-version=0.1"],
        &["--format=posix", "--sparse", "--sparse-version=1.0"],
    ] {
        let made = Command::new("tar")
            .args(options)
            .args(["-cf", "-", "-C"])
            .arg(dir.path())
            .arg("./d")
            .output()
            .expect("GNU tar runs");
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let scratch = scratch();
        let layer = imported(&scratch.store, &made.stdout);
        assert_eq!(layer.entries().expect("readable").len(), 6, "{options:?}");
        let found = contents(&layer).expect("readable");
        let bytes = |name: &str| &found.iter().find(|(p, _)| *p == path(name)).expect("there").1;
        assert!(*bytes("d/sparse") == expected, "{options:?}");
        assert_eq!(bytes("d/link"), bytes("d/file"));
        let mut streamed = vec![];
        read_tar(&mut &made.stdout[..], &mut |entry, content| {
            if entry.path == path("d/sparse") {
                content.read_to_end(&mut streamed).expect("readable");
            }
            Ok(())
        })
        .expect("readable");
        assert!(streamed == expected, "{options:?}");
    }
}
