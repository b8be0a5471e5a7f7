//! `ADD` of what lies elsewhere: a file of a web server, a commit of a git
//! repository. Only they know whether it is what it was, so each build asks
//! them; what did not change is not fetched again, and what is pinned by its
//! content is not asked for.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use crate::dockerfile::{build, good, statuses};
use crate::phoenix::{Home, Said};
use crate::support::tools;
use crate::workload::eventually;

/// 2020-01-01 and 2020-01-02, as servers write it, and the constant of files.
const FIRST: (&str, u64) = ("Wed, 01 Jan 2020 00:00:00 GMT", 1_577_836_800);
const SECOND: (&str, u64) = ("Thu, 02 Jan 2020 00:00:00 GMT", 1_577_923_200);
const CONSTANT: u64 = 946_684_800;

/// What a web server has, and what it was asked.
#[derive(Default)]
struct Shelf {
    body: String,
    modified: &'static str,
    asked: usize,
    sent: usize,
}

/// A web server with one file; it ends with this value.
struct Web {
    port: u16,
    shelf: Arc<Mutex<Shelf>>,
    stop: Arc<AtomicBool>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Web {
    fn start(body: &str, modified: &'static str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = listener.local_addr().expect("bound").port();
        let stop = Arc::new(AtomicBool::new(false));
        let shelf = Shelf { body: body.to_owned(), modified, ..Shelf::default() };
        let shelf = Arc::new(Mutex::new(shelf));
        let (ended, of) = (Arc::clone(&stop), Arc::clone(&shelf));
        let thread = std::thread::spawn(move || {
            for stream in listener.incoming() {
                if ended.load(Ordering::Relaxed) {
                    return;
                }
                // Who asks may go away.
                let _ = stream.and_then(|stream| answer(stream, &of));
            }
        });
        Self { port, shelf, stop, thread: Some(thread) }
    }

    fn url(&self) -> String {
        format!("http://127.0.0.1:{}/dir/f", self.port)
    }

    fn serve(&self, body: &str, modified: &'static str) {
        let mut shelf = self.shelf.lock().expect("no panic");
        (shelf.body, shelf.modified) = (body.to_owned(), modified);
    }

    /// How often it was asked, and how often it sent the file.
    fn asked(&self) -> (usize, usize) {
        let shelf = self.shelf.lock().expect("no panic");
        (shelf.asked, shelf.sent)
    }
}

impl Drop for Web {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        // It wakes to see that it is to end.
        let _ = TcpStream::connect(("127.0.0.1", self.port));
        let _ = self.thread.take().map(std::thread::JoinHandle::join);
    }
}

fn answer(mut stream: TcpStream, shelf: &Mutex<Shelf>) -> std::io::Result<()> {
    let mut known = None;
    for line in BufReader::new(&stream).lines() {
        let line = line?;
        if line.is_empty() {
            break;
        }
        if let Some((name, value)) = line.split_once(": ")
            && name.eq_ignore_ascii_case("if-none-match")
        {
            known = Some(value.to_owned());
        }
    }
    let mut shelf = shelf.lock().expect("no panic");
    shelf.asked += 1;
    let Shelf { body, modified, .. } = &*shelf;
    let tag = format!("\"{body} of {modified}\"");
    let about = format!("ETag: {tag}\r\nLast-Modified: {modified}\r\nConnection: close\r\n");
    if known == Some(tag) {
        return write!(stream, "HTTP/1.1 304 Not Modified\r\n{about}\r\n");
    }
    let length = body.len();
    write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n{about}\r\n{body}")?;
    shelf.sent += 1;
    Ok(())
}

/// A repository behind a `git daemon` that ends with this value.
struct Repository {
    place: PathBuf,
    port: u16,
    daemon: Child,
}

impl Repository {
    /// With one file; `None` (said loudly) without git.
    fn start(home: &Home) -> Option<Self> {
        if !tools::have(&["git"]) {
            return None;
        }
        let place = home.path("repos/repo.git");
        fs::create_dir_all(&place).expect("made");
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = listener.local_addr().expect("bound").port();
        drop(listener);
        let base = home.path("repos").display().to_string();
        // The program itself: `git daemon` would leave it behind when it is killed.
        let programs = tools::run("git", ["--exec-path"]);
        let daemon = Command::new(Path::new(programs.trim()).join("git-daemon"))
            .args(["--reuseaddr", "--export-all", "--listen=127.0.0.1"])
            .args([format!("--port={port}"), format!("--base-path={base}"), base])
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("git starts");
        let repository = Self { place, port, daemon };
        repository.git(&["init", "-q", "-b", "main"]);
        repository.commit("one");
        eventually("git daemon answers", || TcpStream::connect(("127.0.0.1", port)).is_ok());
        Some(repository)
    }

