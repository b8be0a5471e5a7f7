//! The examples for embedders do what they say.

use std::process::Command;

use crate::support::example::example;
use crate::support::tools;

/// Runs an example that must succeed; its lines.
fn lines(name: &str, args: &[&std::path::Path]) -> Vec<String> {
    let out = tools::success(Command::new(example(name)).args(args));
    out.lines().map(str::to_owned).collect()
}

#[test]
fn a_plan_made_in_code_becomes_an_image_that_can_be_read() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let (store, archive) = (dir.path().join("store"), dir.path().join("image.tar"));
    let built = lines("plan_in_code", &[&store, &archive]);
    assert_eq!(built[0], "Ran: write the greeting", "{built:?}");
    let digest = built[1].strip_prefix("in-code:1 ").expect("the name and the digest");
    assert!(archive.is_file());

    let read = lines("read_image", &[&store, "in-code:1".as_ref()]);
    assert_eq!(read[0], format!("image {digest}"));
    assert_eq!(read[2], "cmd [\"/bin/greet\"]");
    assert!(read[3].starts_with("layer sha256:"), "{read:?}");
    let files = [
        "0755 0:0 / directory",
        "0755 0:0 /etc directory",
        "0640 1000:1000 /etc/greeting file of 16 bytes",
        "  Hello from code",
    ];
    assert_eq!(read[4..], files);

    let again = lines("plan_in_code", &[&store, &archive]);
    assert_eq!(again, ["Cached: write the greeting", built[1].as_str()]);
}

#[test]
fn a_recipe_is_built_and_a_sink_of_ones_own_is_told_how() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let (context, store) = (dir.path().join("context"), dir.path().join("store"));
    std::fs::create_dir(&context).expect("made");
    let recipe = |text: &str| std::fs::write(context.join("recipe.yaml"), text).expect("written");
    recipe("from: {scratch: true}\nsteps:\n  - name: greet\n    write: {path: /hi, content: x}\n");
    let built = lines("build_recipe", &[&context, &store]);
    assert!(built[0].starts_with("ran: greet ("), "{built:?}");
    assert!(built[1].starts_with("built example:latest sha256:"), "{built:?}");
    let again = lines("build_recipe", &[&context, &store]);
    assert!(again[0].starts_with("cached: greet ("), "{again:?}");
    assert_eq!(again[1], built[1]);

    recipe("from: {scratch: true}\nstep: []\n");
    let failed = Command::new(example("build_recipe")).args([&context, &store]).output();
    let failed = failed.expect("it starts");
    let told = String::from_utf8_lossy(&failed.stderr);
    assert!(!failed.status.success() && told.contains("recipe.yaml:2:1: unknown key"), "{told}");
}

#[test]
fn the_steps_of_an_embedder_run_through_its_own_executable() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let (context, store) = (dir.path().join("context"), dir.path().join("store"));
    let Some(busybox) = crate::exec_support::busybox() else {
        return tools::skip("no static busybox (busybox-static)");
    };
    if std::fs::File::options().read(true).write(true).open("/dev/fuse").is_err() {
        return tools::skip("/dev/fuse cannot be opened");
    }
    std::fs::create_dir_all(context.join("root/bin")).expect("made");
    let shell = context.join("root/bin/sh");
    std::fs::write(&shell, busybox).expect("written");
    tools::run("chmod", ["755".as_ref(), shell.as_os_str()]);
    let recipe = "from: {rootfs: root}\nsteps:\n  - run: echo said in a step\n";
    std::fs::write(context.join("recipe.yaml"), recipe).expect("written");
    let built = lines("build_recipe", &[&context, &store]);
    assert!(built.iter().any(|line| line == "said in a step"), "{built:?}");
    assert!(built.iter().any(|line| line.starts_with("ran: run echo said")), "{built:?}");
}
