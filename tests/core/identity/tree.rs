//! Random layers, and a merge of them that is as plain as can be.

use std::collections::BTreeMap;
use std::io::Read as _;

use builder_core::digest::ContentDigest;
use builder_core::layer::{
    Change, Compression, Entry, Kind, LayerDesc, LayerPath, LayerWriter, Meta, Mtime,
};
use builder_core::store::Store;
use builder_core::view::{NodeKind, Tree, walk};
use proptest::collection::{btree_map, vec};
use proptest::prelude::*;

/// An entry and its content.
pub(crate) type Piece = (Entry, Vec<u8>);

/// What is at a path, in the words of a tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Shown {
    pub(crate) meta: Meta,
    pub(crate) kind: NodeKind,
    pub(crate) content: Vec<u8>,
    /// The first name of the file, and how many it has.
    pub(crate) links: Option<(LayerPath, u32)>,
}

pub(crate) type Picture = BTreeMap<LayerPath, Shown>;

/// All that a tree shows.
pub(crate) fn picture(tree: &dyn Tree) -> Picture {
    let mut picture = Picture::new();
    walk::walk(tree, &LayerPath::root(), &mut |path, node| {
        let mut content = Vec::new();
        if matches!(node.kind, NodeKind::File { .. }) {
            tree.stream(path)?.read_to_end(&mut content).expect("the file can be read");
            assert_eq!(tree.content(path)?, ContentDigest::of(&content), "{path:?}");
        }
        let links = node.links.as_ref().map(|links| (links.first.clone(), links.count));
        let (meta, kind) = (node.meta.clone(), node.kind.clone());
        picture.insert(path.clone(), Shown { meta, kind, content, links });
        Ok::<bool, builder_core::view::TreeError>(true)
    })
    .expect("the tree can be walked");
    picture
}

/// What a kernel can hold as well: attributes of files and directories only,
/// numbers in its ranges.
fn meta(kind: &Kind) -> BoxedStrategy<Meta> {
    let holds = matches!(kind, Kind::File { .. } | Kind::Directory);
    let is_file = matches!(kind, Kind::File { .. });
    let is_link = matches!(kind, Kind::Symlink { .. });
    let user = "user\\.[a-zA-Z0-9_.]{1,20}".prop_map(String::into_bytes);
    let xattrs = btree_map(user, vec(any::<u8>(), 0..60), 0..3);
    let capability = vec(any::<[u8; 4]>(), 2);
    let id = || prop_oneof![0_u32..3, 0_u32..0x7fff_fffe];
    let mtime = (-2_000_000_000_i64..8_000_000_000, 0..1_000_000_000_u32, any::<bool>());
    (0..=0o7777_u32, id(), id(), mtime, xattrs, prop::option::of(capability))
        .prop_map(move |(mode, uid, gid, (secs, nanos, whole), mut xattrs, capability)| {
            if let Some(sets) = capability.filter(|_| is_file) {
                // Version 2: permitted and inheritable, in two words each.
                let value = [[1, 0, 0, 2], sets[0], sets[1], [0; 4], [0; 4]].concat();
                xattrs.insert(b"security.capability".to_vec(), value);
            }
            let xattrs = if holds { xattrs } else { BTreeMap::new() };
            let mode = if is_link { 0o777 } else { mode };
            let nanos = if whole { 0 } else { nanos };
            Meta { mode, uid, gid, mtime: Mtime { secs, nanos }, xattrs }
        })
        .boxed()
}

fn content() -> impl Strategy<Value = Vec<u8>> {
    // Long runs of zeros, which a tar may hold as holes.
    let hole = (vec(any::<u8>(), 0..50), 1_usize..300_000, vec(any::<u8>(), 0..50));
    prop_oneof![
        6 => vec(any::<u8>(), 0..2000),
        1 => hole.prop_map(|(before, zeros, after)| [before, vec![0; zeros], after].concat()),
    ]
}

fn present() -> impl Strategy<Value = (Meta, Kind, Vec<u8>)> {
    let device = || (1_u32..4000, 0_u32..1_000_000);
    let bare = |kind: Kind| (kind, vec![]);
    let kind = prop_oneof![
        4 => content().prop_map(|bytes| {
            let (size, content) = (bytes.len() as u64, ContentDigest::of(&bytes));
            (Kind::File { size, content }, bytes)
        }),
        3 => Just(bare(Kind::Directory)),
        1 => vec(1_u8.., 1..300).prop_map(move |target| bare(Kind::Symlink { target })),
        1 => device().prop_map(move |(major, minor)| bare(Kind::CharDevice { major, minor })),
        1 => device().prop_map(move |(major, minor)| bare(Kind::BlockDevice { major, minor })),
        1 => Just(bare(Kind::Fifo)),
    ];
    kind.prop_flat_map(|(kind, bytes)| {
        meta(&kind).prop_map(move |meta| (meta, kind.clone(), bytes.clone()))
    })
}

