//! What goes to a registry and comes from it: the same bytes, once.

use super::server::{Server, copy, digest, layout};
use super::{blobs, image, well};
use crate::certificates;
use crate::phoenix::{Home, said};
use crate::support::tools;

fn sent(asked: &[String]) -> usize {
    asked.iter().filter(|asked| !asked.starts_with("GET") && !asked.starts_with("HEAD")).count()
}

fn fetched(asked: &[String]) -> usize {
    asked.iter().filter(|asked| asked.starts_with("GET") && asked.contains("/blobs/")).count()
}

#[test]
fn what_skopeo_pushed_is_pulled_in_every_format() {
    let Some(server) = Server::open() else { return };
    let maker = Home::new();
    for (tag, compression, format) in
        [("oci", "gzip", "oci"), ("docker", "gzip", "v2s2"), ("zstd", "zstd", "oci")]
    {
        let dest = format!("type=oci,dest={tag}");
        let args = ["--compression", compression, "-o", dest.as_str()];
        image(&maker, "made:1", tag, &args);
        let source = layout(&maker.path(tag));
        let url = server.url(&format!("made:{tag}"));
        copy(&["--format", format, &source, &url]);
        let home = Home::new();
        let name = server.name(&format!("made:{tag}"));
        assert_eq!(well(&home, &["pull", "-q", &name]), digest(&url), "{tag}");
        assert_eq!(well(&home, &["cat", &name, "/file"]), tag);
        // And away again, as it is.
        let back = server.name(&format!("back:{tag}"));
        assert_eq!(well(&home, &["push", "-q", &name, &back]), digest(&url), "{tag}");
        assert_eq!(digest(&server.url(&format!("back:{tag}"))), digest(&url), "{tag}");
    }
}

#[test]
fn layers_that_are_not_compressed_are_pulled_and_built_on() {
    let Some(server) = Server::open() else { return };
    let maker = Home::new();
    image(&maker, "made:1", "plain", &["-o", "type=oci,dest=made"]);
    let plain = format!("dir:{}", maker.path("plain").display());
    copy(&["--dest-decompress", &layout(&maker.path("made")), &plain]);
    let url = server.url("plain:1");
    copy(&["--preserve-digests", &plain, &url]);
    let home = Home::new();
    let name = server.name("plain:1");
    assert_eq!(well(&home, &["pull", "-q", &name]), digest(&url));
    assert_eq!(well(&home, &["cat", &name, "/file"]), "plain");
    let hash = digest(&url).replace("sha256:", "");
    let manifest = home.path(".local/share/phoenix/blobs/sha256").join(hash);
    let manifest = std::fs::read_to_string(manifest).expect("a blob");
    assert!(!manifest.contains("gzip") && !manifest.contains("zstd"), "{manifest}");
    // And away again as they are, below a layer of ours.
    home.write("Dockerfile", &format!("FROM {name}\nCOPY Dockerfile /more\n"));
    let upper = server.name("upper:1");
    let made = well(&home, &["build", "-q", "-t", &upper, "--push"]);
    assert_eq!(digest(&server.url("upper:1")), made);
    let other = Home::new();
    assert_eq!(well(&other, &["pull", "-q", &upper]), made);
    assert_eq!(well(&other, &["cat", &upper, "/file"]), "plain");
}

#[test]
fn a_registry_with_tls_is_believed_if_an_authority_of_this_host_is() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    if !tools::have(&["openssl"]) {
        return;
    }
    certificates::make(dir.path());
    let Some(server) = Server::encrypted(dir.path()) else { return };
    let (home, other) = (Home::new(), Home::new());
    let name = server.far_name("app:1");
    let made = image(&home, "app", "x", &[]);
    let trusting = |home: &Home, args: &[&str]| {
        let authority = dir.path().join("ca.pem");
        said(home.command(args).env("SSL_CERT_FILE", authority).output().expect("it starts"))
    };
    let pushed = trusting(&home, &["push", "-q", "app", &name]);
    assert_eq!((pushed.code, pushed.stdout.trim()), (Some(0), made.as_str()), "{pushed:?}");
    let pulled = trusting(&other, &["pull", "-q", &name]);
    assert_eq!((pulled.code, pulled.stdout.trim()), (Some(0), made.as_str()), "{pulled:?}");
    // Not by anybody else.
    let refused = home.run(&["push", "-q", "app", &name]);
    assert_eq!(refused.code, Some(5), "{refused:?}");
    assert!(refused.stderr.contains("certificate"), "{refused:?}");
    let args = ["pull", "-q", &name, "--insecure-registry", "0.0.0.0"];
    let refused = trusting(&Home::new(), &args);
    assert_eq!(refused.code, Some(5), "it does not speak without TLS: {refused:?}");
}

