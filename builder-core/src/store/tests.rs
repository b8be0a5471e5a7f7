use std::io::{Read, Write};

use super::*;

fn store() -> (tempfile::TempDir, Store) {
    let dir = tempfile::tempdir().expect("a temp dir");
    let store = Store::open(&dir.path().join("store")).expect("a store");
    (dir, store)
}

#[test]
fn a_blob_is_there_after_commit_and_not_before() {
    let (_dir, store) = store();
    let mut writer = store.blob_writer().expect("a writer");
    writer.write_all(b"hello").expect("written");
    let digest = BlobDigest::of(b"hello");
    assert_eq!(store.blob_size(&digest).expect("read"), None);
    assert_eq!(writer.commit().expect("committed"), (digest, 5));
    assert_eq!(store.blob_size(&digest).expect("read"), Some(5));
    assert_eq!(store.read_blob(&digest, 5).expect("read"), b"hello");
    assert!(matches!(store.read_blob(&digest, 4), Err(StoreError::TooLarge { .. })));
    drop(store.blob_writer().expect("a writer"));
    let work = store.root().join("phoenix/work");
    drop(store);
    let left = fs::read_dir(work).expect("listed").count();
    assert_eq!(left, 0, "a dropped store leaves nothing temporary");
}

#[test]
fn a_flipped_byte_is_an_error_for_every_reader() {
    let (_dir, store) = store();
    let digest = store.put_blob(b"hello").expect("stored");
    fs::write(store.root().join("blobs/sha256").join(digest.hex()), b"hellO").expect("written");
    assert!(matches!(store.read_blob(&digest, 99), Err(StoreError::Corrupt { .. })));
    let mut reader = store.blob_reader(&digest).expect("opened");
    let error = reader.read_to_end(&mut Vec::new()).expect_err("it is corrupt");
    assert!(error.to_string().contains("corrupt"), "{error}");
}

#[test]
fn live_work_directories_stay_and_dead_ones_go() {
    let (dir, store) = store();
    let live = store.work_dir().expect("a directory");
    let dead = store.work_dir().expect("a directory");
    fs::create_dir_all(dead.path().join("a/b")).expect("made");
    let dead_path = dead.path().to_owned();
    // As a crash: the lock goes with the process, the directory stays.
    let crashed = std::mem::ManuallyDrop::new(dead);
    rustix::fs::flock(crashed.lock_for_test(), rustix::fs::FlockOperation::Unlock).expect("let go");
    Store::open(&dir.path().join("store")).expect("a store");
    assert!(!dead_path.exists());
    assert!(live.path().exists());
    let path = live.path().to_owned();
    drop(live);
    assert!(!path.exists());
}

#[test]
fn temporary_files_of_a_killed_process_are_swept_at_once_and_those_of_others_stay() {
    let (dir, store) = store();
    let root = dir.path().join("store");
    let temp = store.temp_file().expect("a file");
    Store::open(&root).expect("a store");
    assert!(temp.path().exists(), "its owner lives");
    let path = temp.path().to_owned();
    // As a kill: nothing is dropped, the lock goes.
    std::mem::forget(temp);
    let lock = path.parent().expect("a directory").with_extension("lock");
    fs::remove_file(&lock).and_then(|()| fs::write(&lock, "")).expect("a lock nobody holds");
    Store::open(&root).expect("a store");
    assert_eq!(fs::read_dir(root.join("phoenix/work")).expect("listed").count(), 0);
}

#[test]
fn a_blob_that_lost_its_bytes_is_mended_by_writing_it_again() {
    let (_dir, store) = store();
    let digest = store.put_blob(b"hello").expect("stored");
    let path = store.root().join("blobs/sha256").join(digest.hex());
    fs::write(&path, [0; 5]).expect("written");
    store.put_blob(b"hello").expect("stored");
    assert_eq!(store.read_blob(&digest, 5).expect("read"), b"hello");
    fs::write(&path, [0; 5]).expect("written");
    let mut writer = store.blob_writer().expect("a writer");
    writer.write_all(b"hello").expect("written");
    writer.commit().expect("committed");
    assert_eq!(store.read_blob(&digest, 5).expect("read"), b"hello");
}

#[test]
fn a_canceled_store_writes_no_blob_and_waits_for_nobody() {
    let (_dir, store) = store();
    let cancel = Cancel::new();
    let until = store.until(&cancel);
    let mut writer = until.blob_writer().expect("a writer");
    let _held = store.cache_mount("x", MountSharing::Locked).expect("taken");
    let _lease = store.lease().expect("taken");
    assert!(store.try_exclusive().expect("asked").is_none());
    cancel.cancel();
    assert!(writer.write_all(b"hello").is_err());
    let waited = until.cache_mount("x", MountSharing::Locked);
    assert!(matches!(waited, Err(StoreError::Canceled)), "{waited:?}");
    assert!(matches!(until.exclusive(), Err(StoreError::Canceled)));
    store.blob_writer().expect("a writer").write_all(b"hello").expect("another user goes on");
}

