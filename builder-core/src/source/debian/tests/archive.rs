//! A small archive made from text: its own key, its own packages.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use pgp::composed::{
    ArmorOptions, CleartextSignedMessage, KeyType, SecretKeyParamsBuilder, SignedSecretKey,
};
use pgp::types::Password;
use tempfile::TempDir;

use super::super::*;
use crate::cancel::Cancel;
use crate::layer::{Change, Kind};

/// A file in a package: path, mode, content; a path that ends with `/` is a directory.
pub(super) type File<'a> = (&'a str, u32, &'a [u8]);

pub(super) fn tar(files: &[File<'_>]) -> Vec<u8> {
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

pub(super) fn ar(members: &[(&str, &[u8])]) -> Vec<u8> {
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

pub(super) fn deb(control: &str, scripts: &[File<'_>], data: &[File<'_>]) -> Vec<u8> {
    let mut files = vec![("./control", 0o644, control.as_bytes())];
    files.extend_from_slice(scripts);
    let data = zstd::encode_all(&tar(data)[..], 1).expect("memory");
    ar(&[("debian-binary", b"2.0\n"), ("control.tar", &tar(&files)), ("data.tar.zst", &data)])
}

pub(super) fn key() -> SignedSecretKey {
    let mut params = SecretKeyParamsBuilder::default();
    params
        .key_type(KeyType::Ed25519Legacy)
        .can_certify(true)
        .can_sign(true)
        .primary_user_id("Test <t@example>".into());
    params.build().expect("valid").generate(rand::thread_rng()).expect("generates")
}

/// An archive in a directory, a keyring, and a host's apt configuration.
pub(super) struct Archive {
    pub(super) dir: TempDir,
    pub(super) key: SignedSecretKey,
    pub(super) packages: String,
    pub(super) release: String,
}

impl Archive {
    pub(super) fn new() -> Self {
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

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(super) fn write(&self, name: &str, bytes: &[u8]) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().expect("below")).expect("mkdir");
        fs::write(path, bytes).expect("write");
    }

    pub(super) fn add(&mut self, name: &str, fields: &str, data: &[File<'_>]) {
        let control =
            format!("Package: {name}\nVersion: 1\nArchitecture: amd64\n{fields}Description: x\n");
        let scripts: &[File<'_>] = if name == "libc" {
            &[("./conffiles", 0o644, b"/etc/libc.conf\n"), ("./preinst", 0o755, b"#!/bin/sh\n")]
        } else {
            &[]
        };
        self.add_deb(name, &control, &deb(&control, scripts, data));
    }

    pub(super) fn add_deb(&mut self, name: &str, control: &str, deb: &[u8]) {
        let filename = format!("pool/{name}_1.deb");
        self.write(&format!("debian/{filename}"), deb);
        self.packages += &format!(
            "{control}Filename: {filename}\nSize: {}\nSHA256: {}\n\n",
            deb.len(),
            crate::digest::BlobDigest::of(deb).hex()
        );
    }

    /// Writes index and signed release.
    pub(super) fn publish(&self) {
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

    pub(super) fn request(&self, mirror: &str) -> op::Debian {
        op::Debian {
            suite: "test".into(),
            mirror: Some(mirror.into()),
            keyring: Some(self.path("keyring.asc")),
            components: vec![],
            include: vec![],
            arch: Some("amd64".into()),
        }
    }

    pub(super) fn local(&self) -> op::Debian {
        self.request(&format!("file://{}", self.path("debian").display()))
    }

    pub(super) fn settings(&self) -> Settings {
        Settings {
            apt_dir: self.path("apt"),
            keyrings_dir: self.path("none"),
            ..Settings::default()
        }
    }

    pub(super) fn resolve(&self, request: &op::Debian) -> Result<Lock, DebianError> {
        resolve::resolve(
            request,
            &self.settings(),
            &self.path("downloads"),
            &Cancel::new(),
            &|_| {},
        )
    }

    pub(super) fn fetch(&self, lock: &Lock) -> Result<(), DebianError> {
        resolve::fetch(lock, &self.settings(), &self.path("downloads"), &Cancel::new(), &|_| {})
    }

    /// Each entry of the layer as one line, and the contents.
    pub(super) fn layer(&self, lock: &Lock) -> Result<BTreeMap<String, String>, DebianError> {
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
