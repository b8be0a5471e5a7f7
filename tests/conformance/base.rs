//! The images that cases start from, made from text and Debian's static
//! busybox: as OCI layouts and as an archive for `docker load`, with the same
//! layers and configs for every peer.
//!
//! | name | what it has |
//! |---|---|
//! | `base` | a shell and its commands, users, some files; an environment, a command, a label |
//! | `loaded` | user, directory, entrypoint, command, volume, port, health check, shell, signal |
//! | `triggers` | `base` with ONBUILD triggers |
//! | `links` | symbolic and hard links, links to directories, odd modes, an attribute |

use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use sha2::Digest as _;

use crate::tree::{Tree, hex};
use crate::{layers, support::tools};

/// Commands that busybox is linked to.
const APPLETS: &str = "ash basename cat chgrp chmod chown cmp cp cut date dd dirname echo env expr \
    false find grep gunzip gzip head hostname id ln ls md5sum mkdir mkfifo mktemp mv od printenv \
    printf pwd readlink realpath rm rmdir sed seq sh sha256sum sleep sort stat tail tar tee test \
    touch tr true uname uniq wc whoami xargs";

const PASSWD: &str = "root:x:0:0:root:/root:/bin/sh\ndaemon:x:1:1:daemon:/:/bin/false\n\
    app:x:1000:1000:App:/home/app:/bin/sh\nbuild:x:1001:100:Build:/home/build:/bin/sh\n";
const GROUP: &str =
    "root:x:0:\ndaemon:x:1:\nstaff:x:50:app\nusers:x:100:\napp:x:1000:\nwheel:x:10:build\n";

/// A base.
pub(crate) struct Base {
    /// As cases call it.
    pub(crate) name: &'static str,
    /// Its layout.
    pub(crate) layout: PathBuf,
    /// The digest of its manifest.
    pub(crate) digest: String,
    /// Its config.
    pub(crate) config: Value,
    /// Its files.
    pub(crate) tree: Tree,
}

/// All bases.
pub(crate) struct Bases {
    /// Each with its layout.
    pub(crate) all: Vec<Base>,
    /// All of them for `docker load`.
    pub(crate) archive: PathBuf,
}

impl Bases {
    /// Makes them in `dir`; `None` where there is no busybox (said loudly).
    pub(crate) fn make(dir: &Path) -> Option<Self> {
        if !tools::have(&["busybox"]) {
            return None;
        }
        let path = std::env::var_os("PATH").unwrap_or_default();
        let busybox = std::env::split_paths(&path).map(|dir| dir.join("busybox"));
        let busybox = busybox.into_iter().find(|path| path.is_file()).expect("it was just found");
        let root = rootfs(&std::fs::read(busybox).expect("a program can be read"));
        let images = [
            ("base", vec![root.clone()], config(json!({}))),
            ("loaded", vec![root.clone(), loaded_layer()], config(loaded_config())),
            ("triggers", vec![root.clone()], config(triggers_config())),
            ("links", vec![root, links_layer()], config(json!({}))),
        ];
        let mut archive = tar::Builder::new(Vec::new());
        let mut manifest = Vec::new();
        let mut all = Vec::new();
        for (name, layers, mut config) in images {
            finish(&mut config, &layers);
            all.push(layout(&dir.join(name), name, &layers, &config));
            manifest.push(archived(&mut archive, name, &layers, &config));
        }
        add(&mut archive, "manifest.json", &Value::from(manifest).to_string().into_bytes());
        let file = dir.join("bases.tar");
        let bytes = archive.into_inner().expect("memory takes all");
        std::fs::write(&file, bytes).expect("a temporary file can be written");
        Some(Self { all, archive: file })
    }

    /// The tree that an image's config says it stands on, or an empty one.
    pub(crate) fn below(&self, config: &Value) -> (&'static str, Option<&Base>) {
        let layers =
            |config: &Value| config["rootfs"]["diff_ids"].as_array().cloned().unwrap_or_default();
        let of = layers(config);
        // `triggers` has the layers of `base`, which comes first.
        let fits = |base: &&Base| of.starts_with(&layers(&base.config));
        let base =
            self.all.iter().filter(fits).max_by_key(|base| {
                (layers(&base.config).len(), std::cmp::Reverse(base.name.len()))
            });
        (base.map_or("scratch", |base| base.name), base)
    }
}

fn config(more: Value) -> Value {
    let mut config = json!({
        "Env": ["PATH=/usr/local/bin:/usr/bin:/bin", "BASE_ENV=from-base"],
        "Cmd": ["sh"],
        "Labels": { "base.label": "kept" },
    });
    let Value::Object(more) = more else { panic!("it is an object") };
    config.as_object_mut().expect("it is an object").extend(more);
    config
}