    fn git(&self, args: &[&str]) -> String {
        let place = self.place.display().to_string();
        let identity = ["-c", "user.name=t", "-c", "user.email=t@example.org", "-C", &place];
        tools::run("git", [&identity[..], args].concat())
    }

    /// Commits the file with that content; the commit.
    fn commit(&self, content: &str) -> String {
        fs::write(self.place.join("file"), content).expect("written");
        self.git(&["add", "."]);
        self.git(&["commit", "-q", "-m", content]);
        self.git(&["rev-parse", "HEAD"]).trim().to_owned()
    }

    fn url(&self, reference: &str) -> String {
        format!("git://127.0.0.1:{}/repo.git#{reference}", self.port)
    }
}

impl Drop for Repository {
    fn drop(&mut self) {
        let _ = self.daemon.kill();
        let _ = self.daemon.wait();
    }
}

fn cat(home: &Home, path: &str) -> String {
    good(&home.run(&["cat", "app:1", path])).to_owned()
}

/// Builds what must fail; what was said.
fn fails(home: &Home) -> Said {
    let said = home.run(&["build", "app", "-t", "app:1"]);
    assert!(!matches!(said.code, Some(0) | None), "{said:?}");
    said
}

/// The times of the image's files.
fn times(home: &Home) -> BTreeMap<String, u64> {
    good(&home.run(&["build", "app", "-q", "-o", "type=tar,dest=files.tar"]));
    let mut tar = tar::Archive::new(fs::File::open(home.path("files.tar")).expect("written"));
    let entries = tar.entries().expect("an archive").map(|entry| entry.expect("an entry"));
    let files = entries.filter(|entry| entry.header().entry_type().is_file());
    let file = |entry: tar::Entry<'_, fs::File>| {
        let path = entry.path().expect("a path").display().to_string();
        (path, entry.header().mtime().expect("a time"))
    };
    files.map(file).collect()
}

#[test]
fn a_file_of_a_web_server_is_fetched_when_it_changed_and_has_its_own_time() {
    let home = Home::new();
    let web = Web::start("one", FIRST.0);
    home.write("app/local", "local");
    let url = web.url();
    let text = format!("FROM scratch\nADD {url} /alone/\nADD {url} local /to/\n");
    let first = build(&home, &text, &[]);
    assert!(statuses(&first).iter().all(|status| *status == "ran"), "{first}");
    assert_eq!((cat(&home, "/to/f"), web.asked()), ("one".to_owned(), (1, 1)));
    let again = build(&home, &text, &[]);
    assert!(statuses(&again).iter().all(|status| *status == "cached"), "{again}");
    assert_eq!(web.asked(), (2, 1));
    // Beside files of this host, which have no time of their own, it gets theirs.
    let expected = [("alone/f", FIRST.1), ("to/f", CONSTANT), ("to/local", CONSTANT)];
    let expected = expected.map(|(path, time)| (path.to_owned(), time));
    assert_eq!(times(&home), BTreeMap::from(expected));
    web.serve("two", SECOND.0);
    let changed = build(&home, &text, &[]);
    assert_eq!((cat(&home, "/to/f"), web.asked()), ("two".to_owned(), (4, 2)));
    assert!(statuses(&changed).contains(&"ran"), "{changed}");
    assert_eq!(times(&home)["alone/f"], SECOND.1);
    // What is at hand may not be what is there: so nothing is built.
    drop(web);
    let said = fails(&home);
    assert!(said.stderr.contains(&format!("downloading {url}")), "{said:?}");
    assert_eq!(cat(&home, "/to/f"), "two");
}

