//! A registry that does not tell the truth harms no store and learns no secret.

use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use super::liar::{Answer, Body, Liar, Served};
use super::{ill, image, well};
use crate::phoenix::Home;

fn served(home: &Home) -> Served {
    image(home, "app:1", "truth", &["-o", "type=oci,dest=app"]);
    Served::read(&home.path("app"))
}

fn blob(home: &Home, digest: &str) -> PathBuf {
    home.path(".local/share/phoenix/blobs/sha256").join(&digest["sha256:".len()..])
}

fn ok(body: Body) -> Answer {
    Answer { status: 200, headers: Vec::new(), body }
}

/// A registry that answers `lie` for what `path` is part of.
fn about(served: &Served, path: String, lie: Answer) -> Liar {
    let truth = served.clone();
    Liar::start(move |request| match request.path.contains(&path) {
        true => lie.clone(),
        false => truth.answer(&request.path),
    })
}

fn failed(status: u16, body: Body) -> Answer {
    Answer { status, headers: Vec::new(), body }
}

#[test]
fn a_layer_with_wrong_bytes_or_of_a_wrong_length_is_refused_and_leaves_nothing() {
    let maker = Home::new();
    let served = served(&maker);
    let bytes = served.blob(&served.layer);
    let length = bytes.len();
    let mut wrong = bytes.clone();
    wrong[length / 2] ^= 1;
    let long = [&bytes[..], b"more"].concat();
    let short = bytes[..length - 3].to_vec();
    for (why, lie) in [
        ("layer 1: the blob digest is", ok(Body::Whole(wrong))),
        ("layer 1 has 87 bytes instead of 90", ok(Body::Whole(short.clone()))),
        ("layer 1 ends after 87 of 90 bytes", ok(Body::Chunked(short.clone()))),
        ("layer 1 ends after 87 of 90 bytes", ok(Body::Told(length, short))),
        ("layer 1 has 94 bytes instead of 90", ok(Body::Whole(long.clone()))),
        ("layer 1 has more than its 90 bytes", ok(Body::Chunked(long))),
        ("layer 1 has more than its 90 bytes", ok(Body::Endless)),
        ("answers 500", failed(500, Body::Endless)),
        ("has no layer 1", failed(404, Body::Endless)),
    ] {
        let why = why.replace("90", &length.to_string());
        let why = why.replace("87", &(length - 3).to_string());
        let why = why.replace("94", &(length + 4).to_string());
        let liar = about(&served, format!("/blobs/{}", served.layer), lie);
        let home = Home::new();
        let said = ill(&home, &["pull", &liar.name("app:1")]);
        assert!(said.contains(&why), "{why}: {said}");
        assert!(!blob(&home, &served.layer).exists(), "{why}");
        assert!(!well(&home, &["images", "--all"]).contains("app"), "{why}");
        // The same store takes the image from who tells the truth.
        let truth = served.clone();
        let honest = Liar::start(move |request| truth.answer(&request.path));
        assert_eq!(well(&home, &["pull", "-q", &honest.name("app:1")]), served.manifest);
        assert_eq!(well(&home, &["cat", &honest.name("app:1"), "/file"]), "truth");
    }
}

#[test]
fn a_manifest_that_never_ends_or_is_not_what_was_asked_for_is_refused() {
    let maker = Home::new();
    let served = served(&maker);
    let other = [&served.blob(&served.manifest)[..], b" "].concat();
    let schema_one = br#"{"schemaVersion": 1, "name": "app", "fsLayers": [], "history": []}"#;
    let denied = br#"{"errors": [{"code": "DENIED", "message": "no\u001b[31m"}]}"#;
    let pinned = format!("app@{}", served.manifest);
    let digest = vec![("Docker-Content-Digest", served.manifest.clone())];
    let told = Answer { headers: digest, ..ok(Body::Whole(other.clone())) };
    for (name, why, lie) in [
        ("app:1", "has more than 8388608 bytes", ok(Body::Endless)),
        ("app:1", "instead of sha256:", told),
        (&pinned, "instead of sha256:", ok(Body::Whole(other))),
        ("app:1", "schema 1", ok(Body::Whole(schema_one.to_vec()))),
        ("app:1", "is not valid", ok(Body::Whole(b"<html>".to_vec()))),
        ("app:1", "has no image", failed(404, Body::Whole(Vec::new()))),
        ("app:1", "denies access to app: no", failed(403, Body::Whole(denied.to_vec()))),
    ] {
        let liar = about(&served, "/manifests/".to_owned(), lie);
        let home = Home::new();
        let said = ill(&home, &["pull", &liar.name(name)]);
        assert!(said.contains(why) && !said.contains('\u{1b}'), "{why}: {said}");
        assert_eq!(super::blobs(&home), 0, "{why}");
    }
}

