//! Property: what is written is what is read, by every way.

use proptest::collection::{btree_map, vec};
use proptest::prelude::*;

use super::super::read_tar;
use super::*;

fn meta() -> impl Strategy<Value = Meta> {
    let xattrs = btree_map("[a-z]{1,6}\\.[a-zA-Z0-9_. ]{1,20}", vec(any::<u8>(), 0..200), 0..3);
    let mtime = (-9_000_000_000_000_i64..9_000_000_000_000, 0..1_000_000_000_u32);
    (0..=0o7777_u32, any::<u32>(), any::<u32>(), mtime, any::<bool>(), xattrs).prop_map(
        |(mode, uid, gid, (secs, nanos), whole, xattrs)| Meta {
            mode,
            uid,
            gid,
            mtime: Mtime { secs, nanos: if whole { 0 } else { nanos } },
            xattrs: xattrs.into_iter().map(|(name, value)| (name.into_bytes(), value)).collect(),
        },
    )
}

fn kind() -> impl Strategy<Value = (Kind, Vec<u8>)> {
    let device = || (1..0o7777777_u32, 0..0o7777777_u32);
    let bare = |kind| (kind, vec![]);
    prop_oneof![
        4 => vec(any::<u8>(), 0..3000).prop_map(|bytes| {
            let (size, content) = (bytes.len() as u64, ContentDigest::of(&bytes));
            (Kind::File { size, content }, bytes)
        }),
        3 => Just(bare(Kind::Directory)),
        1 => vec(1_u8.., 1..300).prop_map(move |target| bare(Kind::Symlink { target })),
        1 => device().prop_map(move |(major, minor)| bare(Kind::CharDevice { major, minor })),
        1 => device().prop_map(move |(major, minor)| bare(Kind::BlockDevice { major, minor })),
        1 => Just(bare(Kind::Fifo)),
    ]
}

/// Few names, so that paths meet; some long, some not UTF-8.
fn name() -> impl Strategy<Value = Vec<u8>> {
    let named = |text: &str| Just(text.as_bytes().to_vec());
    prop_oneof![
        named("a"),
        named("b"),
        named("a.b"),
        named(".wh"),
        Just(vec![0xff, 0xfe]),
        Just(vec![b'n'; 101]),
        Just(vec![0xc3; 255]),
    ]
}

#[derive(Debug, Clone)]
enum Sort {
    Present(Meta, Kind, Vec<u8>),
    Whiteout,
    LinkTo(usize),
}

/// Entries in order, none below a file; links go to earlier files.
fn pieces() -> impl Strategy<Value = Vec<Piece>> {
    let sort = prop_oneof![
        8 => (meta(), kind()).prop_map(|(meta, (kind, bytes))| Sort::Present(meta, kind, bytes)),
        1 => Just(Sort::Whiteout),
        2 => any::<usize>().prop_map(Sort::LinkTo),
    ];
    let opaque = any::<bool>();
    btree_map(vec(name(), 1..4).prop_map(|names| path(names.join(&b'/'))), (sort, opaque), 0..25)
        .prop_map(|tree| {
            let mut pieces: Vec<Piece> = vec![];
            let mut files: Vec<LayerPath> = vec![];
            let mut leaf: Option<LayerPath> = None;
            for (path, (sort, opaque)) in tree {
                if leaf.as_ref().is_some_and(|leaf| path.starts_with(leaf)) {
                    continue;
                }
                let mut push =
                    |change, bytes| pieces.push((Entry { path: path.clone(), change }, bytes));
                match sort {
                    Sort::Present(meta, kind, bytes) => {
                        let is_dir = kind.is_dir();
                        push(Change::Present { meta, kind }, bytes);
                        if is_dir {
                            if opaque {
                                push(Change::Opaque, vec![]);
                            }
                            continue;
                        }
                        files.push(path.clone());
                    }
                    Sort::LinkTo(at) if !files.is_empty() => {
                        push(Change::Hardlink { target: files[at % files.len()].clone() }, vec![]);
                    }
                    _ => push(Change::Whiteout, vec![]),
                }
                leaf = Some(path);
            }
            pieces
        })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn written_tabled_imported_and_streamed_are_the_same(pieces in pieces()) {
        let (here, there) = (scratch(), scratch());
        let desc = write(&here.store, Compression::Zstd, 1, &pieces).expect("written");
        let expected: Vec<Entry> = pieces.iter().map(|(entry, _)| entry.clone()).collect();
        let layer = open(&here.store, &desc);
        prop_assert_eq!(&layer.entries().expect("readable"), &expected);

        let tar = tar_bytes(&layer);
        let plain = super::super::import(&there.store, &mut &tar[..], Compression::None, None);
        let plain = plain.expect("imported");
        prop_assert_eq!(plain.diff_id, desc.diff_id);
        let other = open(&there.store, &plain);
        prop_assert_eq!(&other.entries().expect("readable"), &expected);
        prop_assert_eq!(contents(&other).expect("ok"), contents(&layer).expect("ok"));

        let mut streamed = vec![];
        read_tar(&mut &tar[..], &mut |mut entry, content| {
            let mut bytes = vec![];
            content.read_to_end(&mut bytes).expect("readable");
            if let Change::Present { kind: Kind::File { content, .. }, .. } = &mut entry.change {
                *content = ContentDigest::of(&bytes);
            }
            streamed.push((entry, bytes));
            Ok(())
        }).expect("readable");
        prop_assert_eq!(streamed, pieces);
    }
}
