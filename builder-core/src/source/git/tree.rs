//! A checkout as a layer.

use std::fs::File;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use super::GitError;
use crate::digest::ContentDigest;
use crate::layer::{
    Change, Compression, Entry, Kind, LayerDesc, LayerPath, LayerWriter, Meta, Mtime,
};
use crate::rooted::Root;
use crate::store::Store;

/// What in `.git` tells of a checkout and not of a commit.
const OF_CHECKOUT: [&[u8]; 3] = [b"FETCH_HEAD", b"ORIG_HEAD", b"logs"];

/// The layer of what is in `subdir` of a checkout.
pub(super) fn layer(
    store: &Store,
    checkout: &Path,
    (subdir, keep_git_dir): (&str, bool),
    compression: Compression,
) -> Result<LayerDesc, GitError> {
    let top = inside(checkout, subdir)?;
    let mut writer = LayerWriter::new(store, compression)?;
    let mut entries = Vec::new();
    // A stack and not recursion: how deep a tree is, is not ours to choose.
    let mut todo = vec![(top, LayerPath::root())];
    while let Some((host, at)) = todo.pop() {
        for (name, path) in listed(&host)? {
            let is_git = name == b".git";
            // That of a submodule says where the whole's is.
            if is_git && !(keep_git_dir && at.is_root()) {
                continue;
            }
            let Ok(inside) = at.join(&name) else { continue };
            if inside.as_bytes().starts_with(b".git/") && OF_CHECKOUT.contains(&&name[..]) {
                continue;
            }
            let kind = path.symlink_metadata().map_err(failed(&path))?.file_type();
            if kind.is_dir() {
                todo.push((path.clone(), inside.clone()));
            }
            entries.push((inside, path));
        }
    }
    entries.sort();
    for (path, host) in entries {
        append(&mut writer, path, &host)?;
    }
    Ok(writer.finish()?)
}

/// A directory of the checkout, reached through no symbolic link.
fn inside(checkout: &Path, subdir: &str) -> Result<PathBuf, GitError> {
    let bad = || GitError::Subdir { subdir: subdir.to_owned() };
    let parts: Vec<&str> =
        subdir.split('/').filter(|part| !part.is_empty() && *part != ".").collect();
    if parts.iter().any(|part| *part == ".." || *part == ".git") {
        return Err(bad());
    }
    let relative = parts.join("/");
    let root = Root::open(checkout).map_err(failed(checkout))?;
    let found = root.look(relative.as_bytes()).map_err(failed(checkout))?;
    let is_dir = |stat: &rustix::fs::Stat| {
        rustix::fs::FileType::from_raw_mode(stat.st_mode) == rustix::fs::FileType::Directory
    };
    match found {
        Some((stat, _)) if is_dir(&stat) => Ok(checkout.join(relative)),
        _ => Err(bad()),
    }
}

fn listed(directory: &Path) -> Result<Vec<(Vec<u8>, PathBuf)>, GitError> {
    let mut all = Vec::new();
    for entry in std::fs::read_dir(directory).map_err(failed(directory))? {
        let entry = entry.map_err(failed(directory))?;
        all.push((entry.file_name().into_encoded_bytes(), entry.path()));
    }
    Ok(all)
}

fn append(writer: &mut LayerWriter, path: LayerPath, host: &Path) -> Result<(), GitError> {
    let found = host.symlink_metadata().map_err(failed(host))?;
    let kind = found.file_type();
    let executable = found.permissions().mode() & 0o100 != 0;
    let meta = |mode| Meta { mtime: Mtime::CONSTANT, ..Meta::root_owned(mode) };
    let present = |meta, kind| Entry { path, change: Change::Present { meta, kind } };
    if kind.is_dir() {
        writer.append(&present(meta(0o755), Kind::Directory), None)?;
    } else if kind.is_symlink() {
        let target = std::fs::read_link(host).map_err(failed(host))?;
        let target = target.into_os_string().into_encoded_bytes();
        writer.append(&present(meta(0o777), Kind::Symlink { target }), None)?;
    } else if kind.is_file() {
        let (size, content) = (found.len(), ContentDigest::from_bytes([0; 32]));
        let entry =
            present(meta(if executable { 0o755 } else { 0o644 }), Kind::File { size, content });
        let mut file = File::open(host).map_err(failed(host))?;
        writer.append(&entry, Some(&mut file))?;
    }
    Ok(())
}

fn failed(path: &Path) -> impl Fn(io::Error) -> GitError {
    move |source| GitError::Io { path: path.to_owned(), source }
}
