//! `build --platform`: what an image is for, and which of several a base is.

use std::fs;

use serde_json::{Value, json};

use crate::phoenix::{Home, Said};

const RULE: &str = "InvalidBaseImagePlatform";

fn good(said: &Said) -> &str {
    assert_eq!(said.code, Some(0), "{said:?}");
    said.stdout.trim()
}

/// Builds `app`, whose Dockerfile this is, as `app:1`; gives what was said.
fn build(home: &Home, dockerfile: &str, more: &[&str]) -> Said {
    home.write("app/Dockerfile", dockerfile);
    let said = home.run(&[&["build", "app", "-t", "app:1"], more].concat());
    good(&said);
    said
}

fn platform(home: &Home, name: &str) -> String {
    let inspected: Value = serde_json::from_str(good(&home.run(&["inspect", name]))).expect("JSON");
    inspected["platform"].as_str().expect("text").to_owned()
}

fn document(home: &Home, path: &str) -> Value {
    serde_json::from_slice(&fs::read(home.path(path)).expect("it is there")).expect("JSON")
}

#[test]
fn an_image_for_another_platform_says_so_in_config_and_index() {
    let home = Home::new();
    home.write("app/f", "f");
    let args = ["--platform", "linux/armhf", "-o", "type=oci,dest=out"];
    build(&home, "FROM scratch\nCOPY f /f\n", &args);
    assert_eq!(platform(&home, "app:1"), "linux/arm/v7");
    let index = document(&home, "out/index.json");
    let wanted = json!({ "os": "linux", "architecture": "arm", "variant": "v7" });
    assert_eq!(index["manifests"][0]["platform"], wanted);
    // The layer is the same for all.
    let layers = || {
        let said = home.run(&["inspect", "app:1"]);
        let inspected: Value = serde_json::from_str(good(&said)).expect("JSON");
        inspected["config"]["rootfs"]["diff_ids"].clone()
    };
    let before = layers();
    let said = build(&home, "FROM scratch\nCOPY f /f\n", &[]);
    assert!(said.stderr.contains("CACHED"), "{said:?}");
    assert_eq!(layers(), before);
}

#[test]
fn a_base_for_another_platform_is_taken_with_a_warning() {
    let home = Home::new();
    home.write("app/f", "f");
    build(&home, "FROM scratch\nCOPY f /f\n", &["--platform", "linux/arm64", "-t", "base:1"]);
    let text = "FROM base:1\nCOPY f /g\n";
    let said = build(&home, text, &[]);
    let line = "Base image base:1 was pulled with platform \"linux/arm64\", expected \"linux/";
    assert!(said.stderr.contains(RULE) && said.stderr.contains(line), "{said:?}");
    assert!(said.stderr.contains("app/Dockerfile:1"), "{said:?}");
    assert_eq!(platform(&home, "app:1"), "linux/arm64");
    let said = build(&home, text, &["--platform=linux/arm64/v8"]);
    assert!(!said.stderr.contains(RULE), "{said:?}");
    let said = build(&home, text, &["--platform=linux/s390x"]);
    assert!(said.stderr.contains(RULE), "{said:?}");
    assert_eq!(platform(&home, "app:1"), "linux/s390x");
    // An amd64 runs what is for a 386, and takes it unless it is asked for something else.
    build(&home, "FROM scratch\nCOPY f /f\n", &["--platform", "linux/386", "-t", "base:2"]);
    if cfg!(target_arch = "x86_64") {
        let said = build(&home, "FROM base:2\n", &[]);
        assert!(!said.stderr.contains(RULE), "{said:?}");
        let said = build(&home, "FROM base:2\n", &["--platform=local"]);
        assert!(said.stderr.contains(RULE), "{said:?}");
    }
    // A recipe says what its base is for, and takes no other.
    home.write("recipe/recipe.yaml", "from: {image: {name: base:1, platform: linux/arm64}}\n");
    good(&home.run(&["build", "recipe"]));
}

