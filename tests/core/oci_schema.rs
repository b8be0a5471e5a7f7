//! Every document that we write, against the JSON Schemas that the OCI image
//! spec publishes: validated by python's jsonschema, not by our own code.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::path::Path;
use std::process::{Command, Stdio};

use builder_core::engine::{BuildRequest, Engine, OutputKind, OutputSpec};
use builder_core::exec::{Cancel, RunnerPath};
use builder_core::image::write_index;
use builder_core::output::Dest;
use builder_core::plan::Plan;
use builder_core::recipe::{self, Params};
use serde_json::{Value, json};

use crate::support::example::example;
use crate::support::tools;

/// Where Debian's golang-github-opencontainers-image-spec-dev has the schemas.
const SCHEMAS: &str = "/usr/share/gocode/src/github.com/opencontainers/image-spec/schema";

/// A config with all that a recipe can say.
const EVERYTHING: &str = r#"
config:
  entrypoint: [/app]
  cmd: [--help]
  env: {A: "1", LONG_NAME: "x=y"}
  labels: {org.opencontainers.image.title: everything}
  expose: [80, 53/udp]
  volumes: [/data]
  user: "1000:1000"
  workdir: /work
  stop_signal: SIGTERM
  healthcheck: {test: [/app, --check], interval: 30s, timeout: 3s, start_period: 1m, retries: 3}
  author: Somebody
"#;

/// Whether validation is possible here (if not, that is said loudly).
fn can_validate() -> bool {
    if !Path::new(SCHEMAS).is_dir() {
        tools::skip("golang-github-opencontainers-image-spec-dev is not installed");
        return false;
    }
    let import = Command::new(python()).args(["-c", "import jsonschema"]).output();
    if import.is_ok_and(|output| output.status.success()) {
        return true;
    }
    tools::skip("python3-jsonschema is not installed");
    false
}

/// Debian's own: another one on PATH may lack the module.
fn python() -> &'static str {
    let debian = "/usr/bin/python3";
    if Path::new(debian).exists() { debian } else { "python3" }
}

