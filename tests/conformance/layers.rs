//! Images in archives, read with nothing of Phoenix: an OCI archive or one of
//! `docker save` in, the config and the tree of all layers out.

use std::collections::{BTreeMap, HashMap};
use std::io::Read as _;
use std::path::Path;

use serde_json::Value;

use crate::tree::{Kind, Node, Tree};

/// An image as it was found in an archive.
#[derive(Debug)]
pub(crate) struct Image {
    /// The config.
    pub(crate) config: Value,
    /// What all layers give together.
    pub(crate) tree: Tree,
}

/// A file of an archive, or where it points to.
enum Part {
    Bytes(Vec<u8>),
    Link(String),
}

/// Reads the archive of one image.
pub(crate) fn read(archive: &Path) -> Image {
    let parts = parts(archive);
    let layers_and_config = if parts.contains_key("manifest.json") { docker } else { oci };
    let (config, layers) = layers_and_config(&parts);
    let mut tree = Tree::default();
    for layer in layers {
        apply(&mut tree, &inflated(layer));
    }
    Image { config: serde_json::from_slice(config).expect("a config is JSON"), tree }
}

fn parts(archive: &Path) -> HashMap<String, Part> {
    let file = std::fs::File::open(archive).expect("the image was written out");
    let mut parts = HashMap::new();
    for entry in tar::Archive::new(file).entries().expect("an archive").flatten() {
        let mut entry = entry;
        let name = String::from_utf8(entry.path_bytes().into_owned()).expect("a plain name");
        let part = if let Some(target) = entry.link_name_bytes() {
            let target = String::from_utf8(target.into_owned()).expect("a plain name");
            Part::Link(target.trim_start_matches("../").to_owned())
        } else {
            let mut bytes = Vec::new();
            entry.read_to_end(&mut bytes).expect("the archive is whole");
            Part::Bytes(bytes)
        };
        parts.insert(name, part);
    }
    parts
}

fn bytes<'a>(parts: &'a HashMap<String, Part>, name: &str) -> &'a [u8] {
    match parts.get(name) {
        Some(Part::Bytes(bytes)) => bytes,
        Some(Part::Link(target)) => bytes(parts, target),
        None => panic!("the archive lacks {name}"),
    }
}

fn json(bytes: &[u8]) -> Value {
    serde_json::from_slice(bytes).expect("the archive has JSON there")
}

type Read<'a> = (&'a [u8], Vec<&'a [u8]>);

fn docker(parts: &HashMap<String, Part>) -> Read<'_> {
    let manifest = json(bytes(parts, "manifest.json"));
    let image = &manifest[0];
    let text = |value: &Value| value.as_str().expect("a name").to_owned();
    let layers = image["Layers"].as_array().into_iter().flatten();
    let layers = layers.map(|layer| bytes(parts, &text(layer))).collect();
    (bytes(parts, &text(&image["Config"])), layers)
}

fn oci(parts: &HashMap<String, Part>) -> Read<'_> {
    let blob = |descriptor: &Value| {
        let digest = descriptor["digest"].as_str().expect("a digest");
        bytes(parts, &format!("blobs/{}", digest.replace(':', "/")))
    };
    let mut document = json(bytes(parts, "index.json"));
    while let Some(manifests) = document["manifests"].as_array() {
        document = json(blob(&manifests[0]));
    }
    let layers = document["layers"].as_array().into_iter().flatten().map(blob).collect();
    (blob(&document["config"]), layers)
}

fn inflated(layer: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    match layer {
        [0x1f, 0x8b, ..] => {
            let mut decoder = flate2::read::MultiGzDecoder::new(layer);
            decoder.read_to_end(&mut bytes).expect("a layer is gzip");
        }
        [0x28, 0xb5, 0x2f, 0xfd, ..] => {
            bytes = zstd::decode_all(layer).expect("a layer is zstd");
        }
        _ => layer.clone_into(&mut bytes),
    }
    bytes
}

/// Applies a layer: first what it removes from below, then what it has.
pub(crate) fn apply(tree: &mut Tree, layer: &[u8]) {
    for entry in tar::Archive::new(layer).entries().expect("a layer is a tar").flatten() {
        let path = normal(&entry.path_bytes());
        let (parent, name) = split(&path);
        if name == b".wh..wh..opq" {
            tree.remove_below(parent);
        } else if let Some(name) = name.strip_prefix(b".wh.") {
            let sep: &[u8] = if parent.is_empty() { b"" } else { b"/" };
            tree.remove(&[parent, sep, name].concat());
        }
    }
    for entry in tar::Archive::new(layer).entries().expect("a layer is a tar") {
        let mut entry = entry.expect("a layer is a whole tar");
        let path = normal(&entry.path_bytes());
        if split(&path).1.starts_with(b".wh.") || path.is_empty() && !is_dir(&entry) {
            continue;
        }
        let target = entry.link_name_bytes().map(std::borrow::Cow::into_owned).unwrap_or_default();
        if entry.header().entry_type() == tar::EntryType::Link {
            tree.link(&path, &normal(&target));
        } else {
            let node = node(&mut entry, target);
            tree.put(&path, node);
        }
    }
}

fn is_dir(entry: &tar::Entry<'_, &[u8]>) -> bool {
    entry.header().entry_type() == tar::EntryType::Directory
}

fn node(entry: &mut tar::Entry<'_, &[u8]>, target: Vec<u8>) -> Node {
    let mut xattrs = BTreeMap::new();
    if let Ok(Some(records)) = entry.pax_extensions() {
        for record in records.flatten() {
            let key = record.key().unwrap_or_default();
            if let Some(name) = key.strip_prefix("SCHILY.xattr.") {
                xattrs.insert(name.to_owned(), record.value_bytes().to_owned());
            }
        }
    }
    let header = entry.header().clone();
    let device = |kind| {
        let number = |part: std::io::Result<Option<u32>>| part.ok().flatten().unwrap_or(0);
        Kind::Device(kind, number(header.device_major()), number(header.device_minor()))
    };
    let kind = match header.entry_type() {
        tar::EntryType::Directory => Kind::Dir,
        tar::EntryType::Symlink => Kind::Link(target),
        tar::EntryType::Fifo => Kind::Fifo,
        tar::EntryType::Char => device('c'),
        tar::EntryType::Block => device('b'),
        _ => {
            let mut content = Vec::new();
            entry.read_to_end(&mut content).expect("a layer is a whole tar");
            Kind::File(content)
        }
    };
    let id = |id: std::io::Result<u64>| id.expect("an owner is a number");
    let owner = (id(header.uid()), id(header.gid()));
    let mode = header.mode().expect("a mode is a number") & 0o7777;
    Node { kind, mode, owner, xattrs }
}

fn normal(path: &[u8]) -> Vec<u8> {
    let parts = path.split(|byte| *byte == b'/');
    let parts: Vec<&[u8]> = parts.filter(|part| !part.is_empty() && *part != b".").collect();
    parts.join(&b'/')
}

fn split(path: &[u8]) -> (&[u8], &[u8]) {
    match path.iter().rposition(|byte| *byte == b'/') {
        Some(at) => (&path[..at], &path[at + 1..]),
        None => (b"", path),
    }
}