#[test]
fn what_is_pushed_is_the_same_image_for_skopeo_and_goes_once() {
    let Some(server) = Server::open() else { return };
    let home = Home::new();
    let name = server.name("dir/app:1");
    let made = image(&home, "app", "one", &[]);
    let asked = server.asked_by(|| assert_eq!(well(&home, &["push", "-q", "app", &name]), made));
    assert!(sent(&asked) > 0, "{asked:?}");
    let last = asked.last().expect("something was asked");
    assert_eq!(last, "PUT /v2/dir/app/manifests/1", "the manifest goes last");
    let url = server.url("dir/app:1");
    assert_eq!(digest(&url), made);
    copy(&[&url, &layout(&home.path("back"))]);
    assert!(home.path("back/blobs/sha256").join(&made["sha256:".len()..]).is_file());
    let asked = server.asked_by(|| assert_eq!(well(&home, &["push", "-q", "app", &name]), made));
    assert_eq!(sent(&asked), 0, "{asked:?}");
    // A second image shares a layer, which is not sent again.
    image(&home, "app", "two", &[]);
    let other = server.name("dir/app:2");
    let asked = server.asked_by(|| drop(well(&home, &["push", "-q", "app", &other])));
    let uploads = asked.iter().filter(|asked| asked.starts_with("POST")).count();
    assert_eq!(uploads, 2, "its upper layer and its config: {asked:?}");
    // The same the other way round.
    let home = Home::new();
    let asked = server.asked_by(|| assert_eq!(well(&home, &["pull", "-q", &name]), made));
    assert_eq!(fetched(&asked), 3, "config and two layers: {asked:?}");
    let asked = server.asked_by(|| assert_eq!(well(&home, &["pull", "-q", &name]), made));
    assert_eq!(fetched(&asked), 0, "{asked:?}");
    let asked = server.asked_by(|| drop(well(&home, &["pull", "-q", &other])));
    assert_eq!(fetched(&asked), 2, "config and upper layer: {asked:?}");
}

#[test]
fn layers_of_a_base_of_the_same_registry_are_taken_over_there() {
    let Some(server) = Server::open() else { return };
    let home = Home::new();
    let base = server.name("base:1");
    image(&home, &base, "base", &["--push"]);
    let recipe =
        format!("from: {{image: \"{base}\"}}\nsteps:\n  - write: {{path: /more, content: x}}\n");
    home.write("recipe.yaml", &recipe);
    let app = server.name("app:1");
    let asked = server.asked_by(|| drop(well(&home, &["build", "-q", "-t", &app, "--push"])));
    let mounted = asked.iter().filter(|asked| asked.contains("from=base")).count();
    let uploaded = asked.iter().filter(|asked| asked.starts_with("PUT /v2/app/blobs/")).count();
    assert!(mounted >= 2, "{asked:?}");
    assert_eq!(uploaded, 2, "the new layer and the config: {asked:?}");
}

#[test]
fn outputs_name_and_send_an_image() {
    let Some(server) = Server::open() else { return };
    let home = Home::new();
    let (one, two, three) = (server.name("a:1"), server.name("a:2"), server.name("a:3"));
    let registry = format!("type=registry,name={one}");
    let both = format!("type=image,name={two},push=true");
    let named = format!("type=image,name={three}");
    let made = image(&home, "local:1", "x", &["-o", &registry, "-o", &both, "-o", &named]);
    let listed = well(&home, &["images"]);
    for name in [&one, &two, &three] {
        assert!(listed.contains(name.as_str()), "{listed}");
    }
    assert_eq!(digest(&server.url("a:1")), made);
    assert_eq!(digest(&server.url("a:2")), made);
    let asked = server.asked();
    assert!(!asked.iter().any(|asked| asked.contains("manifests/3")), "{asked:?}");
    // The name of the build itself, by `--push` and by an output without a name.
    let tag = server.name("b:1");
    let args = ["build", "image", "-q", "-t", &tag, "-o", "type=registry"];
    assert_eq!(well(&home, &args), made);
    assert_eq!(digest(&server.url("b:1")), made);
    let said = home.run(&["build", "image", "--push"]);
    assert_eq!(said.code, Some(2), "{said:?}");
    assert!(said.stderr.contains("without a name"), "{said:?}");
}

#[test]
fn a_pulled_image_has_the_name_that_is_asked_for_and_json_tells_of_it() {
    let Some(server) = Server::open() else { return };
    let home = Home::new();
    let name = server.name("app:1");
    let made = image(&home, &name, "x", &["--push"]);
    let home = Home::new();
    let said =
        well(&home, &["pull", "-q", &name, "-t", "mine", "-t", "mine:2", "--format", "json"]);
    let said: serde_json::Value = serde_json::from_str(&said).expect("JSON");
    assert_eq!(said["digest"], made.as_str());
    assert_eq!(said["tags"], serde_json::json!(["mine:latest", "mine:2"]));
    assert_eq!(said["name"], name.as_str());
    let listed = well(&home, &["images"]);
    assert!(listed.contains("mine:2") && !listed.contains(&name), "{listed}");
    let said = home.run(&["pull", &name, "--progress", "json"]);
    let last: serde_json::Value =
        serde_json::from_str(said.stdout.lines().last().expect("lines")).expect("JSON");
    assert_eq!((&last["event"], &last["image"]["digest"]), (&"pulled".into(), &made.into()));
    assert_eq!(blobs(&home), 4);
}
