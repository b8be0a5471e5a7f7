//! Tar -> view -> upper -> tar is the identity: what is written as a layer is
//! seen through a view, comes out of an export, and is captured back from the
//! upper of an overlayfs, always the same.

mod kernel;
mod tree;

use std::collections::BTreeMap;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use builder_core::digest::ContentDigest;
use builder_core::image::{History, ImageConfig, NewImage, Platform, WrittenImage, write_image};
use builder_core::layer::{Change, Compression, Entry, Kind, Layer, LayerDesc, import};
use builder_core::output::{Dest, Export, Local, Output, Owners, Tar};
use builder_core::root::capture::{Marks, walk_upper};
use builder_core::source::Source as _;
use builder_core::source::rootfs::Rootfs;
use builder_core::store::Store;
use builder_core::view::View;
use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use rustix::fs::{Mode, OFlags};

use self::kernel::Overlay;
use self::tree::{Picture, Piece, merged, picture, pieces, write};
use crate::mutate::{hammer, mend_tar};
use crate::support::tools;

/// Says to a test's own executable that it is in a mount namespace of its own.
const INSIDE: &str = "PHOENIX_TEST_NAMESPACE";

fn place() -> tempfile::TempDir {
    let in_memory = tempfile::tempdir_in("/dev/shm");
    in_memory.or_else(|_| tempfile::tempdir()).expect("a directory")
}

fn store(dir: &Path) -> Store {
    Store::open(&dir.join("store")).expect("a new store opens")
}

fn view(store: &Store, layers: &[LayerDesc]) -> View {
    let layers = layers.iter().map(|desc| Layer::open(store, desc).expect("it opens"));
    View::new(layers.collect())
}

/// The same, one layer after the other, each view taken from the one below. What
/// is below has been looked at before.
fn stacked(store: &Store, layers: &[LayerDesc]) -> Arc<View> {
    let open = |desc| Layer::open(store, desc).expect("it opens");
    layers.iter().fold(Arc::new(View::new(Vec::new())), |below, desc| {
        picture(&*below);
        Arc::new(View::on(below, open(desc)))
    })
}

fn image(store: &Store, layers: &[LayerDesc]) -> WrittenImage {
    let line = History { created_by: Some("test".into()), ..History::default() };
    let history = vec![line; layers.len()];
    let (config, annotations) = (&ImageConfig::empty(&Platform::host()), &BTreeMap::new());
    let history = &history[..];
    let image = NewImage { config, layers, history, annotations, created: None };
    write_image(store, &image).expect("the image is good")
}

fn export(store: &Store, layers: &[LayerDesc], output: &dyn Output) {
    let image = &image(store, layers);
    let (names, annotations) = (&[][..], &BTreeMap::new());
    let written = output.write(&Export { store, image, names, annotations }).expect("exported");
    assert_eq!(written.warnings, [""; 0]);
}

/// A root file system of this host as a view shows it.
fn taken(store: &Store, path: PathBuf) -> Picture {
    let (compression, platform) = (Compression::Zstd, Platform::host());
    let source = Rootfs { store: store.clone(), path, compression, platform };
    let fetched = source.fetch().expect("it can be taken in");
    picture(&view(store, &fetched.layers))
}

/// The first path at which two pictures differ, as both have it.
fn same(left: &Picture, right: &Picture) -> Result<(), TestCaseError> {
    for path in left.keys().chain(right.keys()) {
        let (a, b) = (left.get(path), right.get(path));
        prop_assert!(a == b, "{path:?}\n{a:#?}\n{b:#?}");
    }
    Ok(())
}

/// 64 cases, or as many as `PROPTEST_CASES` says.
fn config() -> ProptestConfig {
    let config = ProptestConfig { failure_persistence: None, ..ProptestConfig::default() };
    match std::env::var_os("PROPTEST_CASES") {
        Some(_) => config,
        None => ProptestConfig { cases: 64, ..config },
    }
}

#[test]
fn whatever_is_taken_in_can_be_seen() {
    let dir = place();
    let store = store(dir.path());
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let seeds: Vec<Vec<u8>> = (0..20)
        .map(|_| {
            let tree = pieces().new_tree(&mut runner).expect("it can be made");
            let desc = write(&store, Compression::None, &tree.current());
            store.read_blob(&desc.blob, 64 << 20).expect("there")
        })
        .collect();
    hammer("view", &seeds, &mend_tar, &|tar| {
        let taken = import(&store, &mut &tar[..], Compression::None, None);
        let Ok(desc) = taken else { return };
        picture(&view(&store, &[desc.clone(), desc]));
    });
}

