//! `phoenix completions` and the hidden `phoenix man`.

use crate::phoenix::Home;

#[test]
fn every_shell_gets_a_script_that_knows_the_commands() {
    let home = Home::new();
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let said = home.run(&["completions", shell]);
        assert_eq!(said.code, Some(0), "{said:?}");
        assert!(said.stdout.contains("metadata-file"), "{shell}");
    }
    assert_eq!(home.run(&["completions", "tcsh"]).code, Some(2));
}

#[test]
fn manual_page_is_roff_with_all_commands() {
    let said = Home::new().run(&["man"]);
    assert!(said.stdout.contains(".TH phoenix 1"), "{said:?}");
    assert!(said.stdout.contains("phoenix\\-build(1)"), "{said:?}");
}

#[test]
fn every_command_has_a_manual_page() {
    let home = Home::new();
    std::fs::create_dir(home.path("man")).expect("a new directory");
    assert_eq!(home.run(&["man", "man"]).code, Some(0));
    for page in ["phoenix.1", "phoenix-build.1", "phoenix-run.1"] {
        let text = std::fs::read_to_string(home.path("man").join(page)).expect(page);
        assert!(text.contains(".TH"), "{page}");
    }
    assert_eq!(home.run(&["man", "nowhere"]).code, Some(5));
}
