//! What the writer promises.

use super::*;

/// Some of everything, with more than three frames of content.
fn sample() -> Vec<Piece> {
    let mut text = Vec::new();
    for line in 0..200_000 {
        text.extend_from_slice(format!("line {line} of a text\n").as_bytes());
    }
    let mut odd = Meta::root_owned(0o4755);
    (odd.uid, odd.gid) = (0o7777777, 4_294_967_294);
    odd.mtime = Mtime { secs: -5, nanos: 250_000_000 };
    odd.xattrs.insert(b"security.capability".to_vec(), vec![1, 0, 0, 2, 0, b'\n', b'=']);
    odd.xattrs.insert(b"user.empty".to_vec(), vec![]);
    let link = |target: &str| Change::Hardlink { target: path(target) };
    let mut long = "d/".to_owned();
    (0..16).for_each(|_| long.push_str(&format!("{}/", "n".repeat(255))));
    vec![
        directory(""),
        directory("bin"),
        piece("bin/sh", Meta::root_owned(0o777), Kind::Symlink { target: b"../x".to_vec() }),
        directory("d"),
        file(long + "end", "far down"),
        piece("dev", Meta::root_owned(0o755), Kind::Directory),
        piece("dev/fifo", Meta::root_owned(0o600), Kind::Fifo),
        piece("dev/null", Meta::root_owned(0o666), Kind::CharDevice { major: 1, minor: 3 }),
        piece("dev/sda", Meta::root_owned(0o660), Kind::BlockDevice { major: 8, minor: 1_048_575 }),
        file("empty", ""),
        change("gone", Change::Whiteout),
        file("h1", "linked"),
        change("h2", link("h1")),
        file(b"latin-\xe9-\xff", "not UTF-8"),
        file([&[0xe9; 150][..], b"/x"].concat(), "a long one not UTF-8"),
        directory("new"),
        change("new", Change::Opaque),
        change("new/h0", link("h1")),
        file("noise", noise(2_500_000, 1)),
        piece("odd", odd, Kind::File { size: 0, content: ContentDigest::of(b"") }),
        piece("slow", Meta::root_owned(0o777), Kind::Symlink { target: vec![b't'; 3000] }),
        file("text", text),
        file("zeros", vec![0; 3 << 20]),
    ]
}

fn sorted(mut pieces: Vec<Piece>) -> Vec<Piece> {
    pieces.sort_by(|(a, _), (b, _)| a.path.cmp(&b.path));
    pieces
}

#[test]
fn bytes_do_not_depend_on_threads_or_store() {
    for compression in ALL {
        let (first, second) = (scratch(), scratch());
        let one = write(&first.store, compression, 1, &sorted(sample())).expect("written");
        for threads in [1, 2, 8] {
            let other = write(&second.store, compression, threads, &sorted(sample()));
            assert_eq!(other.expect("written"), one, "{compression:?} {threads}");
        }
        let table = |scratch: &Scratch| std::fs::read(scratch.store.table_path(&one.blob));
        assert_eq!(table(&first).expect("there"), table(&second).expect("there"));
    }
}

#[test]
fn what_was_written_is_read() {
    for compression in ALL {
        let scratch = scratch();
        let pieces = sorted(sample());
        let layer =
            open(&scratch.store, &write(&scratch.store, compression, 2, &pieces).expect("ok"));
        let entries = layer.entries().expect("readable");
        let expected: Vec<_> = pieces
            .iter()
            .map(|(entry, _)| match &entry.change {
                // A name is the first of its link group by order, whatever came first.
                Change::Hardlink { target } => (entry.path.clone(), Some(target.clone())),
                _ => (entry.path.clone(), None),
            })
            .collect();
        let actual: Vec<_> = entries
            .iter()
            .map(|entry| match &entry.change {
                Change::Hardlink { target } => (entry.path.clone(), Some(target.clone())),
                _ => (entry.path.clone(), None),
            })
            .collect();
        assert_eq!(actual, expected);
        for (entry, (piece, _)) in entries.iter().zip(&pieces) {
            assert_eq!(entry, piece);
        }
        for (at, bytes) in contents(&layer).expect("readable") {
            let first = pieces.iter().find(|(entry, _)| entry.path == at).expect("written");
            if matches!(first.0.change, Change::Present { .. }) {
                assert_eq!(bytes, first.1, "{at:?}");
            } else {
                assert_eq!(bytes, b"linked");
            }
        }
        assert_eq!(layer.root_meta().expect("readable"), Some(Meta::root_owned(0o755)));
        assert!(layer.directory(&path("absent/too")).expect("readable").is_none());
        assert!(layer.directory(&path("empty")).expect("readable").is_none(), "a file");
    }
}

