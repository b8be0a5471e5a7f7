//! `build --load`: images arrive in Docker and Podman by every kind of address.

use std::path::Path;

use crate::certificates;
use crate::phoenix::{Home, Said, said};
use crate::sshd::{Sshd, free_port};
use crate::support::docker::Docker;
use crate::support::podman::Podman;
use crate::support::tools;

/// A home with a recipe of two layers that can run.
fn home() -> Option<Home> {
    let home = Home::new();
    let busybox = ["/bin/busybox", "/usr/bin/busybox"].into_iter().find(|p| Path::new(p).exists());
    let Some(busybox) = busybox else {
        tools::skip("busybox-static is not installed");
        return None;
    };
    std::fs::copy(busybox, home.path("busybox")).expect("copied");
    home.write(
        "recipe.yaml",
        "from: {scratch: true}\nsteps:\n  - copy: {src: busybox, dest: /bin/, mode: 0755}\n  \
         - write: {path: /word, content: \"it runs\\n\"}\n\
         config: {entrypoint: [/bin/busybox], cmd: [cat, /word]}\n",
    );
    Some(home)
}

/// Builds for the engine at `host`.
fn load(home: &Home, host: &str, args: &[&str]) -> Said {
    let mut command = home.command(&[&["build", "--progress", "plain"], args].concat());
    said(command.env("DOCKER_HOST", host).output().expect("phoenix starts"))
}

fn config_digest(home: &Home) -> String {
    std::fs::read_to_string(home.path("iid")).expect("it was written")
}

