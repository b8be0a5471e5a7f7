//! The whole way on a small archive that is made here from text: own key, own
//! packages, served over HTTP or from files.

mod archive;
mod keys;
mod mutated;

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::path::Path;
use std::sync::{Arc, Mutex};

use self::archive::{Archive, ar, deb, key, tar};
use super::*;

#[test]
fn a_base_is_resolved_fetched_and_merged_from_files() {
    let archive = Archive::new();
    archive.publish();
    let lock = archive.resolve(&archive.local()).expect("resolves");
    let names: Vec<_> = lock.packages.iter().map(|p| &*p.name).collect();
    assert_eq!(names, ["apt", "libc", "usr-is-merged"]);
    assert!(matches!(archive.layer(&lock), Err(DebianError::NotFetched { .. })));
    archive.fetch(&lock).expect("fetches");
    let layer = archive.layer(&lock).expect("merges");
    assert_eq!(layer["/lib"], "-> usr/lib");
    assert_eq!(layer["/usr/lib/libc.so"], "libc");
    assert_eq!(layer["/usr/bin/apt"], "apt");
    assert_eq!(
        layer["/var/lib/dpkg/info/libc:amd64.list"],
        "/.\n/lib\n/lib/libc.so\n/etc/libc.conf\n"
    );
    assert!(layer.contains_key("/var/lib/dpkg/info/libc:amd64.preinst"));
    assert!(layer["/var/lib/dpkg/status"].contains("Package: libc\nStatus: install ok unpacked\n"));
    assert!(
        layer["/var/lib/dpkg/status"]
            .contains("Conffiles:\n /etc/libc.conf 3a8e4c06e471595f6eb262bb9b5582d9\n")
    );
    assert!(layer["/etc/apt/sources.list"].starts_with("deb file:///"));
    assert_eq!(
        layer,
        archive.layer(&lock).expect("merges again"),
        "the same lock gives the same layer"
    );
}

#[test]
fn releases_that_are_not_properly_signed_are_refused() {
    let mut archive = Archive::new();
    archive.publish();
    let name = "debian/dists/test/InRelease";
    let good = fs::read_to_string(archive.path(name)).expect("readable");
    let unsigned = good.replace("Origin: Test", "Origin: Evil");
    let outside = good.replace("-----BEGIN PGP SIGNED", "Suite: evil\n\n-----BEGIN PGP SIGNED");
    for bad in [&unsigned, &outside, "Suite: test\n", "", &good[..good.len() / 2]] {
        archive.write(name, bad.as_bytes());
        assert!(
            matches!(archive.resolve(&archive.local()), Err(DebianError::Signature { .. })),
            "{bad}"
        );
    }
    archive.key = key();
    archive.publish();
    let error = archive.resolve(&archive.local()).expect_err("another key");
    assert!(matches!(error, DebianError::Signature { .. }), "{error}");
}

#[test]
fn expired_releases_and_altered_indices_are_refused() {
    let mut archive = Archive::new();
    archive.publish();
    archive.write(
        "debian/dists/test/main/binary-amd64/Packages",
        archive.packages.replace("apt", "bpt").as_bytes(),
    );
    let error = archive.resolve(&archive.local()).expect_err("altered");
    assert!(matches!(error, DebianError::Digest { .. }), "{error}");
    archive.release += "Valid-Until: Sun, 18 May 2025 09:08:00 UTC\n";
    archive.publish();
    let error = archive.resolve(&archive.local()).expect_err("expired");
    assert!(matches!(error, DebianError::Expired { .. }), "{error}");
    archive.write("apt/apt.conf", b"Acquire::Check-Valid-Until \"false\";\n");
    archive.resolve(&archive.local()).expect("the host's apt does not mind");
}

#[test]
fn altered_packages_are_refused_and_damaged_downloads_are_fetched_again() {
    let archive = Archive::new();
    archive.publish();
    let lock = archive.resolve(&archive.local()).expect("resolves");
    archive.fetch(&lock).expect("fetches");
    let download = archive.path("downloads").join(lock.packages[0].sha256.hex());
    fs::write(&download, b"damaged").expect("write");
    let error = archive.layer(&lock).expect_err("damaged");
    assert!(matches!(error, DebianError::Package { .. }), "{error}");
    archive.fetch(&lock).expect("fetches again");
    archive.layer(&lock).expect("merges");
    fs::remove_file(&download).expect("there");
    let pool = format!("debian/{}", lock.packages[0].filename);
    let altered =
        fs::read(archive.path(&pool)).expect("readable").iter().map(|b| b ^ 1).collect::<Vec<_>>();
    archive.write(&pool, &altered);
    let error = archive.fetch(&lock).expect_err("altered");
    assert!(matches!(error, DebianError::Digest { .. }), "{error}");
    assert!(!download.exists());
}