fn compression() -> impl Strategy<Value = Compression> {
    prop_oneof![Just(Compression::None), Just(Compression::Gzip), Just(Compression::Zstd)]
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn layers_are_seen_as_what_they_come_to_and_a_tar_brings_it_back(
        lower in pieces(),
        middle in pieces(),
        upper in pieces(),
        compression in compression(),
    ) {
        let dir = place();
        let store = store(dir.path());
        let layers = [&lower, &middle, &upper].map(|p| write(&store, compression, p));
        let expected = merged(&[&lower, &middle, &upper]);
        let seen = picture(&view(&store, &layers));
        same(&expected, &seen)?;
        same(&expected, &picture(&*stacked(&store, &layers)))?;
        let tar = dir.path().join("rootfs.tar");
        export(&store, &layers, &Tar { dest: Dest::Path(tar.clone()) });
        same(&expected, &taken(&store, tar))?;
    }
}

#[test]
fn a_directory_brings_a_tree_back() {
    if !tools::root() {
        return;
    }
    let strategy = (pieces(), pieces(), compression());
    proptest!(config(), |((lower, upper, compression) in strategy)| {
        let dir = place();
        let store = store(dir.path());
        let layers = [&lower, &upper].map(|p| write(&store, compression, p));
        let expected = merged(&[&lower, &upper]);
        let dest = dir.path().join("tree");
        export(&store, &layers, &Local { dest: Dest::Path(dest.clone()), owners: Owners::Image });
        same(&expected, &kernel::picture(&dest))?;
        same(&expected, &taken(&store, dest))?;
    });
}

/// Entries of an upper with their content, digests filled in.
fn captured(upper: &Path) -> Vec<Piece> {
    let mut pieces = Vec::new();
    walk_upper(upper, Marks::Trusted, &mut |entry, content| {
        let (mut entry, mut bytes): (Entry, Vec<u8>) = (entry.clone(), Vec::new());
        if let Some(content) = content {
            content.read_to_end(&mut bytes)?;
        }
        if let Change::Present { kind: Kind::File { content, .. }, .. } = &mut entry.change {
            *content = ContentDigest::of(&bytes);
        }
        pieces.push((entry, bytes));
        Ok(())
    })
    .expect("an upper can be walked");
    pieces
}

/// Runs a test's own executable again, where mounts are nobody else's.
fn in_a_namespace(test: &str) -> bool {
    if std::env::var_os(INSIDE).is_some() {
        return true;
    }
    if !tools::root() || !tools::have(&["unshare", "mount"]) {
        return false;
    }
    let exe = std::env::current_exe().expect("this executable");
    let mut again = std::process::Command::new("unshare");
    again.args(["--mount", "--propagation", "private", "--"]).arg(exe);
    again.args(["--exact", test, "--nocapture"]).env(INSIDE, "1");
    tools::success(&mut again);
    false
}

#[test]
fn an_upper_of_overlayfs_comes_back_as_the_layer_that_the_kernel_showed() {
    if !in_a_namespace(
        "identity::an_upper_of_overlayfs_comes_back_as_the_layer_that_the_kernel_showed",
    ) {
        return;
    }
    proptest!(config(), |((lower, upper) in (pieces(), pieces()))| {
        let dir = place();
        let store = store(dir.path());
        let base = write(&store, Compression::None, &lower);
        let tree = dir.path().join("lower");
        let local = Local { dest: Dest::Path(tree.clone()), owners: Owners::Image };
        export(&store, std::slice::from_ref(&base), &local);
        let overlay = Overlay::mount(&tree);
        kernel::apply(&overlay.merged(), &upper);
        let shown = kernel::picture(&overlay.merged());
        same(&merged(&[&lower, &upper]), &shown)?;
        let captured = captured(&overlay.upper());
        let top = write(&store, Compression::Gzip, &captured);
        same(&shown, &picture(&view(&store, &[base, top])))?;
    });
}

/// A step may use paths of up to 4,096 bytes, whatever the host's path of the
/// upper takes, and deeper ones by going there directory by directory.
#[test]
fn the_longest_paths_are_captured() {
    for (name, depth) in [("n".repeat(100), 45), ("d".to_owned(), 3000)] {
        let dir = place();
        let flags = OFlags::DIRECTORY | OFlags::RDONLY;
        let open = |at: &OwnedFd, name: &str, flags| {
            rustix::fs::openat(at, name, flags, Mode::from_raw_mode(0o644)).expect("opened")
        };
        let mut at = rustix::fs::open(dir.path(), flags, Mode::empty()).expect("opened");
        for _ in 0..depth {
            rustix::fs::mkdirat(&at, &name, Mode::from_raw_mode(0o755)).expect("made");
            at = open(&at, &name, flags);
        }
        let file = open(&at, "file", OFlags::CREATE | OFlags::WRONLY);
        rustix::io::write(&file, b"content").expect("written");
        let captured = captured(dir.path());
        let (last, content) = captured.last().expect("there is something");
        let expected = [&vec![name.as_str(); depth][..], &["file"]].concat().join("/");
        assert_eq!(last.path.as_bytes(), expected.as_bytes());
        assert_eq!((captured.len(), &content[..]), (depth + 1, &b"content"[..]));
    }
}