fn loaded_config() -> Value {
    json!({
        "User": "app",
        "WorkingDir": "/worktop",
        "Entrypoint": ["/bin/entry"],
        "Cmd": ["arg"],
        "Volumes": { "/data": {} },
        "ExposedPorts": { "80/tcp": {} },
        "Healthcheck": { "Test": ["CMD", "true"], "Interval": 30_000_000_000_u64 },
        "Shell": ["/bin/ash", "-c"],
        "StopSignal": "SIGQUIT",
    })
}

fn triggers_config() -> Value {
    json!({ "OnBuild": ["RUN echo triggered > /triggered", "ENV TRIGGERED=1", "COPY hook /hook"] })
}

/// Makes a whole config of the inner one.
fn finish(config: &mut Value, layers: &[Vec<u8>]) {
    let created = "2024-01-01T00:00:00Z";
    let layer = |number| json!({ "created": created, "created_by": format!("layer {number}") });
    let mut history: Vec<Value> = (1..=layers.len()).map(layer).collect();
    history.push(json!({
        "created": created, "created_by": "CMD [\"sh\"]", "empty_layer": true,
    }));
    let diff_ids: Vec<String> = layers.iter().map(|layer| digest(layer)).collect();
    let inner = config.take();
    *config = json!({
        "created": created, "architecture": "amd64", "os": "linux", "config": inner,
        "rootfs": { "type": "layers", "diff_ids": diff_ids }, "history": history,
    });
}

fn layout(dir: &Path, name: &'static str, layers: &[Vec<u8>], config: &Value) -> Base {
    let write = |path: &str, bytes: &[u8]| {
        let path = dir.join(path);
        std::fs::create_dir_all(path.parent().expect("it is in a layout"))
            .and_then(|()| std::fs::write(path, bytes))
            .expect("a temporary file can be written");
    };
    let blob = |media: &str, bytes: &[u8]| {
        let digest = digest(bytes);
        write(&format!("blobs/{}", digest.replace(':', "/")), bytes);
        let media = format!("application/vnd.oci.image.{media}");
        json!({ "mediaType": media, "digest": digest, "size": bytes.len() })
    };
    let described: Vec<Value> = layers.iter().map(|layer| blob("layer.v1.tar", layer)).collect();
    let manifest = json!({
        "schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": blob("config.v1+json", config.to_string().as_bytes()), "layers": described,
    });
    let mut manifest = blob("manifest.v1+json", manifest.to_string().as_bytes());
    let digest = manifest["digest"].as_str().expect("it was just made").to_owned();
    manifest["annotations"] = json!({ "org.opencontainers.image.ref.name": "latest" });
    let index = json!({ "schemaVersion": 2, "manifests": [manifest] });
    write("index.json", index.to_string().as_bytes());
    write("oci-layout", br#"{"imageLayoutVersion":"1.0.0"}"#);
    let mut tree = Tree::default();
    for layer in layers {
        layers::apply(&mut tree, layer);
    }
    Base { name, layout: dir.to_owned(), digest, config: config.clone(), tree }
}

fn archived(
    archive: &mut tar::Builder<Vec<u8>>,
    name: &str,
    layers: &[Vec<u8>],
    config: &Value,
) -> Value {
    let bytes = config.to_string().into_bytes();
    let file = format!("{}.json", digest(&bytes).trim_start_matches("sha256:"));
    add(archive, &file, &bytes);
    let mut names = Vec::new();
    for (number, layer) in layers.iter().enumerate() {
        let path = format!("{name}-{number}/layer.tar");
        add(archive, &path, layer);
        names.push(path);
    }
    json!({ "Config": file, "RepoTags": [format!("{name}:latest")], "Layers": names })
}

fn digest(bytes: &[u8]) -> String {
    format!("sha256:{}", hex(&sha2::Sha256::digest(bytes)))
}

fn add(archive: &mut tar::Builder<Vec<u8>>, path: &str, content: &[u8]) {
    let line = Line { mode: 0o644, owner: (0, 0), path };
    put(archive, &line, tar::EntryType::Regular, "", content);
}

struct Line<'a> {
    mode: u32,
    owner: (u64, u64),
    path: &'a str,
}

fn put(
    archive: &mut tar::Builder<Vec<u8>>,
    line: &Line<'_>,
    kind: tar::EntryType,
    target: &str,
    content: &[u8],
) {
    let mut header = tar::Header::new_ustar();
    header.set_entry_type(kind);
    header.set_mode(line.mode);
    header.set_uid(line.owner.0);
    header.set_gid(line.owner.1);
    header.set_mtime(1_700_000_000);
    header.set_size(content.len() as u64);
    header.set_path(line.path).expect("a short path");
    if !target.is_empty() {
        header.set_link_name(target).expect("a short path");
    }
    header.set_cksum();
    archive.append(&header, content).expect("memory takes all");
}