#[test]
fn files_of_the_layout_that_a_crash_emptied_are_written_again() {
    let (_dir, store) = store();
    for (name, rest) in [("oci-layout", "\0\0"), ("phoenix/version", "")] {
        fs::write(store.root().join(name), rest).expect("written");
    }
    Store::open(store.root()).expect("mended");
    let marker = fs::read_to_string(store.root().join("oci-layout")).expect("read");
    assert!(marker.contains("imageLayoutVersion"), "{marker}");
}

#[test]
fn names_are_set_replaced_and_removed_from_many_threads() {
    let (_dir, store) = store();
    let digest = store.put_blob(b"{}").expect("stored");
    let descriptor = |size: u64| {
        let digest: oci_spec::image::Digest = digest.to_string().parse().expect("a digest");
        Descriptor::new(oci_spec::image::MediaType::ImageManifest, size, digest)
    };
    std::thread::scope(|scope| {
        for number in 0..8 {
            let (store, descriptor) = (&store, &descriptor);
            scope.spawn(move || store.set_ref(&format!("image:{number}"), descriptor(number)));
        }
    });
    assert_eq!(store.refs().expect("listed").len(), 8);
    store.set_ref("image:3", descriptor(77)).expect("set");
    let found = store.get_ref("image:3").expect("read").expect("there");
    assert_eq!(found.size(), 77);
    assert!(store.remove_ref("image:3").expect("removed"));
    assert!(!store.remove_ref("image:3").expect("nothing to remove"));
    assert_eq!(store.refs().expect("listed").len(), 7);
}

#[test]
fn records_survive_reopening_and_areas_do_not_mix() {
    let (dir, store) = store();
    store.put_record("a", "x", b"1").expect("stored");
    store.put_record("b", "x", b"2").expect("stored");
    let again = Store::open(&dir.path().join("store")).expect("a store");
    assert_eq!(again.get_record("a", "x").expect("read").as_deref(), Some(&b"1"[..]));
    assert_eq!(again.list_records("b").expect("listed"), ["x"]);
    again.remove_record("a", "x").expect("removed");
    assert_eq!(again.get_record("a", "x").expect("read"), None);
    assert!(again.list_records("none").expect("listed").is_empty());
}

#[test]
fn a_newer_or_foreign_directory_is_refused() {
    let (dir, store) = store();
    fs::write(store.root().join("phoenix/version"), "99\n").expect("written");
    assert!(matches!(Store::open(store.root()), Err(StoreError::Version { .. })));
    let foreign = dir.path().join("foreign");
    fs::create_dir(&foreign).expect("made");
    fs::write(foreign.join("thesis.tex"), "x").expect("written");
    assert!(matches!(Store::open(&foreign), Err(StoreError::NotAStore { .. })));
    assert_eq!(fs::read_dir(&foreign).expect("listed").count(), 1);
}

#[test]
fn collection_keeps_what_is_alive() {
    let (_dir, store) = store();
    let keep = store.put_blob(b"keep").expect("stored");
    let gone = store.put_blob(b"gone").expect("stored");
    let alive = Alive { blobs: [keep].into(), ..Alive::default() };
    let would = store.gc(&alive, true).expect("looked")[&Kind::Blobs];
    assert_eq!((would.files, store.blob_size(&gone).expect("read")), (1, Some(4)));
    store.gc(&alive, false).expect("collected");
    assert_eq!(store.blob_size(&gone).expect("read"), None);
    assert_eq!(store.blob_size(&keep).expect("read"), Some(4));
}

#[test]
fn records_are_collected_in_the_areas_that_are_named_and_pins_are_told() {
    let (_dir, store) = store();
    for (area, name) in [("a", "x"), ("a", "y"), ("b", "x")] {
        store.put_record(area, name, b"1").expect("stored");
    }
    let records = [("a".to_owned(), ["x".to_owned()].into())].into();
    store.gc(&Alive { records, ..Alive::default() }, false).expect("collected");
    assert_eq!(store.list_records("a").expect("listed"), ["x"]);
    assert_eq!(store.list_records("b").expect("listed"), ["x"]);
    let work = store.work_dir().expect("a directory");
    let digest = BlobDigest::of(b"manifest");
    work.pin(&digest).expect("pinned");
    assert_eq!(store.pinned(), [digest]);
    drop(work);
    assert!(store.pinned().is_empty());
}

#[test]
fn private_cache_mounts_are_apart_and_shared_ones_are_not() {
    let (_dir, store) = store();
    let a = store.cache_mount("x", MountSharing::Private).expect("taken");
    let b = store.cache_mount("x", MountSharing::Private).expect("taken");
    assert_ne!(a.path(), b.path());
    let c = store.cache_mount("../../etc", MountSharing::Shared).expect("taken");
    let d = store.cache_mount("../../etc", MountSharing::Shared).expect("taken");
    assert_eq!(c.path(), d.path());
    assert!(c.path().starts_with(store.root()));
}
