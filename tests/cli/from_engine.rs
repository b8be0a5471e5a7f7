//! `from: {engine: NAME}`: taken out of Docker and Podman once for each image.

use serde_json::Value;

use crate::phoenix::{Home, Said, said};
use crate::support::docker::Docker;
use crate::support::podman::Podman;

fn phoenix(home: &Home, host: &str, args: &[&str]) -> Said {
    said(home.command(args).env("DOCKER_HOST", host).output().expect("phoenix starts"))
}

/// Brings an image `base` that says `word` into the engine, from a store of its own.
fn base(home: &Home, host: &str, word: &str) {
    let recipe = "from: {scratch: true}\nsteps:\n  - write: {path: /word, content: WORD}\n  \
                  - write: {path: /link, content: \"\"}\n  - symlink: {target: word, path: /also}\n\
                  config: {env: {OF: base}, cmd: [/word]}\n";
    home.write("base/recipe.yaml", &recipe.replace("WORD", word));
    let built =
        phoenix(home, host, &["build", "base", "--store", "other", "-t", "base:1", "--load"]);
    assert_eq!(built.code, Some(0), "{built:?}");
}

/// What became of the base in a build, and why.
fn built(home: &Home, host: &str) -> (String, String) {
    let args = ["build", "-t", "app", "--metadata-file", "steps.json"];
    let built = phoenix(home, host, &args);
    assert_eq!(built.code, Some(0), "{built:?}");
    let text = std::fs::read_to_string(home.path("steps.json")).expect("it was written");
    let metadata: Value = serde_json::from_str(&text).expect("JSON");
    let step = &metadata["steps"][0];
    assert_eq!(step["name"], "from base:1");
    let text = |key: &str| step[key].as_str().expect("text").to_owned();
    (text("status"), text("reason"))
}

/// The same for every engine. `host` must have no image `base:1`.
fn once_for_each_id(host: &str) {
    let home = Home::new();
    home.write(
        "recipe.yaml",
        "from: {engine: \"base:1\"}\nsteps: [{write: {path: /mine, content: x}}]\n",
    );
    let missing = phoenix(&home, host, &["build"]);
    assert_eq!(missing.code, Some(5));
    let said = format!("at {host} has no image `base:1`\nhint: `docker pull base:1` brings it");
    assert!(missing.stderr.contains(&said), "{}", missing.stderr);

    base(&home, host, "one");
    assert_eq!(built(&home, host).0, "ran");
    assert_eq!(home.run(&["cat", "app", "/also"]).stdout, "one");
    let config: Value = serde_json::from_str(&home.run(&["inspect", "app"]).stdout).expect("JSON");
    let base_name = &config["annotations"]["org.opencontainers.image.base.name"];
    assert_eq!(base_name, "base:1");
    assert!(config.to_string().contains("OF=base"), "{config}");
    assert_eq!(built(&home, host).0, "cached");
    let tables = home.path("recipe.lock");
    assert!(!tables.exists(), "the engine's image is no pin");

    base(&home, host, "two");
    let (status, reason) = built(&home, host);
    assert_eq!(status, "ran");
    assert!(reason.starts_with("content of the base changed from `image sha256:"), "{reason}");
    assert_eq!(home.run(&["cat", "app", "/also"]).stdout, "two");
    // Back to what was taken out before.
    base(&home, host, "one");
    assert_eq!(built(&home, host).0, "cached");
    assert_eq!(home.run(&["cat", "app", "/also"]).stdout, "one");
}

#[test]
fn docker_gives_out_an_image_once() {
    let Some(docker) = Docker::start() else { return };
    once_for_each_id(&docker.host());
}

#[test]
fn podman_gives_out_an_image_once() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let host = format!("unix://{}", dir.path().join("socket").display());
    let Some(_podman) = Podman::start(&host) else { return };
    once_for_each_id(&host);
}

#[test]
fn without_an_engine_a_plan_and_a_build_say_so() {
    let home = Home::new();
    home.write("recipe.yaml", "from: {engine: a}\n");
    for verb in ["plan", "build"] {
        let told = phoenix(&home, "unix:///nonexistent/s", &[verb]);
        assert_eq!(told.code, Some(5), "{told:?}");
        assert!(told.stderr.contains("no container engine answers:"), "{}", told.stderr);
    }
}
