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

use super::FileOpError;
use super::draft::{Content, Draft, kind};
use super::name;
use super::pattern::{Excludes, Matched};
use crate::layer::{Change, Kind, LayerPath, Meta, Mtime};
use crate::plan::op::Copy;
use crate::view::passwd;
use crate::view::{Node, NodeKind, Tree, lookup};

/// A source that was found.
struct Found {
    /// Its name where it becomes a file in a directory.
    name: Vec<u8>,
    /// Where its links lead.
    path: LayerPath,
    node: Node,
}

struct Copier<'a, 'd> {
    op: &'a Copy,
    source: &'a dyn Tree,
    from_context: bool,
    excludes: Excludes,
    owner: Option<(u32, u32)>,
    draft: &'a mut Draft<'d>,
}

pub(super) fn copy(
    op: &Copy,
    source: &dyn Tree,
    from_context: bool,
    cwd: &str,
    draft: &mut Draft<'_>,
) -> Result<(), FileOpError> {
    let excludes = Excludes::new(&op.exclude)?;
    let owner = owner(draft.target, op.owner.as_deref())?;
    let mut copier = Copier { op, source, from_context, excludes, owner, draft };
    let found = copier.sources()?;
    let clean = name::absolute(cwd, &op.dest);
    let dest = copier.draft.resolve(&name::path(&op.dest, &clean)?)?;
    let is_dir = dest.node.as_ref().is_some_and(Node::is_dir);
    let into = is_dir || found.len() > 1 || name::says_directory(&op.dest);
    if into && !is_dir && dest.node.is_some() {
        return Err(FileOpError::NotADirectory { path: dest.path.display() });
    }
    for found in found {
        match (found.node.is_dir(), into) {
            (true, _) => copier.directory(&found, &dest.path)?,
            (false, false) => copier.file(&found, &dest.path)?,
            (false, true) => {
                let bad = |source| FileOpError::Path { path: op.dest.clone(), source };
                copier.file(&found, &dest.path.join(&found.name).map_err(bad)?)?;
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

impl Copier<'_, '_> {
    fn sources(&self) -> Result<Vec<Found>, FileOpError> {
        let mut all = Vec::new();
        for text in &self.op.sources {
            let clean = name::within(text)?;
            let mut there = false;
            let before = all.len();
            for named in name::expand(self.source, &clean)? {
                let lookup::Resolved { path, node } = lookup::resolve(self.source, &named)?;
                let Some(node) = node else { continue };
                there = true;
                if !self.excludes.leave_out(&self.excludes.at(&path))
                    || node.is_dir() && self.excludes.has_exceptions()
                {
                    all.push(Found { name: named.name().to_vec(), path, node });
                }
            }
            if all.len() == before {
                return Err(match there {
                    true => FileOpError::Excluded { pattern: text.clone() },
                    false => name::no_match(self.source, text, &clean),
                });
            }
        }
        Ok(all)
    }

    fn meta(&self, path: &LayerPath, node: &Node) -> Result<Meta, FileOpError> {
        let from = &node.meta;
        let mode = match node.kind {
            NodeKind::Symlink { .. } => from.mode,
            _ => self.op.mode.unwrap_or(from.mode),
        };
        let (uid, gid) = self.owner.unwrap_or((from.uid, from.gid));
        let mtime = self.mtime(path, node)?;
        Ok(Meta { mode: mode & 0o7777, uid, gid, mtime, xattrs: from.xattrs.clone() })
    }

    fn mtime(&self, path: &LayerPath, node: &Node) -> Result<Mtime, FileOpError> {
        if !self.op.keep_mtime || node.is_dir() {
            return Ok(self.draft.mtime);
        }
        Ok(self.source.host_mtime(path)?.unwrap_or(node.meta.mtime))
    }

    /// Anything but a directory.
    fn file(&mut self, found: &Found, to: &LayerPath) -> Result<(), FileOpError> {
        self.leaf(&found.path, &found.node, to)
    }

    fn leaf(&mut self, from: &LayerPath, node: &Node, to: &LayerPath) -> Result<(), FileOpError> {
        let Some(kind) = kind(node) else { return Ok(()) };
        let meta = self.meta(from, node)?;
        let content = match kind {
            Kind::File { .. } => Content::Copied(from.clone()),
            _ => Content::Nothing,
        };
        let linked = matches!(kind, Kind::File { .. }) && !self.from_context;
        self.draft.put(to, meta, kind, content)?;
        let group = node.links.as_ref().filter(|_| linked).map(|links| links.first.clone());
        if let Some(item) = self.draft.items.get_mut(to) {
            item.group = group;
        }
        Ok(())
    }

    /// The content of a directory, in the order of paths.
    fn directory(&mut self, found: &Found, to: &LayerPath) -> Result<(), FileOpError> {
        self.destination(to)?;
        let matched = self.excludes.at(&found.path);
        // A stack and not recursion: the depth of a tree is not ours to choose.
        let mut todo = self.children(&found.path, to, &matched)?;
        // Directories that are left out, in case something below is not.
        let mut left_out: BTreeMap<LayerPath, Meta> = BTreeMap::new();
        while let Some(Child { from, to, node, matched }) = todo.pop() {
            let out = self.excludes.leave_out(&matched);
            match (out, node.is_dir()) {
                (true, false) => {}
                (true, true) => {
                    if self.excludes.has_exceptions() {
                        let meta = self.meta(&from, &node)?;
                        left_out.insert(to.clone(), meta);
                        todo.extend(self.children(&from, &to, &matched)?);
                    }
                }
                (false, is_dir) => {
                    for ancestor in to.ancestors() {
                        if let Some(meta) = left_out.remove(&ancestor) {
                            self.draft.put_directory(&ancestor, meta)?;
                        }
                    }
                    if is_dir {
                        let meta = self.meta(&from, &node)?;
                        self.draft.put_directory(&to, meta)?;
                        todo.extend(self.children(&from, &to, &matched)?);
                    } else {
                        self.leaf(&from, &node, &to)?;
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
        let meta = self.draft.meta(self.op.mode.unwrap_or(0o755) & 0o7777, self.owner);
        self.draft.put_directory(to, meta)
    }

    /// The names in a directory, the last one first.
    fn children(
        &self,
        from: &LayerPath,
        to: &LayerPath,
        matched: &Matched,
    ) -> Result<Vec<Child>, FileOpError> {
        let mut children = Vec::new();
        for (name, node) in self.source.list(from)?.into_iter().rev() {
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
    let mut first: HashMap<LayerPath, LayerPath> = HashMap::new();
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
