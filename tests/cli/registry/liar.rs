//! A registry that serves one image as it is told to: truly, or not.

use std::collections::HashMap;
use std::io::{BufRead as _, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

/// What is answered.
#[derive(Clone)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) body: Body,
}

/// What follows the head of an answer.
#[derive(Clone)]
pub(crate) enum Body {
    /// These bytes, and their length told before.
    Whole(Vec<u8>),
    /// These bytes, and a length told before that may be another one.
    Told(usize, Vec<u8>),
    /// These bytes, their length not told.
    Chunked(Vec<u8>),
    /// `x` for ever.
    Endless,
    /// These bytes of so many, and then nothing until the other side goes.
    Stuck(usize, Vec<u8>),
}

/// An image as an OCI layout has it.
#[derive(Clone)]
pub(crate) struct Served {
    /// Digest of the manifest.
    pub(crate) manifest: String,
    /// Of the lowest layer.
    pub(crate) layer: String,
    blobs: HashMap<String, Vec<u8>>,
}

impl Served {
    /// Reads a layout with one image.
    pub(crate) fn read(layout: &Path) -> Self {
        let dir = layout.join("blobs/sha256");
        let entries = std::fs::read_dir(&dir).expect("a layout").flatten();
        let blobs: HashMap<String, Vec<u8>> = entries
            .map(|entry| {
                let name = format!("sha256:{}", entry.file_name().to_string_lossy());
                (name, std::fs::read(entry.path()).expect("a blob"))
            })
            .collect();
        let json = |bytes: &[u8]| serde_json::from_slice::<serde_json::Value>(bytes).expect("JSON");
        let index = json(&std::fs::read(layout.join("index.json")).expect("an index"));
        let manifest = index["manifests"][0]["digest"].as_str().expect("text").to_owned();
        let layer =
            json(&blobs[&manifest])["layers"][0]["digest"].as_str().expect("text").to_owned();
        Self { manifest, layer, blobs }
    }

    pub(crate) fn blob(&self, digest: &str) -> Vec<u8> {
        self.blobs[digest].clone()
    }

    /// The truth.
    pub(crate) fn answer(&self, path: &str) -> Answer {
        let name = path.rsplit('/').next().unwrap_or_default();
        let bytes = match path {
            "/v2/" => b"{}".to_vec(),
            _ if path.contains("/manifests/") => self.blob(&self.manifest),
            _ => match self.blobs.get(name) {
                Some(bytes) => bytes.clone(),
                None => return Answer { status: 404, headers: vec![], body: Body::Whole(vec![]) },
            },
        };
        Answer { status: 200, headers: Vec::new(), body: Body::Whole(bytes) }
    }
}

/// One request: its path, its headers in lower case, and what follows them.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    pub(crate) path: String,
    pub(crate) headers: HashMap<String, String>,
    pub(crate) body: String,
}

type Rule = dyn Fn(&Request) -> Answer + Send + Sync;

/// See the module.
pub(crate) struct Liar {
    pub(crate) port: u16,
    requests: Arc<Mutex<Vec<Request>>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Liar {
    pub(crate) fn start(rule: impl Fn(&Request) -> Answer + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
        let port = listener.local_addr().expect("it is bound").port();
        let (requests, stop) = (Arc::new(Mutex::new(Vec::new())), Arc::new(AtomicBool::new(false)));
        let (seen, over, rule): (_, _, Arc<Rule>) =
            (Arc::clone(&requests), Arc::clone(&stop), Arc::new(rule));
        let thread = std::thread::spawn(move || {
            for stream in listener.incoming() {
                if over.load(Ordering::SeqCst) {
                    return;
                }
                let (seen, rule) = (Arc::clone(&seen), Arc::clone(&rule));
                let Ok(stream) = stream else { continue };
                // It ends with its connection, at the latest when the client goes.
                std::thread::spawn(move || serve(stream, &seen, &*rule));
            }
        });
        Self { port, requests, stop, thread: Some(thread) }
    }

    /// A name there.
    pub(crate) fn name(&self, rest: &str) -> String {
        format!("127.0.0.1:{}/{rest}", self.port)
    }

    pub(crate) fn requests(&self) -> Vec<Request> {
        self.requests.lock().expect("nobody panicked").clone()
    }
}

impl Drop for Liar {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        drop(TcpStream::connect(("127.0.0.1", self.port)));
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// One request per connection.
fn serve(stream: TcpStream, seen: &Mutex<Vec<Request>>, rule: &Rule) {
    let mut reader = BufReader::new(stream.try_clone().expect("a second handle"));
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).unwrap_or(0) == 0 {
            return;
        }
        let line = line.trim_end().to_owned();
        if line.is_empty() {
            break;
        }
        lines.push(line);
    }
    let path = lines[0].split(' ').nth(1).unwrap_or_default().to_owned();
    let headers = lines[1..].iter().filter_map(|line| {
        let (name, value) = line.split_once(':')?;
        Some((name.to_ascii_lowercase(), value.trim().to_owned()))
    });
    let headers: HashMap<String, String> = headers.collect();
    let length = headers.get("content-length").and_then(|length| length.parse().ok());
    let mut body = vec![0; length.unwrap_or(0)];
    if std::io::Read::read_exact(&mut reader, &mut body).is_err() {
        return;
    }
    let body = String::from_utf8_lossy(&body).into_owned();
    let request = Request { path, headers, body };
    seen.lock().expect("nobody panicked").push(request.clone());
    // A client that goes away is what some of the tests are about.
    let _ = answer(stream, rule(&request));
}

fn answer(mut stream: TcpStream, answer: Answer) -> std::io::Result<()> {
    let Answer { status, headers, body } = answer;
    write!(stream, "HTTP/1.1 {status} X\r\nConnection: close\r\n")?;
    for (name, value) in headers {
        write!(stream, "{name}: {value}\r\n")?;
    }
    match body {
        Body::Whole(bytes) => {
            write!(stream, "Content-Length: {}\r\n\r\n", bytes.len())?;
            stream.write_all(&bytes)
        }
        Body::Told(length, bytes) => {
            write!(stream, "Content-Length: {length}\r\n\r\n")?;
            stream.write_all(&bytes)
        }
        Body::Chunked(bytes) => {
            write!(stream, "Transfer-Encoding: chunked\r\n\r\n{:x}\r\n", bytes.len())?;
            stream.write_all(&bytes)?;
            write!(stream, "\r\n0\r\n\r\n")
        }
        Body::Endless => {
            write!(stream, "Transfer-Encoding: chunked\r\n\r\n")?;
            let many = [b'x'; 1 << 16];
            loop {
                write!(stream, "{:x}\r\n", many.len())?;
                stream.write_all(&many)?;
                write!(stream, "\r\n")?;
            }
        }
        Body::Stuck(length, bytes) => {
            write!(stream, "Content-Length: {length}\r\n\r\n")?;
            stream.write_all(&bytes)?;
            stream.flush()?;
            let mut nothing = [0];
            std::io::Read::read(&mut stream, &mut nothing).map(drop)
        }
    }
}
