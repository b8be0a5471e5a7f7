//! `phoenix explain`: what a step looked at, why it ran, what nobody looked at;
//! and what is remembered for it, and for how long.

use std::collections::BTreeSet;
use std::fs;
use std::process::Stdio;
use std::time::{Duration, SystemTime};

use builder_core::cache::Cache;
use builder_core::store::Store;
use serde_json::Value;

use crate::build::with_busybox;
use crate::phoenix::{Home, said};

const RECIPE: &str = "\
params: {words: ''}
stages:
  other:
    from: {rootfs: root}
    steps:
      - {name: reads-more, run: cat /doc/other > /more}
  main:
    from: {rootfs: root}
    steps:
      - {name: sources, copy: [app/, /app/]}
      - name: compile
        run: 'cat /app/a > /out; echo x > /waste; test -e /none || ls /etc > /list # ${{ words }}'
      - name: takes
        run:
          script: cat /out /mnt/x > /taken
          mounts: [{bind: extra, target: /mnt}]
      - {name: fetched, copy: {from: other, src: /more, dest: /more}}
      - {name: apart, run: cat /etc/motd > /apart}
    tests:
      - {name: check, run: cat /taken /doc/tested > /dev/null}
";

const STORE: &str = ".local/share/phoenix";

fn home() -> Option<Home> {
    let home = Home::new();
    with_busybox(&home)?;
    home.write("root/etc/motd", "hello");
    for (name, size) in [("other", 1000), ("tested", 2000), ("unread", 40_000)] {
        home.write(&format!("root/doc/{name}"), &name.repeat(size));
    }
    for name in ["app/a", "app/b", "extra/x"] {
        home.write(name, name);
    }
    home.write("recipe.yaml", RECIPE);
    Some(home)
}

fn build(home: &Home, more: &[&str]) {
    let said = home.run(&[&["build", "-t", "t:1", "-q"], more].concat());
    assert_eq!(said.code, Some(0), "{said:?}");
}

fn explain(home: &Home, args: &[&str]) -> Value {
    let said = home.run(&[&["explain", "--format", "json"], args].concat());
    assert_eq!((said.code, said.stderr.as_str()), (Some(0), ""), "{args:?} {said:?}");
    serde_json::from_str(&said.stdout).expect("it is JSON")
}

fn text(value: &Value) -> &str {
    value.as_str().expect("a text")
}

/// What was asked of a path.
fn asked<'v>(told: &'v Value, path: &str) -> Option<&'v Value> {
    told["looked"]["paths"].as_array().expect("paths").iter().find(|at| at["path"] == path)
}

/// Reasons of `plan`, by step.
fn reason(home: &Home, step: &str) -> String {
    let said = home.run(&["plan", "--format", "json"]);
    assert_eq!(said.code, Some(0), "{said:?}");
    let planned: Value = serde_json::from_str(&said.stdout).expect("it is JSON");
    let steps = planned["steps"].as_array().expect("steps");
    let found = steps.iter().find(|known| known["name"] == step).expect(step);
    format!("{}: {}", text(&found["status"]), text(&found["reason"]))
}