#[test]
fn without_an_engine_all_that_was_tried_is_told() {
    let home = Home::new();
    home.write("recipe.yaml", "from: {scratch: true}\nsteps: [{write: {path: /a, content: b}}]\n");
    let told = load(&home, "unix:///nonexistent/docker.sock", &["--load", "-t", "kept"]);
    assert_eq!(told.code, Some(5));
    let error = told.stderr.split_once("error: ").expect("an error").1;
    insta::assert_snapshot!(error, @r"
    no container engine answers:
      unix:///nonexistent/docker.sock (DOCKER_HOST): there is no such socket
    hint: is it running there? Without DOCKER_HOST and DOCKER_CONTEXT=default, Docker and Podman are looked for on this host
    hint: the image is in the store: the same again sends it, and builds nothing
    ");
    assert_eq!(home.run(&["cat", "kept", "/a"]).stdout, "b", "the image stays in the store");
    let odd = load(&home, "/var/run/docker.sock", &["-o", "type=engine"]);
    assert!(odd.stderr.contains("did you mean `unix:///var/run/docker.sock`?"), "{}", odd.stderr);
    // A context of Docker's says where, unless a variable does.
    home.write(".docker/config.json", r#"{"currentContext": "mine"}"#);
    let told = home.run(&["build", "--load"]);
    assert!(told.stderr.contains("the context `mine` of Docker cannot be used"), "{told:?}");
    let mut command = home.command(&["build", "--load"]);
    let told = said(command.env("DOCKER_HOST", "unix:///nonexistent/x").output().expect("starts"));
    assert!(told.stderr.contains("unix:///nonexistent/x (DOCKER_HOST)"), "{told:?}");
}

#[test]
fn docker_has_the_image_by_its_names_and_runs_it() {
    let Some(home) = home() else { return };
    let Some(docker) = Docker::start() else { return };
    let args = ["--load", "-t", "app", "-t", "localhost:5000/a/b:2", "--iidfile", "iid"];
    let built = load(&home, &docker.host(), &args);
    assert_eq!(built.code, Some(0), "{built:?}");
    assert!(built.stderr.contains("exporting Docker "), "{}", built.stderr);
    for name in ["app:latest", "localhost:5000/a/b:2"] {
        let id = docker.run(&["image", "inspect", "--format", "{{.Id}}", name]);
        assert_eq!(id.trim(), config_digest(&home), "{name}");
        assert_eq!(docker.run(&["run", "--rm", "--network=none", name]), "it runs\n");
    }
    let history = docker.run(&["history", "--format", "{{.CreatedBy}}", "app"]);
    assert_eq!(history.lines().collect::<Vec<_>>()[1..], ["write /word", "copy busybox -> /bin/"]);
    // Without a name, and in a compression that this engine does not know.
    let recipe = std::fs::read_to_string(home.path("recipe.yaml")).expect("there");
    home.write("recipe.yaml", &recipe.replace("it runs", "unnamed"));
    let args = ["-o", "type=engine", "--compression", "zstd", "--no-cache", "--iidfile", "iid"];
    let built = load(&home, &docker.host(), &args);
    assert_eq!(built.code, Some(0), "{built:?}");
    let id = config_digest(&home);
    assert_eq!(docker.run(&["run", "--rm", "--network=none", id.trim()]), "unnamed\n");
}

#[test]
fn podman_has_the_image_by_its_names_also_over_tcp() {
    let Some(home) = home() else { return };
    let port = free_port();
    let tcp = format!("tcp://127.0.0.1:{port}");
    let Some(podman) = Podman::start(&tcp.replace("tcp://", "tcp:")) else { return };
    let there = |name: &str| {
        let images = podman.run(&["images", "--no-trunc", "--format", "{{.ID}} {{.Repository}}"]);
        let line = format!("{} {name}", config_digest(&home).trim());
        assert!(images.lines().any(|known| known == line), "{line}: {images}");
    };
    let recipe = std::fs::read_to_string(home.path("recipe.yaml")).expect("there");
    for compression in ["gzip", "zstd"] {
        for names in [&["-t", "app:1"][..], &["-t", "app:1", "-t", "localhost/b:2"], &[]] {
            // Another image each time: names move.
            let word = format!("{compression} {}", names.len());
            home.write("recipe.yaml", &recipe.replace("it runs", &word));
            let args = ["--load", "--no-cache", "--compression", compression, "--iidfile", "iid"];
            let built = load(&home, &tcp, &[&args[..], names].concat());
            assert_eq!(built.code, Some(0), "{names:?}: {built:?}");
            assert!(built.stderr.contains("exporting Podman "), "{}", built.stderr);
            match names {
                [] => there("<none>"),
                [_, _] => there("docker.io/library/app"),
                _ => ["docker.io/library/app", "localhost/b"].into_iter().for_each(there),
            }
        }
    }
}

#[test]
fn docker_is_reached_over_tls_and_nobody_else() {
    if !tools::have(&["openssl"]) {
        return;
    }
    let Some(home) = home() else { return };
    certificates::make(&home.path(""));
    let port = free_port();
    let at = |name: &str| home.path(name).display().to_string();
    let extra = [
        format!("--host=tcp://127.0.0.1:{port}"),
        "--tlsverify".to_owned(),
        format!("--tlscacert={}", at("ca.pem")),
        format!("--tlscert={}", at("server.pem")),
        format!("--tlskey={}", at("server-key.pem")),
    ];
    let Some(docker) = Docker::start_with(&extra) else { return };
    let build = |certificates: Option<&str>| {
        let mut command = home.command(&["build", "--load", "-t", "tls", "-q"]);
        command.env("DOCKER_HOST", format!("tcp://127.0.0.1:{port}"));
        if let Some(dir) = certificates {
            command.env("DOCKER_TLS_VERIFY", "1").env("DOCKER_CERT_PATH", dir);
        }
        said(command.output().expect("phoenix starts"))
    };
    let built = build(Some(&at("")));
    assert_eq!(built.code, Some(0), "{built:?}");
    assert_eq!(docker.run(&["run", "--rm", "--network=none", "tls"]), "it runs\n");
    // As a context, with its certificates beside it.
    let meta = format!(r#"{{"Endpoints":{{"docker":{{"Host":"tcp://127.0.0.1:{port}"}}}}}}"#);
    // SHA-256 of `t`.
    let id = "e3b98a4da31a127d4bde6e43033f66ba274cab0eb7eb1c70ec41402bf6273dd8";
    home.write(&format!(".docker/contexts/meta/{id}/meta.json"), &meta);
    for name in ["ca.pem", "cert.pem", "key.pem"] {
        let text = std::fs::read_to_string(home.path(name)).expect("there");
        home.write(&format!(".docker/contexts/tls/{id}/docker/{name}"), &text);
    }
    let mut command = home.command(&["build", "--load", "-t", "tls:2", "-q"]);
    let built = said(command.env("DOCKER_CONTEXT", "t").output().expect("phoenix starts"));
    assert_eq!(built.code, Some(0), "{built:?}");
    // Without TLS, without a certificate of the client, with another authority.
    let refused = build(None);
    assert_eq!(refused.code, Some(5));
    assert!(refused.stderr.contains("DOCKER_CERT_PATH is the directory"), "{}", refused.stderr);
    std::fs::create_dir(home.path("bare")).expect("new");
    std::fs::copy(home.path("ca.pem"), home.path("bare/ca.pem")).expect("copied");
    let refused = build(Some(&at("bare")));
    assert_eq!(refused.code, Some(5), "{refused:?}");
    std::fs::create_dir(home.path("other")).expect("new");
    certificates::make(&home.path("other"));
    let refused = build(Some(&at("other")));
    assert_eq!(refused.code, Some(5), "{refused:?}");
    assert!(refused.stderr.contains("invalid peer certificate"), "{}", refused.stderr);
}

#[test]
fn docker_is_reached_over_ssh_and_what_ssh_says_is_told() {
    let Some(home) = home() else { return };
    let Some(docker) = Docker::start() else { return };
    let Some(sshd) = Sshd::start(&home) else { return };
    let socket = docker.host().replace("unix://", "");
    let build = |host: &str, config: bool| {
        let mut command = home.command(&["build", "--load", "-t", "far", "-q"]);
        if config {
            let path = std::env::var("PATH").unwrap_or_default();
            command.env("PATH", format!("{}:{path}", home.path("bin").display()));
        }
        said(command.env("DOCKER_HOST", host).output().expect("phoenix starts"))
    };
    let host = format!("ssh://root@127.0.0.1:{}", sshd.port);
    let built = build(&format!("{host}{socket}"), true);
    assert_eq!(built.code, Some(0), "{built:?}");
    assert_eq!(docker.run(&["run", "--rm", "--network=none", "far"]), "it runs\n");
    let nothing = build(&format!("{host}/nonexistent"), true);
    assert_eq!(nothing.code, Some(5));
    assert!(nothing.stderr.contains("dial unix /nonexistent"), "{}", nothing.stderr);
    let stranger = build(&format!("{host}{socket}"), false);
    assert_eq!(stranger.code, Some(5));
    assert!(stranger.stderr.contains("verification failed"), "{}", stranger.stderr);
}

#[test]
fn what_is_not_reproducible_comes_into_no_engine() {
    let Some(home) = home() else { return };
    if crate::build::with_busybox(&Home::new()).is_none() {
        return;
    }
    let Some(docker) = Docker::start() else { return };
    let argv = "[/bin/busybox, sh, -c, \"/bin/busybox head -c 9 /dev/urandom > /r\"]";
    let recipe = std::fs::read_to_string(home.path("recipe.yaml")).expect("there");
    let recipe = recipe.replace("config:", &format!("  - run: {argv}\nconfig:"));
    home.write("recipe.yaml", &recipe);
    let built = load(&home, &docker.host(), &["--load", "--check-reproducible"]);
    assert_eq!(built.code, Some(1), "{built:?}");
    assert!(!built.stderr.contains("exporting"), "{}", built.stderr);
    assert_eq!(docker.run(&["images", "--all", "--quiet"]), "");
}
