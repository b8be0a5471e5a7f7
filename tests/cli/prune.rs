//! `phoenix prune`: what nothing needs goes, and nothing else.

use std::fs;
use std::process::Stdio;
use std::time::Duration;

use serde_json::Value;

use crate::phoenix::said;
use crate::workload::{Place, eventually, noise};

fn prune(place: &Place, more: &[&str]) -> Value {
    let said = place.run(&[&["--store", "s", "prune", "--format", "json"], more].concat());
    assert_eq!((said.code, said.stderr.as_str()), (Some(0), ""), "{said:?}");
    serde_json::from_str(&said.stdout).expect("JSON")
}

fn removed(pruned: &Value, kind: &str) -> u64 {
    let kinds = pruned["removed"].as_array().expect("a list");
    let found = kinds.iter().find(|one| one["kind"] == kind);
    found.map_or(0, |one| one["files"].as_u64().expect("a number"))
}

/// Builds `ctx` with that content under a name; `true` where all was cached.
fn build(place: &Place, content: &str, tag: &str) -> bool {
    place.write("ctx/file", content);
    place.write("ctx/recipe.yaml", "from: {scratch: true}\nsteps:\n  - copy: [file, /file]\n");
    let args = ["--store", "s", "build", "ctx", "-t", tag, "--progress=plain"];
    let said = place.run(&args);
    assert_eq!(said.code, Some(0), "{said:?}");
    said.stderr.contains("1 cached, 0 reused, 0 ran")
}

fn blobs(place: &Place) -> usize {
    fs::read_dir(place.path("s/blobs/sha256")).expect("a store").count()
}

#[test]
fn named_images_and_results_stay_and_what_nothing_names_goes() {
    let place = Place::new();
    build(&place, "one", "t:1");
    build(&place, "two", "t:1");
    // A third never had a name.
    place.write("ctx/file", "three");
    let nameless = place.run(&["--store", "s", "build", "ctx"]);
    assert_eq!((nameless.code, blobs(&place)), (Some(0), 16), "{nameless:?}");
    // The first lost its name: manifests, configs and what is written of its
    // steps go, the layers are results.
    let would = prune(&place, &["-n"]);
    let pruned = prune(&place, &[]);
    assert_eq!((&would["removed"], &would["dry_run"]), (&pruned["removed"], &Value::Bool(true)));
    assert_eq!((removed(&pruned, "blobs"), removed(&pruned, "images")), (8, 1), "{pruned}");
    assert_eq!(blobs(&place), 8);
    assert!(build(&place, "one", "t:2"), "the result was of use");
    assert_eq!(prune(&place, &[])["files"], 0);
    place.store_is_whole("s");
}

#[test]
fn with_all_only_images_with_names_stay_whole() {
    let place = Place::new();
    build(&place, "one", "t:1");
    build(&place, "two", "t:2");
    assert_eq!(place.run(&["--store", "s", "rm", "t:2"]).code, Some(0));
    let pruned = prune(&place, &["--all"]);
    assert_eq!((removed(&pruned, "blobs"), blobs(&place)), (5, 6), "{pruned}");
    assert!(removed(&pruned, "records") > 0 && removed(&pruned, "tables") > 0, "{pruned}");
    let read = place.run(&["--store", "s", "cat", "t:1", "/file"]);
    assert_eq!(read.stdout, "one", "{read:?}");
    assert!(!build(&place, "two", "t:2"), "its result was removed");
    place.store_is_whole("s");
}

#[test]
fn what_builds_left_lying_about_goes_too() {
    let Some(place) = Place::with_base() else { return };
    place.whole_recipe();
    place.digest("s");
    for orphan in ["blobs/sha256", "phoenix/tables", "phoenix/data", "phoenix/captured"] {
        place.write(&format!("s/{orphan}/{}", "ab".repeat(32)), "orphan");
    }
    place.write("s/phoenix/downloads/sha256/new", "fetched just now");
    let killed = ["s", "phoenix", "work", "dir-dead"].join("/");
    place.write(&format!("{killed}.d/file"), "of a killed build");
    place.write(&format!("{killed}.lock"), "");
    let pruned = prune(&place, &[]);
    for kind in ["blobs", "tables", "data", "captured"] {
        assert!(removed(&pruned, kind) >= 1, "{kind}: {pruned}");
    }
    assert_eq!(removed(&pruned, "downloads"), 0, "{pruned}");
    place.nothing_left("s");
    let right = place.digest("s");
    let pruned = prune(&place, &["--all"]);
    assert!(removed(&pruned, "downloads") == 1 && removed(&pruned, "cache-mounts") > 0, "{pruned}");
    assert_eq!(place.digest("s"), right);
}

