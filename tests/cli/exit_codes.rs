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
