//! What is written is read as what was meant.

use std::path::Path;

use proptest::prelude::*;

use super::*;
use crate::plan::op::{
    Command, ConfigPatch, Debian, Exec, ExecKind, Healthcheck, Mount, MountKind,
};
use crate::plan::{PlanBuilder, Target, VertexMeta};

/// A plan of one stage: the operations one after the other, on nothing.
fn plan(ops: Vec<Op>) -> (Plan, VertexId) {
    let mut builder = PlanBuilder::new();
    let mut vertex = builder.add(Op::Source(Source::Scratch), &[], VertexMeta::default());
    for op in ops {
        vertex = builder.add(op, &[vertex], VertexMeta::default());
    }
    let (stage, tests, annotations) = ("main".to_owned(), Vec::new(), BTreeMap::new());
    builder.target(Target { stage, vertex, tests, annotations });
    (builder.finish(), vertex)
}

fn written(ops: Vec<Op>) -> Result<String, Vec<Unsaid>> {
    let (plan, vertex) = plan(ops);
    let part = Part { name: None, from: None, vertex, location: None };
    write(&Draft::new(&plan, vec![part], Path::new("/ctx")))
}

fn run(argv: &[&str]) -> Exec {
    let argv = argv.iter().map(|word| (*word).to_owned()).collect();
    Exec::new(Command::Argv(argv), ExecKind::Step)
}

fn env(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// Whatever a text holds, it is read as it was (`write` compares).
    #[test]
    fn any_text_is_written_so_that_it_is_read_as_it_was(
        text in "[ \\t\\n#:{}\\[\\],&*!|>'\"%@`$~=<\\\\a-c0-9.é\u{2028}\u{85}\u{7f}-]{1,24}",
        name in "[ #:{}\\[\\],&*!'\"$a-c0-9.é-]{1,8}",
        long in "([a-d&]{1,12}( {1,6}|\t))*[a-d]{1,60}",
    ) {
        let labels = [(name, text.clone()), ("long".to_owned(), long.clone())].into();
        let cmd = Some(vec!["a".to_owned(), text.clone(), long.clone()]);
        let config = ConfigPatch { labels, cmd, ..ConfigPatch::default() };
        let ops = vec![Op::Exec(run(&["/bin/sh", "-c", &text])), Op::Exec(run(&[&long, &text]))];
        let ops = ops.into_iter().chain([Op::Config(config)]).collect();
        let made = written(ops);
        prop_assert!(made.is_ok(), "{made:?}");
    }
}

#[test]
fn long_lines_are_broken_at_their_gaps_and_lines_stand_as_they_are() {
    let long =
        format!("apt-get update     && apt-get install {}     && clean", "package ".repeat(9));
    let lines = "one\n  two\n\nthree\n";
    let ops = [long.as_str(), lines, "one\n\n", "  deep\n", "tail \n x"];
    let ops = ops.map(|script| Op::Exec(run(&["/bin/sh", "-c", script])));
    let text = written(ops.into()).expect("it can be said");
    let broken = format!(
        "  - run: >-\n      apt-get update    \n      && apt-get install {}    \n      && clean\n",
        "package ".repeat(9)
    );
    for part in [
        broken.as_str(),
        "  - run: |\n      one\n        two\n\n      three\n",
        "  - run: \"one\\n\\n\"\n",
        "  - run: |2\n        deep\n",
        "  - run: |-\n      tail \n       x\n",
    ] {
        assert!(text.contains(part), "{part}\n{text}");
    }
}