#[test]
fn a_step_tells_all_that_it_looked_at_why_it_ran_and_since_when_it_stands() {
    let Some(home) = home() else { return };
    build(&home, &[]);
    home.write("app/a", "longer than before");
    build(&home, &[]);
    home.write("app/b", "other");
    build(&home, &[]);
    // Nothing happens in this one.
    build(&home, &[]);
    let told = explain(&home, &["compile"]);
    assert_eq!((&told["build"], &told["since"]), (&3.into(), &2.into()), "{told}");
    assert_eq!(told["step"]["status"], "reused");
    assert_eq!(told["looked"]["totals"]["listed"], 1);
    let read = asked(&told, "/app/a").expect("it was read");
    assert_eq!(read["asked"], serde_json::json!(["node", "content"]));
    assert_eq!((&read["found"], &read["size"]), (&true.into(), &18.into()));
    assert_eq!(asked(&told, "/none").expect("looked for")["found"], false);
    assert!(asked(&told, "/etc").expect("listed")["asked"].to_string().contains("list"));
    assert_eq!(asked(&told, "/bin/sh").expect("a link")["asked"][1], "link");
    assert_eq!(asked(&told, "/doc/unread"), None);
    let ran = &told["ran"];
    assert_eq!((&ran["build"], &ran["against"]["build"]), (&2.into(), &1.into()), "{ran}");
    let differs = &ran["against"]["differences"];
    assert_eq!(
        (&differs[0]["path"], &differs[0]["question"]),
        (&"/app/a".into(), &"content".into())
    );
    assert!(text(&ran["step"]["reason"]).contains("/app/a"), "{ran}");
    assert_eq!(told["often"][0]["path"], "/app/a");
    // The same for people, by number, by a part of the name, by directory.
    let dir = home.path("").display().to_string();
    for args in [&["4"][..], &["compi"], &["main/compile"], &[".", "compile"], &[&dir, "compile"]] {
        let said = home.run(&[&["explain"], args].concat());
        assert!(said.stdout.contains("Step 4 of stage main: compile"), "{args:?} {said:?}");
        assert!(said.stdout.contains("/app/a has other content"), "{said:?}");
    }
    // What is well known to make many steps run is named, with what to do.
    home.write("root/etc/passwd", "root:x:0:0::/root:/bin/sh\n");
    home.write("recipe.yaml", &RECIPE.replace("cat /etc/motd >", "cat /etc/passwd >"));
    build(&home, &[]);
    home.write("root/etc/passwd", "root:x:0:0::/root:/bin/cat\n");
    build(&home, &[]);
    for args in [&["explain"][..], &["explain", "apart"]] {
        let told = home.run(args).stdout;
        assert!(told.contains("hint: /etc/passwd is the users: "), "{told}");
    }
    let told = explain(&home, &[]);
    let often = told["often"].as_array().expect("paths");
    let users = often.iter().find(|path| path["path"] == "/etc/passwd").expect("it was");
    let wanted = serde_json::json!(["apart", "compile"]);
    assert_eq!((&users["times"], &users["steps"]), (&2.into(), &wanted), "`ls` looks too: {users}");
    let mounted = home.run(&["explain", "takes"]).stdout;
    assert!(mounted.contains("/extra/x of the mount at /mnt"), "{mounted}");
    let copy = home.run(&["explain", "sources"]).stdout;
    assert!(copy.contains("It is no process"), "{copy}");
}

#[test]
fn two_builds_are_compared_by_number_and_by_image() {
    let Some(home) = home() else { return };
    build(&home, &["-t", "first:1"]);
    home.write("extra/x", "other");
    build(&home, &[]);
    build(&home, &["--set", "words=more"]);
    for against in ["1", "first:1"] {
        let told = explain(&home, &["takes", "--against", against]);
        let told = &told["against"];
        assert_eq!((&told["build"], &told["parts"]), (&1.into(), &serde_json::json!([])), "{told}");
        let differs = told["differences"].as_array().expect("known");
        assert!(differs.iter().any(|d| d["path"] == "/extra/x" && d["tree"] == 3), "{told}");
    }
    let told = explain(&home, &["compile", "--against", "2"]);
    assert_eq!(told["against"]["parts"][0]["name"], "script", "{told}");
    let same = home.run(&["explain", "apart", "--against", "1"]);
    assert!(same.stdout.contains("it has the result of the same run"), "{same:?}");
    for (args, code, words) in [
        (&["compile", "--against", "9"][..], 2, "builds 1 to 3 are"),
        (&[".", "--against", "1"], 2, "none is named"),
        (&["compil3"], 2, "did you mean `compile`?"),
        (&["main/"], 2, "may be any of"),
        (&["compile", "--against", "none:1"], 5, "no image"),
        (&["--unused", "none:1"], 5, "no image"),
    ] {
        let said = home.run(&[&["explain"], args].concat());
        assert_eq!(said.code, Some(code), "{args:?} {said:?}");
        assert!(said.stderr.contains(words), "{args:?} {said:?}");
    }
}

#[test]
fn a_recipe_that_was_never_built_has_nothing_to_tell() {
    let home = Home::new();
    home.write("recipe.yaml", "from: {scratch: true}\n");
    for args in [&["explain"][..], &["explain", "x"], &["explain", "--unused"]] {
        let said = home.run(args);
        assert_eq!(said.code, Some(5), "{said:?}");
        assert!(said.stderr.contains("no build of this recipe is known"), "{said:?}");
    }
}

