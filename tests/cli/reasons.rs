//! Why a step runs: the reason in `--metadata-file` names what was changed, and
//! `phoenix plan` says before what `phoenix build` then does.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::time::{Duration, SystemTime};

use builder_core::store::Store;
use serde_json::Value;

use crate::build::with_busybox;
use crate::phoenix::Home;

const RECIPE: &str = "\
params: {version: '1', other: x}
from: {rootfs: root}
steps:
  - {name: sources, copy: [app/, /app/]}
  - {name: note, write: {path: /etc/note, content: one}}
  - {env: {MODE: a}}
  - name: compile
    run:
      script: cat /app/* > /out; echo ${{ version }} >> /out
      mounts: [{cache: c, target: /cache}]
  - name: takes
    run:
      script: cat /out /mnt/x > /taken || true
      mounts:
        - {cache: c, target: /cache}
        - {bind: extra, target: /mnt}
        - {secret: s, required: false}
  - {name: fresh, max_age: 1d, run: echo x > /fresh}
tests:
  - {name: check, run: test -e /out}
";

/// Name, status and reason of each step.
type Steps = Vec<(String, String, String)>;

fn steps(said: &Value) -> Steps {
    let text = |step: &Value, key: &str| step[key].as_str().expect("a text").to_owned();
    let steps = said["steps"].as_array().expect("steps").iter();
    steps.map(|s| (text(s, "name"), text(s, "status"), text(s, "reason"))).collect()
}

/// A home with all that the recipe needs; `None` (said loudly) where steps
/// cannot run.
fn home() -> Option<Home> {
    let home = Home::new();
    with_busybox(&home)?;
    home.write("root/etc/motd", "hello");
    for name in ["app/a", "app/b", "extra/x", "extra/y"] {
        home.write(name, name);
    }
    home.write("recipe.yaml", RECIPE);
    home.write("secret", "hush");
    Some(home)
}

fn json(home: &Home, args: &[&str]) -> Value {
    let said = home.run(args);
    assert_eq!(said.code, Some(0), "{args:?} {said:?}");
    serde_json::from_str(&said.stdout).expect("it is JSON")
}

/// Plans, builds, and gives what the build did.
fn plan_and_build(home: &Home, more: &[&str]) -> Steps {
    let plan = json(home, &[&["plan", "--format", "json"], more].concat());
    let planned = steps(&plan);
    let file = home.path("metadata.json").display().to_string();
    let build = ["build", "--jobs", "1", "--progress=quiet", "--metadata-file", &file];
    let said = home.run(&[&build[..], more].concat());
    assert_eq!(said.code, Some(0), "{said:?}");
    let metadata = fs::read(&file).expect("metadata");
    let built = steps(&serde_json::from_slice(&metadata).expect("JSON"));
    assert_eq!(planned.len(), built.len());
    for (plan, build) in planned.iter().zip(&built) {
        // What hangs on a step that has not run yet cannot be known.
        let hangs = plan.1 == "depends" && plan.0 == build.0;
        assert!(hangs || plan == build, "{plan:?}\n{build:?}");
    }
    built
}

/// A change of the recipe's text.
fn recipe(from: &'static str, to: &'static str) -> Box<dyn Fn(&Home)> {
    Box::new(move |home| {
        assert!(RECIPE.contains(from), "{from}");
        home.write("recipe.yaml", &RECIPE.replace(from, to));
    })
}

fn file(name: &'static str, text: &'static str) -> Box<dyn Fn(&Home)> {
    Box::new(move |home| home.write(name, text))
}

/// What is to be said of a step.
#[derive(Debug, Clone, Copy)]
enum Told {
    /// It stands.
    Cached,
    /// It stands although this changed, of which it looks at nothing.
    Reused(&'static str),
    /// It runs: the reason begins so.
    Ran(&'static str),
}

impl Told {
    fn is(self, status: &str, reason: &str) -> bool {
        match self {
            Self::Cached => {
                status == "cached" && reason == "nothing that it depends on has changed"
            }
            Self::Reused(what) => {
                status == "reused" && reason == format!("{what}; it looks at nothing of that")
            }
            Self::Ran(what) => status == "ran" && reason.starts_with(what),
        }
    }
}

/// What each step is to say; all others are cached.
type Because = &'static [(&'static str, Told)];

struct Case {
    what: &'static str,
    edit: Box<dyn Fn(&Home)>,
    args: &'static [&'static str],
    because: Because,
}

fn case(what: &'static str, edit: Box<dyn Fn(&Home)>, because: Because) -> Case {
    Case { what, edit, args: &[], because }
}

fn with(what: &'static str, args: &'static [&'static str], because: Because) -> Case {
    Case { what, edit: Box::new(|_| {}), args, because }
}

/// The layer of `sources`.
const OF_SOURCES: Told = Told::Reused("layer 2 of its root (from sources) changed");
const CACHE: Told = Told::Ran("what earlier steps left in cache \"c\" (mount 0) changed");
const OF_TAKES: Told = Told::Reused("layer 5 of its root (from takes) changed");
const OUT: Told = Told::Ran("it looks at /out, whose size changed from 12 to ");

/// Edits of what lies around the recipe.
fn of_files() -> Vec<Case> {
    let mode = |home: &Home| {
        let mode = fs::Permissions::from_mode(0o600);
        fs::set_permissions(home.path("app/a"), mode).expect("set");
    };
    let touch = |home: &Home| {
        let file = fs::File::options().write(true).open(home.path("app/a")).expect("there");
        file.set_modified(SystemTime::now() - Duration::from_secs(9999)).expect("set");
    };
    const OF_ROOT: Told = Told::Reused("layer 1 of its root (from root) changed");
    vec![
        with("nothing", &[], &[]),
        case("a time", Box::new(touch), &[]),
        case(
            "content",
            file("app/a", "other"),
            &[
                ("sources", Told::Ran("file /app/a changed")),
                ("compile", Told::Ran("it reads /app/a, which changed (+1 -1 lines)")),
                ("takes", CACHE),
                ("fresh", OF_SOURCES),
                ("check", OF_SOURCES),
            ],
        ),
        case(
            "a mode",
            Box::new(mode),
            &[
                ("sources", Told::Ran("file /app/a changed")),
                ("compile", Told::Ran("it looks at /app/a, whose mode changed from 0644 to 0600")),
                ("takes", CACHE),
                ("fresh", OF_SOURCES),
                ("check", OF_SOURCES),
            ],
        ),
        case(
            "a new file",
            file("app/c", "c"),
            &[
                ("sources", Told::Ran("file /app/c is new")),
                ("compile", Told::Ran("it lists /app, where c came")),
                ("takes", CACHE),
                ("fresh", OF_SOURCES),
                ("check", OUT),
            ],
        ),
        case(
            "a file that is gone",
            Box::new(|home| fs::remove_file(home.path("app/b")).expect("removed")),
            &[
                ("sources", Told::Ran("file /app/b is gone")),
                ("compile", Told::Ran("it looks for /app/b, which is gone (and 1 more)")),
                ("takes", CACHE),
                ("fresh", OF_SOURCES),
                ("check", OUT),
            ],
        ),
        case(
            "the base",
            file("root/etc/motd", "bye"),
            &[
                ("from root", Told::Ran("content of the base changed")),
                ("compile", OF_ROOT),
                ("takes", OF_ROOT),
                ("fresh", OF_ROOT),
                ("check", OF_ROOT),
            ],
        ),
        case(
            "a mounted file",
            file("extra/x", "other"),
            &[
                ("takes", Told::Ran("it reads /mnt/x, which changed")),
                ("fresh", OF_TAKES),
                ("check", OF_TAKES),
            ],
        ),
        case(
            "a mounted file that nobody reads",
            file("extra/y", "other"),
            &[("takes", Told::Reused("content of mount 1 at /mnt changed"))],
        ),
    ]
}

/// Edits of the recipe's words.
fn of_words() -> Vec<Case> {
    const OF_NOTE: Told = Told::Reused("layer 3 of its root (from note) changed");
    const MODE: Told = Told::Ran("variable MODE changed from `a` to `b`");
    vec![
        case(
            "what is written",
            recipe("content: one", "content: two"),
            &[
                ("note", Told::Ran("file /etc/note changed")),
                ("compile", OF_NOTE),
                ("takes", OF_NOTE),
                ("fresh", OF_NOTE),
                ("check", OF_NOTE),
            ],
        ),
        case(
            "words that leave the same layer",
            recipe("cat /app/* > /out;", "cat /app/* > /out; true;"),
            &[
                ("compile", Told::Ran("script changed from `cat /app/* > /out; echo 1 >> /out`")),
                ("takes", CACHE),
            ],
        ),
        case(
            "a variable",
            recipe("MODE: a", "MODE: b"),
            &[("compile", MODE), ("takes", MODE), ("fresh", MODE), ("check", MODE)],
        ),
        case("a parameter that nothing uses", recipe("other: x", "other: y"), &[]),
        case(
            "the network of a step",
            recipe("      script: cat /out", "      network: none\n      script: cat /out"),
            &[("takes", Told::Ran("network changed from `host` to `none`"))],
        ),
        case(
            "the user of a step",
            recipe("      script: cat /out", "      user: '0'\n      script: cat /out"),
            &[("takes", Told::Ran("user changed from `` to `0`"))],
        ),
        case(
            "the directory of a step",
            recipe("      script: cat /out", "      workdir: /etc\n      script: cat /out"),
            &[("takes", Told::Ran("working directory changed from `/` to `/etc`"))],
        ),
        case(
            "where something is mounted",
            recipe("target: /mnt", "target: /opt"),
            &[
                (
                    "takes",
                    Told::Ran("mount 1 changed from `bind \"extra\" at \"/mnt\" read-only` to `"),
                ),
                ("fresh", OF_TAKES),
                ("check", OF_TAKES),
            ],
        ),
        case(
            "a time limit",
            recipe("      script: cat /out", "      timeout: 60s\n      script: cat /out"),
            &[],
        ),
        case(
            "a step that is new",
            recipe("  - {name: fresh", "  - {name: more, mkdir: /more}\n  - {name: fresh"),
            &[
                ("more", Told::Ran("no earlier build of this recipe came to it")),
                ("fresh", Told::Reused("layer 6 of its root (from more) is new")),
                ("check", Told::Reused("layer 6 of its root (from more) changed")),
            ],
        ),
        case(
            "a step that is gone",
            recipe("  - {name: fresh, max_age: 1d, run: echo x > /fresh}\n", ""),
            &[("check", Told::Reused("layer 6 of its root is gone"))],
        ),
        case("a label", recipe("tests:\n", "config: {labels: {a: b}}\ntests:\n"), &[]),
    ]
}

/// What the command line asks for.
fn of_arguments() -> Vec<Case> {
    const FORBIDDEN: Told = Told::Ran("reuse is forbidden by --no-cache");
    const OF_COMPILE: Told = Told::Reused("layer 4 of its root (from compile) changed");
    let old = |home: &Home| {
        let store = Store::open(&home.path(".local/share/phoenix")).expect("there");
        for name in store.list_records("results").expect("listed") {
            let bytes = store.get_record("results", &name).expect("read").expect("listed");
            let mut record: Value = serde_json::from_slice(&bytes).expect("JSON");
            let ran_at = record["ran_at"].as_i64().expect("seconds");
            record["ran_at"] = (ran_at - 2 * 86_400).into();
            let bytes = serde_json::to_vec(&record).expect("JSON");
            store.put_record("results", &name, &bytes).expect("written");
        }
    };
    vec![
        with(
            "a parameter",
            &["--set", "version=2"],
            &[
                ("compile", Told::Ran("script changed from")),
                ("takes", CACHE),
                ("fresh", OF_COMPILE),
                ("check", OF_COMPILE),
            ],
        ),
        with(
            "a secret",
            &["--secret", "id=s,src=secret"],
            &[("takes", Told::Ran("mount 2 changed from"))],
        ),
        with("--no-cache=STEP", &["--no-cache=note"], &[("note", FORBIDDEN)]),
        with("--retest", &["--retest"], &[("check", Told::Ran("tests are forced by --retest"))]),
        case(
            "age",
            Box::new(old),
            &[("fresh", Told::Ran("its result is 2d old, more than max_age 1d"))],
        ),
    ]
}

fn check(cases: Vec<Case>) {
    let mut wrong = Vec::new();
    for Case { what, edit, args, because } in cases {
        let Some(home) = home() else { return };
        let first = plan_and_build(&home, &[]);
        assert!(first.iter().all(|step| step.2 == "no earlier build of this recipe came to it"));
        edit(&home);
        let because: BTreeMap<&str, Told> =
            because.iter().map(|(step, told)| (*step, *told)).collect();
        for (name, status, reason) in plan_and_build(&home, args) {
            let told = because.get(name.as_str()).copied().unwrap_or(Told::Cached);
            if !told.is(&status, &reason) {
                wrong.push(format!("{what}: {name} {status}: {reason}\n  (not {told:?})"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_reason_names_what_changed_of_the_files() {
    check(of_files());
}

#[test]
fn a_reason_names_what_changed_of_the_recipe() {
    check(of_words());
}

#[test]
fn a_reason_names_what_the_command_line_asks_for() {
    check(of_arguments());
}
