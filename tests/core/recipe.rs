//! Recipes: good ones become the plan that is in their snapshot, bad ones are
//! refused at their place, and nothing makes the parser panic.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use builder_core::frontend::{Class, Diagnostic};
use builder_core::recipe::{self, Loaded, Params};
use proptest::prelude::*;

use crate::mutate::{as_it_is, hammer};
use crate::targets;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("the crate lies in the workspace")
        .to_owned()
}

fn load(text: &str) -> Result<Loaded, Vec<Diagnostic>> {
    recipe::load(text, Path::new("recipe.yaml"), Path::new("/ctx"), &Params::default())
}

/// All recipes of the repository that must be right: name and text.
fn good() -> Vec<(String, String)> {
    let mut found = Vec::new();
    for entry in
        std::fs::read_dir(root().join("tests/fixtures/recipes")).expect("fixtures are there")
    {
        let path = entry.expect("a directory can be listed").path();
        let name = path.file_stem().expect("a file has a name").to_string_lossy().into_owned();
        found.push((name, std::fs::read_to_string(&path).expect("a fixture is text")));
    }
    for name in ["hello", "web"] {
        let path = root().join("recipes").join(name).join("recipe.yaml");
        found.push((name.to_owned(), std::fs::read_to_string(path).expect("a recipe is text")));
    }
    found.push(("template".to_owned(), recipe::init_template().to_owned()));
    found.sort();
    found
}

/// A plan as people read it; vertices are numbered, not hashed.
fn readable(loaded: &Loaded) -> String {
    let plan = &loaded.plan;
    let number = |id| {
        plan.vertices().iter().position(|vertex| vertex.id == id).expect("inputs are in the plan")
    };
    let mut text = format!(
        "mtime {:?}, params {:?}, secrets {:?}\n",
        plan.mtime, loaded.params, loaded.secrets
    );
    for (at, vertex) in plan.vertices().iter().enumerate() {
        let inputs: Vec<_> = vertex.inputs.iter().map(|id| number(*id)).collect();
        let meta = &vertex.meta;
        let line = meta.location.as_ref().map_or(0, |location| location.line);
        writeln!(
            text,
            "\n#{at} {} [{}] line {line}, step {:?}, max_age {:?}, inputs {inputs:?}",
            meta.name, meta.stage, meta.step, meta.max_age
        )
        .expect("a string takes all");
        writeln!(text, "{:#?}", vertex.op).expect("a string takes all");
    }
    for target in plan.targets() {
        let tests: Vec<_> = target.tests.iter().map(|test| number(test.vertex)).collect();
        writeln!(
            text,
            "\ntarget {} = #{}, tests {tests:?}, {:?}",
            target.stage,
            number(target.vertex),
            target.annotations
        )
        .expect("a string takes all");
    }
    text
}

#[test]
fn good_recipes_become_the_plans_in_their_snapshots() {
    for (name, text) in good() {
        match load(&text) {
            Ok(loaded) => insta::assert_snapshot!(name, readable(&loaded)),
            Err(found) => panic!("{name}: {}", say(&found)),
        }
    }
}