#[test]
fn history_holds_what_happened_of_all_builds_and_nothing_is_written_where_nothing_did() {
    let Some(home) = home() else { return };
    build(&home, &[]);
    let records = || {
        let mut all = Vec::new();
        for area in ["builds", "history"] {
            let dir = home.path(format!("{STORE}/phoenix/records/{area}"));
            for entry in fs::read_dir(dir).expect("there").flatten() {
                use std::os::unix::fs::MetadataExt as _;
                all.push((entry.file_name(), entry.metadata().expect("there").ino()));
            }
        }
        all
    };
    let before = records();
    build(&home, &[]);
    assert_eq!(records(), before, "a file was written anew");
    let spawn = |words: &str| {
        let words = format!("words={words}");
        let mut command = home.command(&["build", "-q", "--set", &words]);
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("phoenix starts")
    };
    let running: Vec<_> = ["one", "two", "three"].into_iter().map(spawn).collect();
    for child in running {
        let said = said(child.wait_with_output().expect("ours"));
        assert_eq!(said.code, Some(0), "{said:?}");
    }
    let failing = RECIPE.replace("cat /out /mnt/x", "cat /out /missing");
    home.write("recipe.yaml", &failing);
    assert_eq!(home.run(&["build", "-q"]).code, Some(1));
    let told = explain(&home, &[]);
    let builds = told["builds"].as_array().expect("builds");
    let numbers: Vec<u64> = builds.iter().map(|b| b["build"].as_u64().expect("one")).collect();
    assert_eq!(numbers, [5, 4, 3, 2, 1]);
    assert_eq!(builds[0]["image"], Value::Null);
    let steps = builds[0]["steps"].as_array().expect("steps");
    let takes = steps.iter().find(|step| step["name"] == "takes").expect("it was come to");
    assert_eq!(takes["status"], "failed");
    // Steps that it did not come to are told of all the same.
    assert_eq!(explain(&home, &["apart"])["step"]["name"], "apart");
    assert!(
        reason(&home, "takes").contains("its earlier run failed"),
        "{}",
        reason(&home, "takes")
    );
    home.write("recipe.yaml", RECIPE);
    assert!(reason(&home, "takes").starts_with("cached"), "{}", reason(&home, "takes"));
}

#[test]
fn removed_changed_and_failed_are_told_apart() {
    let Some(home) = home() else { return };
    build(&home, &[]);
    let removed = "ran: its result was removed from the store";
    for prune in [&["prune", "--keep-storage", "0"][..], &["prune", "--all"]] {
        assert!(reason(&home, "compile").starts_with("cached"));
        assert_eq!(home.run(prune).code, Some(0));
        assert_eq!(reason(&home, "from root"), removed, "{prune:?}");
        build(&home, &[]);
        let told = explain(&home, &["compile"]);
        assert_eq!(told["step"]["reason"], &removed[5..], "{prune:?} {told}");
    }
    home.write("app/a", "other");
    assert_eq!(reason(&home, "sources"), "ran: file /app/a changed");
}

/// The names in an area of records.
fn names(home: &Home, area: &str) -> BTreeSet<String> {
    let store = Store::open(&home.path(STORE)).expect("a store");
    store.list_records(area).expect("listed").into_iter().collect()
}

/// Every record that is named is there, and every one that is there is named.
fn nothing_dangles(home: &Home) {
    let cache = Cache::new(Store::open(&home.path(STORE)).expect("a store"));
    let mut pathsets = BTreeSet::new();
    let mut answers = BTreeSet::new();
    let mut parts = BTreeSet::new();
    for history in cache.histories().expect("read") {
        for step in history.builds.iter().flat_map(|build| &build.steps) {
            parts.insert(step.key.hex());
            if let Some(saw) = &step.saw {
                pathsets.insert(saw.pathset.hex());
                answers.insert(saw.strong.hex());
                parts.extend([saw.weak.hex(), saw.execution.hex()]);
            }
        }
    }
    for weak in names(home, "observed") {
        let weak = builder_core::digest::WeakFingerprint::from_hex(&weak).expect("a name");
        parts.insert(weak.hex());
        for observed in cache.observed(weak).expect("read") {
            pathsets.insert(observed.pathset.hex());
            answers.insert(observed.strong.hex());
        }
    }
    assert_eq!(names(home, "pathsets"), pathsets);
    assert_eq!(names(home, "answers"), answers);
    parts.extend(names(home, "results").into_iter().chain(names(home, "sources")));
    assert_eq!(names(home, "parts"), parts);
}

/// Makes all records of an area look as if they were not of use for long.
fn age(home: &Home, area: &str) {
    let long_ago = SystemTime::now() - Duration::from_secs(60 * 24 * 3600);
    for name in names(home, area) {
        let path = home.path(format!("{STORE}/phoenix/records/{area}/{name}"));
        let file = fs::File::options().write(true).open(path).expect("there");
        file.set_modified(long_ago).expect("set");
    }
}