/// Few names, so that paths meet; some long, some not UTF-8.
fn name() -> impl Strategy<Value = Vec<u8>> {
    let named = |text: &str| Just(text.as_bytes().to_vec());
    prop_oneof![
        3 => named("a"),
        3 => named("b"),
        1 => named("a.b"),
        1 => named(".wh"),
        1 => named(".phoenix-export"),
        1 => Just(vec![0xff, 0xfe]),
        1 => Just("line\nbreak = é".as_bytes().to_vec()),
        1 => Just(vec![b'n'; 101]),
        1 => Just(vec![0xc3; 255]),
    ]
}

#[derive(Debug, Clone)]
enum Sort {
    Present(Meta, Kind, Vec<u8>),
    Whiteout,
    LinkTo(usize),
}

/// The entries of a layer, in order, none below a file.
pub(crate) fn pieces() -> impl Strategy<Value = Vec<Piece>> {
    let sort = prop_oneof![
        8 => present().prop_map(|(meta, kind, bytes)| Sort::Present(meta, kind, bytes)),
        2 => Just(Sort::Whiteout),
        2 => any::<usize>().prop_map(Sort::LinkTo),
    ];
    let path = vec(name(), 1..4)
        .prop_map(|names| LayerPath::new(names.join(&b'/')).expect("the names are good"));
    btree_map(path, (sort, any::<bool>()), 0..20).prop_map(|tree| {
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
                Sort::Present(meta, Kind::Directory, _) => {
                    push(Change::Present { meta, kind: Kind::Directory }, vec![]);
                    if opaque {
                        push(Change::Opaque, vec![]);
                    }
                    continue;
                }
                Sort::Present(meta, kind, bytes) => {
                    push(Change::Present { meta, kind }, bytes);
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

/// Writes a layer.
pub(crate) fn write(store: &Store, compression: Compression, pieces: &[Piece]) -> LayerDesc {
    let mut writer = LayerWriter::new(store, compression).expect("a layer begins");
    for (entry, content) in pieces {
        let is_file = matches!(&entry.change, Change::Present { kind: Kind::File { .. }, .. });
        let mut content = &content[..];
        let content = is_file.then_some(&mut content as &mut dyn std::io::Read);
        writer.append(entry, content).expect("a good entry");
    }
    writer.finish().expect("a layer ends")
}

#[derive(Debug, Clone)]
struct Made {
    meta: Meta,
    kind: Kind,
    bytes: Vec<u8>,
    /// Which layer's file it is, by the first name there.
    file: (usize, LayerPath),
}

/// The tree that layers come to: each entry applied to a map, one by one.
pub(crate) fn merged(layers: &[&[Piece]]) -> Picture {
    let mut map: BTreeMap<LayerPath, Made> = BTreeMap::new();
    let directory = |path: &LayerPath, layer| Made {
        meta: Meta::root_owned(0o755),
        kind: Kind::Directory,
        bytes: vec![],
        file: (layer, path.clone()),
    };
    map.insert(LayerPath::root(), directory(&LayerPath::root(), 0));
    for (layer, pieces) in layers.iter().enumerate() {
        // What an opaque directory hides is what was there before its layer.
        for (Entry { path, change }, _) in *pieces {
            if *change == Change::Opaque {
                map.retain(|at, _| at == path || !at.starts_with(path));
            }
        }
        for (Entry { path, change }, bytes) in *pieces {
            for ancestor in path.ancestors() {
                if !map.get(&ancestor).is_some_and(|made| made.kind.is_dir()) {
                    map.insert(ancestor.clone(), directory(&ancestor, layer));
                }
            }
            let made = match change {
                Change::Opaque => continue,
                Change::Whiteout => {
                    map.retain(|at, _| !at.starts_with(path));
                    continue;
                }
                Change::Hardlink { target } => map[target].clone(),
                Change::Present { meta, kind } => Made {
                    meta: meta.clone(),
                    kind: kind.clone(),
                    bytes: bytes.clone(),
                    file: (layer, path.clone()),
                },
            };
            let both = made.kind.is_dir() && map.get(path).is_some_and(|old| old.kind.is_dir());
            if !both {
                map.retain(|at, _| !at.starts_with(path));
            }
            map.insert(path.clone(), made);
        }
    }
    shown(map)
}

fn shown(map: BTreeMap<LayerPath, Made>) -> Picture {
    let mut groups: BTreeMap<(usize, LayerPath), Vec<LayerPath>> = BTreeMap::new();
    for (path, made) in &map {
        groups.entry(made.file.clone()).or_default().push(path.clone());
    }
    let show = |(path, made): (LayerPath, Made)| {
        let names = &groups[&made.file];
        let links = (names.len() > 1 && !made.kind.is_dir())
            .then(|| (names[0].clone(), u32::try_from(names.len()).expect("few")));
        let mut meta = made.meta;
        let kind = match made.kind {
            Kind::File { size, .. } => NodeKind::File { size },
            Kind::Directory => {
                meta.mtime = Mtime::CONSTANT;
                NodeKind::Directory
            }
            Kind::Symlink { target } => NodeKind::Symlink { target },
            Kind::CharDevice { major, minor } => NodeKind::CharDevice { major, minor },
            Kind::BlockDevice { major, minor } => NodeKind::BlockDevice { major, minor },
            Kind::Fifo => NodeKind::Fifo,
            Kind::Socket => NodeKind::Socket,
        };
        (path, Shown { meta, kind, content: made.bytes, links })
    };
    map.into_iter().map(show).collect()
}
