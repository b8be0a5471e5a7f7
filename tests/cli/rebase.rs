//! `phoenix rebase`: an image's steps on another base are what a build on that
//! base gives, and only those run that the base gives something else.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;
use std::process::Command;

use builder_core::chain::{self, Chain};
use builder_core::digest::{BlobDigest, DiffId};
use builder_core::image::{
    ImageIndex, MAX_DOCUMENT, MediaType, SUBJECT, artifact_of, blob_digest, canonical_json,
    descriptor, is_artifact, parse_artifact, read_artifact, read_image, write_artifact,
};
use builder_core::store::Store;
use serde_json::Value;

use crate::build::with_busybox;
use crate::phoenix::{Home, Said};

const RECIPE: &str = "\
params: {base: root}
from: {rootfs: '${{ base }}'}
steps:
  - {env: {MODE: fast}}
  - {name: files, copy: {src: [app/], dest: /app/, owner: app}}
  - {name: note, write: {path: /etc/note, content: one}}
  - {name: reads, run: cat /etc/conf > /conf}
  - {name: takes, run: cat /conf > /taken}
  - {name: alone, run: echo alone > /alone}
  - {name: clears, run: 'rm -r /old; mkdir /old; echo new > /old/file'}
  - name: hidden
    run:
      script: test -e /run/secrets/token; echo done > /hidden
      mounts: [{secret: token}]
config: {user: app, cmd: [cat, /taken]}
tests:
  - {name: check, run: test -e /taken}
";

const TOKEN: &str = "hush-hush-nobody-may-know";

/// A home with the image `app:1` in the store `s`, and bases that differ from
/// that which it was built on; `None` (said loudly) where steps cannot run.
fn home() -> Option<Home> {
    let home = Home::new();
    with_busybox(&home)?;
    home.write("root/etc/conf", "one\n");
    home.write("root/etc/passwd", "root:x:0:0::/root:/bin/sh\napp:x:7:8::/:/bin/sh\n");
    home.write("root/etc/group", "root:x:0:\napp:x:8:\n");
    for (base, file, text) in [
        ("same", "", ""),
        ("unread", "opt/unread", "nobody looks here"),
        ("conf", "etc/conf", "two\n"),
        ("users", "etc/passwd", "root:x:0:0::/root:/bin/sh\napp:x:9:8::/:/bin/sh\n"),
        (
            "more-users",
            "etc/passwd",
            "root:x:0:0::/root:/bin/sh\napp:x:7:8::/:/bin/sh\nx:x:5:5::/:\n",
        ),
        ("old", "old/more", "below what a step replaces"),
    ] {
        copied(&home, "root", base);
        if !file.is_empty() {
            home.write(&format!("{base}/{file}"), text);
        }
    }
    home.write("app/main", "an app");
    home.write("token", TOKEN);
    home.write("recipe.yaml", RECIPE);
    build(&home, "s", "root", &["-t", "app:1"]);
    Some(home)
}

fn copied(home: &Home, from: &str, to: &str) {
    let status = Command::new("cp").args(["-a", from, to]).current_dir(home.path("")).status();
    assert!(status.expect("cp runs").success());
}

fn done(said: &Said) -> &Said {
    assert_eq!(said.code, Some(0), "{said:?}");
    said
}

/// Builds the recipe on a base; the image's digest.
fn build(home: &Home, store: &str, base: &str, more: &[&str]) -> String {
    let base = format!("base={base}");
    let args = ["--store", store, "build", "-q", "--secret", "id=token,src=token", "--set", &base];
    done(&home.run(&[&args, more].concat())).stdout.trim().to_owned()
}

/// Rebases; the result's digest and, of each step that is no base, whether it
/// ran, by name.
fn rebase(
    home: &Home,
    store: &str,
    image: &str,
    onto: &str,
    more: &[&str],
) -> (String, Vec<String>) {
    let file = home.path("rebased.json").display().to_string();
    let args = ["--store", store, "rebase", image, "--onto", onto, "-q", "--metadata-file", &file];
    let said = home.run(&[&args, more].concat());
    let digest = done(&said).stdout.trim().to_owned();
    let metadata: Value = serde_json::from_slice(&fs::read(file).expect("it")).expect("JSON");
    (digest, ran(&metadata))
}

