//! `phoenix images`, `tag`, `rm`, `inspect` and `history`.

use std::collections::BTreeMap;

use builder_core::digest::{BlobDigest, DiffId};
use builder_core::image::{History, ImageConfig, NewImage, Platform, write_image};
use builder_core::layer::{Compression, LayerDesc};
use builder_core::store::Store;
use serde_json::Value;

use crate::phoenix::Home;

/// Puts an image of one layer into the home's store, and gives its digest.
fn image(home: &Home, name: &str, file: &str) -> BlobDigest {
    let store = Store::open(&home.path(".local/share/phoenix")).expect("a store can be made");
    let mut tar = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_ustar();
    header.set_size(file.len() as u64);
    header.set_mode(0o644);
    tar.append_data(&mut header, "etc/motd", file.as_bytes()).expect("it fits");
    let tar = tar.into_inner().expect("memory does not fail");
    let blob = store.put_blob(&tar).expect("the store can be written");
    let layer = LayerDesc {
        blob,
        diff_id: DiffId::from_bytes(*blob.as_bytes()),
        size: tar.len() as u64,
        compression: Compression::None,
    };
    let mut config = ImageConfig::empty(&"linux/amd64".parse::<Platform>().expect("it is one"));
    config.config.cmd = Some(vec!["/bin/sh".to_owned()]);
    let line = |text: &str, empty_layer| History {
        created_by: Some(text.to_owned()),
        empty_layer,
        ..History::default()
    };
    let written = write_image(
        &store,
        &NewImage {
            config: &config,
            layers: &[layer],
            history: &[line("write /etc/motd", false), line("cmd", true)],
            annotations: &BTreeMap::new(),
            created: Some(1),
        },
    )
    .expect("it is a valid image");
    store.set_ref(name, written.manifest).expect("the store can be written");
    written.digest
}

fn json(home: &Home, args: &[&str]) -> Value {
    let said = home.run(args);
    assert_eq!((said.code, said.stderr.as_str()), (Some(0), ""), "{args:?}");
    serde_json::from_str(&said.stdout).expect("it is JSON")
}

fn names(home: &Home) -> Vec<String> {
    let listed = json(home, &["images", "--format", "json"]);
    let name = |image: &Value| image["name"].as_str().expect("a name").to_owned();
    listed.as_array().expect("a list").iter().map(name).collect()
}

#[test]
fn empty_store_lists_nothing() {
    let home = Home::new();
    assert_eq!(names(&home), Vec::<String>::new());
    assert!(home.run(&["images"]).stdout.starts_with("NAME"));
}

#[test]
fn images_are_listed_by_name_with_what_tells_them_apart() {
    let home = Home::new();
    let digest = image(&home, "web:latest", "web");
    image(&home, "app:1", "app");
    assert_eq!(names(&home), ["app:1", "web:latest"]);
    let listed = json(&home, &["images", "--format", "json"]);
    assert_eq!(listed[1]["digest"], digest.to_string());
    assert_eq!(listed[1]["platform"], "linux/amd64");
    assert_eq!(listed[1]["created"], "1970-01-01T00:00:01Z");
    let text = home.run(&["images"]).stdout;
    assert!(text.contains(&digest.short()) && text.lines().count() == 3, "{text}");
}

#[test]
fn tag_and_rm_change_names_only() {
    let home = Home::new();
    let digest = image(&home, "web:latest", "web");
    assert_eq!(home.run(&["tag", "web", "golden:1"]).code, Some(0));
    assert_eq!(home.run(&["tag", &digest.hex()[..12], "golden"]).code, Some(0));
    assert_eq!(names(&home), ["golden:1", "golden:latest", "web:latest"]);
    assert_eq!(home.run(&["rm", "web", "golden:1"]).code, Some(0));
    let inspected = json(&home, &["inspect", "golden"]);
    assert_eq!(inspected["digest"], digest.to_string());
    assert_eq!(inspected["names"], serde_json::json!(["golden:latest"]));
}

#[test]
fn rm_of_several_with_one_missing_removes_none() {
    let home = Home::new();
    image(&home, "web:latest", "web");
    let said = home.run(&["rm", "web", "nothing"]);
    assert_eq!(said.code, Some(5), "{said:?}");
    assert!(said.stderr.contains("`nothing`"), "{said:?}");
    assert_eq!(names(&home), ["web:latest"]);
}

