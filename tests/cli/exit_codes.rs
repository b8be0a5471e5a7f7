//! Exit codes and where messages go.

use std::process::Stdio;

use crate::phoenix::{Home, said};

#[test]
fn wrong_command_lines_exit_with_2_and_say_why_on_standard_error() {
    let home = Home::new();
    let table: [&[&str]; 9] = [
        &[],
        &["bild"],
        &["build", "--no-such-option"],
        &["build", "-o", "type=vhd,dest=x"],
        &["build", "--set", "novalue"],
        &["build", "--jobs", "0"],
        &["build", "--progress", "loud"],
        &["rm"],
        &["build", "-o", "type=tar,dest=-", "-o", "type=oci,dest=-"],
    ];
    for args in table {
        let said = home.run(args);
        assert_eq!(said.code, Some(2), "{args:?}: {said:?}");
        assert!(said.stdout.is_empty() && !said.stderr.is_empty(), "{args:?}: {said:?}");
    }
}

#[test]
fn misspelt_command_gets_a_suggestion() {
    assert!(Home::new().run(&["biuld"]).stderr.contains("'build'"));
}

#[test]
fn missing_recipe_exits_with_3_and_points_at_init() {
    let home = Home::new();
    for command in ["build", "plan", "validate"] {
        let said = home.run(&[command, "."]);
        assert_eq!(said.code, Some(3), "{said:?}");
        assert!(said.stderr.contains("phoenix init"), "{said:?}");
    }
}

#[test]
fn wrong_recipe_exits_with_3_and_shows_the_line() {
    let home = Home::new();
    home.write("recipe.yaml", "from: {scratch: true}\nstepss: []\n");
    let said = home.run(&["build"]);
    assert_eq!(said.code, Some(3), "{said:?}");
    assert!(said.stderr.contains("recipe.yaml:2:1"), "{said:?}");
    assert!(said.stderr.contains("2 | stepss: []"), "{said:?}");
    assert!(said.stderr.contains("steps"), "{said:?}");
}

#[test]
fn no_place_for_the_store_is_said_plainly() {
    let home = Home::new();
    let output = home.command(&["doctor"]).env_remove("HOME").output().expect("phoenix starts");
    let said = said(output);
    assert_eq!(said.code, Some(2), "{said:?}");
    assert!(said.stderr.contains("PHOENIX_STORE"), "{said:?}");
}

#[test]
fn nothing_is_coloured_without_a_terminal() {
    let said = Home::new().run(&["build"]);
    assert!(!said.stderr.contains('\x1b') && !said.stdout.contains('\x1b'), "{said:?}");
}

#[test]
fn reader_that_goes_away_is_no_error() {
    let home = Home::new();
    let mut child = home
        .command(&["completions", "bash"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("phoenix starts");
    drop(child.stdout.take());
    let said = said(child.wait_with_output().expect("phoenix ends"));
    assert_eq!((said.code, said.stderr.as_str()), (Some(0), ""));
}

#[test]
fn what_is_misspelt_is_told_before_anything_is_built() {
    let home = Home::new();
    home.write("recipe.yaml", "from: {scratch: true}\nsteps:\n  - {name: tree, mkdir: /data}\n");
    for (args, code, part) in [
        (&["build", "--no-cache=tre"][..], 2, "did you mean `tree`?"),
        (&["plan", "--no-cache=other"], 2, "no step or stage of the name `other`"),
        (&["build", "-o", "type=oci,dest=no/where.tar"], 5, "no"),
        (&["build", "-t", "Bad"], 2, "cannot name an image"),
    ] {
        let said = home.run(args);
        assert_eq!(said.code, Some(code), "{args:?}: {said:?}");
        assert!(said.stderr.contains(part) && !said.stderr.contains("mkdir"), "{said:?}");
    }
    assert_eq!(home.run(&["build", "--no-cache=tree", "-q"]).code, Some(0));
    home.write("neither/file", "");
    let said = home.run(&["build", "neither"]);
    assert_eq!(said.code, Some(3), "{said:?}");
    assert!(said.stderr.contains("no recipe.yaml and no Dockerfile in neither"), "{said:?}");
}

#[test]
fn redrawing_that_is_asked_for_without_a_terminal_is_lines() {
    let home = Home::new();
    home.write("recipe.yaml", "from: {scratch: true}\nsteps:\n  - mkdir: /data\n");
    let said = home.run(&["build", "--progress=tty"]);
    assert!(said.stderr.contains("#1 mkdir /data"), "{said:?}");
}

#[test]
fn digests_alone_are_one_a_line() {
    let home = Home::new();
    home.write("recipe.yaml", "from: {scratch: true}\nsteps:\n  - mkdir: /data\n");
    let digest = home.run(&["build", "-q"]).stdout;
    assert_eq!(home.run(&["images", "-q"]).stdout, "");
    assert_eq!(home.run(&["images", "-aq"]).stdout, digest);
}
