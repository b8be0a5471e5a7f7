//! Copies by the rules of the Dockerfile's `COPY`, as BuildKit keeps them.
//!
//! | source | destination | result |
//! |---|---|---|
//! | file | absent | a file of that name |
//! | file | ends with `/`, or is a directory, or one of many sources | a file in it, by the source's name |
//! | directory | absent | a directory, 0755, that holds the source's content |
//! | directory | a directory | the source's content is merged into it, its own mode and owner stay |
//! | directory | anything else | an error |
//!
//! A source that is a symbolic link is followed inside its root; links below a
//! source are copied as links. Directories below a source give mode and owner
//! to those that they merge with.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::draft::{Content, Draft, kind};
use super::name;
use super::pattern::{Excludes, Matched};
use super::{FileOpError, Input, Inputs};
use crate::digest::ContentDigest;
use crate::layer::{Change, Kind, LayerPath, Meta, Mtime};
use crate::plan::op::{Copy, CopySource, ExcludeFrom, Mode, Unpack};
use crate::view::passwd;
use crate::view::{Node, NodeKind, Tree, lookup};

/// A source that was found.
enum Found<'a> {
    Named {
        input: usize,
        /// Its name where it becomes a file in a directory.
        name: Vec<u8>,
        /// Where its links lead.
        path: LayerPath,
        node: Node,
    },
    Inline {
        name: &'a str,
        content: &'a [u8],
    },
}

struct Copier<'a, 'd> {
    op: &'a Copy,
    inputs: &'a Inputs,
    excludes: Excludes,
    owner: Option<(u32, u32)>,
    draft: &'a mut Draft<'d>,
}

pub(super) fn copy(
    op: &Copy,
    inputs: &Inputs,
    cwd: &str,
    draft: &mut Draft<'_>,
) -> Result<(), FileOpError> {
    if op.parents {
        return Err(FileOpError::Unsupported("copying with parents"));
    }
    if op.exclude_from == ExcludeFrom::Source && !op.exclude.is_empty() {
        return Err(FileOpError::Unsupported("leaving out by paths below a source"));
    }
    if op.link {
        return Err(FileOpError::Unsupported("copying as a link"));
    }
    let excludes = Excludes::new(&op.exclude)?;
    let owner = owner(draft.target, op.owner.as_deref())?;
    let mut copier = Copier { op, inputs, excludes, owner, draft };
    let found = copier.sources()?;
    let clean = name::absolute(cwd, &op.dest);
    let dest = copier.draft.resolve(&name::path(&op.dest, &clean)?)?;
    let is_dir = dest.node.as_ref().is_some_and(Node::is_dir);
    let into = is_dir || found.len() > 1 || name::says_directory(&op.dest);
    if into && !is_dir && dest.node.is_some() {
        return Err(FileOpError::NotADirectory { path: dest.path.display() });
    }
    let at = |name: &[u8]| match into {
        true => dest.path.join(name).map_err(|source| {
            let path = op.dest.clone();
            FileOpError::Path { path, source }
        }),
        false => Ok(dest.path.clone()),
    };
    for found in found {
        match &found {
            Found::Inline { name, content } => copier.inline(content, &at(name.as_bytes())?)?,
            Found::Named { input, path, node, .. } if node.is_dir() => {
                copier.directory(*input, path, &dest.path)?;
            }
            Found::Named { input, name, path, node } => {
                copier.leaf((*input, path), node, &at(name)?)?;
            }
        }
    }
    link(draft);
    Ok(())
}

/// The numbers of an owner as the target's files name them.
pub(super) fn owner(
    target: &dyn Tree,
    text: Option<&str>,
) -> Result<Option<(u32, u32)>, FileOpError> {
    let owner = |text: &str| passwd::owner(target, text);
    text.map(|text| {
        owner(text).map_err(|source| FileOpError::Owner { owner: text.to_owned(), source })
    })
    .transpose()
}