#[test]
fn a_redirect_elsewhere_carries_no_password() {
    let maker = Home::new();
    let served = served(&maker);
    let truth = served.clone();
    let elsewhere = Liar::start(move |request| truth.answer(&request.path));
    let (truth, layer, port) = (served.clone(), served.layer.clone(), elsewhere.port);
    let registry = Liar::start(move |request| {
        if !request.headers.contains_key("authorization") {
            let headers = vec![("WWW-Authenticate", "Basic realm=\"test\"".to_owned())];
            return Answer { status: 401, headers, body: Body::Whole(vec![]) };
        }
        if request.path.contains(&layer) {
            let to = format!("http://127.0.0.1:{port}/somewhere/{layer}");
            return Answer {
                status: 307,
                headers: vec![("Location", to)],
                body: Body::Whole(vec![]),
            };
        }
        truth.answer(&request.path)
    });
    let home = Home::new();
    let known = registry.name("");
    // `user:secret`.
    let file = format!(
        r#"{{"auths": {{"{}": {{"auth": "dXNlcjpzZWNyZXQ="}}}}}}"#,
        known.trim_end_matches('/')
    );
    home.write(".docker/config.json", &file);
    let name = registry.name("app:1");
    assert_eq!(well(&home, &["pull", "-q", &name]), served.manifest);
    let there = elsewhere.requests();
    assert_eq!(there.len(), 1, "{there:?}");
    assert!(!there[0].headers.contains_key("authorization"), "{there:?}");
}

#[test]
fn a_pull_that_is_killed_leaves_a_store_that_the_next_one_completes() {
    let maker = Home::new();
    let served = served(&maker);
    let (truth, layer) = (served.clone(), served.layer.clone());
    let stuck = Liar::start(move |request| match request.path.contains(&layer) {
        true => {
            let bytes = truth.blob(&layer);
            ok(Body::Stuck(bytes.len(), bytes[..bytes.len() / 2].to_vec()))
        }
        false => truth.answer(&request.path),
    });
    let home = Home::new();
    for signal in [rustix::process::Signal::KILL, rustix::process::Signal::INT] {
        let before = stuck.requests().len();
        let name = stuck.name("app:1");
        let mut command = home.command(&["pull", &name]);
        let mut child =
            command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("phoenix starts");
        while !stuck.requests()[before..].iter().any(|seen| seen.path.contains(&served.layer)) {
            assert!(child.try_wait().expect("ours").is_none(), "it did not wait for the layer");
            std::thread::sleep(Duration::from_millis(20));
        }
        let id = rustix::process::Pid::from_child(&child);
        rustix::process::kill_process(id, signal).expect("it runs");
        let ended = child.wait().expect("ours");
        if signal == rustix::process::Signal::INT {
            assert_eq!(ended.code(), Some(130));
        }
        assert!(!blob(&home, &served.layer).exists());
        assert!(!well(&home, &["images", "--all"]).contains("app"));
        let work = home.path(".local/share/phoenix/phoenix/work");
        assert_eq!(std::fs::read_dir(work).expect("a store").count(), 0, "swept");
    }
    let truth = served.clone();
    let honest = Liar::start(move |request| truth.answer(&request.path));
    assert_eq!(well(&home, &["pull", "-q", &honest.name("app:1")]), served.manifest);
}
