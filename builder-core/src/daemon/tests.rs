//! Engines that fail in every way, and where engines are looked for.

use std::io::{self, BufRead as _, BufReader, Read as _, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::*;
use crate::cancel::Cancel;

const VERSION: &str =
    r#"{"Version":"1.2","ApiVersion":"1.41","Components":[{"Name":"Engine","Version":"1.2"}]}"#;

/// What a fake engine does with a request that is not for its version.
type Act = fn(&mut UnixStream, &mut BufReader<UnixStream>);

/// A fake engine; its threads last as long as the process.
struct Fake {
    dir: tempfile::TempDir,
    store: Store,
}

impl Fake {
    fn start(act: Act) -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let listener = UnixListener::bind(dir.path().join("s")).expect("a socket");
        std::thread::spawn(move || {
            for connection in listener.incoming() {
                let Ok(mut out) = connection else { return };
                std::thread::spawn(move || {
                    let mut lines = BufReader::new(out.try_clone().expect("a descriptor"));
                    let mut first = String::new();
                    let _ = lines.read_line(&mut first);
                    if first.contains("/version") {
                        answer(&mut out, "200 OK", VERSION);
                    } else {
                        act(&mut out, &mut lines);
                    }
                });
            }
        });
        let store = Store::open(&dir.path().join("store")).expect("a store");
        Self { dir, store }
    }

    fn connect(&self, cancel: &Cancel) -> Daemon {
        let host = Some(format!("unix://{}", self.dir.path().join("s").display()));
        let settings = Settings { host, ..Settings::default() };
        Daemon::connect(&settings, &self.store.until(cancel)).expect("it answers")
    }

    /// What the engine says to an archive that never ends.
    fn endless(&self, cancel: &Cancel, written: &AtomicU64) -> DaemonError {
        let ended = self.connect(cancel).load(|out| {
            loop {
                out.write_all(&[7; 1 << 16])?;
                written.fetch_add(1 << 16, Ordering::Relaxed);
            }
        });
        match ended.map_err(|ended: Ended<io::Error>| ended) {
            Err(Ended::There(error)) => error,
            other => panic!("{other:?}"),
        }
    }

    fn saved(&self) -> Result<Vec<u8>, Ended<io::Error>> {
        self.connect(&Cancel::new()).save(&BlobDigest::of(b"x"), |archive| {
            let mut all = Vec::new();
            archive.read_to_end(&mut all).map(|_| all)
        })
    }
}

fn answer(out: &mut UnixStream, status: &str, body: &str) {
    let length = body.len();
    let _ = write!(out, "HTTP/1.1 {status}\r\ncontent-length: {length}\r\n\r\n{body}");
}

/// Engines read on until the other side has seen the answer.
fn drain(lines: &mut BufReader<UnixStream>) {
    let _ = io::copy(lines, &mut io::sink());
}