#[test]
fn results_used_longest_ago_go_first_until_the_rest_fits() {
    let place = Place::new();
    for (number, name) in ["old", "middle", "new"].iter().enumerate() {
        noise(&place.path("ctx/noise"), (number + 1) << 20);
        place.write(
            "ctx/recipe.yaml",
            &format!("from: {{scratch: true}}\nsteps:\n  - copy: [noise, /{name}]\n"),
        );
        place.digest_of("s", &[]);
        // Times of files tick slowly.
        std::thread::sleep(Duration::from_millis(30));
    }
    place.run(&["--store", "s", "rm", "t:1"]);
    let cached = |number: usize, name: &str| {
        noise(&place.path("ctx/noise"), (number + 1) << 20);
        place.write(
            "ctx/recipe.yaml",
            &format!("from: {{scratch: true}}\nsteps:\n  - copy: [noise, /{name}]\n"),
        );
        let said = place.run(&["--store", "s", "plan", "ctx", "--format", "json"]);
        said.stdout.contains("\"cached\"")
    };
    // Of use again, so it stays before the middle one.
    assert!(cached(0, "old"));
    prune(&place, &["--keep-storage", "5MB"]);
    assert!(cached(2, "new") && cached(0, "old") && !cached(1, "middle"));
    let said = place.run(&["--store", "s", "prune", "--keep-storage", "much"]);
    assert_eq!(said.code, Some(2), "{said:?}");
}

#[test]
fn running_build_is_waited_for_and_running_image_keeps_its_files() {
    let Some(place) = Place::with_base() else { return };
    place.write(
        "ctx/recipe.yaml",
        "from: {rootfs: base.tar}\nsteps:\n  - run:\n      script: |\n        touch /c/ready\n        \
         while ! test -e /c/go; do sleep 0.01; done\n        echo late > /late\n      \
         mounts: [{cache: c, target: /c}]\n",
    );
    let spawn = |mut command: std::process::Command| {
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command.spawn().expect("phoenix starts")
    };
    let build = spawn(place.build("s", &["-q"]));
    let mut cache = None;
    eventually("the step runs", || {
        let dirs = fs::read_dir(place.path("s/phoenix/cache-mounts")).into_iter().flatten();
        cache =
            dirs.flatten().map(|dir| dir.path().join("0")).find(|dir| dir.join("ready").exists());
        cache.is_some()
    });
    let mut pruning = spawn(place.command(&["--store", "s", "prune", "--all", "--force"]));
    std::thread::sleep(Duration::from_millis(200));
    assert!(pruning.try_wait().expect("ours").is_none(), "it did not wait");
    fs::write(cache.expect("just seen").join("go"), "").expect("written");
    assert_eq!(build.wait_with_output().expect("ours").status.code(), Some(0));
    let pruned = said(pruning.wait_with_output().expect("ours"));
    assert_eq!(pruned.code, Some(0), "{pruned:?}");
    assert!(pruned.stderr.contains("waiting for running builds"), "{pruned:?}");
    // The command waits for a line, then reads a file that nothing names any more.
    let script = "echo up; read line; cat /late";
    let mut running = spawn(place.command(&["--store", "s", "run", "t:1", "sh", "-c", script]));
    let mut up = [0; 3];
    let stdout = running.stdout.as_mut().expect("piped");
    std::io::Read::read_exact(stdout, &mut up).expect("it runs");
    assert_eq!(place.run(&["--store", "s", "rm", "t:1"]).code, Some(0));
    prune(&place, &["--all"]);
    let mut stdin = running.stdin.take().expect("piped");
    std::io::Write::write_all(&mut stdin, b"go\n").expect("it reads");
    let ran = said(running.wait_with_output().expect("ours"));
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(0), "late\n"), "{ran:?}");
    prune(&place, &["--all"]);
    assert_eq!(blobs(&place), 0);
}
