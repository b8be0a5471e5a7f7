//! Tests of layers as a whole: written, read, imported, damaged.

mod damage;
mod foreign;
mod hostile;
mod interop;
mod mutated;
mod tree;
mod written;

use std::io::Read;

use super::writer::LayerWriter;
use super::{
    Change, Compression, Entry, Item, Kind, Layer, LayerDesc, LayerError, LayerPath, Meta, Mtime,
};
use crate::digest::ContentDigest;
use crate::store::Store;

const ALL: [Compression; 3] = [Compression::None, Compression::Gzip, Compression::Zstd];

/// A store in a directory of its own.
struct Scratch {
    dir: tempfile::TempDir,
    store: Store,
}

fn scratch() -> Scratch {
    let dir = tempfile::tempdir().expect("a temp directory");
    let store = Store::open(dir.path()).expect("a fresh store opens");
    Scratch { dir, store }
}

impl Scratch {
    /// Files that the store holds, but for its fixed ones.
    fn files(&self) -> Vec<String> {
        let (mut found, mut stack) = (vec![], vec![self.dir.path().to_owned()]);
        while let Some(dir) = stack.pop() {
            for entry in std::fs::read_dir(&dir).expect("readable") {
                let path = entry.expect("readable").path();
                if path.is_dir() && !path.is_symlink() {
                    stack.push(path);
                } else {
                    let name = path.strip_prefix(self.dir.path()).expect("below it");
                    found.push(name.display().to_string());
                }
            }
        }
        found.sort();
        found
    }
}

fn path(name: impl AsRef<[u8]>) -> LayerPath {
    LayerPath::new(name).expect("a good path")
}

/// An entry and its content.
type Piece = (Entry, Vec<u8>);

fn piece(name: impl AsRef<[u8]>, meta: Meta, kind: Kind) -> Piece {
    (Entry { path: path(name), change: Change::Present { meta, kind } }, vec![])
}

fn file(name: impl AsRef<[u8]>, content: impl Into<Vec<u8>>) -> Piece {
    let content = content.into();
    let kind = Kind::File { size: content.len() as u64, content: ContentDigest::of(&content) };
    let (entry, _) = piece(name, Meta::root_owned(0o644), kind);
    (entry, content)
}

fn directory(name: impl AsRef<[u8]>) -> Piece {
    piece(name, Meta::root_owned(0o755), Kind::Directory)
}

fn change(name: impl AsRef<[u8]>, change: Change) -> Piece {
    (Entry { path: path(name), change }, vec![])
}

fn write(
    store: &Store,
    compression: Compression,
    threads: usize,
    pieces: &[Piece],
) -> Result<LayerDesc, LayerError> {
    let mut writer = LayerWriter::with_threads(store, compression, threads)?;
    for (entry, content) in pieces {
        writer.append(entry, Some(&mut &content[..]))?;
    }
    writer.finish()
}

fn open(store: &Store, desc: &LayerDesc) -> Layer {
    Layer::open(store, desc).expect("the layer opens")
}

/// Every file's bytes by path, through `read_at`.
fn contents(layer: &Layer) -> Result<Vec<(LayerPath, Vec<u8>)>, LayerError> {
    let mut items: Vec<(LayerPath, Item)> = vec![];
    layer.walk(&LayerPath::root(), &mut |entry, item| {
        items.extend(item.map(|item| (entry.path, item.clone())));
    })?;
    let mut found = vec![];
    for (path, item) in items {
        let Item::Present { kind: Kind::File { size, .. }, extents, .. } = item else { continue };
        let mut bytes = vec![0; size as usize];
        for run in extents {
            let part = &mut bytes[run.at as usize..(run.at + run.len) as usize];
            assert_eq!(layer.read_at(run.offset, part)?, part.len());
        }
        found.push((path, bytes));
    }
    Ok(found)
}

fn tar_bytes(layer: &Layer) -> Vec<u8> {
    let mut bytes = vec![];
    layer.tar().expect("a stream").read_to_end(&mut bytes).expect("a good tar");
    bytes
}

/// Bytes that do not compress, the same each time.
fn noise(len: usize, seed: u8) -> Vec<u8> {
    let mut bytes = vec![0; len];
    blake3::Hasher::new().update(&[seed]).finalize_xof().fill(&mut bytes);
    bytes
}
