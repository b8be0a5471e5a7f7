//! Repositories as contexts and as sources, by every kind of address.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::dockerfile::{good, home};
use crate::phoenix::{Home, Said, said};
use crate::registry::liar::{Answer, Body, Liar};
use crate::sshd::{Sshd, free_port};
use crate::support::tools;

const TOKEN: &str = "ghp-very-secret";

/// A home with a repository; `None` (said loudly) where there can be none.
fn repository() -> Option<(Home, PathBuf)> {
    let home = home()?;
    if !tools::have(&["git"]) {
        return None;
    }
    home.write("repo.git/sub/Dockerfile", "FROM base\nCOPY file /copied\n");
    home.write("repo.git/sub/file", "from git");
    let repo = home.path("repo.git");
    for args in [&["init", "-q", "-b", "main"][..], &["add", "."], &["commit", "-q", "-m", "one"]] {
        git(&repo, args);
    }
    Some((home, repo))
}

fn git(repo: &Path, args: &[&str]) -> String {
    let repo = repo.display().to_string();
    let identity = ["-c", "user.name=t", "-c", "user.email=t@example.org", "-C", &repo];
    tools::run("git", [&identity[..], args].concat())
}

#[test]
fn a_repository_is_a_context() {
    let Some((home, _)) = repository() else { return };
    let port = free_port();
    let base = home.path("").display().to_string();
    // The program itself: `git daemon` would leave it behind when it is killed.
    let place = tools::run("git", ["--exec-path"]);
    let mut daemon = Command::new(Path::new(place.trim()).join("git-daemon"))
        .args(["--reuseaddr", "--export-all", "--listen=127.0.0.1"])
        .args([format!("--port={port}"), format!("--base-path={base}"), base])
        .stdin(Stdio::null())
        .spawn()
        .expect("git starts");
    let url = format!("git://127.0.0.1:{port}/repo.git#main:sub");
    let mut told = home.run(&["build", "-q", &url, "-t", "app:1"]);
    for _ in 0..50 {
        if told.code == Some(0) {
            break;
        }
        std::thread::sleep(Duration::from_millis(100));
        told = home.run(&["build", "-q", &url, "-t", "app:1"]);
    }
    let _ = daemon.kill();
    let _ = daemon.wait();
    good(&told);
    assert_eq!(good(&home.run(&["cat", "app:1", "/copied"])), "from git");
}

/// Serves the files of a repository to who says `authorization`, as the simplest of the
/// servers of git does.
fn behind_http(repo: &Path, authorization: &str) -> Liar {
    git(repo, &["update-server-info"]);
    let (files, wanted) = (repo.join(".git"), authorization.to_owned());
    Liar::start(move |request| {
        let answer = |status, body| Answer { status, headers: Vec::new(), body: Body::Whole(body) };
        if request.headers.get("authorization") != Some(&wanted) {
            let headers = vec![("WWW-Authenticate", "Basic realm=\"git\"".to_owned())];
            return Answer { headers, ..answer(401, Vec::new()) };
        }
        let path = request.path.split('?').next().unwrap_or_default();
        let path = path.trim_start_matches("/team/repo.git/");
        match std::fs::read(files.join(path)) {
            Ok(bytes) => answer(200, bytes),
            Err(_) => answer(404, Vec::new()),
        }
    })
}

#[test]
fn a_private_repository_gets_the_token_and_nothing_else_does() {
    let Some((home, repo)) = repository() else { return };
    // `x-access-token:ghp-very-secret` in base64.
    let basic = "Basic eC1hY2Nlc3MtdG9rZW46Z2hwLXZlcnktc2VjcmV0";
    let server = behind_http(&repo, basic);
    let url = format!("http://{}#main:sub", server.name("team/repo.git"));
    let build = |args: &[&str]| {
        let mut command = home.command(&[&["build", "-t", "app:1"], args].concat());
        said(command.env("GIT_AUTH_TOKEN", TOKEN).output().expect("phoenix starts"))
    };
    let hidden = |said: &Said| {
        let text = format!("{said:?}");
        assert!(!text.contains(TOKEN) && !text.contains(basic), "{text}");
    };
    let refused = build(&[&url]);
    assert_eq!(refused.code, Some(5), "{refused:?}");
    hidden(&refused);
    // As a context, and as what an instruction adds.
    let secret = "--secret=id=GIT_AUTH_TOKEN";
    let built = build(&[&url, secret]);
    good(&built);
    hidden(&built);
    assert_eq!(good(&home.run(&["cat", "app:1", "/copied"])), "from git");
    home.write("app/Dockerfile", &format!("FROM base\nADD {url} /added\n"));
    let built = build(&["app", secret]);
    good(&built);
    hidden(&built);
    assert_eq!(good(&home.run(&["cat", "app:1", "/added/file"])), "from git");
    // For another host it is not.
    let refused = build(&[&url, "--secret=id=GIT_AUTH_TOKEN.example.org,env=GIT_AUTH_TOKEN"]);
    assert_eq!(refused.code, Some(5), "{refused:?}");
    // A plan tells what it can where nobody answers.
    drop(server);
    let planned = home.run(&["plan", "app", "--no-cache"]);
    assert!(good(&planned).contains("asking the repository"), "{planned:?}");
}

#[test]
fn a_repository_behind_ssh_is_asked_with_the_keys_that_are_given() {
    let Some((home, repo)) = repository() else { return };
    let Some(sshd) = Sshd::start(&home) else { return };
    let url = format!("ssh://root@127.0.0.1:{}{}#main:sub", sshd.port, repo.display());
    let refused = home.run(&["build", "-q", &url]);
    assert_eq!(refused.code, Some(5), "{refused:?}");
    assert!(refused.stderr.contains("Permission denied"), "{refused:?}");
    let key = home.path("user").display().to_string();
    let built = home.run(&["build", "-q", &url, "-t", "app:1", &format!("--ssh=default={key}")]);
    good(&built);
    assert_eq!(good(&home.run(&["cat", "app:1", "/copied"])), "from git");
}
