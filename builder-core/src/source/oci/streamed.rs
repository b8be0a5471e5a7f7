//! Archives as engines stream them, good, wrong and mutated.

use std::io;

use super::stream::take_in;
use super::*;
use crate::mutate::{hammer, mend_tar};

/// A member: a file's bytes, or where a symbolic link leads.
enum Member<'a> {
    File(&'a [u8]),
    Link(&'a str),
}
use Member::{File, Link};

fn archive(members: &[(&str, Member<'_>)]) -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    for (name, member) in members {
        let mut header = tar::Header::new_ustar();
        header.set_path(name).expect("short");
        header.set_mode(0o644);
        let content = match member {
            File(content) => *content,
            Link(target) => {
                header.set_entry_type(tar::EntryType::Symlink);
                header.set_link_name(target).expect("short");
                &[]
            }
        };
        header.set_size(content.len() as u64);
        header.set_cksum();
        tar.append(&header, content).expect("memory");
    }
    tar.into_inner().expect("memory")
}

fn layer(word: &str) -> Vec<u8> {
    archive(&[("etc/motd", File(word.as_bytes()))])
}

fn config(layers: &[&[u8]]) -> Vec<u8> {
    let ids: Vec<String> =
        layers.iter().map(|layer| format!("\"{}\"", BlobDigest::of(layer))).collect();
    let platform = Platform::host().to_string();
    let architecture = platform.split('/').nth(1).expect("os/architecture");
    format!(
        r#"{{"architecture":"{architecture}","os":"linux","config":{{"Env":["A=b"]}},"rootfs":{{"type":"layers","diff_ids":[{}]}}}}"#,
        ids.join(",")
    )
    .into_bytes()
}

struct Taken {
    _dir: tempfile::TempDir,
    store: Store,
}

impl Taken {
    fn new() -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let store = Store::open(&dir.path().join("store")).expect("a store");
        Self { _dir: dir, store }
    }

    fn take(&self, id: &BlobDigest, bytes: &[u8]) -> Result<Fetched, OciError> {
        take_in(&self.store, "app of an engine", ("app", id), &mut &bytes[..])
    }
}

/// As Docker wrote it until 24: equal layers are links, the manifest comes last.
fn classic(config: &[u8], layers: [&[u8]; 2]) -> Vec<u8> {
    let name = format!("{}.json", BlobDigest::of(config).hex());
    let manifest = format!(
        r#"[{{"Config":"{name}","RepoTags":null,"Layers":["a/layer.tar","b/layer.tar","c/layer.tar"]}}]"#
    );
    archive(&[
        ("a/VERSION", File(b"1.0")),
        ("a/json", File(b"{}")),
        ("a/layer.tar", File(layers[0])),
        ("b/layer.tar", File(layers[1])),
        ("c/layer.tar", Link("../a/layer.tar")),
        (&name, File(config)),
        ("manifest.json", File(manifest.as_bytes())),
    ])
}

#[test]
fn layers_pass_before_the_documents_and_equal_ones_are_links() {
    let (one, two) = (layer("one"), layer("two"));
    let config = config(&[&one, &two, &one]);
    let taken = Taken::new();
    let fetched = taken.take(&BlobDigest::of(&config), &classic(&config, [&one, &two]));
    let fetched = fetched.expect("good");
    let blobs: Vec<_> = fetched.layers.iter().map(|layer| layer.blob).collect();
    assert_eq!(blobs, [&one, &two, &one].map(|layer| BlobDigest::of(layer)));
    assert_eq!(fetched.base.expect("a base").name.as_deref(), Some("app"));
    assert_eq!(fetched.config.rootfs.diff_ids.len(), 3);
}

#[test]
fn the_id_may_be_of_config_manifest_or_index_and_nothing_else() {
    let one = layer("one");
    let config = config(&[&one]);
    let digest = |bytes: &[u8]| BlobDigest::of(bytes);
    let describe = |kind: &str, bytes: &[u8]| {
        let (digest, size) = (digest(bytes), bytes.len());
        format!(
            r#"{{"mediaType":"application/vnd.oci.image.{kind}","digest":"{digest}","size":{size}}}"#
        )
    };
    let manifest = format!(
        r#"{{"schemaVersion":2,"config":{},"layers":[{}]}}"#,
        describe("config.v1+json", &config),
        describe("layer.v1.tar", &one)
    );
    let manifest = manifest.as_bytes();
    let of_manifest = describe("manifest.v1+json", manifest);
    let index = format!(r#"{{"schemaVersion":2,"manifests":[{of_manifest}]}}"#);
    let blob = |bytes: &[u8]| format!("blobs/sha256/{}", digest(bytes).hex());
    let saved = format!(r#"[{{"Config":"{}","Layers":["{}"]}}]"#, blob(&config), blob(&one));
    let archive = archive(&[
        (&blob(&one), File(&one)),
        (&blob(&config), File(&config)),
        (&blob(manifest), File(manifest)),
        (&blob(index.as_bytes()), File(index.as_bytes())),
        ("manifest.json", File(saved.as_bytes())),
    ]);
    let taken = Taken::new();
    for id in [digest(&config), digest(manifest), digest(index.as_bytes())] {
        assert_eq!(taken.take(&id, &archive).expect("good").layers.len(), 1);
    }
    let error = taken.take(&digest(b"another"), &archive).expect_err("another image");
    assert!(matches!(error, OciError::Digest { .. }), "{error}");
}

#[test]
fn what_is_not_what_it_says_is_refused() {
    let (one, two) = (layer("one"), layer("two"));
    let good = config(&[&one, &two, &one]);
    let id = BlobDigest::of(&good);
    let taken = Taken::new();
    let refused = |bytes: &[u8]| taken.take(&id, bytes).expect_err("refused");
    let swapped = refused(&classic(&good, [&two, &one]));
    assert!(matches!(swapped, OciError::DiffId { .. }), "{swapped}");
    let whole = classic(&good, [&one, &two]);
    let cut = refused(&whole[..whole.len() / 2]);
    assert!(matches!(cut, OciError::Io { .. } | OciError::Layer { .. }), "{cut}");
    let name = format!("{}.json", id.hex());
    let other = archive(&[(&name, File(&config(&[&one]))), ("manifest.json", File(b"[]"))]);
    assert!(matches!(refused(&other), OciError::Archive { .. }));
    let climbs = archive(&[("x", Link("../y"))]);
    assert!(refused(&climbs).to_string().contains("leads out of it"));
    let missing = format!(r#"[{{"Config":"{name}","Layers":["1","2","3"]}}]"#);
    let missing = archive(&[(&name, File(&good)), ("manifest.json", File(missing.as_bytes()))]);
    assert!(matches!(refused(&missing), OciError::Missing { .. }));
    assert!(matches!(refused(b""), OciError::Missing { .. }));
}

#[test]
fn a_name_without_end_is_not_read_to_its_end() {
    use std::io::Read as _;
    const LENGTH: u64 = 1 << 30;
    let header = headers::tests::header(tar::EntryType::GNULongName, LENGTH);
    let mut stream = io::Cursor::new(header).chain(io::repeat(b'x').take(LENGTH));
    let (taken, id) = (Taken::new(), BlobDigest::of(b"x"));
    let error = take_in(&taken.store, "app of an engine", ("app", &id), &mut stream);
    let error = error.expect_err("the name is too long").to_string();
    assert!(error.contains("too long"), "{error}");
    let left = stream.get_ref().1.limit();
    assert!(LENGTH - left <= 8 << 20, "{left}");
}

#[test]
fn no_mutation_of_a_streamed_archive_makes_it_panic() {
    let (one, two) = (layer("one"), layer("two"));
    let config = config(&[&one, &two, &one]);
    let id = BlobDigest::of(&config);
    let taken = Taken::new();
    let sample = classic(&config, [&one, &two]);
    assert!(taken.take(&id, &sample).is_ok(), "the sample is good");
    hammer("streamed", &[sample], &mend_tar, &|bytes| {
        let _ = taken.take(&id, bytes);
    });
}
