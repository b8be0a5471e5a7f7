//! What we write, other people's tools accept; what they write, we take in.

use std::path::PathBuf;

use builder_core::image::{Platform, read_image};
use builder_core::layer::Compression;
use builder_core::output::{Dest, Docker, Form, Local, Oci, Owners, Tar};
use builder_core::source::{Source, oci};

use crate::support::docker::Docker as Engine;
use crate::support::image::{NAME, Sample};
use crate::support::tools;

fn layout(sample: &Sample) -> PathBuf {
    let path = sample.dir.path().join("layout");
    sample.export(&Oci { dest: Dest::Path(path.clone()), form: Form::Directory, records: None });
    path
}

fn archive(sample: &Sample) -> PathBuf {
    let path = sample.dir.path().join("docker.tar");
    sample.export(&Docker { dest: Dest::Path(path.clone()) });
    path
}

/// Takes an image into the sample's store, and says which layers it has.
fn taken(sample: &Sample, path: PathBuf, tag: &str) -> Vec<builder_core::digest::DiffId> {
    let (store, tag) = (sample.store.clone(), Some(tag.to_owned()));
    let source = oci::Oci { store, path, tag, platform: Platform::host() };
    let fetched = source.fetch().expect("the image can be taken in");
    assert_eq!(source.pin().expect("it can be pinned"), source.pin().expect("and again"));
    fetched.layers.into_iter().map(|layer| layer.diff_id).collect()
}

fn written(sample: &Sample) -> Vec<builder_core::digest::DiffId> {
    let image = read_image(&sample.store, &sample.image.digest).expect("it is there");
    image.config.rootfs.diff_ids
}

#[test]
fn skopeo_copies_our_layout_to_a_docker_archive_that_we_read() {
    if !tools::have(&["skopeo"]) {
        return;
    }
    for compression in [Compression::None, Compression::Gzip] {
        let Some(sample) = Sample::make(compression) else { return };
        let from = format!("oci:{}:one", layout(&sample).display());
        let inspected = tools::run("skopeo", ["inspect", &from]);
        assert!(inspected.contains(&sample.image.digest.to_string()), "{inspected}");
        let archive = sample.dir.path().join("skopeo.tar");
        let to = format!("docker-archive:{}:x/y:two", archive.display());
        tools::run("skopeo", ["copy", "--quiet", &from, &to]);
        assert_eq!(taken(&sample, archive, "two"), written(&sample));
    }
}

#[test]
fn our_own_exports_are_taken_in_as_what_they_were() {
    let Some(sample) = Sample::make(Compression::Gzip) else { return };
    let tar = sample.dir.path().join("oci.tar");
    sample.export(&Oci { dest: Dest::Path(tar.clone()), form: Form::Archive, records: None });
    for path in [layout(&sample), archive(&sample), tar] {
        assert_eq!(taken(&sample, path, NAME), written(&sample));
    }
}

#[test]
fn umoci_unpacks_our_layout_to_the_tree_that_local_writes() {
    if !tools::root() || !tools::have(&["umoci", "diff"]) {
        return;
    }
    let Some(sample) = Sample::make(Compression::Gzip) else { return };
    let bundle = sample.dir.path().join("bundle");
    let image = format!("{}:one", layout(&sample).display());
    tools::run("umoci", ["unpack", "--image", &image, &bundle.display().to_string()]);
    let local = sample.dir.path().join("local");
    sample.export(&Local { dest: Dest::Path(local.clone()), owners: Owners::Image });
    for part in ["bin", "tmp"] {
        tools::run("diff", ["-r".into(), bundle.join("rootfs").join(part), local.join(part)]);
    }
}

#[test]
fn gnu_tar_lists_the_merged_root_file_system() {
    let Some(sample) = Sample::make(Compression::Gzip) else { return };
    let tar = sample.dir.path().join("rootfs.tar");
    sample.export(&Tar { dest: Dest::Path(tar.clone()) });
    let listed = tools::run("tar", ["-tf", &tar.display().to_string()]);
    let expected = "./ bin/ bin/busybox bin/cat bin/sh dev/ dev/zero pipe tmp/";
    assert_eq!(listed.lines().collect::<Vec<_>>().join(" "), expected);
}

#[test]
fn docker_loads_runs_and_saves_what_we_wrote() {
    // This Docker knows no zstd; the output has none.
    let Some(sample) = Sample::make(Compression::Zstd) else { return };
    let Some(docker) = Engine::start() else { return };
    docker.run(&["load", "--input", &archive(&sample).display().to_string()]);
    let out = docker.run(&["run", "--rm", "--network=none", NAME]);
    assert_eq!(out, "it runs\n");
    let saved = sample.dir.path().join("saved.tar");
    docker.run(&["save", "--output", &saved.display().to_string(), NAME]);
    assert_eq!(taken(&sample, saved, NAME), written(&sample));
}

#[test]
fn podman_loads_and_runs_what_we_wrote() {
    if !tools::root() || !tools::have(&["podman", "runc"]) {
        return;
    }
    let Some(sample) = Sample::make(Compression::Gzip) else { return };
    let at = |name: &str| sample.dir.path().join(name).display().to_string();
    let common = [
        format!("--root={}", at("podman")),
        format!("--runroot={}", at("podman-run")),
        format!("--tmpdir={}", at("podman-tmp")),
        "--storage-driver=vfs".into(),
        "--runtime=runc".into(),
        "--cgroup-manager=cgroupfs".into(),
        "--events-backend=none".into(),
    ];
    let podman = |args: &[&str]| {
        let args = args.iter().map(ToString::to_string);
        tools::run("podman", common.iter().cloned().chain(args))
    };
    podman(&["load", "--quiet", "--input", &archive(&sample).display().to_string()]);
    // Limits of our own: Podman would raise them beyond what a virtual machine allows.
    let limits = ["--ulimit=nofile=1024:1024", "--ulimit=nproc=1024:1024"];
    let flags = ["run", "--rm", "--cgroups=no-conmon", "--network=host", limits[0], limits[1]];
    assert_eq!(podman(&[&flags[..], &[NAME]].concat()), "it runs\n");
}

/// No layer is needed to see that documents and archives are what they should be.
#[test]
fn skopeo_reads_the_names_and_digests_of_an_image_without_layers() {
    if !tools::have(&["skopeo"]) {
        return;
    }
    let sample = Sample::empty();
    let inspected =
        tools::run("skopeo", ["inspect", &format!("oci:{}:one", layout(&sample).display())]);
    assert!(inspected.contains(&sample.image.digest.to_string()), "{inspected}");
    let docker = format!("docker-archive:{}:{NAME}", archive(&sample).display());
    let config = tools::run("skopeo", ["inspect", "--config", &docker]);
    assert!(config.contains("2000-01-01T00:00:00Z"), "{config}");
    let tar = sample.dir.path().join("oci.tar");
    sample.export(&Oci { dest: Dest::Path(tar.clone()), form: Form::Archive, records: None });
    let oci = format!("oci-archive:{}:one", tar.display());
    assert!(tools::run("skopeo", ["inspect", &oci]).contains(&sample.image.digest.to_string()));
    for path in [layout(&sample), archive(&sample), tar] {
        assert_eq!(taken(&sample, path.clone(), NAME), written(&sample), "{}", path.display());
        let (store, tag) = (sample.store.clone(), Some("three".to_owned()));
        let source = oci::Oci { store, path, tag, platform: Platform::host() };
        let error = source.fetch().expect_err("there is no such tag").to_string();
        assert!(
            error.contains("has no image `three`; there is") && error.contains(NAME),
            "{error}"
        );
    }
}