fn ran(steps: &Value) -> Vec<String> {
    let steps = steps["steps"].as_array().expect("steps").iter();
    let ran = steps.filter(|step| step["status"] == "ran");
    let names = ran.map(|step| step["name"].as_str().expect("a name").to_owned());
    names.filter(|name| !name.starts_with("from ")).collect()
}

fn blobs(home: &Home, store: &str) -> usize {
    fs::read_dir(home.path(store).join("blobs/sha256")).expect("a store").count()
}

#[test]
fn on_its_own_base_an_image_stays_what_it_is() {
    let Some(home) = home() else { return };
    let built = build(&home, "s", "root", &[]);
    let before = blobs(&home, "s");
    assert_eq!(rebase(&home, "s", "app:1", "root", &[]), (built, vec![]));
    assert_eq!(blobs(&home, "s"), before, "nothing is written");
}

#[test]
fn where_no_step_looks_at_what_changed_only_manifest_and_config_are_written() {
    let Some(home) = home() else { return };
    // The base is in the store already.
    home.write("base/recipe.yaml", "from: {rootfs: ../unread}\nsteps: []\n");
    let bare = ["--store", "s", "build", "base", "-t", "base:2", "-q"];
    done(&home.run(&bare));
    let before = blobs(&home, "s");
    let (digest, ran) = rebase(&home, "s", "app:1", "base:2", &["-t", "app:2"]);
    assert_eq!(ran, Vec::<String>::new());
    // And what is written down of the new image.
    assert_eq!(blobs(&home, "s"), before + 4);
    let read = home.run(&["--store", "s", "cat", "app:2", "/opt/unread"]);
    assert_eq!(done(&read).stdout, "nobody looks here");
    let inspected = home.run(&["--store", "s", "inspect", "app:2"]);
    assert!(done(&inspected).stdout.contains("base:2"), "{inspected:?}");
    // It can be taken further, and back: then it is what it was.
    let (other, _) = rebase(&home, "s", "app:2", "conf", &["--secret", "id=token,src=token"]);
    assert_ne!(other, digest);
    let (back, ran) = rebase(&home, "s", "app:2", "root", &[]);
    assert_eq!((back, ran), (build(&home, "s", "root", &[]), vec![]));
}

#[test]
fn what_comes_is_what_a_build_on_the_new_base_gives() {
    let Some(home) = home() else { return };
    for (base, expected) in [
        ("unread", &[][..]),
        ("conf", &["reads", "takes"]),
        // The copy gets another owner; no step runs as that user.
        ("users", &["files", "check"]),
        ("more-users", &[]),
        ("old", &["clears"]),
    ] {
        let said = home
            .run(&["--store", "s", "rebase", "app:1", "--onto", base, "-n", "--format", "json"]);
        let planned: Value = serde_json::from_str(&done(&said).stdout).expect("JSON");
        let (digest, ran) = rebase(&home, "s", "app:1", base, &[]);
        assert_eq!(ran, expected, "{base}");
        assert!(!expected.is_empty() || self::ran(&planned).is_empty(), "{base}: {planned}");
        let fresh = format!("fresh-{base}");
        assert_eq!(digest, build(&home, &fresh, base, &[]), "{base}");
    }
}

#[test]
fn a_dry_run_says_why_and_writes_no_image() {
    let Some(home) = home() else { return };
    let args = ["--store", "s", "rebase", "app:1", "--onto", "conf", "-n", "-t", "app:2"];
    let said = home.run(&args);
    let line = |step: &str| {
        let line = done(&said).stdout.lines().find(|line| line.contains(step));
        line.unwrap_or_else(|| panic!("{step}: {said:?}")).to_owned()
    };
    assert!(line("  reads ").contains("it reads /etc/conf, which changed"), "{said:?}");
    assert!(line("  reads ").starts_with("runs"), "{said:?}");
    assert!(line("  takes ").contains("`reads` runs before it"), "{said:?}");
    assert!(line("  note ").starts_with("stands"), "{said:?}");
    let images = home.run(&["--store", "s", "images", "-a"]);
    assert!(!images.stdout.contains("app:2") && images.stdout.lines().count() == 2, "{images:?}");
}

