//! The whole way on a small archive that is made here from text: own key, own
//! packages, served over HTTP or from files.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use pgp::composed::{
    ArmorOptions, CleartextSignedMessage, KeyType, SecretKeyParamsBuilder, SignedSecretKey,
};
use pgp::types::Password;
use tempfile::TempDir;

use super::*;
use crate::cancel::Cancel;
use crate::layer::{Change, Kind};

/// A file in a package: path, mode, content; a path that ends with `/` is a directory.
type File<'a> = (&'a str, u32, &'a [u8]);

fn tar(files: &[File<'_>]) -> Vec<u8> {
    let mut out = tar::Builder::new(Vec::new());
    for (path, mode, content) in files {
        let mut header = tar::Header::new_gnu();
        let name = path.as_bytes();
        header.as_old_mut().name[..name.len()].copy_from_slice(name);
        header.set_mode(*mode);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(1_600_000_000);
        header.set_size(content.len() as u64);
        header.set_entry_type(if path.ends_with('/') {
            tar::EntryType::Directory
        } else {
            tar::EntryType::Regular
        });
        header.set_cksum();
        out.append(&header, *content).expect("memory");
    }
    out.into_inner().expect("memory")
}

fn ar(members: &[(&str, &[u8])]) -> Vec<u8> {
    let mut out = b"!<arch>\n".to_vec();
    for (name, content) in members {
        out.extend(
            format!("{name:<16}{:<12}{:<6}{:<6}{:<8}{:<10}`\n", 0, 0, 0, "100644", content.len())
                .bytes(),
        );
        out.extend_from_slice(content);
        if content.len() % 2 == 1 {
            out.push(b'\n');
        }
    }
    out
}

fn deb(control: &str, scripts: &[File<'_>], data: &[File<'_>]) -> Vec<u8> {
    let mut files = vec![("./control", 0o644, control.as_bytes())];
    files.extend_from_slice(scripts);
    let data = zstd::encode_all(&tar(data)[..], 1).expect("memory");
    ar(&[("debian-binary", b"2.0\n"), ("control.tar", &tar(&files)), ("data.tar.zst", &data)])
}

fn key() -> SignedSecretKey {
    let mut params = SecretKeyParamsBuilder::default();
    params
        .key_type(KeyType::Ed25519Legacy)
        .can_certify(true)
        .can_sign(true)
        .primary_user_id("Test <t@example>".into());
    params.build().expect("valid").generate(rand::thread_rng()).expect("generates")
}

/// An archive in a directory, a keyring, and a host's apt configuration.
struct Archive {
    dir: TempDir,
    key: SignedSecretKey,
    packages: String,
    release: String,
}

impl Archive {
    fn new() -> Self {
        let (dir, key) = (tempfile::tempdir().expect("temp dir"), key());
        let public =
            key.to_public_key().to_armored_string(ArmorOptions::default()).expect("armors");
        let release =
            "Origin: Test\nSuite: test\nCodename: test\nDate: Sat, 17 May 2025 09:08:00 UTC\n"
                .into();
        let archive = Self { dir, key, packages: String::new(), release };
        archive.write("keyring.asc", public.as_bytes());
        let mut archive = archive;
        archive.add(
            "apt",
            "Essential: no\nDepends: libc\n",
            &[("./usr/bin/", 0o755, b""), ("./usr/bin/apt", 0o755, b"apt")],
        );
        archive.add(
            "libc",
            "Multi-Arch: same\n",
            &[
                ("./lib/", 0o755, b""),
                ("./lib/libc.so", 0o644, b"libc"),
                ("./etc/libc.conf", 0o644, b"conf"),
            ],
        );
        archive.add("usr-is-merged", "Priority: required\n", &[]);
        archive
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn write(&self, name: &str, bytes: &[u8]) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().expect("below")).expect("mkdir");
        fs::write(path, bytes).expect("write");
    }

    fn add(&mut self, name: &str, fields: &str, data: &[File<'_>]) {
        let control =
            format!("Package: {name}\nVersion: 1\nArchitecture: amd64\n{fields}Description: x\n");
        let scripts: &[File<'_>] = if name == "libc" {
            &[("./conffiles", 0o644, b"/etc/libc.conf\n"), ("./preinst", 0o755, b"#!/bin/sh\n")]
        } else {
            &[]
        };
        self.add_deb(name, &control, &deb(&control, scripts, data));
    }

    fn add_deb(&mut self, name: &str, control: &str, deb: &[u8]) {
        let filename = format!("pool/{name}_1.deb");
        self.write(&format!("debian/{filename}"), deb);
        self.packages += &format!(
            "{control}Filename: {filename}\nSize: {}\nSHA256: {}\n\n",
            deb.len(),
            crate::digest::BlobDigest::of(deb).hex()
        );
    }

    /// Writes index and signed release.
    fn publish(&self) {
        let index = self.packages.as_bytes();
        self.write("debian/dists/test/main/binary-amd64/Packages", index);
        let text = format!(
            "{}SHA256:\n {} {} main/binary-amd64/Packages\n",
            self.release,
            crate::digest::BlobDigest::of(index).hex(),
            index.len()
        );
        let signed = CleartextSignedMessage::sign(
            rand::thread_rng(),
            &text,
            &self.key.primary_key,
            &Password::empty(),
        )
        .expect("signs");
        let armored = signed.to_armored_string(ArmorOptions::default()).expect("armors");
        self.write("debian/dists/test/InRelease", armored.as_bytes());
    }

    fn request(&self, mirror: &str) -> op::Debian {
        op::Debian {
            suite: "test".into(),
            mirror: Some(mirror.into()),
            keyring: Some(self.path("keyring.asc")),
            components: vec![],
            include: vec![],
            arch: Some("amd64".into()),
        }
    }

    fn local(&self) -> op::Debian {
        self.request(&format!("file://{}", self.path("debian").display()))
    }

    fn settings(&self) -> Settings {
        Settings {
            apt_dir: self.path("apt"),
            keyrings_dir: self.path("none"),
            ..Settings::default()
        }
    }

    fn resolve(&self, request: &op::Debian) -> Result<Lock, DebianError> {
        resolve::resolve(
            request,
            &self.settings(),
            &self.path("downloads"),
            &Cancel::new(),
            &|_| {},
        )
    }

    fn fetch(&self, lock: &Lock) -> Result<(), DebianError> {
        resolve::fetch(lock, &self.settings(), &self.path("downloads"), &Cancel::new(), &|_| {})
    }

    /// Each entry of the layer as one line, and the contents.
    fn layer(&self, lock: &Lock) -> Result<BTreeMap<String, String>, DebianError> {
        let work = tempfile::tempdir().expect("temp dir");
        let mut all = BTreeMap::new();
        let mut last: Option<crate::layer::LayerPath> = None;
        assemble::assemble(
            lock,
            &self.path("downloads"),
            work.path(),
            &|_| {},
            &mut |entry, content| {
                assert!(
                    last.as_ref().is_none_or(|last| *last < entry.path),
                    "entries are in order"
                );
                last = Some(entry.path.clone());
                let mut text = String::new();
                if let Some(content) = content {
                    content.read_to_string(&mut text).expect("readable");
                }
                let shown = match &entry.change {
                    Change::Present { kind: Kind::Symlink { target }, .. } => {
                        format!("-> {}", target.escape_ascii())
                    }
                    Change::Present { kind: Kind::File { .. }, .. } => text,
                    Change::Present { kind: Kind::Directory, .. } => "/".into(),
                    other => format!("{other:?}"),
                };
                all.insert(entry.path.display(), shown);
                Ok(())
            },
        )?;
        Ok(all)
    }
}

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
            let path = head.split(' ').nth(1).unwrap_or("/").trim_start_matches('/').to_owned();
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