#[test]
fn a_file_that_is_pinned_by_its_checksum_is_asked_for_once() {
    let home = Home::new();
    let web = Web::start("one", FIRST.0);
    let digest = builder_core::digest::BlobDigest::of(b"one");
    let text = format!("FROM scratch\nADD --checksum={digest} {} /f\n", web.url());
    build(&home, &text, &[]);
    assert_eq!((cat(&home, "/f"), web.asked()), ("one".to_owned(), (1, 1)));
    // Nor does what a server says of it play a part.
    assert_eq!(times(&home)["f"], CONSTANT);
    web.serve("two", SECOND.0);
    let again = build(&home, &text, &[]);
    assert!(statuses(&again).iter().all(|status| *status == "cached"), "{again}");
    assert_eq!(web.asked(), (1, 1));
    let wrong = builder_core::digest::BlobDigest::of(b"three");
    home.write("app/Dockerfile", &text.replace(&digest.to_string(), &wrong.to_string()));
    let said = fails(&home);
    assert!(said.stderr.contains("its digest is"), "{said:?}");
    drop(web);
    let offline = build(&home, &text, &["--no-cache"]);
    assert!(statuses(&offline).contains(&"ran"), "{offline}");
    assert_eq!(cat(&home, "/f"), "one");
}

#[test]
fn a_branch_is_asked_for_in_each_build_and_a_commit_never_again() {
    let home = Home::new();
    let Some(repository) = Repository::start(&home) else { return };
    let text = format!("FROM scratch\nADD {} /repo\n", repository.url("main"));
    build(&home, &text, &[]);
    assert_eq!(cat(&home, "/repo/file"), "one");
    let again = build(&home, &text, &[]);
    assert!(statuses(&again).iter().all(|status| *status == "cached"), "{again}");
    let commit = repository.commit("two");
    let changed = build(&home, &text, &[]);
    assert!(statuses(&changed).contains(&"ran"), "{changed}");
    assert_eq!(cat(&home, "/repo/file"), "two");
    let pinned = format!("FROM scratch\nADD {} /repo\n", repository.url(&commit));
    build(&home, &pinned, &[]);
    drop(repository);
    let offline = build(&home, &pinned, &[]);
    assert!(statuses(&offline).iter().all(|status| *status == "cached"), "{offline}");
    home.write("app/Dockerfile", &text);
    let said = fails(&home);
    assert!(said.stderr.contains("git ls-remote"), "{said:?}");
}

/// Makes all files below a directory as old as results that are of no use.
fn age(dir: &Path) -> usize {
    let long_ago = SystemTime::now() - Duration::from_secs(40 * 24 * 3600);
    let mut count = 0;
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        if entry.path().is_dir() {
            count += age(&entry.path());
        } else {
            let file = fs::File::options().append(true).open(entry.path()).expect("ours");
            let times = fs::FileTimes::new().set_modified(long_ago).set_accessed(long_ago);
            file.set_times(times).expect("ours");
            count += 1;
        }
    }
    count
}

fn files(dir: &Path) -> usize {
    fs::read_dir(dir).map_or(0, Iterator::count)
}

#[test]
fn what_was_fetched_goes_when_it_is_of_no_use_and_is_fetched_again() {
    let home = Home::new();
    let Some(repository) = Repository::start(&home) else { return };
    let web = Web::start("one", FIRST.0);
    let (url, git) = (web.url(), repository.url("main"));
    let text = format!("FROM scratch\nADD {url} /f\nADD {git} /repo\n");
    home.write("app/Dockerfile", &text);
    let digest = || good(&home.run(&["build", "app", "-q", "-t", "app:1"])).to_owned();
    let prune = |more: &[&str]| drop(good(&home.run(&[&["prune"], more].concat())).to_owned());
    let first = digest();
    let private = home.path(".local/share/phoenix/phoenix");
    let (downloads, told) = (private.join("downloads/sha256"), private.join("records/http"));
    prune(&[]);
    assert_eq!((files(&downloads), files(&told)), (1, 1), "they were of use just now");
    // What a server told of a file is of use whenever it is asked.
    assert_eq!((age(&downloads), age(&told)), (1, 1));
    assert_eq!((digest(), web.asked()), (first.clone(), (2, 1)));
    prune(&[]);
    assert_eq!((files(&downloads), files(&told)), (0, 1));
    assert_eq!((digest(), web.asked()), (first.clone(), (3, 1)), "the layer is there");
    assert_eq!(age(&told), 1);
    prune(&[]);
    assert_eq!(files(&told), 0);
    assert_eq!((digest(), web.asked()), (first.clone(), (4, 2)));
    good(&home.run(&["rm", "app:1"]));
    prune(&["--all"]);
    let sources = private.join("records/sources");
    assert_eq!((files(&downloads), files(&told), files(&sources)), (0, 0, 0));
    assert_eq!((digest(), web.asked()), (first, (5, 3)));
    assert_eq!((cat(&home, "/f"), cat(&home, "/repo/file")), ("one".into(), "one".into()));
}
