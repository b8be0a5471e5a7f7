//! Files that a world is made of: what a layer of a base says, and what lies in
//! a context; made at random, altered in one aspect, and brought to where a
//! build finds them.
//!
//! All paths come from few names, so that steps, bases and edits meet.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;

use builder_core::digest::ContentDigest;
use builder_core::layer::{
    Change, Compression, Entry, Kind, LayerDesc, LayerPath, LayerWriter, Meta, Mtime,
};
use builder_core::store::Store;
use rustix::fs::{AtFlags, CWD, Timespec, Timestamps, utimensat};

use crate::oracle::rng::Rng;

/// The directories that steps, bases and edits share.
pub(super) const DIRS: [&str; 3] = ["d", "d/s", "e"];
/// The names in them.
pub(super) const NAMES: [&str; 6] = ["a", "b", "c", "y.h", "l", "k"];

/// Contents: several of one size, scripts among them. None makes a script that
/// runs itself, and none is endless.
const CONTENTS: [&str; 9] = [
    "one\n",
    "two\n",
    "six\n",
    "",
    "x=1\n",
    "#!/bin/sh\necho ran $0 $1\nhead -c 40 /d/b\n",
    "#!/bin/sh\necho RAN $0 $1\nhead -c 40 /e/c\n",
    "b\nc\nsome more words\n",
    "LARGE",
];
const TARGETS: [&str; 11] =
    ["/d", "/e", "a", "b", "k", "s", "/d/a", "/d/b", "/e/c", "../e", "/none"];
const MODES: [u32; 7] = [0o644, 0o755, 0o600, 0o640, 0o444, 0o4755, 0];
const DIR_MODES: [u32; 5] = [0o755, 0o777, 0o1777, 0o711, 0o700];
const TIMES: [i64; 4] = [1_000_000, 1_000_001, 1_500_000, 2_000_000_000];
/// `cap_net_raw` and `cap_chown`, permitted and effective, in version 2.
const CAPABILITIES: [[u8; 20]; 2] = [
    [1, 0, 0, 2, 0, 32, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
    [1, 0, 0, 2, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
];

/// What something is.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum What {
    File(String),
    /// Opaque where it hides what is below it in lower layers.
    Dir {
        opaque: bool,
    },
    Symlink(String),
    /// A device that nobody can open.
    Device(u32),
    /// One more name of a file of the same layer.
    Hard(String),
    /// A whiteout.
    Gone,
}

/// What a layer or a context has at a path.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Item {
    pub(super) what: What,
    pub(super) mode: u32,
    pub(super) uid: u32,
    pub(super) gid: u32,
    pub(super) mtime: (i64, u32),
    pub(super) xattrs: BTreeMap<String, Vec<u8>>,
}

/// Paths without a leading slash.
pub(super) type Tree = BTreeMap<String, Item>;

/// A path that steps may meet.
pub(super) fn slot(rng: &mut Rng) -> String {
    let dir = *rng.pick(&DIRS);
    if rng.one_in(8) { dir.to_owned() } else { format!("{dir}/{}", rng.pick(&NAMES)) }
}

/// All of them.
pub(super) fn slots() -> impl Iterator<Item = String> {
    DIRS.iter().flat_map(|dir| NAMES.iter().map(move |name| format!("{dir}/{name}")))
}

fn content(rng: &mut Rng) -> String {
    match *rng.pick(&CONTENTS) {
        // More than the kernel reads at once, and differing far behind.
        "LARGE" => "0123456\n".repeat(40_000) + ["A", "B"][rng.below(2)],
        text => text.to_owned(),
    }
}

impl Item {
    pub(super) fn plain(what: What) -> Self {
        let mode = if matches!(what, What::Dir { .. }) { 0o755 } else { 0o644 };
        let mtime = (TIMES[0], 0);
        Self { what, mode, uid: 0, gid: 0, mtime, xattrs: BTreeMap::new() }
    }

    pub(super) fn file(content: &str) -> Self {
        Self::plain(What::File(content.to_owned()))
    }

    pub(super) fn dir() -> Self {
        Self::plain(What::Dir { opaque: false })
    }

    fn random(rng: &mut Rng) -> Self {
        let what = match rng.below(20) {
            0..=2 => What::Symlink((*rng.pick(&TARGETS)).to_owned()),
            3 | 4 => What::Hard(slot(rng)),
            5 | 6 => What::Dir { opaque: false },
            7 => What::Device(3),
            _ => What::File(content(rng)),
        };
        let mut item = Self::plain(what);
        for _ in 0..rng.below(3) {
            let aspect = 4 + rng.below(5);
            item.alter(rng, aspect, &Tree::new());
        }
        item
    }