#[test]
fn arguments_are_said_once_unless_a_command_has_others() {
    let with =
        |pairs: &[(&str, &str)]| Op::Exec(Exec { env: env(pairs), ..run(&["/bin/sh", "-c", "x"]) });
    let set = |pairs: &[(&str, &str)]| {
        Op::Config(ConfigPatch { env: env(pairs), ..ConfigPatch::default() })
    };
    let text = written(vec![
        with(&[("A", "1")]),
        with(&[("A", "1"), ("B", "2")]),
        with(&[("A", "1"), ("B", "2")]),
        with(&[("B", "2"), ("A", "1")]),
        set(&[("A", "image")]),
        with(&[("B", "2")]),
    ])
    .expect("it can be said");
    let steps = text.split_once("steps:\n").expect("it has steps").1;
    let wanted = "  - arg:\n      A: \"1\"\n  - run: x\n  - arg:\n      B: \"2\"\n  - run: x\n  - run: x\n  \
                  - run:\n      env:\n        B: \"2\"\n        A: \"1\"\n      script: x\n  \
                  - env:\n      A: image\n  - run: x\n";
    assert_eq!(steps, wanted);
}

#[test]
fn a_config_is_a_step_only_where_a_command_sees_it() {
    let patch = |user: &str, name: &str| {
        Op::Config(ConfigPatch {
            user: Some(user.to_owned()),
            env: env(&[(name, "1")]),
            cmd: Some(vec![user.to_owned()]),
            ..ConfigPatch::default()
        })
    };
    let ops = vec![patch("one", "A"), Op::Exec(run(&["id"])), patch("two", "B")];
    let text = written(ops).expect("it can be said");
    let wanted = "from: {scratch: true}\n\nsteps:\n  - env:\n      A: \"1\"\n  - user: one\n  - run: [id]\n\n\
                  config:\n  cmd: [two]\n  env:\n    B: \"1\"\n  user: two\n";
    assert_eq!(text, wanted);
}

#[test]
fn a_health_check_keeps_times_of_any_length() {
    let check = Healthcheck {
        test: vec!["CMD".to_owned(), "check".to_owned(), String::new()],
        interval: Some(5_400_000_000_000),
        timeout: Some(1),
        start_period: Some(1_000_001_000),
        start_interval: Some(0),
        retries: Some(3),
    };
    let patch = ConfigPatch { healthcheck: Some(check), ..ConfigPatch::default() };
    let text = written(vec![Op::Config(patch)]).expect("it can be said");
    for part in ["interval: 1h30m\n", "timeout: 1ns\n", "start_period: 1s1us\n", "retries: 3\n"] {
        assert!(text.contains(part), "{part}: {text}");
    }
}

#[test]
fn what_no_recipe_says_is_named() {
    let shell = Op::Exec(Exec::new(Command::Shell("x".to_owned()), ExecKind::Step));
    let packages = Op::Exec(Exec { kind: ExecKind::Packages, ..run(&["apt-get"]) });
    let nul = Op::Exec(run(&["a\0b"]));
    let target = "/m".to_owned();
    let secret = MountKind::Secret {
        id: "a/b".to_owned(),
        env: None,
        file: true,
        mode: 0o400,
        uid: 0,
        gid: 0,
        required: false,
    };
    let mounts = vec![Mount { target, kind: secret }];
    let secret = Op::Exec(Exec { mounts, ..run(&["x"]) });
    for (op, word) in [
        (shell, "the shell is not said"),
        (packages, "no step of a recipe"),
        (nul, "NUL"),
        (secret, "not a secret's id"),
    ] {
        let wrong = written(vec![op]).expect_err(word);
        assert!(wrong[0].what.contains(word), "{wrong:?}");
    }
    let debian = Debian {
        suite: "bookworm".to_owned(),
        mirror: None,
        keyring: None,
        components: Vec::new(),
        include: Vec::new(),
        arch: None,
    };
    let mut builder = PlanBuilder::new();
    let vertex = builder.add(Op::Source(Source::Debian(debian)), &[], VertexMeta::default());
    let plan = builder.finish();
    let (parts, base) =
        (vec![Part { name: None, from: None, vertex, location: None }], Path::new("/"));
    assert!(write(&Draft::new(&plan, parts, base)).is_err());
}
