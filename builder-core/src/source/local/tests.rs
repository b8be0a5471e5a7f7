//! Edits while a build looks, links, and what is remembered.

use super::*;
use crate::view::lookup;

fn path(text: &str) -> LayerPath {
    LayerPath::new(text).expect("a path")
}

fn scene() -> (tempfile::TempDir, tempfile::TempDir, Store) {
    let (dir, place) = (tempfile::tempdir().expect("dir"), tempfile::tempdir().expect("dir"));
    let store = Store::open(place.path()).expect("a store");
    std::fs::create_dir_all(dir.path().join("d/e")).expect("made");
    std::fs::write(dir.path().join("f"), "one").expect("written");
    (dir, place, store)
}

#[test]
fn a_file_that_changes_after_it_was_hashed_is_refused_and_named() {
    for with_store in [false, true] {
        let (dir, _place, store) = scene();
        let store = with_store.then_some(&store);
        let tree = ContextTree::open(store, dir.path()).expect("opened");
        assert_eq!(tree.content(&path("f")).expect("hashed"), ContentDigest::of(b"one"));
        std::fs::write(dir.path().join("f"), "two").expect("written");
        assert!(matches!(tree.open(&path("f")), Err(TreeError::Changed { .. })));
        let mut bytes = Vec::new();
        assert!(tree.stream(&path("f")).expect("open").read_to_end(&mut bytes).is_err());
        assert_eq!(tree.violation(), Some(path("f")));
    }
}

#[test]
fn a_file_that_changes_between_its_first_look_and_its_hash_is_refused() {
    let (dir, _place, store) = scene();
    let tree = ContextTree::open(Some(&store), dir.path()).expect("opened");
    tree.list(&LayerPath::root()).expect("listed");
    std::fs::write(dir.path().join("f"), "longer").expect("written");
    assert!(matches!(tree.content(&path("f")), Err(TreeError::Changed { .. })));
    std::fs::remove_file(dir.path().join("f")).expect("removed");
    assert!(matches!(tree.content(&path("f")), Err(TreeError::Changed { .. })));
    assert_eq!(tree.violation(), Some(path("f")));
}

#[test]
fn what_was_seen_first_holds() {
    let (dir, _place, store) = scene();
    let tree = ContextTree::open(Some(&store), dir.path()).expect("opened");
    let before = tree.list(&LayerPath::root()).expect("listed");
    assert!(tree.node(&path("d/late")).expect("looked").is_none());
    std::fs::write(dir.path().join("new"), "").expect("written");
    std::fs::write(dir.path().join("d/late"), "").expect("written");
    std::fs::write(dir.path().join("f"), "longer").expect("written");
    assert_eq!(tree.list(&LayerPath::root()).expect("listed"), before);
    assert!(tree.node(&path("new")).expect("looked").is_none());
    let names = tree.list(&path("d")).expect("listed");
    assert_eq!(names.iter().map(|(name, _)| &name[..]).collect::<Vec<_>>(), [b"e"]);
}

#[test]
fn what_was_captured_stays_as_it_was() {
    let (dir, _place, store) = scene();
    let tree = ContextTree::open(Some(&store), dir.path()).expect("opened");
    let open = tree.open(&path("f")).expect("captured");
    std::fs::write(dir.path().join("f"), "two").expect("written");
    for open in [open, tree.open(&path("f")).expect("captured before")] {
        let mut bytes = [0; 8];
        assert_eq!(open.read_at(0, &mut bytes).expect("read"), 3);
        assert_eq!(&bytes[..3], b"one");
    }
    assert_eq!(tree.violation(), None);
}

#[test]
fn a_damaged_capture_is_made_again() {
    let (dir, _place, store) = scene();
    let first = ContextTree::open(Some(&store), dir.path()).expect("opened");
    first.open(&path("f")).expect("captured");
    let place = store.captured_path(&ContentDigest::of(b"one"));
    std::fs::write(&place, "bad").expect("written");
    let again = ContextTree::open(Some(&store), dir.path()).expect("opened");
    let mut bytes = [0; 8];
    let read = again.open(&path("f")).expect("captured").read_at(0, &mut bytes);
    assert_eq!(&bytes[..read.expect("read")], b"one");
}