#[test]
fn hostile_packages_are_refused() {
    let control = "Package: apt\nVersion: 2\nArchitecture: amd64\nDescription: x\n";
    let good = deb(control, &[], &[("./a", 0o644, b"a")]);
    let other = control.replace("apt", "bpt");
    let cases: Vec<(&str, Vec<u8>)> = vec![
        ("truncated", good[..good.len() - 20].to_vec()),
        ("not ar", b"hello".to_vec()),
        ("empty", Vec::new()),
        ("dot dot", deb(control, &[], &[("../evil", 0o644, b"x")])),
        ("inner dot dot", deb(control, &[], &[("./a/../../evil", 0o644, b"x")])),
        ("below a file", deb(control, &[], &[("./a", 0o644, b"a"), ("./a/b", 0o644, b"x")])),
        ("control name", deb(control, &[("./a b", 0o644, b"")], &[])),
        ("another package", deb(&other, &[], &[])),
        (
            "no data",
            ar(&[
                ("debian-binary", b"2.0\n"),
                ("control.tar", &tar(&[("./control", 0o644, control.as_bytes())])),
            ]),
        ),
        ("no control", ar(&[("debian-binary", b"2.0\n"), ("data.tar", &tar(&[]))])),
        (
            "huge member",
            ar(&[("data.tar", b"")]).iter().map(|b| if *b == b'0' { b'9' } else { *b }).collect(),
        ),
    ];
    for (name, bytes) in cases {
        let mut archive = Archive::new();
        archive.add_deb("apt", control, &bytes);
        archive.publish();
        let lock = archive.resolve(&archive.local()).expect("resolves");
        archive.fetch(&lock).expect("fetches");
        let error = archive.layer(&lock).expect_err(name);
        assert!(matches!(error, DebianError::Package { .. }), "{name}: {error}");
    }
}

#[test]
fn a_file_in_two_packages_needs_a_replaces() {
    for (fields, works) in
        [("", false), ("Replaces: apt (<< 2)\n", true), ("Replaces: apt (<< 1)\n", false)]
    {
        let mut archive = Archive::new();
        archive.add(
            "zzz",
            &format!("Priority: required\n{fields}"),
            &[("./usr/bin/apt", 0o755, b"other")],
        );
        archive.publish();
        let lock = archive.resolve(&archive.local()).expect("resolves");
        archive.fetch(&lock).expect("fetches");
        match archive.layer(&lock) {
            Ok(layer) => assert!(works && layer["/usr/bin/apt"] == "other", "{fields}"),
            Err(error) => {
                assert!(!works && matches!(error, DebianError::FileConflict { .. }), "{error}");
            }
        }
    }
}

/// Serves a directory; cuts the first answer for a `.deb` in half. Gives the
/// URL and the request heads that came.
fn serve(dir: &Path) -> (String, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("binds");
    let url = format!("http://user:pass@{}", listener.local_addr().expect("bound"));
    let heads: Arc<Mutex<Vec<String>>> = Arc::default();
    let (dir, seen) = (dir.to_owned(), Arc::clone(&heads));
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            let mut head = String::new();
            let mut reader = BufReader::new(stream.try_clone().expect("clones"));
            while reader.read_line(&mut head).is_ok_and(|n| n > 2) {}
            let path = head.split(' ').nth(1).unwrap_or("/");
            // What is asked of a proxy is a whole URL.
            let path = path.strip_prefix("http://mirror.invalid").unwrap_or(path);
            let path = path.trim_start_matches('/').to_owned();
            let range = head.lines().find_map(|l| {
                l.to_ascii_lowercase()
                    .strip_prefix("range: bytes=")?
                    .trim_end_matches('-')
                    .parse::<usize>()
                    .ok()
            });
            let first = !seen.lock().expect("lock").iter().any(|h: &String| h.contains(&path));
            seen.lock().expect("lock").push(head);
            let Ok(bytes) = fs::read(dir.join(&path)) else {
                let _ = stream.write_all(
                    b"HTTP/1.1 404 no\r\ncontent-length: 0\r\nconnection: close\r\n\r\n",
                );
                continue;
            };
            let from = range.unwrap_or(0);
            let status = if range.is_some() {
                format!(
                    "206 part\r\ncontent-range: bytes {from}-{}/{}",
                    bytes.len() - 1,
                    bytes.len()
                )
            } else {
                "200 ok".into()
            };
            let body = &bytes[from..];
            let sent = if first && path.ends_with(".deb") { &body[..body.len() / 2] } else { body };
            let head = format!(
                "HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
                body.len()
            );
            let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(sent));
        }
    });
    (url, heads)
}

