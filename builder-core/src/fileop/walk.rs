//! The content of a directory that is copied: what of it, and what is on the way.
//!
//! Directories that are left out, or that no pattern names, are made only where
//! something below them is copied; they are not entered where nothing can be.

use std::collections::BTreeMap;

use super::FileOpError;
use super::copy::Copier;
use crate::layer::{LayerPath, Meta};
use crate::pattern::{Matched, Patterns};
use crate::plan::op::ExcludeFrom;
use crate::view::Node;

/// What of a directory is copied.
pub(super) struct Limits<'a> {
    /// The source: what paths of `include` are relative to.
    base: LayerPath,
    exclude_from: ExcludeFrom,
    /// Only what this names; all where absent.
    include: Option<&'a Patterns>,
}

impl<'a> Limits<'a> {
    pub(super) fn new(
        exclude_from: ExcludeFrom,
        base: &LayerPath,
        include: Option<&'a Patterns>,
    ) -> Self {
        Self { base: base.clone(), exclude_from, include }
    }

    /// A path seen from the source.
    fn below<'p>(&self, path: &'p LayerPath) -> &'p [u8] {
        let base = self.base.as_bytes().len();
        let slash = usize::from(base > 0);
        path.as_bytes().get(base + slash..).unwrap_or_default()
    }

    /// A path as the patterns of what is left out speak of it.
    fn for_exclude<'p>(&self, path: &'p LayerPath) -> &'p [u8] {
        match self.exclude_from {
            ExcludeFrom::Root => path.as_bytes(),
            ExcludeFrom::Source => self.below(path),
        }
    }
}

/// Something below the source.
struct Child {
    from: LayerPath,
    to: LayerPath,
    node: Node,
    matched: Both,
}

/// What matches a path.
#[derive(Clone, Default)]
struct Both {
    excluded: Matched,
    included: Matched,
}

impl Copier<'_, '_> {
    /// The content of a directory, in the order of paths.
    pub(super) fn directory(
        &mut self,
        (input, from): (usize, &LayerPath),
        to: &LayerPath,
        limits: Limits<'_>,
    ) -> Result<(), FileOpError> {
        let excluded = self.excludes.at(limits.for_exclude(from));
        let matched = Both { excluded, included: Matched::default() };
        // A stack and not recursion: the depth of a tree is not ours to choose.
        let mut todo = self.children((input, from), to, &matched, &limits)?;
        // Directories that are not copied, in case something below is.
        let mut waiting: BTreeMap<LayerPath, (LayerPath, Node)> = BTreeMap::new();
        while let Some(Child { from, to, node, matched }) = todo.pop() {
            let included = limits.include.is_none() || matched.included.is_match();
            let excluded = matched.excluded.is_match();
            if included && !excluded {
                for above in to.ancestors() {
                    if let Some((from, node)) = waiting.remove(&above) {
                        self.on_the_way((input, &from), &node, &above)?;
                    }
                }
                match node.is_dir() {
                    true => {
                        let meta = self.meta((input, &from), &node)?;
                        self.draft.put_directory(&to, meta)?;
                    }
                    false => self.leaf((input, &from), &node, &to)?,
                }
            }
            if !node.is_dir() {
                continue;
            }
            let may_be_back = || self.excludes.may_take_back_below(limits.for_exclude(&from));
            let may_be_named = || {
                let include = limits.include.filter(|_| !included);
                include.is_none_or(|include| include.may_match_below(limits.below(&from)))
            };
            if (!excluded || may_be_back()) && may_be_named() {
                todo.extend(self.children((input, &from), &to, &matched, &limits)?);
                if !included || excluded {
                    waiting.insert(to, (from, node));
                }
            }
        }
        Ok(())
    }

    /// A directory for what is below it: as the source has it where it is made;
    /// what is there keeps its owner.
    fn on_the_way(
        &mut self,
        from: (usize, &LayerPath),
        node: &Node,
        to: &LayerPath,
    ) -> Result<(), FileOpError> {
        let meta = match self.draft.existing(to)? {
            Some(there) if there.mode == node.meta.mode => return Ok(()),
            Some(there) => Meta { mode: node.meta.mode, mtime: self.draft.mtime, ..there },
            None => self.meta(from, node)?,
        };
        self.draft.put_directory(to, meta)
    }

    /// The names in a directory, the last one first.
    fn children(
        &self,
        (input, from): (usize, &LayerPath),
        to: &LayerPath,
        matched: &Both,
        limits: &Limits<'_>,
    ) -> Result<Vec<Child>, FileOpError> {
        let mut children = Vec::new();
        for (name, node) in self.input(input)?.tree.list(from)?.into_iter().rev() {
            let bad = |source| FileOpError::Path { path: from.display(), source };
            let from = from.join(&name).map_err(bad)?;
            let to = to.join(&name).map_err(bad)?;
            let excluded = self.excludes.below(&matched.excluded, limits.for_exclude(&from));
            let included = match limits.include {
                Some(include) => include.below(&matched.included, limits.below(&from)),
                None => Matched::default(),
            };
            children.push(Child { from, to, node, matched: Both { excluded, included } });
        }
        Ok(children)
    }
}
