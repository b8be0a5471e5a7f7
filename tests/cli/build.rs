//! `phoenix build`: from a recipe to an image, and what is made anew.

use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::phoenix::Home;

/// Builds and gives the metadata.
fn build(home: &Home, more: &[&str]) -> Value {
    let file = home.path("metadata.json");
    let file_name = file.display().to_string();
    let args =
        [&["build", "-t", "t:1", "--progress=plain", "--metadata-file", &file_name], more].concat();
    let said = home.run(&args);
    assert_eq!(said.code, Some(0), "{said:?}");
    serde_json::from_slice(&fs::read(file).expect("metadata")).expect("JSON")
}

fn statuses(metadata: &Value) -> Vec<&str> {
    let steps = metadata["steps"].as_array().expect("steps");
    steps.iter().map(|step| step["status"].as_str().expect("a status")).collect()
}

/// A root file system with a shell, or `None` with the reason said.
pub(crate) fn with_busybox(home: &Home) -> Option<()> {
    let busybox = ["/bin/busybox", "/usr/bin/busybox"].into_iter().find(|p| Path::new(p).exists());
    let can_run = fs::File::options().read(true).write(true).open("/dev/fuse").is_ok();
    let Some(busybox) = busybox.filter(|_| can_run) else {
        let strict = std::env::var_os("PHOENIX_TESTS_STRICT").is_some_and(|v| v == "1");
        assert!(!strict, "busybox-static or /dev/fuse is missing");
        println!("SKIPPED: busybox-static or /dev/fuse is missing");
        return None;
    };
    for dir in ["root/bin", "root/etc", "root/old"] {
        fs::create_dir_all(home.path(dir)).expect("made");
    }
    fs::copy(busybox, home.path("root/bin/busybox")).expect("copied");
    for tool in ["sh", "cat", "mkdir", "rm", "touch", "test", "ls", "sleep", "grep"] {
        std::os::unix::fs::symlink("busybox", home.path(format!("root/bin/{tool}")))
            .expect("linked");
    }
    home.write("root/old/file", "old");
    Some(())
}

#[test]
fn only_changed_content_is_copied_again_and_the_reason_names_it() {
    let home = Home::new();
    home.write(
        "recipe.yaml",
        "from: {scratch: true}\nsteps:\n  - copy: [app/, /app/]\n  - mkdir: /data\n",
    );
    home.write("app/a", "1");
    home.write("app/b", "2");
    let first = build(&home, &[]);
    assert_eq!(statuses(&first), ["ran", "ran"]);
    // The same bytes with another time.
    home.write("app/a", "1");
    let again = build(&home, &[]);
    assert_eq!(statuses(&again), ["cached", "cached"]);
    assert_eq!(again["image"]["digest"], first["image"]["digest"]);
    home.write("app/a", "3");
    let changed = build(&home, &[]);
    assert_eq!(statuses(&changed), ["ran", "cached"], "{changed}");
    let reason = changed["steps"][0]["reason"].as_str().expect("a reason");
    assert!(reason.contains("app/a"), "{reason}");
}

#[test]
fn a_step_that_gives_the_same_bytes_lets_what_follows_stand() {
    let home = Home::new();
    if with_busybox(&home).is_none() {
        return;
    }
    let recipe = |comment: &str| {
        format!(
            "from: {{rootfs: root}}\nsteps:\n  - run: 'echo made > /etc/made # {comment}'\n  \
             - run: cat /etc/made\n  - run: rm -rf /old && mkdir /old && touch /old/new\n\
             tests:\n  - test ! -e /old/file\n"
        )
    };
    home.write("recipe.yaml", &recipe("one"));
    let first = build(&home, &[]);
    assert_eq!(statuses(&first), ["ran"; 5]);
    home.write("recipe.yaml", &recipe("two"));
    let second = build(&home, &[]);
    assert_eq!(statuses(&second), ["cached", "ran", "cached", "cached", "cached"], "{second}");
    let listed = home.run(&["ls", "t:1", "/old"]);
    assert!(listed.stdout.contains("new") && !listed.stdout.contains("/old/file"), "{listed:?}");
    let ran = home.run(&["run", "t:1", "cat", "/etc/made"]);
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(0), "made\n"), "{ran:?}");
}

#[test]
fn a_failing_test_leaves_no_tag_and_shows_its_output_whole() {
    let home = Home::new();
    if with_busybox(&home).is_none() {
        return;
    }
    home.write("recipe.yaml", "from: {rootfs: root}\ntests:\n  - run: echo said-so; exit 7\n");
    let said = home.run(&["build", "-t", "t:1", "--progress=plain"]);
    assert_eq!(said.code, Some(1), "{said:?}");
    assert!(said.stderr.contains("said-so") && said.stderr.contains("exit code 7"), "{said:?}");
    assert!(!home.run(&["images"]).stdout.contains("t:1"));
    let again = home.run(&["build", "-t", "t:1", "--progress=plain"]);
    assert_eq!(again.code, Some(1), "a failure was remembered as a success: {again:?}");
}

#[test]
fn two_fresh_stores_give_the_same_image() {
    let home = Home::new();
    if with_busybox(&home).is_none() {
        return;
    }
    let recipe =
        "from: {rootfs: root}\nsteps:\n  - run: ls /bin > /etc/list; mkdir -p /a/b; touch /a/b/c\n";
    home.write("recipe.yaml", recipe);
    build(&home, &["--check-reproducible"]);
    home.write(
        "recipe.yaml",
        "from: {rootfs: root}\nsteps:\n  - run: cat /proc/sys/kernel/random/uuid > /etc/id\n",
    );
    let said = home.run(&["build", "--check-reproducible", "--progress=plain"]);
    assert_eq!(said.code, Some(1), "{said:?}");
    assert!(said.stderr.contains("/etc/id"), "{said:?}");
}
