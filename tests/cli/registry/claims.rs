//! Images that share a layer and do not say the same of it.

use std::path::Path;

use serde_json::{Value, json};

use super::server::{Server, copy, layout};
use super::{ill, image, well};
use crate::phoenix::Home;
use crate::support::tools;

/// Puts a blob into a layout; gives its descriptor's digest and size.
fn put(layout: &Path, text: &str) -> (String, usize) {
    let file = layout.join("new");
    std::fs::write(&file, text).expect("written");
    let sum = tools::run("sha256sum", [&file]);
    let hash = sum.split(' ').next().expect("a sum").to_owned();
    std::fs::rename(file, layout.join("blobs/sha256").join(&hash)).expect("moved");
    (format!("sha256:{hash}"), text.len())
}

fn read(layout: &Path, digest: &str) -> Value {
    let bytes = std::fs::read(layout.join("blobs/sha256").join(&digest["sha256:".len()..]));
    serde_json::from_slice(&bytes.expect("a blob")).expect("JSON")
}

/// Makes the image of a layout say of its first layer that it holds `diff_id`.
fn lie(layout: &Path, diff_id: &str) {
    let index = std::fs::read(layout.join("index.json")).expect("an index");
    let mut index: Value = serde_json::from_slice(&index).expect("JSON");
    let digest = index["manifests"][0]["digest"].as_str().expect("text").to_owned();
    let mut manifest = read(layout, &digest);
    let mut config = read(layout, manifest["config"]["digest"].as_str().expect("text"));
    config["rootfs"]["diff_ids"][0] = json!(diff_id);
    let (digest, size) = put(layout, &config.to_string());
    (manifest["config"]["digest"], manifest["config"]["size"]) = (json!(digest), json!(size));
    let (digest, size) = put(layout, &manifest.to_string());
    index["manifests"][0]["digest"] = json!(digest);
    index["manifests"][0]["size"] = json!(size);
    std::fs::write(layout.join("index.json"), index.to_string()).expect("written");
}

#[test]
fn an_image_is_held_to_its_own_words_though_another_brought_the_layer() {
    let Some(server) = Server::open() else { return };
    let (maker, home) = (Home::new(), Home::new());
    let honest = server.name("honest:1");
    image(&maker, &honest, "x", &["--push", "-o", "type=oci,dest=layout"]);
    // What other steps' results are known by.
    let other = "sha256:5555555555555555555555555555555555555555555555555555555555555555";
    lie(&maker.path("layout"), other);
    let liar = server.name("liar:1");
    copy(&[&layout(&maker.path("layout")), &server.url("liar:1")]);

    well(&home, &["pull", "-q", &honest]);
    let said = ill(&home, &["pull", &liar]);
    assert!(said.contains("but the config says") && said.contains(other), "{said}");
    let texts = [
        format!("FROM {liar}\nCOPY Dockerfile /\n"),
        format!("FROM {honest} AS one\nFROM {liar}\nCOPY --from=one /file /other\n"),
    ];
    for text in texts {
        home.write("Dockerfile", &text);
        let said = ill(&home, &["build"]);
        assert!(said.contains("but the config says") && said.contains(other), "{said}");
    }
    // The honest one is none the worse.
    home.write("Dockerfile", &format!("FROM {honest}\nCOPY Dockerfile /\n"));
    well(&home, &["build", "-q", "-t", "app"]);
    assert_eq!(well(&home, &["cat", "app", "/file"]), "x");
}
