//! Downloads from a small server of the test's own.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use super::*;
use crate::cancel::Cancel;
use crate::source::debian::Proxies;

/// Answers each request with what `answer` makes of it, and remembers them.
struct Server {
    address: String,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Server {
    fn new(answer: impl Fn(usize, &str) -> Vec<u8> + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("bound");
        let address = format!("http://{}", listener.local_addr().expect("bound"));
        let asked: Arc<Mutex<Vec<String>>> = Arc::default();
        let seen = Arc::clone(&asked);
        // It goes with the process; each connection is one request.
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let request = request(&stream);
                let mut seen = seen.lock().expect("nobody panicked");
                let _ = (&stream).write_all(&answer(seen.len(), &request));
                seen.push(request);
            }
        });
        Self { address, asked }
    }

    fn asked(&self) -> Vec<String> {
        self.asked.lock().expect("nobody panicked").clone()
    }
}

fn request(mut stream: &TcpStream) -> String {
    let mut text = Vec::new();
    let mut byte = [0];
    while !text.ends_with(b"\r\n\r\n") && stream.read(&mut byte).is_ok_and(|n| n == 1) {
        text.push(byte[0]);
    }
    String::from_utf8_lossy(&text).to_lowercase()
}

fn answer(status: &str, headers: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!(
        "HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close\r\n{headers}\r\n{body}"
    )
    .into_bytes()
}

fn scene() -> (tempfile::TempDir, Store, Client) {
    let place = tempfile::tempdir().expect("a directory");
    let store = Store::open(place.path()).expect("a store");
    let client = Client::new(&Proxies::default(), &Cancel::new()).expect("a client");
    (place, store, client)
}

const MODIFIED: &str = "Wed, 21 Oct 2015 07:28:00 GMT";

#[test]
fn a_file_comes_with_what_tells_that_it_is_the_same_later() {
    let headers = format!("ETag: \"one\"\r\nLast-Modified: {MODIFIED}\r\n");
    let server = Server::new(move |_, request| match request.contains("if-none-match: \"one\"") {
        true => answer("304 Not Modified", "", ""),
        false => answer("200 OK", &headers, "content"),
    });
    let (_place, store, client) = scene();
    let url = format!("{}/file?query", server.address);
    let first = client.get(Some(&store), &url, None, &|_, _| {}).expect("downloaded");
    let Answer::New(known) = first else { panic!("{first:?}") };
    assert_eq!(known.content, BlobDigest::of(b"content"));
    assert_eq!(known.mtime(), Some(1_445_412_480));
    assert!(is_there(&store, &known.content));
    known.keep(&store, &url).expect("kept");
    let kept = Known::read(&store, &url).expect("read").expect("kept");
    assert_eq!(kept, known);
    assert_eq!(client.get(None, &url, Some(&kept), &|_, _| {}).expect("asked"), Answer::Same);
    let other = Known { etag: Some("\"other\"".to_owned()), ..kept };
    let changed = client.get(None, &url, Some(&other), &|_, _| {}).expect("asked");
    assert_eq!(changed, Answer::Changed);
    let asked = server.asked();
    assert_eq!(asked.len(), 3);
    assert!(asked.iter().all(|asked| !asked.contains("if-modified-since")), "times prove nothing");
    std::fs::write(store.download_path(&known.content), "damaged").expect("written");
    assert!(!is_there(&store, &known.content));
}

#[test]
fn a_file_without_a_tag_is_downloaded_again_whatever_its_time_is() {
    let server = Server::new(move |at, request| match request.contains("if-") {
        true => answer("304 Not Modified", "", ""),
        false => {
            let headers = format!("Last-Modified: {MODIFIED}\r\n");
            answer("200 OK", &headers, ["first", "other"][at])
        }
    });
    let (_place, store, client) = scene();
    let get = |known: Option<&Known>| match client
        .get(Some(&store), &server.address, known, &|_, _| {})
        .expect("asked")
    {
        Answer::New(known) => known,
        other => panic!("{other:?}"),
    };
    let first = get(None);
    assert_eq!(get(Some(&first)).content, BlobDigest::of(b"other"));
}

#[test]
fn a_body_that_is_cut_off_is_asked_for_again_and_no_download() {
    let cut = |body: &str| {
        format!("HTTP/1.1 200 OK\r\nContent-Length: 99\r\nConnection: close\r\n\r\n{body}")
            .into_bytes()
    };
    let server = Server::new(move |at, _| match at {
        0 => cut("short"),
        _ => answer("200 OK", "", "whole"),
    });
    let (_place, store, client) = scene();
    let got = client.get(Some(&store), &server.address, None, &|_, _| {}).expect("the second");
    assert!(matches!(got, Answer::New(known) if known.content == BlobDigest::of(b"whole")));
    assert_eq!(server.asked().len(), 2);
    let server = Server::new(move |_, _| cut("short"));
    let got = client.get(Some(&store), &server.address, None, &|_, _| {});
    assert!(matches!(got, Err(HttpError::Transfer { .. })), "{got:?}");
    assert!(!store.download_path(&BlobDigest::of(b"short")).exists());
}

#[test]
fn errors_and_redirects_are_told_without_secrets() {
    let server = Server::new(|_, request| match request.starts_with("get /loop") {
        true => answer("302 Found", "Location: /loop\r\n", ""),
        false => answer("404 Not Found", "", ""),
    });
    let (_place, store, client) = scene();
    let url = server.address.replace("http://", "http://user:hush@");
    let missing = client.get(Some(&store), &format!("{url}/x?hush"), None, &|_, _| {});
    let text = missing.expect_err("absent").to_string();
    assert!(text.contains("404") && !text.contains("hush"), "{text}");
    assert!(server.asked()[0].contains("authorization: basic"), "they are sent");
    let looping = client.get(Some(&store), &format!("{url}/loop"), None, &|_, _| {});
    let error = looping.expect_err("a loop");
    let text = format!("{error} {:?}", std::error::Error::source(&error).map(ToString::to_string));
    assert!(!text.contains("hush"), "{text}");
    assert!(server.asked().len() < 20);
}

#[test]
fn a_download_is_a_layer_of_one_file() {
    let (_place, store, _client) = scene();
    let content = BlobDigest::of(b"x");
    std::fs::create_dir_all(store.download_path(&content).parent().expect("it has one"))
        .expect("made");
    std::fs::write(store.download_path(&content), "x").expect("written");
    let mtime = Mtime { secs: 5, nanos: 0 };
    let desc = layer(&store, &content, ("a b", mtime), Compression::Gzip).expect("a layer");
    let entries = crate::layer::Layer::open(&store, &desc).expect("open").entries().expect("read");
    let [Entry { path, change: Change::Present { meta, .. } }] = &entries[..] else {
        panic!("{entries:?}");
    };
    assert_eq!((path.display(), meta.mode, meta.mtime), ("/a b".to_owned(), 0o600, mtime));
    for bad in ["", "a/b", "..", "."] {
        let refused = layer(&store, &content, (bad, mtime), Compression::Gzip);
        assert!(matches!(refused, Err(HttpError::Name { .. })), "{bad}: {refused:?}");
    }
}