#[test]
fn of_several_images_the_one_of_the_platform_is_taken() {
    let home = Home::new();
    home.write("app/Dockerfile", "FROM scratch\nARG TARGETARCH\nCOPY $TARGETARCH /which\n");
    let mut manifests = Vec::new();
    for architecture in ["s390x", "riscv64"] {
        home.write(&format!("app/{architecture}"), architecture);
        let platform = format!("linux/{architecture}");
        good(&home.run(&["build", "app", "--platform", &platform, "-o", "type=oci,dest=all"]));
        manifests.extend(document(&home, "all/index.json")["manifests"].as_array().cloned());
        fs::rename(home.path("all"), home.path(architecture)).expect("moved");
    }
    let all: Vec<Value> = manifests.concat();
    for architecture in ["s390x", "riscv64"] {
        let blobs = fs::read_dir(home.path(format!("{architecture}/blobs/sha256"))).expect("blobs");
        fs::create_dir_all(home.path("all/blobs/sha256")).expect("made");
        for blob in blobs {
            let blob = blob.expect("a blob");
            fs::copy(blob.path(), home.path("all/blobs/sha256").join(blob.file_name()))
                .expect("copied");
        }
    }
    home.write("all/oci-layout", "{\"imageLayoutVersion\":\"1.0.0\"}");
    home.write("all/index.json", &json!({ "schemaVersion": 2, "manifests": all }).to_string());
    let layout = format!("--build-context=all=oci-layout://{}", home.path("all").display());
    let which = |text: &str, more: &[&str]| {
        build(&home, text, &[&[&*layout], more].concat());
        good(&home.run(&["cat", "app:1", "/which"])).to_owned()
    };
    assert_eq!(which("FROM all\n", &["--platform=linux/s390x"]), "s390x");
    assert_eq!(which("FROM all\n", &["--platform=linux/riscv64"]), "riscv64");
    assert_eq!(which("FROM --platform=linux/s390x all\n", &["--platform=riscv64"]), "s390x");
    assert_eq!(platform(&home, "app:1"), "linux/riscv64");
    assert_eq!(which("FROM --platform=linux/s390x all\n", &[]), "s390x");
    assert_eq!(platform(&home, "app:1"), "linux/s390x");
    let copied = "FROM scratch\nCOPY --from=all /which /which\n";
    assert_eq!(which(copied, &["--platform=riscv64"]), "riscv64");
}

#[test]
fn one_platform_it_is_and_only_for_dockerfiles() {
    let home = Home::new();
    home.write("app/Dockerfile", "FROM scratch\n");
    home.write("recipe/recipe.yaml", "from: {scratch: true}\n");
    for (dir, platform, words) in [
        ("app", "linux/amd64,linux/arm64", "an image is for one platform; build once for each"),
        ("app", "linux/", "`linux/` is not a platform"),
        ("recipe", "linux/arm64", "--platform is for Dockerfiles"),
    ] {
        let said = home.run(&["build", dir, "--platform", platform]);
        assert_eq!(said.code, Some(2), "{said:?}");
        assert!(said.stderr.contains(words), "{said:?}");
    }
}

#[test]
fn a_recipe_says_what_its_image_is_for_as_a_converted_dockerfile_does() {
    let home = Home::new();
    home.write("app/arm", "arm");
    let text = "FROM scratch AS one\nARG TARGETARCH\nCOPY $TARGETARCH /which\nFROM one\nUSER 7\n";
    build(&home, text, &["--platform=linux/arm/v6"]);
    assert_eq!(platform(&home, "app:1"), "linux/arm/v6");
    let made = home.run(&["convert", "app", "-o", "app/recipe.yaml", "--platform=linux/arm/v6"]);
    good(&made);
    let recipe = fs::read_to_string(home.path("app/recipe.yaml")).expect("written");
    assert_eq!(recipe.matches("platform: linux/arm/v6").count(), 1, "{recipe}");
    good(&home.run(&["build", "app", "-t", "recipe:1"]));
    assert_eq!(platform(&home, "recipe:1"), "linux/arm/v6");
    assert_eq!(good(&home.run(&["cat", "recipe:1", "/which"])), "arm");
}
