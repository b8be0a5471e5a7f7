//! Just enough HTTP to put a document into a registry.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

/// Puts a manifest; the registry must take it.
pub(super) fn put_manifest(port: u16, repository: &str, tag: &str, kind: &str, body: &[u8]) {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).expect("the registry listens");
    let length = body.len();
    write!(
        stream,
        "PUT /v2/{repository}/manifests/{tag} HTTP/1.1\r\nHost: localhost:{port}\r\nConnection: close\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\n\r\n"
    )
    .and_then(|()| stream.write_all(body))
    .expect("sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer in text");
    assert!(answer.starts_with("HTTP/1.1 201"), "{answer}");
}