#[test]
fn missing_image_is_the_same_error_everywhere() {
    let home = Home::new();
    let table: [&[&str]; 6] = [
        &["tag", "no", "x"],
        &["rm", "no"],
        &["inspect", "no"],
        &["history", "no"],
        &["ls", "no"],
        &["cat", "no", "/x"],
    ];
    for args in table {
        let said = home.run(args);
        assert_eq!(said.code, Some(5), "{args:?}: {said:?}");
        assert!(said.stderr.contains("phoenix images"), "{args:?}: {said:?}");
    }
}

#[test]
fn inspect_and_history_tell_layers_and_where_they_came_from() {
    let home = Home::new();
    image(&home, "web:latest", "web");
    let inspected = json(&home, &["inspect", "web"]);
    assert_eq!(inspected["config"]["Cmd"][0], "/bin/sh");
    assert_eq!(inspected["layers"].as_array().map(Vec::len), Some(1));
    let history = json(&home, &["history", "web", "--format", "json"]);
    assert_eq!(history[0]["created_by"], "cmd");
    assert_eq!((&history[0]["layer"], &history[0]["size"]), (&Value::Null, &0.into()));
    assert_eq!(history[1]["created_by"], "write /etc/motd");
    assert_eq!(history[1]["layer"], inspected["layers"][0]["diff_id"]);
    let text = home.run(&["history", "web"]).stdout;
    assert!(text.contains("write /etc/motd"), "{text}");
}

#[test]
fn image_with_a_lost_blob_is_still_listed_and_can_be_removed() {
    let home = Home::new();
    let digest = image(&home, "web:latest", "web");
    let blob = home.path(".local/share/phoenix/blobs/sha256").join(digest.hex());
    std::fs::remove_file(blob).expect("it is there");
    assert!(home.run(&["images"]).stdout.contains("unreadable"));
    let said = home.run(&["inspect", "web"]);
    assert_eq!(said.code, Some(5), "{said:?}");
    assert_eq!(home.run(&["rm", "web"]).code, Some(0));
    assert_eq!(names(&home), Vec::<String>::new());
}

#[test]
fn image_without_a_name_is_listed_if_asked_and_found_by_its_digests() {
    let home = Home::new();
    home.write("recipe.yaml", "from: {scratch: true}\nsteps:\n  - mkdir: /data\n");
    let built = home.run(&["build", "-q", "--iidfile", "id"]);
    let digest = built.stdout.trim().to_owned();
    assert!(digest.starts_with("sha256:") && built.code == Some(0), "{built:?}");
    assert_eq!(names(&home), Vec::<String>::new());
    let listed = json(&home, &["images", "-a", "--format", "json"]);
    assert_eq!((&listed[0]["name"], &listed[0]["digest"]), (&Value::Null, &digest.clone().into()));
    assert!(home.run(&["images", "--all"]).stdout.contains("<none>"));
    let id = std::fs::read_to_string(home.path("id")).expect("it was written");
    for name in [&digest, &digest[..19], &digest[7..13], &id] {
        assert_eq!(json(&home, &["inspect", name])["digest"], digest.as_str(), "{name}");
    }
    // The only image of a layout needs no name.
    let store = format!("oci:{}", home.path(".local/share/phoenix").display());
    match std::process::Command::new("skopeo").args(["inspect", &store]).output() {
        Ok(seen) => assert!(String::from_utf8_lossy(&seen.stdout).contains(&digest), "{seen:?}"),
        Err(_) => println!("SKIPPED: no skopeo"),
    }
    // A second build adds no second line; a name takes the place of none.
    home.run(&["build", "-q"]);
    let all = || json(&home, &["images", "-a", "--format", "json"]);
    assert_eq!(all().as_array().map(Vec::len), Some(1));
    assert_eq!(home.run(&["tag", &digest, "app"]).code, Some(0));
    assert_eq!(all()[0]["name"], "app:latest");
    assert_eq!(home.run(&["tag", "app", "app:2"]).code, Some(0));
    let many = home.run(&["rm", &digest]);
    assert!(many.code == Some(2) && many.stderr.contains("app:2, app:latest"), "{many:?}");
    assert_eq!(home.run(&["rm", "app", "app:2"]).code, Some(0));
    home.run(&["build", "-q"]);
    assert_eq!(home.run(&["rm", &digest[..19]]).code, Some(0));
    assert_eq!(all(), serde_json::json!([]));
}

