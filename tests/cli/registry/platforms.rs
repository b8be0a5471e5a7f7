//! Indexes: one name, several platforms.

use serde_json::json;

use super::server::{Server, copy, digest, layout};
use super::{blobs, http, ill, image, well};
use crate::phoenix::Home;

const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";

/// An image of another platform at the registry; digest and size of its manifest.
fn foreign(home: &Home, server: &Server) -> (String, u64) {
    image(home, "foreign:1", "foreign", &["-o", "type=oci,dest=foreign"]);
    let path = home.path("foreign");
    let read = |name: &str| std::fs::read(path.join(name)).expect("in the layout");
    let blob = |digest: &str| format!("blobs/sha256/{}", digest.trim_start_matches("sha256:"));
    let json = |bytes: &[u8]| serde_json::from_slice::<serde_json::Value>(bytes).expect("JSON");
    let put = |value: &serde_json::Value| {
        let bytes = value.to_string().into_bytes();
        let digest = builder_core::digest::BlobDigest::of(&bytes).to_string();
        std::fs::write(path.join(blob(&digest)), &bytes).expect("written");
        (digest, bytes.len())
    };
    let mut index = json(&read("index.json"));
    let mut manifest = json(&read(&blob(index["manifests"][0]["digest"].as_str().expect("text"))));
    let mut config = json(&read(&blob(manifest["config"]["digest"].as_str().expect("text"))));
    config["architecture"] = json!("arm64");
    let (digest_of_config, size) = put(&config);
    manifest["config"]["digest"] = json!(digest_of_config);
    manifest["config"]["size"] = json!(size);
    let (digest_of_manifest, size) = put(&manifest);
    index["manifests"][0]["digest"] = json!(digest_of_manifest);
    index["manifests"][0]["size"] = json!(size);
    index["manifests"][0]["platform"]["architecture"] = json!("arm64");
    std::fs::write(path.join("index.json"), index.to_string()).expect("written");
    let source = layout(&path);
    copy(&["--override-arch", "arm64", &source, &server.url("app:foreign")]);
    (digest_of_manifest, size as u64)
}

#[test]
fn of_an_index_the_wanted_platform_is_pulled_and_a_missing_one_is_named() {
    let Some(server) = Server::open() else { return };
    let home = Home::new();
    let own = image(&home, &server.name("app:own"), "own", &["--push"]);
    let (other, size) = foreign(&home, &server);
    let manifest = builder_core::store::Store::open(&home.path(".local/share/phoenix"))
        .and_then(|store| store.read_blob(&own.parse().expect("a digest"), 1 << 20));
    let own_size = manifest.expect("its manifest").len();
    for (tag, kind, of) in [
        ("oci", INDEX, "application/vnd.oci.image.manifest.v1+json"),
        ("docker", LIST, "application/vnd.oci.image.manifest.v1+json"),
    ] {
        let one = |digest: &str, size: u64, architecture: &str| {
            json!({
                "mediaType": of, "digest": digest, "size": size,
                "platform": { "os": "linux", "architecture": architecture },
            })
        };
        let manifests = [one(&other, size, "arm64"), one(&own, own_size as u64, "amd64")];
        let index = json!({ "schemaVersion": 2, "mediaType": kind, "manifests": manifests });
        http::put_manifest(server.port(), "app", tag, kind, index.to_string().as_bytes());
        let name = server.name(&format!("app:{tag}"));
        let home = Home::new();
        assert_eq!(well(&home, &["pull", "-q", &name]), own);
        let pull = ["pull", "-q", &name, "-t", "arm", "--platform", "linux/arm64/v8"];
        assert_eq!(well(&home, &pull), other);
        assert!(well(&home, &["images"]).contains("linux/arm64"));
        let before = blobs(&home);
        let said = ill(&home, &["pull", &name, "--platform", "linux/s390x"]);
        let there = "no image for platform linux/s390x; there is linux/arm64, linux/amd64";
        assert!(said.contains(there), "{said}");
        let said = ill(&home, &["pull", &name, "--platform", "nonsense"]);
        assert!(said.contains("`nonsense` is not a platform"), "{said}");
        assert_eq!(blobs(&home), before);
        // By the digest of the index too.
        let pinned =
            format!("{}@{}", server.name("app"), digest(&server.url(&format!("app:{tag}"))));
        assert_eq!(well(&home, &["pull", "-q", &pinned]), own);
    }
}

#[test]
fn an_image_of_another_platform_is_not_taken_for_one_of_this() {
    let Some(server) = Server::open() else { return };
    let home = Home::new();
    let (digest, _) = foreign(&home, &server);
    let name = server.name("app:foreign");
    let said = ill(&home, &["pull", &name]);
    assert!(said.contains("there is linux/arm64"), "{said}");
    assert_eq!(well(&home, &["pull", "-q", &name, "--platform", "linux/arm64"]), digest);
}

#[test]
fn a_dockerfile_takes_the_image_of_its_platform_and_a_lone_one_with_a_warning() {
    let Some(server) = Server::open() else { return };
    let home = Home::new();
    let own = image(&home, &server.name("app:own"), "own", &["--push"]);
    let (other, size) = foreign(&home, &server);
    let manifest = builder_core::store::Store::open(&home.path(".local/share/phoenix"))
        .and_then(|store| store.read_blob(&own.parse().expect("a digest"), 1 << 20));
    let one = |digest: &str, size: u64, architecture: &str| {
        json!({
            "mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": digest,
            "size": size, "platform": { "os": "linux", "architecture": architecture },
        })
    };
    let own_size = manifest.expect("its manifest").len() as u64;
    let manifests = [one(&own, own_size, "amd64"), one(&other, size, "arm64")];
    let index = json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": manifests });
    http::put_manifest(server.port(), "app", "all", INDEX, index.to_string().as_bytes());
    let home = Home::new();
    let build = |name: &str, more: &[&str]| {
        home.write("app/Dockerfile", &format!("FROM {}\nCMD [\"x\"]\n", server.name(name)));
        let said = home.run(&[&["build", "app", "-t", "app:1"], more].concat());
        assert_eq!(said.code, Some(0), "{said:?}");
        let warned = said.stderr.contains("InvalidBaseImagePlatform");
        (well(&home, &["cat", "app:1", "/file"]), warned)
    };
    let arm = ["--platform=linux/arm64"];
    assert_eq!(build("app:all", &arm), ("foreign".to_owned(), false));
    assert_eq!(build("app:all", &[]), ("own".to_owned(), false));
    assert_eq!(build("app:foreign", &arm), ("foreign".to_owned(), false));
    assert_eq!(build("app:foreign", &[]), ("foreign".to_owned(), true));
    // What came for one platform is not at hand for another.
    assert_eq!(build("app:own", &arm), ("own".to_owned(), true));
}