#[test]
fn a_copy_whose_place_is_another_asks_for_a_build() {
    let Some(home) = home() else { return };
    home.write("same/app", "a file where the copy has a directory");
    let said = home.run(&["--store", "s", "rebase", "app:1", "--onto", "same", "-t", "app:2"]);
    assert_eq!(said.code, Some(1), "{said:?}");
    assert!(said.stderr.contains("it looks for /app, which is new"), "{said:?}");
    assert!(said.stderr.contains("build the image again on the new base"), "{said:?}");
    let images = home.run(&["--store", "s", "images"]);
    assert!(!images.stdout.contains("app:2"), "{images:?}");
}

#[test]
fn a_secret_is_needed_by_a_step_that_runs_and_by_no_other() {
    let Some(home) = home() else { return };
    let without = home.run(&["--store", "s", "rebase", "app:1", "--onto", "unread"]);
    done(&without);
    // The program that every step starts.
    fs::set_permissions(home.path("conf/bin/busybox"), fs::Permissions::from_mode(0o775))
        .expect("changed");
    let args = ["--store", "s", "rebase", "app:1", "--onto", "conf"];
    let said = home.run(&args);
    assert_eq!(said.code, Some(2), "{said:?}");
    assert!(said.stderr.contains("secret `token` is required"), "{said:?}");
    done(&home.run(&[&args[..], &["--secret", "id=token,src=token"]].concat()));
}

#[test]
fn what_is_mounted_is_as_it_was_and_asks_for_a_build_where_it_is_needed() {
    let Some(home) = home() else { return };
    home.write(
        "mounts/recipe.yaml",
        "params: {base: root}\nfrom: {rootfs: '../${{ base }}'}\nsteps:\n  - name: mounts\n    \
         run:\n      script: cat /mnt/x /etc/conf > /x; echo kept > /c/y\n      mounts: \
         [{bind: src, target: /mnt}, {cache: c, target: /c}, {tmpfs: true, target: /t}]\n  \
         - name: after\n    run:\n      script: cat /x > /y\n      \
         mounts: [{cache: c, target: /c}]\n",
    );
    home.write("mounts/src/x", "mounted");
    let build = |store: &str, base: &str| {
        let base = format!("base={base}");
        let args = ["--store", store, "build", "mounts", "-q", "-t", "m:1", "--set", &base];
        done(&home.run(&args)).stdout.trim().to_owned()
    };
    build("s", "root");
    let said = home.run(&["--store", "s", "rebase", "m:1", "--onto", "../unread"]);
    assert_eq!(said.code, Some(5), "there is no such base: {said:?}");
    // The recipe's words for its base stand in the image.
    fs::create_dir(home.path("in")).expect("made");
    let mut command = home.command(&["--store", "../s", "rebase", "m:1", "--onto", "../unread"]);
    let said = crate::phoenix::said(command.current_dir(home.path("in")).output().expect("it"));
    assert!(done(&said).stderr.contains(&build("f", "unread")), "{said:?}");
    assert!(said.stderr.contains("2 reused"), "{said:?}");
    let said = home.run(&["--store", "s", "rebase", "m:1", "--onto", "conf"]);
    assert_eq!(said.code, Some(1), "{said:?}");
    assert!(said.stderr.contains("it reads /etc/conf, which changed"), "{said:?}");
    assert!(said.stderr.contains("is not here: build the image again"), "{said:?}");
}

/// Takes `app:1` out of the store, with or without its records.
fn export(home: &Home, spec: &str) {
    let args = ["--store", "s", "rebase", "app:1", "--onto", "root", "-t", "app:1", "-q", "-o"];
    done(&home.run(&[&args[..], &[spec]].concat()));
}

/// What a store has of results: nothing, if nothing ran.
fn results(home: &Home, store: &str) -> usize {
    let of = |area: &str| {
        let path = home.path(store).join("phoenix/records").join(area);
        fs::read_dir(path).map_or(0, Iterator::count)
    };
    ["results", "observed", "pathsets", "answers", "layers"].into_iter().map(of).sum()
}

#[test]
fn elsewhere_it_is_the_same_and_what_came_along_enters_no_cache() {
    let Some(home) = home() else { return };
    export(&home, "type=oci,dest=out,records=true");
    let fresh = build(&home, "f", "unread", &[]);
    let onto = |store: &str, base: &str| rebase(&home, store, "out:1", base, &[]);
    // The base's own layer is known: it was made here.
    assert_eq!(onto("e", "unread"), (fresh, vec![]));
    assert_eq!(results(&home, "e"), 1);
    let ran = vec!["reads".to_owned(), "takes".to_owned()];
    assert_eq!(onto("e", "conf"), (build(&home, "g", "conf", &[]), ran));
    // Another store is a layout, too.
    assert_eq!(onto_store(&home, "app:1"), onto("e", "unread").0);
    // An archive does as well as a directory.
    export(&home, "type=oci,dest=out.tar,records=true");
    let (from_archive, _) = rebase(&home, "a", "./out.tar", "same", &[]);
    let digest = build(&home, "h", "same", &[]);
    assert_eq!(from_archive, digest);
}