#[test]
fn names_that_cannot_be_are_refused_and_odd_ones_of_others_are_found() {
    let home = Home::new();
    let digest = image(&home, "web:latest", "web");
    for bad in ["UPPER", "a b", "app:", "-x", "app@sha256:ab", "a/../b", ":1", ""] {
        let said = home.run(&["tag", "web", "--", bad]);
        assert_eq!(said.code, Some(2), "{bad}: {said:?}");
    }
    // As `skopeo copy ... oci:STORE:NAME` leaves it.
    let store = Store::open(&home.path(".local/share/phoenix")).expect("it is there");
    let web = store.get_ref("web:latest").expect("readable").expect("there");
    store.set_ref("\x1b[2J", web.clone()).expect("the store can be written");
    let listed = home.run(&["images"]).stdout;
    assert!(listed.lines().count() == 3 && !listed.contains('\x1b'), "{listed:?}");
    assert_eq!(home.run(&["rm", "\x1b[2J"]).code, Some(0));
    store.set_ref("Odd Name", web).expect("the store can be written");
    assert_eq!(json(&home, &["inspect", "Odd Name"])["digest"], digest.to_string());
    assert_eq!(home.run(&["rm", "Odd Name"]).code, Some(0));
    assert_eq!(names(&home), ["web:latest"]);
}

#[test]
fn revision_and_time_stand_in_the_index_and_never_in_the_image() {
    let home = Home::new();
    home.write("app/recipe.yaml", "from: {scratch: true}\nsteps:\n  - mkdir: /data\n");
    let git = |args: &[&str]| {
        let names = ["-c", "user.name=n", "-c", "user.email=e@example.org", "-C"];
        let mut git = std::process::Command::new("git");
        git.args(names).arg(home.path("app")).args(args).env("HOME", home.path("."));
        let output = git.output().expect("git starts");
        assert!(output.status.success(), "{args:?}: {output:?}");
        String::from_utf8(output.stdout).expect("text").trim().to_owned()
    };
    let build = |epoch: &str| -> (Value, Value) {
        let mut command = home.command(&["build", "app", "-t", "app", "-q"]);
        let built = crate::phoenix::said(
            command.env("SOURCE_DATE_EPOCH", epoch).output().expect("it starts"),
        );
        assert_eq!(built.code, Some(0), "{built:?}");
        let index = std::fs::read(home.path(".local/share/phoenix/index.json")).expect("there");
        let index: Value = serde_json::from_slice(&index).expect("JSON");
        let image = index["manifests"][0].clone();
        (image["annotations"].clone(), image["digest"].clone())
    };
    let (annotations, digest) = build("1000000000");
    assert_eq!(annotations["org.opencontainers.image.created"], "2001-09-09T01:46:40Z");
    assert_eq!(annotations["org.opencontainers.image.revision"], Value::Null);
    if std::process::Command::new("git").arg("--version").output().is_err() {
        println!("SKIPPED: no git");
        return;
    }
    git(&["init", "-q"]);
    git(&["add", "-A"]);
    git(&["commit", "-q", "-m", "one"]);
    let head = git(&["rev-parse", "HEAD"]);
    let (annotations, same) = build("1000000000");
    assert_eq!(annotations["org.opencontainers.image.revision"], head);
    assert_eq!(same, digest);
    home.write("app/new", "x");
    let (annotations, same) = build("1000000000");
    assert_eq!(annotations["org.opencontainers.image.revision"], format!("{head}-dirty"));
    assert_eq!(same, digest);
    let manifest = home.run(&["inspect", "app"]).stdout;
    assert!(!manifest.contains(&head), "{manifest}");
}

#[test]
fn directory_of_something_else_is_not_made_a_store() {
    let home = Home::new();
    home.write("docs/file", "mine");
    let said = home.run(&["images", "--store", "docs"]);
    assert_eq!(said.code, Some(5), "{said:?}");
    assert!(said.stderr.contains("--store"), "{said:?}");
    let left: Vec<_> = std::fs::read_dir(home.path("docs")).expect("there").collect();
    assert_eq!(left.len(), 1);
}
