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
//! A source that is a symbolic link is followed inside its root, and may not
//! lead nowhere; links below a source are copied as links. Directories below a source give mode and owner
//! to those that they merge with. What is missing of the destination's
//! directories gets the owner that is asked for, and the mode where that is
//! octal, else 0755; 0755 too where it is made for an archive to be unpacked.

use std::collections::HashMap;
use std::sync::Arc;

use super::draft::{Content, Draft, Group, Linked, kind};
use super::name;
use super::unpack::{Archive, Archives, Unpacker};
use super::walk::Limits;
use super::{FileOpError, Input, Inputs};
use crate::digest::ContentDigest;
use crate::layer::{Change, Kind, LayerPath, Meta, Mtime};
use crate::pattern::Patterns;
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
    /// What is unpacked.
    Archive(Archive),
    /// What a pattern names below a directory, with the directories on the way.
    Below {
        input: usize,
        path: LayerPath,
        include: Patterns,
    },
}

pub(super) struct Copier<'a, 'd> {
    pub(super) op: &'a Copy,
    inputs: &'a Inputs,
    unpacker: Unpacker<'a>,
    pub(super) archives: Archives,
    pub(super) excludes: Patterns,
    pub(super) owner: Option<(u32, u32)>,
    pub(super) draft: &'a mut Draft<'d>,
    /// Which of the sources that were found is copied now.
    at: usize,
}