fn onto_store(home: &Home, image: &str) -> String {
    rebase(home, "k", &format!("./s:{image}"), "unread", &[]).0
}

#[test]
fn records_leave_the_store_only_where_that_is_said() {
    let Some(home) = home() else { return };
    export(&home, "type=oci,dest=bare");
    let index = fs::read_to_string(home.path("bare/index.json")).expect("an index");
    assert!(!index.contains("artifactType"), "{index}");
    let said = home.run(&["--store", "e", "rebase", "bare:1", "--onto", "root"]);
    assert_eq!(said.code, Some(5), "{said:?}");
    assert!(said.stderr.contains("is not written beside it"), "{said:?}");
    assert!(said.stderr.contains("records=true"), "{said:?}");
    let wrong = home.run(&["build", "-o", "type=tar,dest=x.tar,records=true"]);
    assert_eq!(wrong.code, Some(2), "{wrong:?}");
}

fn index(layout: &Path) -> ImageIndex {
    let index = fs::read(layout.join("index.json")).expect("an index");
    serde_json::from_slice(&index).expect("an index")
}

/// The digest of the image of an exported layout, and how it was made.
fn chain_of(layout: &Path) -> (Store, BlobDigest, Chain) {
    let index = index(layout);
    let image = index.manifests().iter().find(|descriptor| !is_artifact(descriptor));
    let image = blob_digest(image.expect("an image")).expect("a digest");
    let store = Store::open(layout).expect("a layout");
    let artifact = artifact_of(index.manifests(), chain::KIND, image).expect("it has one");
    let payload = read_artifact(&store, artifact, (chain::KIND, image), chain::MAX_BYTES);
    (store, image, chain::decode(&payload.expect("readable")).expect("good"))
}

#[test]
fn no_secret_is_written_down_and_other_tools_read_the_layout() {
    let Some(home) = home() else { return };
    export(&home, "type=oci,dest=out,records=true");
    let (_, _, chain) = chain_of(&home.path("out"));
    assert!(chain.secrets.contains("token"));
    let text = serde_json::to_string(&chain).expect("JSON");
    assert!(!text.contains(TOKEN) && !text.contains(&hex(TOKEN)));
    let root = home.path("").display().to_string();
    assert!(!text.contains(&root) && !text.contains(&hex(&root)), "no path of the host");
    if Command::new("skopeo").arg("--version").output().is_err() {
        return crate::workload::skip("no skopeo");
    }
    for layout in [format!("oci:{root}/out:1"), format!("oci:{root}/s:app:1")] {
        let said = Command::new("skopeo").args(["inspect", &layout]).output().expect("it runs");
        assert!(said.status.success(), "{layout}: {said:?}");
    }
}

fn hex(text: &str) -> String {
    text.bytes().map(|byte| format!("{byte:02x}")).collect()
}

/// Puts another artifact, of that payload, in the place of the one that is there.
fn replace(layout: &Path, payload: &[u8], subject: BlobDigest) {
    let (store, image, _) = chain_of(layout);
    let subject = descriptor(MediaType::ImageManifest, &subject, 1);
    let mut written = write_artifact(&store, chain::KIND, &subject, payload).expect("written");
    // It is found as that of the image all the same.
    let annotation = [(SUBJECT.to_owned(), image.to_string())];
    written.set_annotations(Some(annotation.into()));
    let mut index = index(layout);
    let images = index.manifests().iter().filter(|descriptor| !is_artifact(descriptor));
    let manifests = images.cloned().chain([written]).collect::<Vec<_>>();
    index.set_manifests(manifests);
    fs::write(layout.join("index.json"), canonical_json(&index)).expect("written");
}