#[test]
fn cut_downloads_go_on_where_they_stopped_and_credentials_stay_out_of_the_lock() {
    let archive = Archive::new();
    archive.publish();
    let (url, heads) = serve(&archive.path("debian"));
    let lock = archive.resolve(&archive.request(&url)).expect("resolves");
    let mut file = LockFile::default();
    file.debian.insert("app".into(), lock.clone());
    assert!(!file.to_text().contains("pass"), "{}", file.to_text());
    assert!(lock.answers(&archive.request(&url)));
    let own = format!("deb {url} test main\n");
    archive.write("apt/sources.list", own.as_bytes());
    archive.fetch(&lock).expect("fetches");
    let heads = heads.lock().expect("lock").join("\n").to_ascii_lowercase();
    assert!(heads.contains("range: bytes="), "{heads}");
    assert_eq!(
        heads.matches("get ").count(),
        heads.matches("authorization: basic dxnlcjpwyxnz").count(),
        "{heads}"
    );
    let layer = archive.layer(&lock).expect("merges");
    assert!(!layer["/etc/apt/sources.list"].contains("pass"));
}

#[test]
fn the_proxy_of_the_hosts_apt_is_used_and_leaves_no_trace() {
    let archive = Archive::new();
    archive.publish();
    let (proxy, heads) = serve(&archive.path(""));
    let conf = format!("Acquire {{ http::Proxy \"{proxy}\"; }};\n");
    archive.write("apt/apt.conf.d/90proxy", conf.as_bytes());
    let lock = archive.resolve(&archive.request("http://mirror.invalid/debian")).expect("resolves");
    archive.fetch(&lock).expect("fetches");
    let heads = heads.lock().expect("lock").join("\n").to_ascii_lowercase();
    assert_eq!(
        heads.matches("get http://mirror.invalid/").count(),
        heads.matches("proxy-authorization: basic dxnlcjpwyxnz").count(),
        "{heads}"
    );
    let mut file = LockFile::default();
    file.debian.insert("app".into(), lock.clone());
    let layer = archive.layer(&lock).expect("merges");
    for text in [&file.to_text(), &layer["/etc/apt/sources.list"]] {
        assert!(!text.contains("pass") && !text.contains("127.0.0.1"), "{text}");
    }
    let settings = Settings {
        proxies: Proxies { none_for: Some("mirror.invalid".into()), ..Proxies::default() },
        ..archive.settings()
    };
    let direct = resolve::resolve(
        &archive.request("http://mirror.invalid/debian"),
        &settings,
        &archive.path("downloads"),
        &crate::cancel::Cancel::new(),
        &|_| {},
    );
    assert!(matches!(direct, Err(DebianError::Http { .. })), "{direct:?}");
}

#[test]
#[expect(clippy::disallowed_methods, reason = "a test moves its own directory")]
fn a_host_with_another_mirror_makes_the_same_layer_from_the_same_lock() {
    let archive = Archive::new();
    archive.publish();
    let lock = archive.resolve(&archive.local()).expect("resolves");
    fs::rename(archive.path("debian"), archive.path("moved")).expect("renames");
    archive.fetch(&lock).expect_err("the locked mirror is gone");
    let own = format!("deb file://{} test main\n", archive.path("moved").display());
    archive.write("apt/sources.list", own.as_bytes());
    archive.fetch(&lock).expect("fetches from the host's mirror");
    let layer = archive.layer(&lock).expect("merges");
    assert!(layer["/etc/apt/sources.list"].contains("/debian test main"));
}

#[test]
fn without_mirror_or_keyring_the_error_says_so() {
    let archive = Archive::new();
    archive.publish();
    let request = op::Debian { mirror: None, ..archive.local() };
    assert!(matches!(archive.resolve(&request), Err(DebianError::NoMirror { .. })));
    let request = op::Debian { keyring: None, ..archive.local() };
    assert!(matches!(archive.resolve(&request), Err(DebianError::NoKeyring { .. })));
    for mirror in ["ftp://x/y", "http://a b/", "x"] {
        assert!(
            matches!(archive.resolve(&archive.request(mirror)), Err(DebianError::Url { .. })),
            "{mirror}"
        );
    }
}