#[test]
fn reads_across_frames_are_short_only_at_the_end() {
    let scratch = scratch();
    let desc = write(&scratch.store, Compression::Zstd, 2, &sorted(sample())).expect("written");
    let layer = open(&scratch.store, &desc);
    let tar = tar_bytes(&layer);
    for (offset, len) in [(0, 10), (1 << 20, 1), ((1 << 20) - 5, 3_000_000), (tar.len() - 7, 100)] {
        let mut buf = vec![0; len];
        let read = layer.read_at(offset as u64, &mut buf).expect("readable");
        assert_eq!(read, len.min(tar.len() - offset));
        assert_eq!(buf[..read], tar[offset..offset + read]);
    }
    assert_eq!(layer.read_at(tar.len() as u64 + 5, &mut [0; 4]).expect("readable"), 0);
}

#[test]
fn a_link_group_lists_all_its_names() {
    let scratch = scratch();
    let desc = write(&scratch.store, Compression::Gzip, 1, &sorted(sample())).expect("written");
    let new = open(&scratch.store, &desc).directory(&path("new")).expect("ok").expect("there");
    assert!(new.opaque);
    let Item::Present { links, kind, .. } = &new.children[0].1 else { panic!("{new:?}") };
    assert_eq!(links[..], ["h1", "h2", "new/h0"].map(path));
    assert!(matches!(kind, Kind::File { size: 6, .. }));
}

#[test]
fn recompressing_keeps_the_diff_id_and_the_table() {
    let scratch = scratch();
    let pieces = sorted(sample());
    let gzip = write(&scratch.store, Compression::Gzip, 2, &pieces).expect("written");
    for to in ALL {
        let other = super::super::recompress(&scratch.store, &gzip, to).expect("recompressed");
        assert_eq!(other.diff_id, gzip.diff_id);
        assert_eq!(write(&scratch.store, to, 1, &pieces).expect("written"), other);
        let (a, b) = (open(&scratch.store, &gzip), open(&scratch.store, &other));
        assert_eq!(a.entries().expect("ok"), b.entries().expect("ok"));
        assert_eq!(contents(&a).expect("ok"), contents(&b).expect("ok"));
    }
}

#[test]
fn what_a_layer_cannot_say_is_refused() {
    let meta = || Meta::root_owned(0o644);
    let mut xattr = meta();
    xattr.xattrs.insert(b"user.a=b".to_vec(), vec![]);
    let symlink = |target: &[u8]| Kind::Symlink { target: target.to_vec() };
    let lost = |target| Change::Hardlink { target: path(target) };
    let wrong = Kind::File { size: 1, content: ContentDigest::of(b"other") };
    let cases: Vec<(&str, Vec<Piece>)> = vec![
        ("order", vec![file("b", ""), file("a", "")]),
        ("twice", vec![file("a", ""), file("a", "")]),
        ("below a file", vec![file("a", ""), file("a/b", "")]),
        ("socket", vec![piece("s", meta(), Kind::Socket)]),
        ("0:0", vec![piece("c", meta(), Kind::CharDevice { major: 0, minor: 0 })]),
        ("device", vec![piece("c", meta(), Kind::CharDevice { major: 1 << 21, minor: 0 })]),
        ("reserved", vec![file("a/.wh.b", "")]),
        ("no target", vec![piece("l", meta(), symlink(b""))]),
        ("NUL in target", vec![piece("l", meta(), symlink(b"a\0b"))]),
        ("mode", vec![piece("d", Meta::root_owned(0o40755), Kind::Directory)]),
        ("xattr", vec![piece("d", xattr, Kind::Directory)]),
        ("root", vec![file("", "")]),
        ("root gone", vec![change("", Change::Whiteout)]),
        ("link lost", vec![change("l", lost("nothing"))]),
        ("link to a directory", vec![directory("d"), change("l", lost("d"))]),
        ("digest", vec![(piece("f", meta(), wrong.clone()).0, b"x".to_vec())]),
        ("short", vec![(piece("f", meta(), wrong).0, vec![])]),
    ];
    for (what, pieces) in cases {
        let scratch = scratch();
        let before = scratch.files();
        assert!(write(&scratch.store, Compression::Gzip, 2, &pieces).is_err(), "{what}");
        assert_eq!(scratch.files(), before, "{what}");
    }
}

#[test]
fn layers_that_differ_are_told_apart_by_path_and_aspect() {
    use super::super::{Difference, diff};
    let scratch = scratch();
    let mut second = vec![file("a", "one"), file("c", "same"), directory("d"), file("e", "")];
    let first = write(&scratch.store, Compression::None, 1, &second).expect("written");
    second[0] = file("a", "two");
    second[1] = piece("b", Meta::root_owned(0), Kind::Fifo);
    second[2] = piece("d", Meta { uid: 7, ..Meta::root_owned(0o700) }, Kind::Directory);
    let second = write(&scratch.store, Compression::Zstd, 1, &second).expect("written");
    let found = diff(&open(&scratch.store, &first), &open(&scratch.store, &second)).expect("ok");
    assert_eq!(
        found,
        [
            Difference::Changed { path: path("a"), aspects: vec!["content"] },
            Difference::OnlySecond { path: path("b") },
            Difference::OnlyFirst { path: path("c") },
            Difference::Changed { path: path("d"), aspects: vec!["mode", "owner"] },
        ]
    );
}