#[test]
fn an_engine_that_refuses_an_image_is_quoted_and_its_writer_ends() {
    let refuse: Act = |out, lines| {
        answer(out, "500 Error", r#"{"message":"no room\n"}"#);
        drain(lines);
    };
    let error = Fake::start(refuse).endless(&Cancel::new(), &AtomicU64::new(0));
    let text = error.to_string();
    assert!(matches!(error, DaemonError::Failed { .. }), "{text}");
    assert!(
        text.starts_with("Docker 1.2 at unix:///") && text.ends_with("image: no room"),
        "{text}"
    );
    // As engines say it that have begun to answer.
    let error: Act = |out, lines| {
        answer(
            out,
            "200 OK",
            "{\"errorDetail\":{\"message\":\"bad tar\"},\"error\":\"bad tar\"}\r\n",
        );
        drain(lines);
    };
    let text = Fake::start(error).endless(&Cancel::new(), &AtomicU64::new(0)).to_string();
    assert!(text.ends_with("failed at loading the image: bad tar"), "{text}");
}

#[test]
fn an_engine_that_hangs_up_in_mid_stream_is_an_error() {
    let hang_up: Act = |_, lines| {
        let _ = lines.read_exact(&mut [0; 100_000]);
    };
    let error = Fake::start(hang_up).endless(&Cancel::new(), &AtomicU64::new(0));
    assert!(matches!(error, DaemonError::Broken { .. }), "{error}");
    let cut: [(&str, Act); 2] = [
        ("length", |out, _| {
            let _ = out.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf");
        }),
        ("chunks", |out, _| {
            let _ = out
                .write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\nhalf\r\n");
        }),
    ];
    for (what, act) in cut {
        match Fake::start(act).saved() {
            Err(Ended::There(DaemonError::Broken { .. })) => {}
            other => panic!("{what}: {other:?}"),
        }
    }
    let whole = Fake::start(|out, _| answer(out, "200 OK", "whole")).saved();
    assert_eq!(whole.map_err(|_| ()), Ok(b"whole".to_vec()));
}

#[test]
fn what_goes_wrong_here_is_told_and_the_engine_gets_no_whole_request() {
    let wait: Act = |out, lines| {
        let mut all = Vec::new();
        let _ = lines.read_to_end(&mut all);
        // The last chunk of a whole body is an empty one.
        let text = if all.ends_with(b"\r\n0\r\n\r\n") { "200 OK" } else { "400 Cut" };
        answer(out, text, "{}");
    };
    let fake = Fake::start(wait);
    let ended = fake.connect(&Cancel::new()).load(|out| {
        out.write_all(b"half")?;
        Err(io::Error::other("the store is damaged"))
    });
    match ended {
        Err(Ended::Here(error)) => assert_eq!(error.to_string(), "the store is damaged"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_engine_that_takes_nothing_holds_up_no_memory_and_a_cancel_ends_it() {
    let sleep: Act = |_, _| std::thread::sleep(Duration::from_secs(3600));
    let (cancel, written) = (Cancel::new(), AtomicU64::new(0));
    let fake = Fake::start(sleep);
    let error = std::thread::scope(|scope| {
        scope.spawn(|| {
            // Until nothing moves any more.
            let mut last = u64::MAX;
            while last != written.load(Ordering::Relaxed) || last == 0 {
                last = written.load(Ordering::Relaxed);
                std::thread::sleep(Duration::from_millis(200));
            }
            cancel.cancel();
        });
        fake.endless(&cancel, &written)
    });
    assert!(matches!(error, DaemonError::Canceled), "{error}");
    let written = written.into_inner();
    assert!(written > 0 && written < 8 << 20, "{written} bytes were under way");
}

#[test]
fn names_that_would_be_other_requests_are_refused() {
    let fake = Fake::start(|out, _| answer(out, "404 Not Found", r#"{"message":"no"}"#));
    let daemon = fake.connect(&Cancel::new());
    for name in ["../containers/json", "a?b", "a b", "", "a//b", "a#b", "%2e"] {
        let error = daemon.image_id(name).expect_err("refused");
        assert!(matches!(error, DaemonError::Name { .. }), "{name}: {error}");
    }
    for name in ["app", "localhost:5000/a/b:1", "a@sha256:00", "0123abcd", "[::1]:5000/a"] {
        assert!(matches!(daemon.image_id(name), Ok(None)), "{name}");
    }
}

fn looked_for(settings: &Settings) -> String {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let store = Store::open(&dir.path().join("store")).expect("a store");
    Daemon::connect(settings, &store).expect_err("there is none").to_string()
}

#[test]
fn of_the_usual_sockets_the_first_that_answers_is_taken() {
    let fake = Fake::start(|out, _| answer(out, "404 Not Found", r#"{"message":"no"}"#));
    let dumb = fake.dir.path().join("dumb");
    drop(UnixListener::bind(&dumb).expect("a socket"));
    let sockets = ["/nonexistent/a".into(), dumb, fake.dir.path().join("s")];
    let sockets = sockets.into_iter().map(|path| (path, "a socket")).collect();
    let daemon = Daemon::connect(&Settings { sockets, ..Settings::default() }, &fake.store);
    let name = daemon.expect("one answers").name().to_owned();
    assert!(name.starts_with("Docker 1.2 at unix:///") && name.ends_with("/s"), "{name}");
}

fn context(config: &Path, name: &str, meta: &str) {
    let id = BlobDigest::of(name.as_bytes()).hex();
    let dir = config.join("contexts/meta").join(id);
    std::fs::create_dir_all(&dir).expect("new");
    std::fs::write(dir.join("meta.json"), meta).expect("written");
}

#[test]
fn where_an_engine_is_looked_for_is_told_in_order() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let config = dir.path().to_owned();
    let nobody = dir.path().join("nobody");
    // A socket that nobody listens on any more.
    drop(UnixListener::bind(&nobody).expect("a socket"));
    let settings = Settings {
        config: Some(config.clone()),
        sockets: vec![("/nonexistent/a".into(), "Docker's socket"), (nobody, "Podman's socket")],
        ..Settings::default()
    };
    let told = looked_for(&settings).replace(&*dir.path().to_string_lossy(), "DIR");
    let sockets = "no container engine answers:
  unix:///nonexistent/a (Docker's socket): there is no such socket
  unix://DIR/nobody (Podman's socket): nobody listens there";
    assert_eq!(told, sockets);

    let host = |host: &str| r#"{"Endpoints":{"docker":{"Host":"HOST"}}}"#.replace("HOST", host);
    context(&config, "mine", &host("unix:///nonexistent/mine"));
    context(&config, "other", &host("unix:///nonexistent/other"));
    context(&config, "odd", &host("npipe:////./pipe/x"));
    let unverified = r#"{"Endpoints":{"docker":{"Host":"tcp://h","SkipTLSVerify":true}}}"#;
    context(&config, "unverified", unverified);
    let write = |text: &str| std::fs::write(config.join("config.json"), text).expect("written");
    write(r#"{"auths":{},"currentContext":"mine"}"#);
    assert!(looked_for(&settings).contains("mine (the context `mine` of Docker): there is no"));
    let of =
        |name: &str| looked_for(&Settings { context: Some(name.to_owned()), ..settings.clone() });
    assert!(of("other").contains("unix:///nonexistent/other (the context `other`"));
    assert!(of("default").contains("(Docker's socket)"));
    assert!(of("none").starts_with("the context `none` of Docker cannot be used: there is no "));
    assert!(of("odd").contains("its engine is at `npipe:////./pipe/x`: "));
    assert!(of("unverified").contains("certificate is not to be checked"));
    // An address goes before all of them.
    let host = Some("unix:///nonexistent/host".to_owned());
    let told = looked_for(&Settings { host, context: Some("other".into()), ..settings.clone() });
    assert_eq!(told.lines().count(), 2, "{told}");
    assert!(told.contains("/host (DOCKER_HOST)"), "{told}");
    write("{");
    assert!(looked_for(&settings).starts_with("reading "));
}

#[test]
fn certificates_that_are_not_there_are_named() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let certificates = Some(dir.path().to_owned());
    let host = Some("tcp://127.0.0.1:1".to_owned());
    let told = looked_for(&Settings { host, tls: true, certificates, ..Settings::default() });
    assert!(told.contains("ca.pem: No such file"), "{told}");
}