fn say(found: &[Diagnostic]) -> String {
    found.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

/// Recipes that are wrong, each with all that is said about it.
const BAD: &[(&str, &str)] = &include!("recipe_bad.in");

#[test]
fn bad_recipes_are_refused_at_their_place() {
    let mut wrong = String::new();
    for (text, expected) in BAD {
        let said = load(text).map_or_else(|found| say(&found), |_| "accepted".to_owned());
        if said != *expected {
            write!(wrong, "--- {text}\nsaid     {said}\nexpected {expected}\n")
                .expect("a string takes all");
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
    assert!(BAD.len() >= 40);
}

#[test]
fn a_diagnostic_carries_all_an_excerpt_needs() {
    let found = load("from: {scratch: true}\nstpes: []\n").expect_err("`stpes` is no key");
    let diagnostic = &found[0];
    assert_eq!((diagnostic.source_line.as_str(), diagnostic.width), ("stpes: []", 5));
    assert_eq!(diagnostic.help.as_deref(), Some("did you mean `steps`?"));
    assert_eq!(diagnostic.class, Class::Invalid);
}

#[test]
fn a_parameter_takes_set_before_environment_before_default() {
    let text = "params: {a: '1', b: '2', c: '3'}\nfrom: {scratch: true}\n";
    let pairs = |list: &[(&str, &str)]| {
        list.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect()
    };
    let given = Params {
        set: pairs(&[("a", "set")]),
        env: pairs(&[
            ("PHOENIX_PARAM_A", "env"),
            ("PHOENIX_PARAM_B", "env"),
            ("PHOENIX_PARAM_Z", ""),
        ]),
    };
    let (file, base) = (Path::new("r.yaml"), Path::new("/ctx"));
    let loaded = recipe::load(text, file, base, &given).expect("all are declared");
    assert_eq!(loaded.params, pairs(&[("a", "set"), ("b", "env"), ("c", "3")]));
    let text = "params: {alpha: 1}\nfrom: {scratch: true}\n";
    let given = Params { set: pairs(&[("alpah", "x")]), ..Params::default() };
    let found = recipe::load(text, file, base, &given).expect_err("`alpah` is not declared");
    assert_eq!(
        say(&found),
        "`--set alpah`: the recipe has no such parameter (did you mean `alpha`?)"
    );
}

#[test]
fn a_changed_parameter_changes_only_the_vertices_that_use_it_and_their_users() {
    let text =
        "params: {p: a}\nfrom: {scratch: true}\nsteps:\n  - mkdir: /x\n  - mkdir: /${{ p }}\n";
    let given = Params { set: [("p".to_owned(), "b".to_owned())].into(), ..Params::default() };
    let one = load(text).expect("it is right").plan;
    let other = recipe::load(text, Path::new("recipe.yaml"), Path::new("/ctx"), &given)
        .expect("it is right")
        .plan;
    let same: Vec<_> =
        one.vertices().iter().zip(other.vertices()).map(|(a, b)| a.id == b.id).collect();
    assert_eq!(same, [true, true, false]);
}

#[test]
fn a_bomb_of_aliases_is_refused_soon() {
    let mut text = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for at in 1..12 {
        let alias = format!("*a{}", at - 1);
        writeln!(text, "a{at}: &a{at} [{}]", vec![alias; 10].join(", "))
            .expect("a string takes all");
    }
    let found = load(&text).expect_err("it unfolds to 10^12 nodes");
    assert!(say(&found).contains("unfolds to too much"), "{}", say(&found));
    let long = format!("x: {}", "[".repeat(200_000));
    assert!(load(&long).is_err());
    let huge = format!("x: {}", "y".repeat(2 << 20));
    assert!(say(&load(&huge).expect_err("too long")).contains("at most"));
}

/// `file` as JSON, by PyYAML and checked by python's jsonschema: whether each
/// recipe is accepted. `None` if these are not here.
fn judged_by_schema(recipes: &[String]) -> Option<Vec<bool>> {
    use std::io::Write as _;
    use std::process::{Command, Stdio};
    let script = "import sys,json\nimport yaml,jsonschema\nd=json.load(sys.stdin)\njsonschema.Draft202012Validator.check_schema(d[0])\nv=jsonschema.Draft202012Validator(d[0])\nprint(json.dumps([v.is_valid(yaml.safe_load(t)) for t in d[1]]))";
    // Where Debian's packages put their modules, whatever else is on the PATH.
    let debian = "/usr/bin/python3";
    let python = if Path::new(debian).exists() { debian } else { "python3" };
    let mut child = Command::new(python)
        .args(["-c", script])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .ok()?;
    let input = serde_json::to_vec(&(recipe::schema(), recipes)).expect("both are plain data");
    let _ = child.stdin.take().expect("it was piped").write_all(&input);
    let output = child.wait_with_output().ok()?;
    serde_json::from_slice(&output.stdout).ok()
}

#[test]
fn the_schema_accepts_what_the_parser_accepts() {
    let (names, texts): (Vec<_>, Vec<_>) = good().into_iter().unzip();
    let structural = [
        "from: {scratch: true}\nstpes: []\n",
        "steps: []\n",
        "from: {scratch: true, oci: x}\n",
        "from: {}\n",
        "from: {scratch: true}\nsteps: [{run: a, copy: [b, c]}]\n",
        "from: {scratch: true}\nsteps: [{name: a}]\n",
        "from: {scratch: true}\nsteps: [{copy: {src: a}}]\n",
        "from: {scratch: true}\nsteps: [{mkdir: {path: /a, mode: '0899'}}]\n",
        "from: {scratch: true}\nsteps: [{run: a, max_age: soon}]\n",
        "from: {scratch: true}\nstages: {a: {from: {scratch: true}}}\n",
        "stages: {}\n",
    ];
    let mut all = texts;
    all.extend(structural.map(str::to_owned));
    let Some(accepted) = judged_by_schema(&all) else {
        assert!(
            std::env::var("PHOENIX_TESTS_STRICT").as_deref() != Ok("1"),
            "python3 with yaml and jsonschema is needed"
        );
        eprintln!("SKIPPED: python3 with yaml and jsonschema is not here");
        return;
    };
    for (at, accepted) in accepted.iter().enumerate() {
        let name = names.get(at).map_or(all[at].as_str(), String::as_str);
        assert_eq!(*accepted, at < names.len(), "{name}");
        assert_eq!(load(&all[at]).is_ok(), at < names.len(), "{name}");
    }
}

#[test]
fn no_mutated_recipe_makes_it_panic() {
    let seeds: Vec<Vec<u8>> = good().into_iter().map(|(_, text)| text.into_bytes()).collect();
    hammer("recipe", &seeds, &as_it_is, &targets::recipe);
}

proptest! {
    #[test]
    fn no_text_makes_it_panic(text in "\\PC{0,200}|[-:{}\\[\\]&*!|>'\"%@`#,?\n a$0-9]{0,200}") {
        let _ = load(&text);
    }

    #[test]
    fn no_mutation_of_a_recipe_makes_it_panic(
        which in 0_usize..100,
        edits in prop::collection::vec((0_usize..10_000, "[-:{}\\[\\]&*!|>'\"$# \n=a0é]{0,4}", 0_usize..30), 1..6),
    ) {
        let all = good();
        let mut chars: Vec<char> = all[which % all.len()].1.chars().collect();
        for (at, insert, gone) in edits {
            let at = at % (chars.len() + 1);
            let end = (at + gone).min(chars.len());
            chars.splice(at..end, insert.chars());
        }
        let text: String = chars.into_iter().collect();
        if let Err(found) = load(&text) {
            prop_assert!(!found.is_empty());
        }
    }
}
