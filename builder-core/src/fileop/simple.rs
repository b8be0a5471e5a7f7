//! Write, mkdir, symlink, remove.

use std::sync::Arc;

use super::FileOpError;
use super::copy::owner;
use super::draft::{Content, Draft};
use super::name;
use crate::digest::ContentDigest;
use crate::layer::{Kind, LayerPath};
use crate::plan::op::Applies;
use crate::view::{NodeKind, Tree, lookup};

/// Linux's `PATH_MAX`, with which no link is longer.
const MAX_TARGET: usize = 4095;

/// A file; a link at the path is followed, as a shell's `>` does.
pub(super) fn write(
    draft: &mut Draft<'_>,
    cwd: &str,
    path: &str,
    content: &[u8],
    (owner, mode): (Option<&str>, Option<u32>),
) -> Result<(), FileOpError> {
    if name::says_directory(path) {
        return Err(FileOpError::Name { path: path.to_owned(), wanted: "file" });
    }
    let at = draft.resolve(&name::path(path, &name::absolute(cwd, path))?)?;
    let owner = self::owner(draft.target, owner)?;
    let meta = draft.meta(mode.unwrap_or(0o644) & 0o7777, owner);
    let kind = Kind::File { size: content.len() as u64, content: ContentDigest::of(content) };
    draft.put(&at.path, meta, kind, Content::Inline(Arc::from(content)))
}

/// A directory. Where it is one already, only what is asked of it is changed.
pub(super) fn mkdir(
    draft: &mut Draft<'_>,
    cwd: &str,
    path: &str,
    (owner, mode): (Option<&str>, Option<u32>),
    applies: Applies,
) -> Result<(), FileOpError> {
    let at = draft.resolve(&name::path(path, &name::absolute(cwd, path))?)?;
    let owner = self::owner(draft.target, owner)?;
    let mode = mode.map(|mode| mode & 0o7777);
    if applies == Applies::Made {
        if !at.node.as_ref().is_some_and(crate::view::Node::is_dir) {
            let meta = draft.meta(mode.unwrap_or(0o755), owner);
            draft.parents_as(&at.path, &meta)?;
            draft.put_directory(&at.path, meta)?;
        }
        return Ok(());
    }
    let Some(node) = at.node.filter(crate::view::Node::is_dir) else {
        let meta = draft.meta(mode.unwrap_or(0o755), owner);
        return draft.put_directory(&at.path, meta);
    };
    let mut meta = node.meta.clone();
    (meta.uid, meta.gid) = owner.unwrap_or((meta.uid, meta.gid));
    meta.mode = mode.unwrap_or(meta.mode);
    if meta != node.meta {
        meta.mtime = draft.mtime;
        draft.put_directory(&at.path, meta)?;
    }
    Ok(())
}

/// A symbolic link; replaces what is there unless it is a directory.
pub(super) fn symlink(
    draft: &mut Draft<'_>,
    cwd: &str,
    target: &str,
    path: &str,
) -> Result<(), FileOpError> {
    if target.is_empty() || target.len() > MAX_TARGET || target.contains('\0') {
        return Err(FileOpError::LinkTarget { target: target.to_owned() });
    }
    let clean = name::absolute(cwd, path);
    if name::says_directory(path) || clean.is_empty() {
        return Err(FileOpError::Name { path: path.to_owned(), wanted: "symbolic link" });
    }
    let at = lookup::resolve_parent(draft.target, &name::path(path, &clean)?)?;
    let kind = NodeKind::Symlink { target: target.as_bytes().to_vec() };
    if at.node.is_some_and(|node| node.kind == kind && (node.meta.uid, node.meta.gid) == (0, 0)) {
        return Ok(());
    }
    let kind = Kind::Symlink { target: target.as_bytes().to_vec() };
    draft.put(&at.path, draft.meta(0o777, None), kind, Content::Nothing)
}

/// Takes away what is there; links themselves, not what they lead to.
pub(super) fn remove(
    draft: &mut Draft<'_>,
    target: &dyn Tree,
    cwd: &str,
    paths: &[String],
    required: bool,
) -> Result<(), FileOpError> {
    let mut gone: Vec<LayerPath> = Vec::new();
    for text in paths {
        let clean = name::absolute(cwd, text);
        let found = name::expand(target, &clean)?;
        if found.iter().any(LayerPath::is_root) {
            let wanted = "file or directory below the root";
            return Err(FileOpError::Name { path: text.clone(), wanted });
        }
        if found.is_empty() && required {
            return Err(name::no_match(target, text, &clean));
        }
        gone.extend(found);
    }
    gone.sort();
    // What is below something that goes, goes with it.
    let mut last: Option<LayerPath> = None;
    for path in gone {
        if !last.as_ref().is_some_and(|last| path.starts_with(last)) {
            last = Some(path.clone());
            draft.remove(path);
        }
    }
    Ok(())
}