/// What does not conform, one line each.
fn violations(documents: &[Value]) -> String {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/fixtures/oci_schema.py");
    let mut command = Command::new(python());
    command.args([script, SCHEMAS]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().expect("python starts");
    let text = Value::from(documents).to_string();
    let mut stdin = child.stdin.take().expect("it is a pipe");
    stdin.write_all(text.as_bytes()).expect("python reads");
    drop(stdin);
    let output = child.wait_with_output().expect("python ends");
    assert!(output.status.success(), "the validator itself fails");
    String::from_utf8(output.stdout).expect("the validator writes UTF-8")
}

/// The files of an OCI layout, of whatever form.
type Files = BTreeMap<String, Vec<u8>>;

fn files_of_directory(dir: &Path) -> Files {
    let mut files = Files::new();
    for name in ["oci-layout", "index.json"] {
        files.insert(name.to_owned(), std::fs::read(dir.join(name)).expect("a layout has it"));
    }
    for blob in std::fs::read_dir(dir.join("blobs/sha256")).expect("a layout has blobs") {
        let path = blob.expect("it can be listed").path();
        let name = path.strip_prefix(dir).expect("it is below").display().to_string();
        files.insert(name, std::fs::read(&path).expect("it can be read"));
    }
    files
}

fn files_of_archive(path: &Path) -> Files {
    let mut archive = tar::Archive::new(std::fs::File::open(path).expect("it was written"));
    let mut files = Files::new();
    for entry in archive.entries().expect("a tar") {
        let mut entry = entry.expect("an entry");
        let name = entry.path().expect("a path").display().to_string();
        let mut bytes = Vec::new();
        entry.read_to_end(&mut bytes).expect("whole");
        files.insert(name, bytes);
    }
    files
}

/// All documents of a layout, each with its schema; how many manifests there are.
fn documents(what: &str, files: &Files) -> (Vec<Value>, usize) {
    let read = |name: &str| -> Value {
        serde_json::from_slice(&files[name]).unwrap_or_else(|e| panic!("{what}: {name}: {e}"))
    };
    let mut all = vec![json!([
        "image-layout-schema.json",
        format!("{what}: oci-layout"),
        read("oci-layout")
    ])];
    let mut manifests = 0;
    let mut indexes = vec![("index.json".to_owned(), read("index.json"))];
    while let Some((name, index)) = indexes.pop() {
        for descriptor in index["manifests"].as_array().expect("an index lists manifests") {
            let media_type = descriptor["mediaType"].as_str().expect("a media type");
            let path = blob(descriptor);
            let document = read(&path);
            assert_eq!(descriptor["size"], files[&path].len(), "{what}: {path}");
            if media_type == "application/vnd.oci.image.index.v1+json" {
                indexes.push((path, document));
                continue;
            }
            assert_eq!(media_type, "application/vnd.oci.image.manifest.v1+json", "{what}");
            manifests += 1;
            let config = blob(&document["config"]);
            all.push(json!(["config-schema.json", format!("{what}: {config}"), read(&config)]));
            all.push(json!(["image-manifest-schema.json", format!("{what}: {path}"), document]));
        }
        all.push(json!(["image-index-schema.json", format!("{what}: {name}"), index]));
    }
    (all, manifests)
}

fn blob(descriptor: &Value) -> String {
    let digest = descriptor["digest"].as_str().expect("a digest");
    format!("blobs/{}", digest.replace(':', "/"))
}

/// A plan made from a recipe whose context is `dir`.
fn plan(dir: &Path, text: &str) -> Plan {
    let loaded = recipe::load(text, &dir.join("recipe.yaml"), dir, &Params::default());
    loaded.unwrap_or_else(|mistakes| panic!("{mistakes:?}")).plan
}

/// Builds into a store in `dir`, exports in every form, and gives all documents.
fn built(dir: &Path, name: &str, text: &str) -> Vec<Value> {
    let runner = RunnerPath::Path(example("runner"));
    let engine = Engine::builder(dir.join("store")).runner(runner).build().expect("it opens");
    let at = |form: &str| dir.join(format!("{name}-{form}"));
    let outputs = [
        (OutputKind::OciDir, at("layout")),
        (OutputKind::Oci, at("oci.tar")),
        (OutputKind::Docker, at("docker.tar")),
    ];
    let request = BuildRequest {
        tags: vec![format!("{name}:1"), format!("localhost:5000/other/{name}:2")],
        outputs: outputs
            .iter()
            .map(|(kind, path)| OutputSpec {
                kind: *kind,
                dest: Dest::Path(path.clone()),
                records: false,
            })
            .collect(),
        annotations: BTreeMap::from([("org.opencontainers.image.revision".into(), "abc".into())]),
        ..BuildRequest::new(plan(dir, text))
    };
    engine.build_blocking(&request, &Cancel::new()).unwrap_or_else(|e| panic!("{name}: {e:?}"));
    let mut all = Vec::new();
    for files in [
        files_of_directory(&at("layout")),
        files_of_archive(&at("oci.tar")),
        files_of_archive(&at("docker.tar")),
    ] {
        let (documents, manifests) = documents(name, &files);
        assert_eq!(manifests, 2, "one for each name of {name}");
        all.extend(documents);
    }
    all
}

#[test]
fn all_that_we_write_conforms_to_the_schemas_of_the_oci_image_spec() {
    if !can_validate() {
        return;
    }
    let dir = tempfile::tempdir().expect("a temporary directory");
    let dir = dir.path();
    let write = "steps:\n  - write: {path: /etc/motd, content: hello}\n";
    let mut all = built(dir, "plain", &format!("from: {{scratch: true}}\n{write}"));
    let text = format!("from: {{scratch: true}}\n{write}{EVERYTHING}");
    all.extend(built(dir, "everything", &text));
    // What another tool made becomes a base, and what it said is carried along.
    if tools::have(&["umoci"]) {
        let layout = dir.join("foreign").display().to_string();
        let image = format!("{layout}:base");
        tools::run("umoci", ["init", "--layout", &layout]);
        tools::run("umoci", ["new", "--image", &image]);
        let mut config = Command::new("umoci");
        config.args(["config", "--image", &image, "--author=Them", "--config.user=7"]);
        config.args(["--config.exposedports=8080", "--config.volume=/v", "--config.label=a=b"]);
        config.args(["--config.cmd=run", "--manifest.annotation=them=us"]);
        tools::success(&mut config);
        all.extend(built(dir, "based", &format!("from: {{oci: foreign}}\n{write}")));
        let exported = format!("from: {{oci: everything-docker.tar:1}}\n{write}{EVERYTHING}");
        all.extend(built(dir, "again", &exported));
    }
    // The store itself is a layout, and may hold an index of several images.
    let store = builder_core::store::Store::open(&dir.join("store")).expect("it opens");
    let images: Vec<_> = store.refs().expect("it has names").into_iter().map(|(_, d)| d).collect();
    let index = write_index(&store, &images, &BTreeMap::from([("a".into(), "b".into())]));
    store.set_ref("several:1", index.expect("an index is written")).expect("it is named");
    let (documents, manifests) = documents("store", &files_of_directory(store.root()));
    assert!(manifests >= 2 * images.len(), "the names, and once more through the index");
    all.extend(documents);
    assert_eq!(violations(&all), "");
}

#[test]
fn the_validator_itself_tells_what_is_wrong() {
    if !can_validate() {
        return;
    }
    let bad = [
        json!(["image-manifest-schema.json", "m", {"schemaVersion": 2, "layers": [{"size": "1"}]}]),
        json!(["config-schema.json", "c", {"os": "linux", "architecture": "amd64",
            "rootfs": {"type": "layers", "diff_ids": []}, "created": "yesterday"}]),
        json!(["image-index-schema.json", "i", {"schemaVersion": 2, "manifests": [{}]}]),
    ];
    let told = violations(&bad);
    for part in ["m: /layers/0/size", "'config' is a required", "c: /created", "i: /manifests/0"] {
        assert!(told.contains(part), "{part}: {told}");
    }
}