/// Resolves a copy, and gives the archives that it takes files from. Names of
/// owners are looked up in `names`.
pub(super) fn copy(
    op: &Copy,
    (inputs, unpacker): (&Inputs, Unpacker<'_>),
    cwd: &str,
    (names, draft): (&dyn Tree, &mut Draft<'_>),
) -> Result<Archives, FileOpError> {
    let excludes = Patterns::new(&op.exclude)?;
    let owner = owner(names, op.owner.as_deref())?;
    let archives = Archives::default();
    let mut copier = Copier { op, inputs, unpacker, archives, excludes, owner, draft, at: 0 };
    let found = copier.sources()?;
    let Some(first) = found.first() else { return Ok(copier.archives) };
    let made = copier.made(first);
    let clean = name::absolute(cwd, &op.dest);
    let dest = copier.draft.resolve(&name::path(&op.dest, &clean)?)?;
    let is_dir = dest.node.as_ref().is_some_and(Node::is_dir);
    let unpacks = found.iter().any(|found| matches!(found, Found::Archive(_)));
    let into = is_dir || found.len() > 1 || op.parents || unpacks || name::says_directory(&op.dest);
    if into && !is_dir && dest.node.is_some() {
        return Err(FileOpError::NotADirectory { path: dest.path.display() });
    }
    copier.draft.parents_as(&dest.path, &made)?;
    if into {
        copier.destination(&dest.path, &made)?;
    }
    let at = |name: &[u8]| match into {
        true => dest.path.join(name).map_err(|source| {
            let path = op.dest.clone();
            FileOpError::Path { path, source }
        }),
        false => Ok(dest.path.clone()),
    };
    for (number, found) in found.iter().enumerate() {
        copier.at = number;
        match found {
            Found::Archive(archive) => copier.unpack(archive.clone(), &dest.path)?,
            Found::Inline { name, content } => copier.inline(content, &at(name.as_bytes())?)?,
            Found::Below { input, path, include } => {
                let limits = copier.limits(path, Some(include));
                copier.directory((*input, path), &dest.path, limits)?;
            }
            Found::Named { input, path, node, .. } if node.is_dir() => {
                copier.destination(&dest.path, &made)?;
                let limits = copier.limits(path, None);
                copier.directory((*input, path), &dest.path, limits)?;
            }
            Found::Named { input, name, path, node } => {
                copier.leaf((*input, path), node, &at(name)?)?;
            }
        }
    }
    let archives = copier.archives;
    link(draft);
    Ok(archives)
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
    pub(super) fn input(&self, number: usize) -> Result<&Input, FileOpError> {
        let known = self.inputs.get(&number).or_else(|| self.archives.get(number));
        known.ok_or(FileOpError::NoSource)
    }

    fn sources(&self) -> Result<Vec<Found<'a>>, FileOpError> {
        let mut all = Vec::new();
        for source in &self.op.sources {
            match source {
                CopySource::Inline { name, content } => all.push(Found::Inline { name, content }),
                CopySource::Path { input, path, unpack: _ } if self.op.parents => {
                    self.below(*input, path, &mut all)?;
                }
                CopySource::Path { input, path, unpack } => {
                    self.named((*input, *unpack), path, &mut all)?;
                }
            }
        }
        Ok(all)
    }

    fn named(
        &self,
        (input, unpack): (usize, Unpack),
        text: &str,
        all: &mut Vec<Found<'a>>,
    ) -> Result<(), FileOpError> {
        let tree = &*self.input(input)?.tree;
        let clean = name::within(text)?;
        let mut there = false;
        let before = all.len();
        for named in name::expand(tree, &clean)? {
            let lookup::Resolved { path, node } = lookup::resolve(tree, &named)?;
            // What matches is meant, so a link that leads nowhere is not passed over.
            there = true;
            let Some(node) = node else {
                if self.is_left_out(&named, false) {
                    continue;
                }
                let (pattern, link, target) = (text.to_owned(), named.display(), path.display());
                return Err(FileOpError::Dangling { pattern, link, target });
            };
            if self.is_left_out(&path, node.is_dir()) {
                continue;
            }
            if let Some(archive) = self.archive(input, &path, &node, unpack)? {
                all.push(Found::Archive(archive));
            } else {
                all.push(Found::Named { input, name: named.name().to_vec(), path, node });
            }
        }
        // A glob may match nothing, but not in a directory that is not there: that is a slip.
        let may_be_empty = self.op.allow_empty && name::has_glob(&clean);
        if all.len() > before || !there && may_be_empty && name::has_place(tree, &clean)? {
            return Ok(());
        }
        Err(match there {
            true => FileOpError::Excluded { pattern: text.to_owned() },
            false => name::no_match(tree, text, &clean),
        })
    }

    /// The archive that a file is, if it is to be unpacked.
    fn archive(
        &self,
        input: usize,
        path: &LayerPath,
        node: &Node,
        unpack: Unpack,
    ) -> Result<Option<Archive>, FileOpError> {
        if unpack == Unpack::Never || !matches!(node.kind, NodeKind::File { .. }) {
            return Ok(None);
        }
        let failed = |source| FileOpError::Archive { path: path.display(), source };
        (self.unpacker)(self.input(input)?, path).map_err(failed)
    }

    /// Whether a source is left out whole.
    fn is_left_out(&self, path: &LayerPath, is_dir: bool) -> bool {
        self.op.exclude_from == ExcludeFrom::Root
            && self.excludes.at(path.as_bytes()).is_match()
            && !(is_dir && self.excludes.may_take_back_below(path.as_bytes()))
    }

    /// A source of which the directories are kept: those behind a `/./`, or all.
    fn below(&self, input: usize, text: &str, all: &mut Vec<Found<'a>>) -> Result<(), FileOpError> {
        let tree = &*self.input(input)?.tree;
        let (above, below) = text.split_once("/./").unwrap_or(("", text));
        let (above, below) = (name::within(above)?, name::within(below)?);
        if !name::has_glob(&above) && !name::has_glob(&below) {
            let whole = [&above[..], &below].join(&b'/');
            if lookup::resolve(tree, &name::path(text, &whole)?)?.node.is_none() {
                return Err(name::no_match(tree, text, &whole));
            }
        }
        let pattern = String::from_utf8_lossy(&below).into_owned();
        for named in name::expand(tree, &above)? {
            let lookup::Resolved { path, node } = lookup::resolve(tree, &named)?;
            if node.is_some_and(|node| node.is_dir()) {
                let include = Patterns::new(std::slice::from_ref(&pattern))?;
                all.push(Found::Below { input, path, include });
            }
        }
        Ok(())
    }

    /// What directories get that are made for the first source to have a place.
    fn made(&self, first: &Found<'_>) -> Meta {
        let mode = match first {
            Found::Archive(_) => None,
            _ => self.op.mode.as_ref().and_then(Mode::as_octal),
        };
        self.draft.meta(mode.unwrap_or(0o755) & 0o777, self.owner)
    }

    pub(super) fn meta(
        &self,
        (input, path): (usize, &LayerPath),
        node: &Node,
    ) -> Result<Meta, FileOpError> {
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
    pub(super) fn leaf(
        &mut self,
        (input, from): (usize, &LayerPath),
        node: &Node,
        to: &LayerPath,
    ) -> Result<(), FileOpError> {
        let meta = self.meta((input, from), node)?;
        self.leaf_as((input, from), node, to, meta)
    }

    /// The same, with what it gets.
    pub(super) fn leaf_as(
        &mut self,
        (input, from): (usize, &LayerPath),
        node: &Node,
        to: &LayerPath,
        meta: Meta,
    ) -> Result<(), FileOpError> {
        let Some(kind) = kind(node) else { return Ok(()) };
        let content = match kind {
            Kind::File { .. } => Content::Copied(input, from.clone()),
            _ => Content::Nothing,
        };
        let group = match kind {
            Kind::File { .. } => self.group((input, from), node)?,
            _ => None,
        };
        self.draft.put(to, meta, kind, content)?;
        if let Some(item) = self.draft.items.get_mut(to) {
            item.group = group;
        }
        Ok(())
    }

    /// Whose name a file is, if it may have others in what is copied.
    fn group(
        &self,
        (input, from): (usize, &LayerPath),
        node: &Node,
    ) -> Result<Option<Group>, FileOpError> {
        let file = match &node.links {
            Some(links) => Some(Linked::First(links.first.clone())),
            None => self.input(input)?.tree.host_file(from)?.map(Linked::Host),
        };
        Ok(file.map(|file| Group { source: self.at, file }))
    }

    /// The directory that content is copied into: made where it is not there.
    fn destination(&mut self, to: &LayerPath, made: &Meta) -> Result<(), FileOpError> {
        if self.draft.existing(to)?.is_some() {
            return Ok(());
        }
        self.draft.put_directory(to, made.clone())
    }

    fn limits<'l>(&self, from: &LayerPath, include: Option<&'l Patterns>) -> Limits<'l> {
        Limits::new(self.op.exclude_from, from, include)
    }
}

/// Makes names of one file links to the first that was copied.
fn link(draft: &mut Draft<'_>) {
    let mut first: HashMap<Group, LayerPath> = HashMap::new();
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