    /// Changes one aspect, of those that [`altered`] numbers.
    fn alter(&mut self, rng: &mut Rng, aspect: usize, layer: &Tree) {
        let is_dir = matches!(self.what, What::Dir { .. });
        match (aspect, &mut self.what) {
            (0..=2, What::File(text)) => *text = other_text(rng, text),
            (3, What::File(text)) => *text = content(rng),
            (4, _) => self.mode = *rng.pick(if is_dir { &DIR_MODES[..] } else { &MODES[..] }),
            (5 | 6, _) if rng.one_in(2) => self.uid = *rng.pick(&[0, 33, 1000]),
            (5 | 6, _) => self.mtime = (*rng.pick(&TIMES), if rng.one_in(4) { 5 } else { 0 }),
            (8, _) if rng.one_in(2) => {
                let value = rng.pick(&CAPABILITIES).to_vec();
                self.toggle("security.capability", value, matches!(self.what, What::File(_)));
            }
            (7 | 8, _) => self.attribute(if rng.one_in(2) { "user.k" } else { "user.other" }, rng),
            (9 | 10, What::Symlink(target)) => *target = other_target(rng, target),
            // A file of its own that is the same but for that.
            (11 | 12, What::Hard(target)) => match layer.get(target) {
                Some(file) if !rng.one_in(3) => *self = file.clone(),
                _ => *target = slot(rng),
            },
            (13, What::Device(minor)) => *minor = 7 - *minor,
            _ => self.gid = *rng.pick(&[0, 33, 1000]),
        }
    }

    fn attribute(&mut self, name: &str, rng: &mut Rng) {
        let value = rng.pick(&["v", "w", "long value"]).as_bytes().to_vec();
        self.toggle(name, value, matches!(self.what, What::File(_) | What::Dir { .. }));
    }

    fn toggle(&mut self, name: &str, value: Vec<u8>, may: bool) {
        if self.xattrs.get(name) == Some(&value) || !may {
            self.xattrs.remove(name);
        } else {
            self.xattrs.insert(name.to_owned(), value);
        }
    }
}

/// Directories and most of the slots.
pub(super) fn random(rng: &mut Rng) -> Tree {
    let mut tree = Tree::new();
    for dir in DIRS {
        let mut item = Item::dir();
        if rng.one_in(3) {
            let aspect = [4, 7][rng.below(2)];
            item.alter(rng, aspect, &Tree::new());
        }
        tree.insert(dir.to_owned(), item);
        for name in NAMES.iter().filter(|_| !rng.one_in(3)).collect::<Vec<_>>() {
            let mut item = Item::random(rng);
            let files = tree.iter().filter(|(_, item)| matches!(item.what, What::File(_)));
            let files: Vec<String> = files.map(|(path, _)| path.clone()).collect();
            if matches!(item.what, What::Hard(_)) && !files.is_empty() {
                item = Item::plain(What::Hard(rng.pick(&files).clone()));
            }
            tree.insert(format!("{dir}/{name}"), item);
        }
    }
    tree
}

/// A layer over another: few slots, with what hides others.
pub(super) fn upper(rng: &mut Rng) -> Tree {
    let mut tree = Tree::new();
    for _ in 0..2 + rng.below(5) {
        let what = match rng.below(5) {
            0 => What::Gone,
            1 => What::Dir { opaque: rng.one_in(2) },
            _ => {
                tree.insert(slot(rng), Item::random(rng));
                continue;
            }
        };
        tree.insert(slot(rng), Item::plain(what));
    }
    tree
}

/// A place in layers, and what is to be there.
pub(super) struct Altered {
    pub(super) layer: usize,
    pub(super) path: String,
    pub(super) item: Option<Item>,
}