impl<'a> Copier<'a, '_> {
    fn input(&self, number: usize) -> Result<&'a Input, FileOpError> {
        self.inputs.get(&number).ok_or(FileOpError::NoSource)
    }

    fn sources(&self) -> Result<Vec<Found<'a>>, FileOpError> {
        let mut all = Vec::new();
        for source in &self.op.sources {
            match source {
                CopySource::Inline { name, content } => all.push(Found::Inline { name, content }),
                CopySource::Path { unpack: Unpack::Archives, .. } => {
                    return Err(FileOpError::Unsupported("unpacking archives"));
                }
                CopySource::Path { input, path, unpack: Unpack::Never } => {
                    self.named(*input, path, &mut all)?;
                }
            }
        }
        Ok(all)
    }

    fn named(&self, input: usize, text: &str, all: &mut Vec<Found<'a>>) -> Result<(), FileOpError> {
        let tree = &*self.input(input)?.tree;
        let clean = name::within(text)?;
        let mut there = false;
        let before = all.len();
        for named in name::expand(tree, &clean)? {
            let lookup::Resolved { path, node } = lookup::resolve(tree, &named)?;
            let Some(node) = node else { continue };
            there = true;
            if !self.excludes.leave_out(&self.excludes.at(&path))
                || node.is_dir() && self.excludes.has_exceptions()
            {
                all.push(Found::Named { input, name: named.name().to_vec(), path, node });
            }
        }
        if all.len() > before || !there && self.op.allow_empty && name::has_glob(&clean) {
            return Ok(());
        }
        Err(match there {
            true => FileOpError::Excluded { pattern: text.to_owned() },
            false => name::no_match(tree, text, &clean),
        })
    }

    fn meta(&self, (input, path): (usize, &LayerPath), node: &Node) -> Result<Meta, FileOpError> {
        let from = &node.meta;
        let mode = match (&node.kind, &self.op.mode) {
            (NodeKind::Symlink { .. }, _) | (_, None) => from.mode,
            (_, Some(mode)) => mode.apply(from.mode, node.is_dir()),
        };
        let (uid, gid) = self.owner.unwrap_or((from.uid, from.gid));
        let mtime = self.mtime(input, path, node)?;
        Ok(Meta { mode: mode & 0o7777, uid, gid, mtime, xattrs: from.xattrs.clone() })
    }

    fn mtime(&self, input: usize, path: &LayerPath, node: &Node) -> Result<Mtime, FileOpError> {
        if !self.op.keep_mtime || node.is_dir() {
            return Ok(self.draft.mtime);
        }
        Ok(self.input(input)?.tree.host_mtime(path)?.unwrap_or(node.meta.mtime))
    }

    /// A file that the operation holds.
    fn inline(&mut self, content: &[u8], to: &LayerPath) -> Result<(), FileOpError> {
        let mode = self.op.mode.as_ref().map_or(0o644, |mode| mode.apply(0o644, false));
        let meta = self.draft.meta(mode, self.owner);
        let kind = Kind::File { size: content.len() as u64, content: ContentDigest::of(content) };
        self.draft.put(to, meta, kind, Content::Inline(Arc::from(content)))
    }

    /// Anything but a directory.
    fn leaf(
        &mut self,
        (input, from): (usize, &LayerPath),
        node: &Node,
        to: &LayerPath,
    ) -> Result<(), FileOpError> {
        let Some(kind) = kind(node) else { return Ok(()) };
        let meta = self.meta((input, from), node)?;
        let content = match kind {
            Kind::File { .. } => Content::Copied(input, from.clone()),
            _ => Content::Nothing,
        };
        let linked = matches!(kind, Kind::File { .. }) && !self.input(input)?.is_context;
        self.draft.put(to, meta, kind, content)?;
        let group = node.links.as_ref().filter(|_| linked);
        let group = group.map(|links| (input, links.first.clone()));
        if let Some(item) = self.draft.items.get_mut(to) {
            item.group = group;
        }
        Ok(())
    }

    /// The content of a directory, in the order of paths.
    fn directory(
        &mut self,
        input: usize,
        from: &LayerPath,
        to: &LayerPath,
    ) -> Result<(), FileOpError> {
        self.destination(to)?;
        let matched = self.excludes.at(from);
        // A stack and not recursion: the depth of a tree is not ours to choose.
        let mut todo = self.children((input, from), to, &matched)?;
        // Directories that are left out, in case something below is not.
        let mut left_out: BTreeMap<LayerPath, Meta> = BTreeMap::new();
        while let Some(Child { from, to, node, matched }) = todo.pop() {
            let out = self.excludes.leave_out(&matched);
            match (out, node.is_dir()) {
                (true, false) => {}
                (true, true) => {
                    if self.excludes.has_exceptions() {
                        let meta = self.meta((input, &from), &node)?;
                        left_out.insert(to.clone(), meta);
                        todo.extend(self.children((input, &from), &to, &matched)?);
                    }
                }
                (false, is_dir) => {
                    for ancestor in to.ancestors() {
                        if let Some(meta) = left_out.remove(&ancestor) {
                            self.draft.put_directory(&ancestor, meta)?;
                        }
                    }
                    if is_dir {
                        let meta = self.meta((input, &from), &node)?;
                        self.draft.put_directory(&to, meta)?;
                        todo.extend(self.children((input, &from), &to, &matched)?);
                    } else {
                        self.leaf((input, &from), &node, &to)?;
                    }
                }
            }
        }
        Ok(())
    }

    /// The directory that content is copied into: made where it is not there.
    fn destination(&mut self, to: &LayerPath) -> Result<(), FileOpError> {
        let planned = self.draft.items.get(to);
        if planned.is_none() && self.draft.target.node(to)?.is_some_and(|node| node.is_dir()) {
            return Ok(());
        }
        let mode = self.op.mode.as_ref().and_then(Mode::as_octal).unwrap_or(0o755);
        let meta = self.draft.meta(mode, self.owner);
        self.draft.put_directory(to, meta)
    }

    /// The names in a directory, the last one first.
    fn children(
        &self,
        (input, from): (usize, &LayerPath),
        to: &LayerPath,
        matched: &Matched,
    ) -> Result<Vec<Child>, FileOpError> {
        let mut children = Vec::new();
        for (name, node) in self.input(input)?.tree.list(from)?.into_iter().rev() {
            let bad = |source| FileOpError::Path { path: from.display(), source };
            let from = from.join(&name).map_err(bad)?;
            let to = to.join(&name).map_err(bad)?;
            let matched = self.excludes.below(matched, &from);
            children.push(Child { from, to, node, matched });
        }
        Ok(children)
    }
}

struct Child {
    from: LayerPath,
    to: LayerPath,
    node: Node,
    matched: Matched,
}

/// Makes names of one file links to the first that was copied.
fn link(draft: &mut Draft<'_>) {
    let mut first: HashMap<(usize, LayerPath), LayerPath> = HashMap::new();
    for (path, item) in &mut draft.items {
        let Some(group) = item.group.clone() else { continue };
        match first.get(&group) {
            None => drop(first.insert(group, path.clone())),
            Some(target) => {
                item.change = Change::Hardlink { target: target.clone() };
                item.content = Content::Nothing;
            }
        }
    }
}
