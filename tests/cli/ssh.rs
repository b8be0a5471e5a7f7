//! `--ssh`: agents and keys that steps may use and never see.

use std::path::Path;
use std::process::{Command, Stdio};

use crate::dockerfile::{good, home};
use crate::phoenix::{Home, said};
use crate::support::tools;

/// Puts `ssh-add` and what it is linked with into `app/tools`.
fn with_ssh_add(home: &Home) -> Option<()> {
    if !tools::have(&["ssh-add", "ssh-agent", "ssh-keygen", "ldd"]) {
        return None;
    }
    let linked = tools::run("ldd", ["/usr/bin/ssh-add"]);
    let files = linked.split_whitespace().filter(|word| word.starts_with('/'));
    for file in files.chain(["/usr/bin/ssh-add"]) {
        let dest = home.path(format!("app/tools{file}"));
        std::fs::create_dir_all(dest.parent().expect("it is below")).expect("made");
        std::fs::copy(file, dest).expect("copied");
    }
    Some(())
}

/// Makes a key; gives what `ssh-add -l` tells of it.
fn key(home: &Home, name: &str) -> String {
    let path = home.path(name).display().to_string();
    tools::run("ssh-keygen", ["-q", "-t", "ed25519", "-N", "", "-C", name, "-f", &path]);
    tools::run("ssh-keygen", ["-lf", &path]).trim().to_owned()
}

#[test]
fn a_step_asks_an_agent_or_one_that_is_run_for_key_files() {
    let Some(home) = home() else { return };
    let Some(()) = with_ssh_add(&home) else { return };
    let (first, second) = (key(&home, "first"), key(&home, "second"));
    let text = "FROM base\nCOPY tools /\n\
                RUN --mount=type=ssh,required=true /usr/bin/ssh-add -l > /listed\n\
                RUN ls -d /run/buildkit > /left; test -z \"$SSH_AUTH_SOCK\"\n";
    home.write("app/Dockerfile", text);
    let listed = |args: &[&str], socket: Option<&Path>| {
        let args = [&["build", "-q", "app", "-t", "app:1", "--no-cache"], args].concat();
        let mut command = home.command(&args);
        command.envs(socket.map(|socket| ("SSH_AUTH_SOCK", socket)));
        good(&said(command.output().expect("phoenix starts")));
        assert_eq!(good(&home.run(&["cat", "app:1", "/left"])), "");
        good(&home.run(&["cat", "app:1", "/listed"])).to_owned()
    };
    assert_eq!(listed(&["--ssh=default=first"], None), first);
    assert_eq!(listed(&["--ssh", "default=first,second"], None), format!("{first}\n{second}"));
    let socket = home.path("agent");
    let mut agent = Command::new("ssh-agent")
        .args(["-D", "-a"])
        .arg(&socket)
        .stdout(Stdio::null())
        .spawn()
        .expect("ssh-agent starts");
    while !socket.exists() {
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    let mut add = Command::new("ssh-add");
    tools::success(add.arg("-q").arg(home.path("second")).env("SSH_AUTH_SOCK", &socket));
    assert_eq!(listed(&["--ssh", "default"], Some(&socket)), second);
    let by_name = format!("--ssh=default={}", socket.display());
    assert_eq!(listed(&[&by_name], None), second);
    let _ = agent.kill().and_then(|()| agent.wait());

    let without = home.run(&["build", "app", "--no-cache"]);
    assert_eq!(without.code, Some(1), "{without:?}");
    assert!(without.stderr.contains("--ssh"), "{without:?}");
    let nobody = home.run(&["build", "app", "--no-cache", "--ssh", "default"]);
    assert_eq!(nobody.code, Some(2), "{nobody:?}");
    assert!(nobody.stderr.contains("SSH_AUTH_SOCK"), "{nobody:?}");
}
