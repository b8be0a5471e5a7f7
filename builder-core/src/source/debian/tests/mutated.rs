//! Mutated control files, releases, indices, relations, locks and packages.

use std::io::{Seek as _, Write as _};

use super::super::*;
use super::super::{control, deb, index, relation, release, version};
use super::archive::ar;
use crate::mutate::{Rng, as_it_is, hammer, mend_tar};

fn texts(list: &[&str]) -> Vec<Vec<u8>> {
    list.iter().map(|text| text.as_bytes().to_vec()).collect()
}

const RELEASE: &str = "Origin: Debian\nSuite: stable\nCodename: bookworm\n\
    Date: Sat, 17 May 2025 09:08:00 UTC\nValid-Until: Sat, 24 May 2025 09:08:00 UTC\n\
    Acquire-By-Hash: yes\nSHA256:\n \
    e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855 0 main/binary-amd64/Packages\n";

const PACKAGES: &str = "Package: libc6\nVersion: 2.36-9+deb12u10\nArchitecture: amd64\n\
    Essential: yes\nPriority: optional\nDepends: libgcc-s1, a (>= 1) | b:any [amd64] <!x>\n\
    Provides: libc (= 2.36)\nFilename: pool/main/g/glibc/libc6.deb\nSize: 5\n\
    SHA256: e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855\n\
    Description: GNU C Library\n more\n .\n\nPackage: apt\nVersion: 1:2.6.1~x\n\
    Architecture: all\nFilename: a\nSize: 1\n\
    SHA256: e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855\n";

#[test]
fn no_mutation_of_an_archives_texts_makes_a_parser_panic() {
    let seeds = texts(&[RELEASE, PACKAGES, "# c\nA: b\r\n c\n\nX:\n"]);
    hammer("deb822", &seeds, &as_it_is, &|bytes| {
        let text = String::from_utf8_lossy(bytes);
        for paragraph in control::paragraphs(&text, "x").into_iter().flatten() {
            let _ = (paragraph.get("Depends"), paragraph.get("SHA256"));
        }
        let _ = release::parse(&text, "u", "bookworm", 0, false);
        let mut packages = index::Universe::default();
        let _ = packages.add(&text, "x", "amd64", 0);
    });
}

#[test]
fn no_mutation_of_relations_and_versions_makes_them_panic() {
    let seeds = texts(&[
        "a, b (>= 1.2~rc1-3) | c:any [amd64 !i386] <!nocheck>",
        "libc6 (<< 1:2.36), x (= 0)",
        "0:1.2-3+b1~x",
    ]);
    hammer("relation", &seeds, &as_it_is, &|bytes| {
        let text = String::from_utf8_lossy(bytes);
        for alternatives in relation::groups(&text).into_iter().flatten() {
            for relation in alternatives {
                let _ = (relation.admits(&text), relation.admits_provided(None));
                let _ = relation.to_string();
            }
        }
        let (a, b) = text.split_at(text.floor_char_boundary(text.len() / 2));
        assert_eq!(version::compare(a, b), version::compare(b, a).reverse());
        assert!(version::compare(&text, &text).is_eq());
    });
}

#[test]
fn no_mutation_of_a_lock_makes_it_panic_and_a_good_one_comes_back() {
    let lock = Lock {
        suite: "bookworm".into(),
        arch: "amd64".into(),
        components: vec!["main".into()],
        include: vec!["curl".into()],
        sources: vec![],
        packages: vec![],
    };
    let file = LockFile { debian: [("main".to_owned(), lock)].into(), ..LockFile::default() };
    let seeds = vec![file.to_text().into_bytes()];
    hammer("lock", &seeds, &as_it_is, &|bytes| {
        let text = String::from_utf8_lossy(bytes);
        if let Ok(file) = LockFile::parse(&text) {
            assert_eq!(LockFile::parse(&file.to_text()).expect("it was just written"), file);
        }
    });
}

fn tar(members: &[(&str, tar::EntryType, &str)]) -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    for (name, kind, content) in members {
        let mut header = tar::Header::new_ustar();
        header.set_entry_type(*kind);
        header.set_mode(0o755);
        let (link, content) = match kind.is_symlink() || kind.is_hard_link() {
            true => (*content, ""),
            false => ("", *content),
        };
        header.set_size(content.len() as u64);
        header.set_path(name).expect("short");
        if !link.is_empty() {
            header.set_link_name(link).expect("short");
        }
        header.set_cksum();
        tar.append(&header, content.as_bytes()).expect("memory");
    }
    tar.into_inner().expect("memory")
}

#[test]
fn no_mutation_of_a_package_makes_it_panic() {
    let (file, dir) = (tar::EntryType::Regular, tar::EntryType::Directory);
    let control = tar(&[("control", file, "Package: x\n"), ("postinst", file, "#!/bin/sh\n")]);
    let data = tar(&[
        ("usr/", dir, ""),
        ("usr/x", file, "content"),
        ("usr/y", tar::EntryType::Link, "usr/x"),
        ("usr/z", tar::EntryType::Symlink, "../x"),
        ("dev/n", tar::EntryType::Char, ""),
    ]);
    let packed = zstd::encode_all(&data[..], 1).expect("memory");
    let mut xz = liblzma::write::XzEncoder::new(Vec::new(), 1);
    xz.write_all(&data).expect("memory");
    let xz = xz.finish().expect("memory");
    let of = |name: &str, data: &[u8]| {
        ar(&[("debian-binary", b"2.0\n"), ("control.tar", &control), (name, data)])
    };
    let seeds = vec![of("data.tar", &data), of("data.tar.zst", &packed), of("data.tar.xz", &xz)];
    // Members of an ar begin anywhere.
    let mend = |deb: &mut [u8], rng: &mut Rng| {
        let starts: Vec<usize> = (0..deb.len().saturating_sub(512))
            .filter(|at| &deb[at + 257..at + 262] == b"ustar")
            .collect();
        for at in starts {
            let mut block = deb[at..at + 512].to_vec();
            mend_tar(&mut block, rng);
            deb[at..at + 512].copy_from_slice(&block);
        }
    };
    hammer("deb", &seeds, &mend, &|bytes| {
        let mut archive = tempfile::tempfile().expect("a temporary file");
        archive.write_all(bytes).expect("written");
        archive.rewind().expect("rewound");
        let mut spool = deb::Spool::new(tempfile::tempfile().expect("a temporary file"));
        let _ = deb::read(&mut archive, &mut spool);
    });
}
