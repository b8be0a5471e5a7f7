//! Mutated archives of images.

use super::*;
use crate::mutate::{hammer, mend_tar};
use crate::source::Source as _;

fn archive(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    for (name, content) in files {
        let mut header = tar::Header::new_ustar();
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        header.set_path(name).expect("short");
        header.set_cksum();
        tar.append(&header, *content).expect("memory");
    }
    tar.into_inner().expect("memory")
}

fn sha256(bytes: &[u8]) -> String {
    use sha2::Digest as _;
    hex::encode(sha2::Sha256::digest(bytes))
}

/// An image of one layer, as a layout and as `docker save` writes it.
fn images() -> Vec<Vec<u8>> {
    let layer = archive(&[("etc/motd", b"hello")]);
    let diff_id = sha256(&layer);
    let platform = Platform::host();
    let config = format!(
        r#"{{"architecture":"{}","os":"linux","config":{{"Env":["A=b"],"Cmd":["sh"]}},"rootfs":{{"type":"layers","diff_ids":["sha256:{diff_id}"]}},"history":[{{"created_by":"x"}}]}}"#,
        platform.to_string().split('/').nth(1).expect("os/architecture")
    );
    let media = |kind: &str| format!("application/vnd.oci.image.{kind}");
    let descriptor = |kind: &str, bytes: &[u8]| {
        let (media, digest, size) = (media(kind), sha256(bytes), bytes.len());
        format!(r#"{{"mediaType":"{media}","digest":"sha256:{digest}","size":{size}}}"#)
    };
    let manifest = format!(
        r#"{{"schemaVersion":2,"mediaType":"{}","config":{},"layers":[{}]}}"#,
        media("manifest.v1+json"),
        descriptor("config.v1+json", config.as_bytes()),
        descriptor("layer.v1.tar", &layer)
    );
    let index = format!(
        r#"{{"schemaVersion":2,"manifests":[{}]}}"#,
        descriptor("manifest.v1+json", manifest.as_bytes())
    );
    let blob = |bytes: &[u8]| format!("blobs/sha256/{}", sha256(bytes));
    let layout = archive(&[
        ("oci-layout", br#"{"imageLayoutVersion":"1.0.0"}"#),
        ("index.json", index.as_bytes()),
        (&blob(manifest.as_bytes()), manifest.as_bytes()),
        (&blob(config.as_bytes()), config.as_bytes()),
        (&blob(&layer), &layer),
    ]);
    let saved = br#"[{"Config":"c.json","RepoTags":["a:1"],"Layers":["l/layer.tar"]}]"#;
    let docker = archive(&[
        ("c.json", config.as_bytes()),
        ("l/layer.tar", &layer),
        ("manifest.json", saved),
    ]);
    vec![layout, docker]
}

#[test]
fn no_mutation_of_an_images_archive_makes_it_panic() {
    let dir = tempfile::tempdir().expect("a directory");
    let store = Store::open(&dir.path().join("store")).expect("a store");
    let path = dir.path().join("image.tar");
    let fetch = |bytes: &[u8]| {
        std::fs::write(&path, bytes).expect("written");
        let (store, path) = (store.clone(), path.clone());
        let source = Oci { store, path, tag: None, platform: Platform::host() };
        let pinned = source.pin();
        pinned.is_ok() && source.fetch().is_ok()
    };
    for image in images() {
        assert!(fetch(&image), "the samples are good");
    }
    hammer("image", &images(), &mend_tar, &|bytes| {
        let _ = fetch(bytes);
    });
}