/// What a layer has, altered in one aspect. `named` are the paths that are
/// rather to be taken; `hides`: whether these are layers of a base.
pub(super) fn altered(
    rng: &mut Rng,
    layers: &[Tree],
    named: &dyn Fn(&str) -> bool,
    hides: bool,
) -> Altered {
    let aspect = rng.below(20);
    let fits = |item: &Item| match (aspect, &item.what) {
        (0..=2, What::File(text)) => !text.is_empty(),
        (3 | 8, What::File(_)) | (9 | 10, What::Symlink(_)) => true,
        (4 | 7, What::File(_) | What::Dir { .. }) => true,
        (5 | 6, What::File(_) | What::Symlink(_)) => true,
        (11 | 12, What::Hard(_)) => true,
        (13, What::Device(_)) => true,
        _ => false,
    };
    // What the highest layer says of a path is what is seen.
    let mut seen: BTreeMap<&String, (usize, &Item)> = BTreeMap::new();
    for (layer, tree) in layers.iter().enumerate() {
        seen.extend(tree.iter().map(|(path, item)| (path, (layer, item))));
    }
    let of_users = |path: &str| path.starts_with("etc");
    seen.retain(|path, _| !of_users(path));
    let fitting: Vec<_> = seen.iter().filter(|(_, (_, item))| fits(item)).collect();
    let preferred: Vec<_> = fitting.iter().filter(|(path, _)| named(path)).collect();
    let found = match (preferred.is_empty() || rng.one_in(4), fitting.is_empty()) {
        (false, _) => **rng.pick(&preferred),
        (true, false) => *rng.pick(&fitting),
        (true, true) => return renamed(rng, layers, named, hides),
    };
    let (path, (layer, old)) = found;
    let mut item = (*old).clone();
    item.alter(rng, aspect, &layers[*layer]);
    Altered { layer: *layer, path: (*path).clone(), item: Some(item) }
}

/// A name that comes, goes or becomes something else.
fn renamed(rng: &mut Rng, layers: &[Tree], named: &dyn Fn(&str) -> bool, hides: bool) -> Altered {
    let wanted: Vec<String> = slots().filter(|path| named(path)).collect();
    let free = wanted.is_empty() || rng.one_in(3);
    let path = if free { slot(rng) } else { rng.pick(&wanted).clone() };
    let there = layers.iter().rposition(|tree| tree.contains_key(&path));
    let layer = there.unwrap_or_else(|| rng.below(layers.len()));
    let item = match (there, rng.below(4)) {
        (Some(_), 0 | 1) => None,
        (_, 2) if hides && layer > 0 => Some(Item::plain(What::Gone)),
        (_, 3) if hides => Some(Item::plain(What::Dir { opaque: true })),
        _ => Some(Item::random(rng)),
    };
    Altered { layer, path, item }
}

/// Mostly of the same size, often with the same beginning.
fn other_text(rng: &mut Rng, text: &str) -> String {
    let mut bytes = text.as_bytes().to_vec();
    let letters: Vec<usize> =
        (0..bytes.len()).filter(|at| bytes[*at].is_ascii_alphanumeric()).collect();
    if letters.is_empty() || rng.one_in(4) {
        return content(rng);
    }
    let last = letters[letters.len() - 1];
    let at = if rng.one_in(2) { last } else { *rng.pick(&letters) };
    match bytes[at] {
        b'Z' | b'z' | b'9' => bytes[at] -= 1,
        _ => bytes[at] += 1,
    }
    String::from_utf8(bytes).expect("only ASCII was changed")
}

/// Mostly of the same length.
fn other_target(rng: &mut Rng, target: &str) -> String {
    let other = |to: &&&str| to.len() == target.len() && **to != target;
    let others: Vec<_> = TARGETS.iter().filter(other).collect();
    let free = others.is_empty() || rng.one_in(4);
    if free { *rng.pick(&TARGETS) } else { **rng.pick(&others) }.to_owned()
}