#[test]
fn a_remembered_file_is_not_read() {
    let (dir, _place, store) = scene();
    let tree = ContextTree::open(Some(&store), dir.path()).expect("opened");
    tree.content(&path("f")).expect("hashed");
    tree.remember().expect("kept");
    let again = ContextTree::open(Some(&store), dir.path()).expect("opened");
    assert!(again.state().before.is_empty(), "written just now, so it is racy");
    // As if it had been hashed long after its last change, with an answer
    // that only the record can give.
    let told = ContentDigest::of(b"told");
    if let Some((hashed, settled)) = tree.state().hashed.get_mut(&path("f")) {
        (hashed.content, *settled) = (told, true);
    }
    tree.remember().expect("kept");
    let again = ContextTree::open(Some(&store), dir.path()).expect("opened");
    assert_eq!(again.content(&path("f")).expect("known"), told);
    std::fs::write(dir.path().join("f"), "two").expect("written");
    let again = ContextTree::open(Some(&store), dir.path()).expect("opened");
    assert_eq!(again.content(&path("f")).expect("hashed"), ContentDigest::of(b"two"));
    std::fs::remove_file(dir.path().join("f")).expect("removed");
    let last = ContextTree::open(Some(&store), dir.path()).expect("opened");
    last.list(&LayerPath::root()).expect("listed");
    last.remember().expect("kept");
    let last = ContextTree::open(Some(&store), dir.path()).expect("opened");
    assert!(last.state().before.is_empty(), "what is gone is forgotten");
}

#[test]
fn links_loop_and_lead_nowhere_but_inside() {
    let (dir, _place, store) = scene();
    let link = |to: &str, name: &str| {
        std::os::unix::fs::symlink(to, dir.path().join(name)).expect("linked");
    };
    link("loop", "loop");
    link("../../../../etc/passwd", "out");
    link("/f", "absolute");
    let tree = ContextTree::open(Some(&store), dir.path()).expect("opened");
    let error = lookup::resolve(&tree, &path("loop/x")).expect_err("a loop");
    assert!(error.to_string().contains("loop of symbolic links"), "{error}");
    assert_eq!(lookup::resolve(&tree, &path("out")).expect("inside").node, None);
    assert_eq!(lookup::resolve(&tree, &path("absolute")).expect("inside").path, path("f"));
    for bad in ["out", "absolute/x", "d", "nope"] {
        assert!(tree.content(&path(bad)).is_err(), "{bad}");
        assert!(tree.stream(&path(bad)).is_err(), "{bad}");
    }
    assert!(matches!(tree.list(&path("f")), Err(TreeError::Type { .. })));
    assert_eq!(tree.violation(), None);
}

#[test]
fn names_of_one_file_are_told_and_only_those() {
    let (dir, _place, store) = scene();
    let at = |name: &str| dir.path().join(name);
    std::fs::hard_link(at("f"), at("d/twin")).expect("linked");
    std::fs::write(at("alone"), "one").expect("written");
    std::fs::write(at("edited"), "one").expect("written");
    std::fs::hard_link(at("edited"), at("d/edited")).expect("linked");
    let tree = ContextTree::open(Some(&store), dir.path()).expect("opened");
    let file = |name: &str| tree.host_file(&path(name)).expect("looked");
    assert!(file("f").is_some());
    assert_eq!(file("f"), file("d/twin"));
    assert_eq!((file("alone"), file("d"), file("nothing")), (None, None, None));
    // A file that changed between two looks is not one that is known.
    let before = file("edited");
    std::fs::write(at("edited"), "other").expect("written");
    assert_ne!(file("d/edited"), before);
    assert_ne!(before, file("f"));
}