#[test]
fn what_was_tampered_with_is_refused_and_leaves_nothing() {
    let Some(home) = home() else { return };
    export(&home, "type=oci,dest=good,records=true");
    let copy = |name: &str| {
        copied(&home, "good", name);
        home.path(name)
    };
    let (_, image, good) = chain_of(&copy("looked-at"));
    let refused = |name: &str, why: &str| {
        let store = format!("store-{name}");
        let said =
            home.run(&["--store", &store, "rebase", &format!("{name}:1"), "--onto", "unread"]);
        assert!(said.code.is_some_and(|code| code == 5 || code == 1), "{name}: {said:?}");
        assert!(said.stderr.contains(why), "{name}: {said:?}");
        assert!(!said.stderr.contains("panicked"), "{name}: {said:?}");
        assert_eq!(home.run(&["--store", &store, "images", "-aq"]).stdout, "", "{name}");
        assert!(results(&home, &store) <= 1, "{name}: more than the base");
    };
    let mut lies = good.clone();
    let step = lies.steps.iter_mut().find(|step| step.layer.is_some()).expect("one");
    step.layer = Some(DiffId::from_bytes([7; 32]));
    replace(&copy("layer"), &chain::encode(&lies), image);
    refused("layer", "is not of its layers");
    let mut lies = good.clone();
    lies.base = usize::MAX;
    replace(&copy("base"), &chain::encode(&lies), image);
    refused("base", "is not of its layers");
    replace(&copy("other"), &chain::encode(&good), BlobDigest::of(b"another image"));
    refused("other", "and not to");
    let bytes = chain::encode(&good);
    replace(&copy("cut"), &bytes[..bytes.len() / 2], image);
    refused("cut", "cannot be read");
    let mut many = good.clone();
    many.steps = vec![good.steps[0].clone(); 20_000];
    replace(&copy("many"), &chain::encode(&many), image);
    refused("many", "steps, more than the");
    // A blob that is not what its digest says: the payload, then a layer.
    for (name, of_artifact) in [("payload", true), ("blob", false)] {
        let layout = copy(name);
        let (store, image, chain) = chain_of(&layout);
        let blob = if of_artifact {
            let index = index(&layout);
            let artifact = artifact_of(index.manifests(), chain::KIND, image).expect("there");
            let manifest = blob_digest(artifact).expect("a digest");
            let bytes = store.read_blob(&manifest, MAX_DOCUMENT).expect("there");
            let payload = parse_artifact(&bytes, chain::KIND, image);
            blob_digest(&payload.expect("good")).expect("a digest")
        } else {
            let read = read_image(&store, &image).expect("good");
            read.layers[chain.base].blob
        };
        let path = store.blob_path(&blob);
        let mut bytes = fs::read(&path).expect("there");
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        fs::write(&path, bytes).expect("written");
        refused(name, if of_artifact { "is damaged" } else { "layer" });
    }
    // Paths that lead out of a tree are no paths.
    let mut json = serde_json::to_value(&good).expect("JSON");
    let part = serde_json::json!({
        "source": "..", "path": hex("../../etc"), "is_dir": true, "content": "",
    });
    let input = serde_json::json!({
        "root": [0, 0, 0], "xattrs": false, "caches": {}, "parts": [part],
    });
    json["steps"][0]["inputs"] = serde_json::json!({ "1": input });
    let plain = serde_json::to_vec(&json).expect("JSON");
    let packed = zstd::bulk::compress(&plain, 1).expect("compressed");
    replace(&copy("path"), &packed, image);
    refused("path", "is not valid");
    symlink("/etc/passwd", home.path("layer/blobs/sha256/link")).expect("linked");
    refused("layer", "is not of its layers");
}

#[test]
fn records_go_with_their_image_and_are_no_image_themselves() {
    let Some(home) = home() else { return };
    let listed = home.run(&["--store", "s", "images", "-aq"]);
    assert_eq!(done(&listed).stdout.lines().count(), 1, "{listed:?}");
    let prune = || done(&home.run(&["--store", "s", "prune", "--all", "--force"])).stdout.clone();
    prune();
    // The layers and what is written of them stay; results do not.
    assert_eq!(rebase(&home, "s", "app:1", "unread", &[]).1, Vec::<String>::new());
    done(&home.run(&["--store", "s", "rm", "app:1"]));
    prune();
    assert_eq!(blobs(&home, "s"), 0);
    let records = home.path("s/phoenix/records/artifacts");
    assert_eq!(fs::read_dir(records).map_or(0, Iterator::count), 0);
}
