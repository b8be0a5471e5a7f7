//! Repositories as contexts and as sources, by every kind of address.

use std::io::Write as _;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use crate::dockerfile::{good, home};
use crate::phoenix::{Home, Said, said};
use crate::registry::liar::{Answer, Body, Liar, Request};
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

fn answer(status: u16, body: Vec<u8>) -> Answer {
    Answer { status, headers: Vec::new(), body: Body::Whole(body) }
}

/// Answers who says `authorization` as `rule` does, and nobody else.
fn guarded(authorization: &str, rule: impl Fn(&Request) -> Answer + Send + Sync + 'static) -> Liar {
    let wanted = authorization.to_owned();
    Liar::start(move |request| {
        if request.headers.get("authorization") == Some(&wanted) {
            return rule(request);
        }
        let headers = vec![("WWW-Authenticate", "Basic realm=\"git\"".to_owned())];
        Answer { headers, ..answer(401, Vec::new()) }
    })
}

/// A file of a repository, as the simplest of the servers of git gives it.
fn file_of(repo: &Path, request: &Request) -> Answer {
    let path = request.path.split('?').next().unwrap_or_default();
    let path = path.trim_start_matches("/team/repo.git/");
    match std::fs::read(repo.join(".git").join(path)) {
        Ok(bytes) => answer(200, bytes),
        Err(_) => answer(404, Vec::new()),
    }
}

/// Serves the files of a repository to who says `authorization`.
fn behind_http(repo: &Path, authorization: &str) -> Liar {
    git(repo, &["update-server-info"]);
    let repo = repo.to_owned();
    guarded(authorization, move |request| file_of(&repo, request))
}

/// Answers for the repositories in `dir` as git's own server does.
fn served_of(dir: &Path, request: &Request) -> Answer {
    let place = tools::run("git", ["--exec-path"]);
    let (path, query) = request.path.split_once('?').unwrap_or((&request.path, ""));
    let header = |name: &str| request.headers.get(name).cloned().unwrap_or_default();
    let mut backend = Command::new(Path::new(place.trim()).join("git-http-backend"))
        .env("GIT_PROJECT_ROOT", dir)
        .env("GIT_HTTP_EXPORT_ALL", "1")
        .env("GIT_PROTOCOL", header("git-protocol"))
        .env("PATH_INFO", path.trim_start_matches("/team"))
        .env("QUERY_STRING", query)
        .env("REQUEST_METHOD", if query.is_empty() { "POST" } else { "GET" })
        .env("CONTENT_TYPE", header("content-type"))
        .env("CONTENT_LENGTH", request.body.len().to_string())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("git-http-backend starts");
    let mut stdin = backend.stdin.take().expect("it is piped");
    // Where it does not want to know, it may have ended.
    let _ = stdin.write_all(request.body.as_bytes());
    drop(stdin);
    let said = backend.wait_with_output().expect("ours").stdout;
    let end = said.windows(4).position(|four| four == b"\r\n\r\n").expect("a head");
    let head = String::from_utf8_lossy(&said[..end]).into_owned();
    let value = |name: &str| head.lines().find_map(|line| line.strip_prefix(name));
    let status = value("Status: ").and_then(|status| status[..3].parse().ok()).unwrap_or(200);
    let kind = value("Content-Type: ").unwrap_or("text/plain").to_owned();
    Answer { headers: vec![("Content-Type", kind)], ..answer(status, said[end + 4..].to_vec()) }
}

#[test]
fn a_user_of_the_remote_is_told_to_its_host_and_kept_nowhere() {
    let Some((home, repo)) = repository() else { return };
    home.write("inner.git/in", "a submodule");
    let inner = home.path("inner.git");
    for args in [&["init", "-q", "-b", "main"][..], &["add", "."], &["commit", "-q", "-m", "one"]] {
        git(&inner, args);
    }
    let add = ["-c", "protocol.file.allow=always", "submodule", "--quiet", "add"];
    git(&repo, &[&add[..], &["../inner.git", "inner"]].concat());
    git(&repo, &["commit", "-q", "-m", "two"]);
    // `me:p@ss` in base64.
    let dir = home.path("");
    let server = guarded("Basic bWU6cEBzcw==", move |request| served_of(&dir, request));
    let url = format!("http://me:p%40ss@{}", server.name("team/repo.git"));
    home.write("app/Dockerfile", &format!("FROM base\nADD --keep-git-dir=true {url} /added\n"));
    let built = home.run(&["build", "app", "-t", "app:1"]);
    good(&built);
    let hidden = |said: &Said| {
        let text = format!("{said:?}");
        assert!(!text.contains("p@ss") && !text.contains("bWU6cEBzcw"), "{text}");
    };
    hidden(&built);
    assert_eq!(good(&home.run(&["cat", "app:1", "/added/inner/in"])), "a submodule");
    let config = home.run(&["cat", "app:1", "/added/.git/config"]);
    assert!(good(&config).contains(&server.name("team/repo.git")), "{config:?}");
    assert!(!config.stdout.contains("me:"), "{config:?}");
    hidden(&config);
    // Another user may not, and the answer does not tell who that was.
    let other = url.replace("p%40ss", "hush-hush");
    home.write("app/Dockerfile", &format!("FROM base\nADD {other} /added\n"));
    let refused = home.run(&["build", "app", "-t", "app:1"]);
    assert_eq!(refused.code, Some(5), "{refused:?}");
    // The line of the Dockerfile is shown as it was written; what failed is not.
    let mut why = refused.stderr.lines().filter(|line| line.contains("because: "));
    assert!(why.all(|line| !line.contains("hush-hush")), "{refused:?}");
}