/// Adds what lines say: `dir|file|link|hard MODE UID:GID PATH [TARGET or text]`.
pub(crate) fn entries(archive: &mut tar::Builder<Vec<u8>>, text: &str) {
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let mut words = line.splitn(5, ' ');
        let mut next = || words.next().unwrap_or_default();
        let (word, mode, owner, path, rest) = (next(), next(), next(), next(), next());
        let (user, group) = owner.split_once(':').expect("UID:GID");
        let id = |text: &str| text.parse().expect("a number");
        let mode = u32::from_str_radix(mode, 8).expect("a mode");
        let line = Line { mode, owner: (id(user), id(group)), path };
        let content = crate::case::unescape(rest);
        let (kind, target, content) = match word {
            "dir" => (tar::EntryType::Directory, "", &b""[..]),
            "link" => (tar::EntryType::Symlink, rest, &b""[..]),
            "hard" => (tar::EntryType::Link, rest, &b""[..]),
            "file" => (tar::EntryType::Regular, "", &content[..]),
            _ => panic!("`{word}` is no kind of entry"),
        };
        put(archive, &line, kind, target, content);
    }
}

fn layer(text: &str) -> tar::Builder<Vec<u8>> {
    let mut archive = tar::Builder::new(Vec::new());
    entries(&mut archive, text);
    archive
}

fn finished(archive: tar::Builder<Vec<u8>>) -> Vec<u8> {
    archive.into_inner().expect("memory takes all")
}

fn rootfs(busybox: &[u8]) -> Vec<u8> {
    let mut archive = layer("dir 0755 0:0 bin/");
    let binary = Line { mode: 0o755, owner: (0, 0), path: "bin/busybox" };
    put(&mut archive, &binary, tar::EntryType::Regular, "", busybox);
    for applet in APPLETS.split_whitespace() {
        entries(&mut archive, &format!("link 0777 0:0 bin/{applet} busybox"));
    }
    let escaped = |text: &str| text.replace('\n', "\\n");
    entries(
        &mut archive,
        &format!(
            "dir 0755 0:0 dev/
            dir 0755 0:0 etc/
            file 0644 0:0 etc/group {}
            file 0644 0:0 etc/motd hello\\n
            file 0644 0:0 etc/passwd {}
            dir 0755 0:0 home/
            dir 0755 1000:1000 home/app/
            file 0600 1000:1000 home/app/note mine\\n
            dir 0755 0:0 opt/
            dir 0755 0:0 proc/
            dir 0700 0:0 root/
            dir 0755 0:0 srv/
            file 0644 0:0 srv/a a\\n
            file 0755 0:0 srv/b b\\n
            dir 0750 1:50 srv/dir/
            file 0640 1:50 srv/dir/c c\\n
            dir 0755 0:0 sys/
            dir 1777 0:0 tmp/
            dir 0755 0:0 usr/
            dir 0755 0:0 usr/bin/",
            escaped(GROUP),
            escaped(PASSWD)
        ),
    );
    finished(archive)
}

fn loaded_layer() -> Vec<u8> {
    finished(layer(
        "dir 0755 0:0 bin/
        file 0755 0:0 bin/entry #!/bin/sh\\nexec echo \"$@\"\\n
        dir 0755 0:0 data/
        file 0644 0:0 data/seed seed\\n
        dir 0755 1000:1000 worktop/",
    ))
}

fn links_layer() -> Vec<u8> {
    let mut archive = layer(
        "link 0777 0:0 abs /real
        link 0777 0:0 dangling nowhere/at/all
        link 0777 0:0 filelink real/file
        dir 0755 0:0 hl/
        file 0644 0:0 hl/one linked\\n
        hard 0644 0:0 hl/two hl/one
        dir 2755 0:50 real/
        dir 0711 1000:50 real/deep/
        file 0644 0:0 real/deep/x x\\n
        file 0644 0:0 real/file real\\n
        file 4755 0:0 real/setuid s\\n
        link 0777 0:0 sym real
        link 0777 0:0 up ../../../../etc/motd",
    );
    // As `setcap cap_net_raw+p` writes it, and one that says nothing to the system.
    let capability = b"\x01\0\0\x02\0\x20\0\0\0\0\0\0\0\0\0\0\0\0\0\0";
    let attributed =
        [("security.capability", &capability[..], "able"), ("user.note", b"kept", "noted")];
    for (name, value, file) in attributed {
        let record = [(format!("SCHILY.xattr.{name}"), value)];
        let record = record.iter().map(|(name, value)| (name.as_str(), *value));
        archive.append_pax_extensions(record).expect("memory takes all");
        entries(&mut archive, &format!("file 0755 0:0 real/{file} {file}\\n"));
    }
    finished(archive)
}
