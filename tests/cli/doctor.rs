//! `phoenix doctor`.

use serde_json::Value;

use crate::phoenix::Home;

#[test]
fn tells_the_same_as_json_and_exits_with_4_only_where_something_fails() {
    let home = Home::new();
    let said = home.run(&["doctor", "--format", "json"]);
    let value: Value = serde_json::from_str(&said.stdout).expect("it is JSON");
    let checks = value["checks"].as_array().expect("a list");
    let fails = checks.iter().any(|check| check["level"] == "fail");
    assert_eq!(said.code, Some(if fails { 4 } else { 0 }), "{said:?}");
    for name in ["kernel", "privilege", "overlayfs", "fuse", "seccomp", "store"] {
        assert!(checks.iter().any(|check| check["name"] == name), "no check of {name}");
    }
    for check in checks {
        let well = check["level"] == "ok";
        assert_eq!(well, check["advice"].is_null(), "advice exactly where it is needed: {check}");
    }
    let text = home.run(&["doctor"]).stdout;
    assert_eq!(text.lines().filter(|line| !line.starts_with(' ')).count(), checks.len());
}

#[test]
fn leaves_nothing_behind() {
    let home = Home::new();
    home.run(&["doctor"]);
    let left: Vec<_> = std::fs::read_dir(home.path("")).expect("it is there").collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn store_that_cannot_be_written_fails() {
    let said = Home::new().run(&["doctor", "--store", "/proc/phoenix"]);
    assert_eq!(said.code, Some(4), "{said:?}");
    assert!(said.stdout.contains("FAIL  store"), "{said:?}");
}