#[test]
fn the_files_are_those_of_the_commit_whose_dockerfile_is_built() {
    let Some((home, repo)) = repository() else { return };
    git(&repo, &["update-server-info"]);
    let (pushed, of) = (std::sync::Once::new(), repo);
    let server = Liar::start(move |request| {
        // Somebody pushes when the commit is known and its files are not there yet.
        if request.path.contains("/objects/") {
            pushed.call_once(|| {
                std::fs::write(of.join("sub/file"), "from later").expect("written");
                git(&of, &["commit", "-q", "-a", "-m", "later"]);
                git(&of, &["update-server-info"]);
            });
        }
        file_of(&of, request)
    });
    let url = format!("http://{}#main:sub", server.name("team/repo.git"));
    let build = |tag: &str| good(&home.run(&["build", "-q", &url, "-t", tag])).to_owned();
    build("app:1");
    assert_eq!(good(&home.run(&["cat", "app:1", "/copied"])), "from git");
    // The next build is of what was pushed, and the one after it is the same.
    let second = build("app:2");
    assert_eq!(good(&home.run(&["cat", "app:2", "/copied"])), "from later");
    assert_eq!(build("app:3"), second);
}

#[test]
fn a_build_that_waits_for_a_silent_repository_can_be_ended() {
    let Some((home, _)) = repository() else { return };
    let server = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = server.local_addr().expect("bound");
    home.write("app/Dockerfile", &format!("FROM scratch\nADD http://{address}/x.git /x\n"));
    let mut command = home.command(&["build", "app"]);
    let mut build =
        command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("phoenix starts");
    let (mut connection, _) = server.accept().expect("it is asked");
    // To it alone, as `kill` and a service manager do.
    kill_process(Pid::from_child(&build), Signal::TERM).expect("it runs");
    assert_eq!(build.wait().expect("ours").code(), Some(143));
    // Neither git nor what it started for it is left.
    connection.set_read_timeout(Some(Duration::from_secs(60))).expect("set");
    if let Err(error) = std::io::copy(&mut connection, &mut std::io::sink()) {
        assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
    }
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
fn a_repository_behind_ssh_is_asked_with_the_keys_that_are_given_and_no_others() {
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
    nor_with_those_of_the_user(&home, &repo, &sshd);
}

/// A user's own keys and configuration are not those that were given.
fn nor_with_those_of_the_user(home: &Home, repo: &Path, sshd: &Sshd) {
    if !tools::have(&["unshare", "mount"]) {
        return;
    }
    // A user whose own key is let in, and whose configuration says so.
    let own = home.path("own/.ssh");
    home.write("own/.ssh/config", &format!("IdentityFile {}\n", home.path("user").display()));
    std::fs::copy(home.path("user"), own.join("id_ed25519")).expect("copied");
    let users = std::fs::read_to_string("/etc/passwd").expect("users");
    let others = users.lines().filter(|line| !line.starts_with("root:"));
    let root = format!("root:x:0:0::{}:/bin/sh", home.path("own").display());
    let users: Vec<&str> = std::iter::once(&*root).chain(others).collect();
    home.write("passwd", &format!("{}\n", users.join("\n")));
    // Where programs look for that user's home, and nobody else does.
    let as_user = |args: &[&str]| {
        let command = home.command(&[]);
        let script = "mount --bind passwd /etc/passwd && exec \"$@\"";
        let mut inside = Command::new("unshare");
        inside.args(["--mount", "sh", "-c", script, "sh"]).args(args);
        inside.current_dir(home.path("")).stdin(Stdio::null()).env_clear();
        inside.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
        said(inside.output().expect("unshare starts"))
    };
    let port = sshd.port.to_string();
    let options = ["-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=no", "-p", &port];
    let ssh = as_user(&[&["/usr/bin/ssh"], &options[..], &["root@127.0.0.1", "true"]].concat());
    assert_eq!(ssh.code, Some(0), "the test shows nothing: {ssh:?}");
    let url = format!("ssh://root@127.0.0.1:{}{}#main:sub", sshd.port, repo.display());
    let phoenix = env!("CARGO_BIN_EXE_phoenix");
    let refused = as_user(&[phoenix, "build", "-q", &url]);
    assert_eq!(refused.code, Some(5), "{refused:?}");
    assert!(refused.stderr.contains("Permission denied"), "{refused:?}");
    let key = format!("--ssh=default={}", home.path("user").display());
    good(&as_user(&[phoenix, "build", "-q", &url, "-t", "app:1", &key]));
}
