//! An ordinary user without subordinate ids: steps have one user id, images
//! have all.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::PathBuf;
use std::process::Command;

use crate::build::with_busybox;
use crate::phoenix::{Home, Said, said};

/// A number that no account and no range of `/etc/subuid` has.
const USER: u32 = 987_654;

/// A home of that user, and the program where the user can execute it; `None`
/// (said loudly) where this cannot be tried.
fn home() -> Option<(Home, PathBuf)> {
    let home = Home::new();
    if !rustix::process::geteuid().is_root() {
        println!("SKIPPED: needs root, to be another user");
        return None;
    }
    with_busybox(&home)?;
    let program = home.path("phoenix");
    fs::copy(env!("CARGO_BIN_EXE_phoenix"), &program).expect("it can be copied");
    home.write("root/etc/passwd", "root:x:0:0::/root:/bin/sh\nwww:x:33:33::/srv:/bin/sh\n");
    home.write("root/etc/group", "root:x:0:\nwww:x:33:\n");
    home.write("more/srv/page", "of www");
    home.write("page2", "copied");
    let tar = |args: &[&str]| {
        let done = Command::new("tar").args(args).current_dir(home.path(".")).status();
        assert!(done.expect("tar runs").success());
    };
    tar(&["-cf", "base.tar", "--owner=0", "--group=0", "-C", "root", "."]);
    tar(&["-rf", "base.tar", "--owner=33", "--group=33", "-C", "more", "srv"]);
    fs::set_permissions(home.path("."), fs::Permissions::from_mode(0o755)).expect("ours");
    chown(home.path("."), Some(USER), Some(USER)).expect("root may");
    Some((home, program))
}

fn run(home: &Home, program: &PathBuf, args: &[&str]) -> Said {
    let mut command = Command::new("setpriv");
    let ids = [format!("--reuid={USER}"), format!("--regid={USER}")];
    command.args(ids).arg("--clear-groups").arg(program).args(args);
    command.env_clear().env("PATH", "/usr/bin:/bin").env("HOME", home.path("."));
    said(command.current_dir(home.path(".")).output().expect("setpriv starts"))
}

fn build(home: &Home, program: &PathBuf, steps: &str) -> Said {
    home.write("recipe.yaml", &format!("from: {{rootfs: base.tar}}\nsteps:\n{steps}"));
    run(home, program, &["build", "-t", "t", "--progress=plain"])
}

#[test]
fn owners_are_the_images_and_a_step_that_would_change_one_is_told_how() {
    let Some((home, program)) = home() else { return };
    // Files keep their owners through file operations and steps.
    let built = build(
        &home,
        &program,
        "  - copy: {src: page2, dest: /srv/, owner: www}\n  - run: cat /srv/page* > /both; mkdir /srv2\n",
    );
    assert_eq!(built.code, Some(0), "{built:?}");
    let listed = run(&home, &program, &["ls", "-R", "t", "/"]).stdout;
    let owner = |path: &str| {
        let line = listed.lines().find(|line| line.ends_with(path));
        line.and_then(|line| line.split_whitespace().nth(1)).map(str::to_owned)
    };
    for (path, wanted) in [
        (" /srv/page", "33:33"),
        (" /srv/page2", "33:33"),
        (" /both", "0:0"),
        (" /srv2", "0:0"),
        (" /bin/busybox", "0:0"),
    ] {
        assert_eq!(owner(path).as_deref(), Some(wanted), "{path}: {listed}");
    }
    let both = run(&home, &program, &["cat", "t", "/both"]).stdout;
    assert_eq!(both, "of wwwcopied");

    // What needs another id says what to do: at once, or after it was refused.
    for (steps, code) in [
        ("  - run: touch /f; busybox chown www /f\n", 1),
        ("  - run: busybox chown -R 5:5 /etc 2>&1 | cat; exit 1\n", 1),
        ("  - run: busybox su www -s /bin/sh -c id\n", 1),
        ("  - run: {script: id, user: www}\n", 4),
        ("  - packages: [hello]\n", 4),
    ] {
        let said = build(&home, &program, steps);
        assert_eq!(said.code, Some(code), "{steps}: {said:?}");
        for part in ["uidmap", "/etc/subuid", "usermod --add-subuids", "recipe.yaml:3:5"] {
            assert!(said.stderr.contains(part), "{steps}: no `{part}` in\n{}", said.stderr);
        }
    }
}
