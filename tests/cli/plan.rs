//! `phoenix plan`: what would run, what would not and what hangs on what runs.
//! That it says what a build then does is held in `reasons`.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use crate::build::with_busybox;
use crate::phoenix::Home;

const RECIPE: &str = "\
from: {rootfs: root}
steps:
  - {name: sources, copy: [app/, /app/]}
  - {name: install, run: cat /app/needs > /installed}
  - {name: other, run: test -e /app && echo x > /other}
  - {name: uses, run: cat /installed > /used}
";

fn home() -> Option<Home> {
    let home = Home::new();
    with_busybox(&home)?;
    home.write("root/etc/motd", "hello");
    home.write("app/main", "main");
    home.write("app/needs", "one\ntwo\nthree\n");
    home.write("recipe.yaml", RECIPE);
    Some(home)
}

fn built(home: &Home) {
    let said = home.run(&["build", "--progress=quiet"]);
    assert_eq!(said.code, Some(0), "{said:?}");
}

fn plan(home: &Home, more: &[&str]) -> String {
    let said = home.run(&[&["plan"], more].concat());
    assert_eq!((said.code, said.stderr.as_str()), (Some(0), ""), "{said:?}");
    said.stdout
}

fn steps(home: &Home, more: &[&str]) -> Vec<Value> {
    let said = plan(home, &[&["--format", "json"], more].concat());
    let said: Value = serde_json::from_str(&said).expect("JSON");
    said["steps"].as_array().expect("steps").clone()
}

/// All that the store has.
fn files(dir: &Path) -> BTreeSet<String> {
    let mut all = BTreeSet::new();
    for entry in fs::read_dir(dir).expect("there") {
        let path = entry.expect("read").path();
        if path.is_dir() {
            all.extend(files(&path));
        }
        all.insert(path.display().to_string());
    }
    all
}

#[test]
fn a_plan_is_a_tree_with_the_first_thing_that_differs_and_diff_shows_it() {
    let Some(home) = home() else { return };
    built(&home);
    home.write("app/needs", "one\n2\nthree\n");
    let store = home.path(".local/share/phoenix");
    let before = files(&store);
    let said = plan(&home, &["--diff"]);
    let wanted = "\
main
├─ cached   from root  nothing that it depends on has changed
├─ run      sources    file /app/needs changed
├─ run      install    it reads /app/needs, which changed (+1 -1 lines)
├─ depends  other      would be reused if `install` leaves what it looks at as it did last time
└─ depends  uses       would be reused if `install` leaves what it looks at as it did last time

install:
--- a/app/needs
+++ b/app/needs
@@ -1,3 +1,3 @@
 one
-two
+2
 three
";
    assert_eq!(said, wanted);
    assert_eq!(files(&store), before, "a plan leaves nothing");
}

#[test]
fn what_is_told_as_data_names_the_cause_and_what_it_supposes() {
    let Some(home) = home() else { return };
    built(&home);
    home.write("app/needs", "one\n2\nthree\n");
    let steps = steps(&home, &["--diff"]);
    let told = |name: &str| steps.iter().find(|step| step["name"] == name).expect("a step");
    let install = told("install");
    let cause = json!({
        "tree": 0, "path": "/app/needs", "question": "content", "is_new": false, "is_gone": false,
    });
    assert_eq!((&install["because"][0], &install["stage"]), (&cause, &json!("main")));
    assert!(install["diff"].as_str().is_some_and(|diff| diff.contains("-two\n+2\n")), "{install}");
    let uses = told("uses");
    assert_eq!((&uses["status"], &uses["supposes"]), (&json!("depends"), &json!(["install"])));
}

#[test]
fn what_hangs_on_a_step_that_never_ran_is_unknown() {
    let Some(home) = home() else { return };
    home.write(
        "recipe.yaml",
        "from: {rootfs: root}\nsteps:\n  - {name: sources, copy: [app/, /app/]}\n",
    );
    built(&home);
    home.write("recipe.yaml", RECIPE);
    let told = |step: &Value| {
        [&step["name"], &step["status"], &step["reason"]]
            .map(|text| text.as_str().expect("a text").to_owned())
    };
    let steps: Vec<_> = steps(&home, &[]).iter().map(told).collect();
    let waits = "`install` runs before it; the result stands if that makes the same";
    assert_eq!(steps[2][..2], ["install", "ran"]);
    assert_eq!(steps[3], ["other", "depends", waits]);
    assert_eq!(steps[4], ["uses", "depends", waits]);
}

#[test]
fn a_difference_of_what_the_store_no_longer_has_is_said_to_be_that() {
    let Some(home) = home() else { return };
    built(&home);
    home.write("app/needs", "two\n");
    // The layer of `sources` is gone, and with it what was read of it.
    let metadata = home.path("metadata.json").display().to_string();
    let said = home.run(&["build", "--progress=quiet", "--metadata-file", &metadata]);
    assert_eq!(said.code, Some(0), "{said:?}");
    home.write("app/needs", "three\n");
    let metadata: Value =
        serde_json::from_slice(&fs::read(&metadata).expect("written")).expect("JSON");
    let layer = metadata["steps"][1]["layer"].as_str().expect("a layer");
    let hex = layer.strip_prefix("sha256:").expect("a diffID");
    fs::remove_file(home.path(".local/share/phoenix/phoenix/records/layers").join(hex))
        .expect("removed");
    let said = plan(&home, &["--diff"]);
    assert!(said.contains("it reads /app/needs, which changed\n"), "{said}");
    let gone = "install:\nthe store no longer has what it saw of /app/needs\n";
    assert!(said.ends_with(gone), "{said}");
}
