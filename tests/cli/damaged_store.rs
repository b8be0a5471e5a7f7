//! A store that an unclean stop, a disk or a person has damaged, file by file:
//! the next build heals it, or says which file it is and what to do.

use std::fs;
use std::path::{Path, PathBuf};

use crate::phoenix::said;
use crate::workload::Place;

/// What happens to a file.
#[derive(Debug, Clone, Copy)]
enum Damage {
    /// Its length stays, its bytes are gone: as after a power cut.
    Zeroed,
    Halved,
    Gone,
}

fn damage(path: &Path, how: Damage) {
    let size = fs::metadata(path).expect("it is there").len();
    match how {
        Damage::Zeroed => fs::write(path, vec![0; usize::try_from(size).expect("small")]),
        Damage::Halved => {
            fs::File::options().write(true).open(path).and_then(|file| file.set_len(size / 2))
        }
        Damage::Gone => fs::remove_file(path),
    }
    .expect("ours");
}

/// Every file of a store, but for locks and what steps keep in cache mounts.
fn files(dir: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).expect("a directory").flatten() {
        let path = entry.path();
        let is_lock = path.extension().is_some_and(|extension| extension == "lock");
        if path.is_dir() && !path.ends_with("cache-mounts") {
            files(&path, found);
        } else if path.is_file() && !is_lock {
            found.push(path);
        }
    }
}

#[test]
fn every_file_of_a_store_is_healed_or_named_with_what_to_do() {
    let Some(place) = Place::with_base() else { return };
    place.write("ctx/app/file", "content");
    place.write(
        "ctx/recipe.yaml",
        "from: {rootfs: base.tar}\nsteps:\n  - copy: [app/, /app/]\n  - run:\n      script: cat /mnt/file > \
         /made\n      mounts: [{bind: app, target: /mnt}]\n",
    );
    let right = place.digest("s");
    let root = place.path("s");
    let mut all = Vec::new();
    files(&root, &mut all);
    // Blobs first: with fewer records another artifact would be written beside
    // the image, and nothing would heal the one before.
    all.sort();
    let of = |part: &str| all.iter().filter(|path| path.to_string_lossy().contains(part)).count();
    for part in ["blobs/", "tables/", "data/", "records/results", "records/sources", "captured/"] {
        assert!(of(part) > 0, "no file of {part} is tried: {all:#?}");
    }
    let mut healed = 0;
    for path in &all {
        for how in [Damage::Zeroed, Damage::Halved, Damage::Gone] {
            // A build may have made a file anew under another name.
            if !path.exists() || fs::metadata(path).is_ok_and(|meta| meta.len() == 0) {
                continue;
            }
            damage(path, how);
            let built = said(place.build("s", &["-q"]).output().expect("phoenix starts"));
            let case = format!("{how:?} {}: {built:?}", path.display());
            assert!(!built.stderr.contains("panicked"), "{case}");
            if built.code == Some(0) {
                healed += 1;
                assert_eq!(built.stdout.trim(), right, "{case}");
            } else {
                assert!(path.ends_with("index.json"), "{case}");
                assert!(built.stderr.contains("index.json"), "{case}");
                assert!(built.stderr.contains("hint: "), "{case}");
                fs::remove_file(path).expect("as the hint says");
                assert_eq!(place.digest("s"), right, "{case}");
            }
            place.store_is_whole("s");
            let read = place.run(&["--store", "s", "cat", "t:1", "/made"]);
            assert_eq!(read.stdout, "content", "{case}: {read:?}");
        }
    }
    assert!(healed >= all.len(), "{healed} of {} files", all.len());
}

#[test]
fn damaged_image_is_never_given_out() {
    let place = Place::new();
    place.write("ctx/file", &"content ".repeat(1000));
    place.write("ctx/recipe.yaml", "from: {scratch: true}\nsteps:\n  - copy: [file, /file]\n");
    place.digest("s");
    let mut all = Vec::new();
    files(&place.path("s/blobs"), &mut all);
    for path in all {
        let bytes = fs::read(&path).expect("a blob");
        // What belongs to the image and is no part of it is not looked at.
        let zstd = bytes.starts_with(b"\x28\xb5\x2f\xfd");
        if zstd || bytes == b"{}" || String::from_utf8_lossy(&bytes).contains("artifactType") {
            continue;
        }
        let mut bad = bytes.clone();
        let middle = bad.len() / 2;
        bad[middle] ^= 1;
        fs::write(&path, &bad).expect("ours");
        for args in [&["cat", "t:1", "/file"][..], &["ls", "t:1"], &["inspect", "t:1"]] {
            let said = place.run(&[&["--store", "s"], args].concat());
            let text = format!("{args:?} with a bad {}: {said:?}", path.display());
            assert!(!said.stderr.contains("panicked"), "{text}");
            match args[0] {
                "cat" => assert_ne!(said.code, Some(0), "{text}"),
                _ => assert!(said.code == Some(0) || said.stderr.contains("error"), "{text}"),
            }
        }
        fs::write(&path, &bytes).expect("ours");
    }
    assert_eq!(place.run(&["--store", "s", "cat", "t:1", "/file"]).code, Some(0));
}