/// Writes a tree as a layer. What cannot be (a name below a file, a link to
/// nothing) is left out, so that any edit makes a layer.
pub(super) fn layer(store: &Store, tree: &Tree) -> LayerDesc {
    let path = |text: &str| LayerPath::new(text).expect("a good path");
    let sorted: BTreeMap<LayerPath, &Item> =
        tree.iter().map(|(at, item)| (path(at), item)).collect();
    let stands = |at: &LayerPath| {
        let mut above = at.ancestors().filter_map(|up| sorted.get(&up));
        above.all(|item| matches!(item.what, What::Dir { .. }))
    };
    let mut firsts: BTreeMap<LayerPath, LayerPath> = BTreeMap::new();
    let mut writer = LayerWriter::new(store, Compression::None).expect("a layer begins");
    for (at, item) in sorted.iter().filter(|(at, _)| stands(at)) {
        let file = match &item.what {
            What::Hard(target) => path(target),
            _ => at.clone(),
        };
        let source = sorted.get(&file).filter(|_| stands(&file));
        let (change, content) = match (source, &item.what) {
            (Some(Item { what: What::File(text), .. }), _) if firsts.contains_key(&file) => {
                let target = firsts[&file].clone();
                (Change::Hardlink { target }, text)
            }
            (Some(found @ Item { what: What::File(text), .. }), _) => {
                firsts.insert(file.clone(), at.clone());
                (present(found), text)
            }
            (_, What::Hard(_)) => continue,
            (_, What::Gone) => (Change::Whiteout, &String::new()),
            _ => (present(item), &String::new()),
        };
        let is_file = matches!(&change, Change::Present { kind: Kind::File { .. }, .. });
        let mut bytes = content.as_bytes();
        let content = is_file.then_some(&mut bytes as &mut dyn std::io::Read);
        writer.append(&Entry { path: at.clone(), change }, content).expect("a good entry");
        if item.what == (What::Dir { opaque: true }) {
            let opaque = Entry { path: at.clone(), change: Change::Opaque };
            writer.append(&opaque, None).expect("a good entry");
        }
    }
    writer.finish().expect("a layer ends")
}

fn present(item: &Item) -> Change {
    let kind = match &item.what {
        What::File(text) => {
            Kind::File { size: text.len() as u64, content: ContentDigest::from_bytes([0; 32]) }
        }
        What::Symlink(target) => Kind::Symlink { target: target.clone().into_bytes() },
        What::Device(minor) => Kind::CharDevice { major: 240, minor: *minor },
        What::Dir { .. } | What::Hard(_) | What::Gone => Kind::Directory,
    };
    let holds = matches!(item.what, What::File(_) | What::Dir { .. });
    let named = |(name, value): (&String, &Vec<u8>)| (name.clone().into_bytes(), value.clone());
    let xattrs = item.xattrs.iter().filter(|_| holds).map(named).collect();
    let mode = if matches!(item.what, What::Symlink(_)) { 0o777 } else { item.mode };
    let mtime = Mtime { secs: item.mtime.0, nanos: item.mtime.1 };
    Change::Present { meta: Meta { mode, uid: item.uid, gid: item.gid, mtime, xattrs }, kind }
}

/// Brings a context from `old` to `new`, touching nothing that is the same and
/// writing changed files in place, with the time that they are to have.
pub(super) fn sync(root: &Path, old: &Tree, new: &Tree) {
    for (at, item) in old.iter().rev() {
        let is_dir = |item: &Item| matches!(item.what, What::Dir { .. });
        let stays = new.get(at).is_some_and(|now| {
            let files = matches!((&now.what, &item.what), (What::File(_), What::File(_)));
            is_dir(now) && is_dir(item) || files || now.what == item.what
        });
        let path = root.join(at);
        match path.symlink_metadata() {
            Ok(meta) if !stays && meta.is_dir() => fs::remove_dir_all(path).expect("removed"),
            Ok(_) if !stays => fs::remove_file(path).expect("removed"),
            _ => {}
        }
    }
    for (at, item) in new {
        let path = root.join(at);
        let there = path.symlink_metadata().is_ok();
        let parent = path.parent().expect("it is below the root");
        let fits = parent.symlink_metadata().is_ok_and(|meta| meta.is_dir());
        if !fits || there && old.get(at) == Some(item) {
            continue;
        }
        put(&path, item, there);
    }
}

fn put(path: &Path, item: &Item, there: bool) {
    match &item.what {
        What::File(text) => fs::write(path, text).expect("written"),
        What::Dir { .. } if !there => fs::create_dir(path).expect("made"),
        What::Symlink(target) if !there => symlink(target, path).expect("linked"),
        What::Dir { .. } | What::Symlink(_) => {}
        What::Device(_) | What::Hard(_) | What::Gone => return,
    }
    if !matches!(item.what, What::Symlink(_)) {
        // What this user cannot read is no context.
        let mode = item.mode | if matches!(item.what, What::Dir { .. }) { 0o700 } else { 0o400 };
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("set");
    }
    let time = Timespec { tv_sec: item.mtime.0, tv_nsec: item.mtime.1.into() };
    let times = Timestamps { last_access: time, last_modification: time };
    utimensat(CWD, path, &times, AtFlags::SYMLINK_NOFOLLOW).expect("set");
}
