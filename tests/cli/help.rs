//! The help text is a contract: every change of it is seen in review.

use crate::phoenix::Home;

const COMMANDS: [&str; 23] = [
    "build",
    "plan",
    "explain",
    "rebase",
    "validate",
    "schema",
    "init",
    "convert",
    "lock",
    "doctor",
    "images",
    "pull",
    "push",
    "tag",
    "rm",
    "prune",
    "inspect",
    "history",
    "ls",
    "cat",
    "run",
    "completions",
    "man",
];

#[test]
fn help_of_every_command_is_as_reviewed() {
    let home = Home::new();
    let mut text = home.run(&["--help"]).stdout;
    for command in COMMANDS {
        let said = home.run(&[command, "--help"]);
        assert_eq!((said.code, said.stderr.as_str()), (Some(0), ""), "{command}");
        text.push_str(&format!("\n==== phoenix {command}\n{}", said.stdout));
    }
    insta::assert_snapshot!(text);
}

#[test]
fn overview_lists_every_command_but_the_hidden() {
    let text = Home::new().run(&["--help"]).stdout;
    let listed: Vec<&str> = text
        .lines()
        .skip_while(|line| *line != "Commands:")
        .skip(1)
        .take_while(|line| !line.is_empty())
        .filter_map(|line| line.split_whitespace().next())
        .filter(|command| *command != "help")
        .collect();
    let shown: Vec<&str> = COMMANDS.into_iter().filter(|command| *command != "man").collect();
    assert_eq!(listed, shown);
}

#[test]
fn readme_has_the_same_exit_codes_as_the_help() {
    let help = Home::new().run(&["--help"]).stdout;
    let codes = help.lines().skip_while(|line| *line != "Exit codes:").skip(1);
    let readme = include_str!("../../README.md");
    for line in codes.filter(|line| !line.trim().is_empty()) {
        assert!(readme.contains(line.trim_end()), "README.md lacks: {line}");
    }
}

#[test]
fn help_of_a_command_is_had_in_either_way() {
    let home = Home::new();
    assert_eq!(home.run(&["help", "build"]).stdout, home.run(&["build", "--help"]).stdout);
}