#[test]
fn what_is_remembered_goes_with_its_layers_and_in_time() {
    let Some(home) = home() else { return };
    for content in ["one", "two", "three"] {
        home.write("app/a", content);
        build(&home, &[]);
    }
    assert_eq!(home.run(&["prune"]).code, Some(0));
    nothing_dangles(&home);
    let answers = 3 + 3 + 3 + 1 + 1;
    assert_eq!(names(&home, "answers").len(), answers, "compile, takes and check each time");
    // The results go; what was seen of late is remembered without them.
    assert_eq!(home.run(&["prune", "--keep-storage", "0"]).code, Some(0));
    nothing_dangles(&home);
    assert_eq!(names(&home, "results"), BTreeSet::new());
    assert_eq!(names(&home, "answers").len(), answers);
    assert_eq!(explain(&home, &["compile"])["looked"]["known"], true);
    age(&home, "observed");
    assert_eq!(home.run(&["prune"]).code, Some(0));
    nothing_dangles(&home);
    assert_eq!(names(&home, "observed"), BTreeSet::new());
    assert_eq!(explain(&home, &["compile"])["looked"]["known"], true, "history is young");
    age(&home, "builds");
    assert_eq!(home.run(&["prune"]).code, Some(0));
    nothing_dangles(&home);
    for area in ["history", "builds", "observed", "pathsets", "answers"] {
        assert_eq!(names(&home, area), BTreeSet::new(), "{area}");
    }
    // With results that stay, what made them is remembered however long ago.
    build(&home, &[]);
    for area in ["observed", "builds", "results"] {
        age(&home, area);
    }
    assert_eq!(home.run(&["prune"]).code, Some(0));
    nothing_dangles(&home);
    assert_eq!(names(&home, "builds").len(), 1);
    assert!(reason(&home, "compile").starts_with("cached"));
    assert_eq!(home.run(&["prune", "--all"]).code, Some(0));
    nothing_dangles(&home);
    for area in ["history", "builds", "observed", "pathsets", "answers", "parts", "results"] {
        assert_eq!(names(&home, area), BTreeSet::new(), "{area}");
    }
}

#[test]
fn what_no_step_and_no_test_of_the_image_read_is_listed_by_size() {
    let Some(home) = home() else { return };
    build(&home, &[]);
    let image = home.run(&["explain", "--unused", "t:1", "--format", "json"]);
    let told = explain(&home, &["--unused"]);
    assert_eq!(serde_json::from_str::<Value>(&image.stdout).expect("JSON"), told, "{image:?}");
    let place = |path: &str| {
        let places = told["places"].as_array().expect("places");
        let found = places.iter().find(|place| place["path"] == path);
        found.map(|place| (place["whole"] == true, place["unused"]["bytes"].as_u64()))
    };
    // A step of another stage on the same base does not count, a test does.
    let doc = (40_000 * "unread".len() + 1000 * "other".len()) as u64;
    assert_eq!(place("/doc"), Some((false, Some(doc))), "{told}");
    assert_eq!(told["places"][0]["path"], "/doc", "the largest first");
    assert_eq!(place("/app"), Some((false, Some(5))), "/app/b is found by none");
    assert_eq!(place("/old"), Some((true, Some(3))));
    // /out was read by the next step; /waste, /list and /apart by none.
    let layers = told["layers"].as_array().expect("layers");
    let of = |origin: &str| layers.iter().find(|layer| layer["origin"] == origin).expect(origin);
    assert_eq!(
        (&of("compile")["unused"]["files"], &of("compile")["all"]["files"]),
        (&2.into(), &3.into())
    );
    assert_eq!(of("apart")["unused"]["files"], 1);
    assert_eq!(of("takes")["unused"]["files"], 0, "the test reads it");
    let watched = told["watched"].as_array().expect("names");
    assert_eq!(watched.len(), 4, "three steps and a test of the image: {told}");
    // What is written anew was read by nobody.
    let anew = RECIPE.replace("cat /etc/motd > /apart", "echo y > /out");
    home.write("recipe.yaml", &anew);
    build(&home, &[]);
    let told = home.run(&["explain", "--unused"]).stdout;
    assert!(told.contains("/doc/* (files in it)") && told.contains("This is a hint"), "{told}");
    let told = explain(&home, &["--unused"]);
    let apart = told["layers"].as_array().expect("layers").last().expect("one").clone();
    assert_eq!((&apart["origin"], &apart["unused"]["files"]), (&"apart".into(), &1.into()));
    // Steps that are not watched are named.
    home.write(
        "recipe.yaml",
        &anew
            .replace("name: apart, run:", "name: apart, run: {trace: 'off', script:")
            .replace("echo y > /out}", "echo z > /out}}"),
    );
    build(&home, &[]);
    assert_eq!(explain(&home, &["--unused"])["unwatched"], serde_json::json!(["apart"]));
}
