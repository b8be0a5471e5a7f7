//! A context that is edited while it is built, and what a context should not
//! hold: clear errors that name the file, nothing saved, no way out of it.

use std::fs::{self, File, OpenOptions};
use std::io::{Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;
use std::process::{Child, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};

use crate::phoenix::{Said, said};
use crate::workload::{Over, Place, eventually, noise, skip};

/// A store, and what happens to the file while it is built there.
type Edit = (&'static str, fn(&Path));

fn start(place: &Place, store: &str) -> Child {
    let mut command = place.build(store, &["--progress=plain"]);
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("phoenix starts")
}

/// Checks that a build failed because of `file`, and saved nothing of it.
fn refused(place: &Place, store: &str, child: Child, file: &str) {
    let said = said(child.wait_with_output().expect("ours"));
    assert_eq!(said.code, Some(1), "{said:?}");
    let expected = format!("context changed during the build: /{file}");
    assert!(said.stderr.contains(&expected), "{said:?}");
    assert!(!said.stderr.contains("panicked"), "{said:?}");
    let results = fs::read_dir(place.path(store).join("phoenix/records/results"));
    assert_eq!(results.map_or(0, Iterator::count), 0, "{said:?}");
    assert!(!place.run(&["--store", store, "images"]).stdout.contains("t:1"));
    place.nothing_left(store);
}

/// Overwrites the last bytes of a file in place, its size and times as before.
fn edit_unseen(path: &Path) {
    let mut file = OpenOptions::new().write(true).open(path).expect("there");
    let meta = file.metadata().expect("stat");
    file.seek(SeekFrom::End(-8)).and_then(|_| file.write_all(b"editedXX")).expect("written");
    let times = fs::FileTimes::new()
        .set_modified(meta.modified().expect("known"))
        .set_accessed(meta.accessed().expect("known"));
    file.set_times(times).expect("ours");
}

#[test]
fn file_that_is_edited_while_it_is_copied() {
    let place = Place::new();
    let path = place.path("ctx/noise");
    place.write("ctx/recipe.yaml", "from: {scratch: true}\nsteps:\n  - copy: [noise, /noise]\n");
    let edits: [Edit; 3] = [
        ("same-size-and-time", edit_unseen),
        ("shorter", |path| {
            OpenOptions::new()
                .write(true)
                .open(path)
                .and_then(|f| f.set_len(9 << 20))
                .expect("cut");
        }),
        ("longer", |path| {
            OpenOptions::new()
                .append(true)
                .open(path)
                .and_then(|mut f| f.write_all(b"x"))
                .expect("grown");
        }),
    ];
    for (store, edit) in edits {
        noise(&path, 24 << 20);
        let child = start(&place, store);
        // The file was hashed: now it is read again, into a blob.
        let work = place.path(store).join("phoenix/work");
        eventually("the layer is written", || {
            let dirs = fs::read_dir(&work).into_iter().flatten().flatten();
            let mut files =
                dirs.flat_map(|dir| fs::read_dir(dir.path()).into_iter().flatten().flatten());
            files.any(|file| file.metadata().is_ok_and(|meta| meta.len() >= 1 << 20))
        });
        edit(&path);
        refused(&place, store, child, "noise");
        assert_eq!(place.digest(store), place.digest(&format!("{store}-anew")), "{store}");
    }
}

#[test]
fn file_that_is_edited_between_builds_is_copied_again_though_size_and_time_are_as_before() {
    let place = Place::new();
    let path = place.path("ctx/file");
    place.write("ctx/file", "first content");
    place.write("ctx/recipe.yaml", "from: {scratch: true}\nsteps:\n  - copy: [file, /file]\n");
    // So long ago that later builds trust what an earlier one read of it.
    std::thread::sleep(std::time::Duration::from_secs(4));
    let first = place.digest("s");
    let again = said(place.build("s", &["--progress=plain"]).output().expect("phoenix starts"));
    assert!(again.stderr.contains("1 cached, 0 reused, 0 ran"), "{again:?}");
    let before = path.metadata().expect("stat");
    edit_unseen(&path);
    let after = path.metadata().expect("stat");
    assert_eq!((before.len(), before.modified().ok()), (after.len(), after.modified().ok()));
    assert_ne!(place.digest("s"), first);
    let content = place.run(&["--store", "s", "cat", "t:1", "/file"]).stdout;
    assert_eq!(content, "firsteditedXX");
    // Nor does an edit pass that comes before the next build trusts what was read.
    fs::write(&path, "third content").expect("written");
    let third = place.digest("s");
    edit_unseen(&path);
    assert_ne!(place.digest("s"), third);
}

#[test]
fn file_that_is_edited_all_the_time_is_never_half_of_each() {
    let place = Place::new();
    let path = place.path("ctx/file");
    place.write("ctx/recipe.yaml", "from: {scratch: true}\nsteps:\n  - copy: [file, /file]\n");
    let over = AtomicBool::new(false);
    fs::write(&path, vec![b'a'; 1 << 20]).expect("written");
    std::thread::scope(|scope| {
        let _over = Over(&over);
        scope.spawn(|| {
            for byte in (b'a'..=b'z').cycle() {
                if over.load(Ordering::Relaxed) {
                    return;
                }
                let mut file = OpenOptions::new().write(true).open(&path).expect("there");
                file.write_all(&vec![byte; 1 << 20]).expect("written");
            }
        });
        for _ in 0..8 {
            let said = said(place.build("s", &["-q"]).output().expect("phoenix starts"));
            match said.code {
                // It was copied between two edits, or within one: as it was hashed.
                Some(0) => drop(place.run(&["--store", "s", "cat", "t:1", "/file"])),
                _ => assert!(said.stderr.contains("context changed during"), "{said:?}"),
            }
        }
    });
    fs::write(&path, "settled").expect("written");
    assert_eq!(place.digest("s"), place.digest("anew"));
    assert_eq!(place.run(&["--store", "s", "cat", "t:1", "/file"]).stdout, "settled");
}

#[test]
fn file_that_is_edited_before_a_step_reads_it_through_a_bind_mount() {
    let Some(place) = Place::with_base() else { return };
    // The step waits for a file in its cache mount, so the edit comes in time.
    let recipe = r"
from: {rootfs: base.tar}
steps:
  - run:
      script: |
        touch /c/ready
        while ! test -e /c/go; do sleep 0.01; done
        cat /mnt/file > /out
      mounts: [{bind: app, target: /mnt}, {cache: c, target: /c}]
";
    place.write("ctx/recipe.yaml", recipe);
    let path = place.path("ctx/app/file");
    let edits: [Edit; 3] = [
        ("rewritten", |path| fs::write(path, "another text").expect("written")),
        ("gone", |path| fs::remove_file(path).expect("removed")),
        ("same-size-and-time", edit_unseen),
    ];
    for (store, edit) in edits {
        place.write("ctx/app/file", "first content");
        let child = start(&place, store);
        let mounts = place.path(store).join("phoenix/cache-mounts");
        let mut cache = None;
        eventually("the step runs", || {
            let dirs = fs::read_dir(&mounts).into_iter().flatten().flatten();
            let mut dirs = dirs.map(|dir| dir.path().join("0"));
            cache = dirs.find(|dir| dir.join("ready").exists());
            cache.is_some()
        });
        edit(&path);
        let go = cache.expect("just seen").join("go");
        File::create(&go).expect("made");
        refused(&place, store, child, "app/file");
        if path.exists() {
            let content = fs::read_to_string(&path).expect("read");
            place.digest(store);
            let said = place.run(&["--store", store, "cat", "t:1", "/out"]);
            assert_eq!(said.stdout, content, "{said:?}");
        }
    }
}

fn copy(place: &Place, recipe: &str) -> Said {
    place.write("ctx/recipe.yaml", recipe);
    said(place.build("s", &["--progress=plain"]).output().expect("phoenix starts"))
}

fn copy_of(place: &Place, name: &str) -> Said {
    copy(place, &format!("from: {{scratch: true}}\nsteps:\n  - copy: [{name}, /x/]\n"))
}

#[test]
fn links_in_a_circle_are_refused_by_name_and_copied_as_part_of_a_tree() {
    let place = Place::new();
    place.write("ctx/tree/file", "1");
    symlink("b", place.path("ctx/tree/a")).expect("linked");
    symlink("a", place.path("ctx/tree/b")).expect("linked");
    let said = copy_of(&place, "tree/a");
    assert_eq!(said.code, Some(1), "{said:?}");
    assert!(said.stderr.contains("tree/a") && said.stderr.contains("link"), "{said:?}");
    let said = copy_of(&place, "tree");
    assert_eq!(said.code, Some(0), "{said:?}");
}

#[test]
fn fifos_sockets_and_devices_never_block_and_unreadable_files_are_named() {
    let place = Place::new();
    place.write("ctx/tree/file", "1");
    let mode = rustix::fs::Mode::from_raw_mode(0o644);
    let make = |name: &str, kind, device| {
        rustix::fs::mknodat(rustix::fs::CWD, place.path(name), kind, mode, device)
    };
    make("ctx/tree/fifo", rustix::fs::FileType::Fifo, 0).expect("a fifo");
    let _socket = std::os::unix::net::UnixListener::bind(place.path("ctx/tree/socket"));
    if rustix::process::geteuid().is_root() {
        let null = rustix::fs::makedev(1, 3);
        make("ctx/tree/null", rustix::fs::FileType::CharacterDevice, null).expect("a device");
    }
    // As a part of a tree they are what they are; a layer holds no socket.
    let said = copy_of(&place, "tree");
    assert_eq!(said.code, Some(0), "{said:?}");
    let listed = place.run(&["--store", "s", "ls", "-R", "t:1", "/x"]).stdout;
    assert!(listed.contains("fifo") && !listed.contains("socket"), "{listed}");
    // Where content is wanted of them, that is an error.
    fs::remove_file(place.path("ctx/recipe.yaml")).expect("there");
    make("ctx/base", rustix::fs::FileType::Fifo, 0).expect("a fifo");
    let said = copy(&place, "from: {rootfs: base}\n");
    assert_eq!(said.code, Some(1), "{said:?}");
    assert!(said.stderr.contains("base") && said.stderr.contains("regular"), "{said:?}");
}

#[test]
fn unreadable_file_is_named() {
    let place = Place::new();
    place.write("ctx/secret", "1");
    place.write("ctx/recipe.yaml", "from: {scratch: true}\nsteps:\n  - copy: [secret, /x]\n");
    fs::set_permissions(place.path("ctx/secret"), fs::Permissions::from_mode(0o000)).expect("ours");
    let Some(place) = place.of_user() else { return };
    let said = said(place.build("s", &["--progress=plain"]).output().expect("phoenix starts"));
    assert_eq!(said.code, Some(1), "{said:?}");
    assert!(said.stderr.contains("secret") && said.stderr.contains("denied"), "{said:?}");
    place.nothing_left("s");
}

#[test]
fn directory_that_becomes_a_link_out_of_the_context_leads_nowhere() {
    let place = Place::new();
    place.write("outside/d0/file", "OUTSIDE");
    for number in 0..60 {
        place.write(&format!("ctx/tree/d{number}/file"), "inside");
    }
    place.write("ctx/recipe.yaml", "from: {scratch: true}\nsteps:\n  - copy: [tree/, /x/]\n");
    symlink(place.path("outside/d0"), place.path("ctx/link")).expect("linked");
    let (swapped, link) = (place.path("ctx/tree/d0"), place.path("ctx/link"));
    let over = AtomicBool::new(false);
    let mut built = 0;
    std::thread::scope(|scope| {
        let _over = Over(&over);
        scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                let flags = rustix::fs::RenameFlags::EXCHANGE;
                let cwd = rustix::fs::CWD;
                // Not all the time: renames hold up every look-up of the host.
                std::thread::sleep(std::time::Duration::from_micros(300));
                if rustix::fs::renameat_with(cwd, &swapped, cwd, &link, flags).is_err() {
                    skip("this file system cannot exchange names");
                    return;
                }
            }
        });
        for _ in 0..12 {
            let said = said(place.build("s", &["-q"]).output().expect("phoenix starts"));
            assert!(!said.stderr.contains("panicked"), "{said:?}");
            match said.code {
                Some(0) => {
                    built += 1;
                    let read = place.run(&["--store", "s", "cat", "t:1", "/x/d0/file"]);
                    assert!(!read.stdout.contains("OUTSIDE"), "{read:?}");
                }
                code => {
                    assert_eq!(code, Some(1), "{said:?}");
                    assert!(said.stderr.contains("changed during"), "{said:?}");
                }
            }
        }
    });
    println!("{built} of 12 builds found it whole");
}
