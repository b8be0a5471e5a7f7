//! What an execution asked of its trees, by kind and directory: pure.

use std::collections::BTreeMap;

use crate::layer::LayerPath;
use crate::view::observe::{Answers, Asked, Pathset, Question, is_absent};
use crate::view::{NodeKind, Tree};

/// One path that was looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LookedAt {
    /// Which tree: 0 is the root, the others are mounts.
    pub tree: u16,
    /// Which path of it.
    pub path: LayerPath,
    /// What was asked.
    pub asked: Asked,
    /// Whether there is anything; none where that was not asked.
    pub found: Option<bool>,
    /// How large the file is, where that is known.
    pub size: Option<u64>,
}

/// All that was looked at, in the order of paths.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Looked {
    /// Each path once.
    pub paths: Vec<LookedAt>,
    /// Where in the root each of the other trees, or a part of it, was mounted.
    pub mounts: BTreeMap<u16, String>,
}

/// Paths, and the bytes of those whose size is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Count {
    /// How many.
    pub paths: usize,
    /// How large together.
    pub bytes: u64,
}

/// How many paths were asked each kind of question.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Totals {
    /// Files whose content was read.
    pub read: Count,
    /// Names that were found, and no more was asked of them.
    pub found: usize,
    /// Names that were not there.
    pub absent: usize,
    /// Directories that were listed.
    pub listed: usize,
    /// Symbolic links that were followed or read.
    pub links: usize,
}

/// What was looked at in one directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DirectoryLooked {
    /// Which tree.
    pub tree: u16,
    /// The directory.
    pub path: LayerPath,
    /// What was asked of the names in it.
    pub totals: Totals,
}

impl Looked {
    /// What `answers` to `pathset` tell, with sizes from `root`, where that can
    /// still be had.
    #[must_use]
    pub fn new(pathset: &Pathset, answers: Option<&Answers>, root: Option<&dyn Tree>) -> Self {
        let mut absent: BTreeMap<(u16, &LayerPath), bool> = BTreeMap::new();
        for ((tree, path, question), answer) in answers.into_iter().flat_map(|a| a.each(pathset)) {
            if question == Question::Node {
                absent.insert((tree, path), is_absent(answer));
            }
        }
        let paths = pathset.iter().map(|(tree, path, asked)| {
            let found = absent.get(&(tree, path)).map(|absent| !absent);
            let root = root.filter(|_| tree == 0 && found != Some(false));
            let node = root.and_then(|root| root.node(path).ok().flatten());
            let size = node.and_then(|node| match node.kind {
                NodeKind::File { size } => Some(size),
                _ => None,
            });
            LookedAt { tree, path: path.clone(), asked, found, size }
        });
        Self { paths: paths.collect(), mounts: BTreeMap::new() }
    }

    /// Everything together.
    #[must_use]
    pub fn totals(&self) -> Totals {
        let mut totals = Totals::default();
        self.paths.iter().for_each(|looked| totals.add(looked));
        totals
    }

    /// By the directory that each path is in, those first of which most was
    /// read.
    #[must_use]
    pub fn directories(&self) -> Vec<DirectoryLooked> {
        let mut all: BTreeMap<(u16, LayerPath), Totals> = BTreeMap::new();
        for looked in &self.paths {
            // A directory that is listed is looked into.
            let inside = looked.asked.has(Question::List);
            let place = if inside { None } else { looked.path.parent() };
            let place = place.unwrap_or_else(|| looked.path.clone());
            all.entry((looked.tree, place)).or_default().add(looked);
        }
        let directory = |((tree, path), totals)| DirectoryLooked { tree, path, totals };
        let mut all: Vec<DirectoryLooked> = all.into_iter().map(directory).collect();
        all.sort_by_key(|directory| {
            let Totals { read, found, absent, listed, links } = directory.totals;
            std::cmp::Reverse((read.bytes, read.paths, found + absent + listed + links))
        });
        all
    }

    /// The files that were read, the largest first.
    #[must_use]
    pub fn read(&self) -> Vec<&LookedAt> {
        let read = self.paths.iter().filter(|looked| looked.asked.has(Question::Content));
        let mut read: Vec<&LookedAt> = read.collect();
        read.sort_by_key(|looked| std::cmp::Reverse(looked.size));
        read
    }
}

impl Totals {
    fn add(&mut self, looked: &LookedAt) {
        let asked = |question| looked.asked.has(question);
        let mut more = false;
        if asked(Question::Content) {
            self.read.paths += 1;
            self.read.bytes += looked.size.unwrap_or(0);
            more = true;
        }
        if asked(Question::List) {
            self.listed += 1;
            more = true;
        }
        if asked(Question::Link) {
            self.links += 1;
            more = true;
        }
        if looked.found == Some(false) {
            self.absent += 1;
        } else if !more {
            self.found += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::view::memory::Memory;

    fn path(text: &str) -> LayerPath {
        LayerPath::new(text).expect("a test's path is valid")
    }

    #[test]
    fn each_path_counts_by_what_was_asked_of_it() {
        let pathset: Pathset = [
            (0, path("bin/sh"), Question::Node),
            (0, path("bin/sh"), Question::Content),
            (0, path("bin/cat"), Question::Node),
            (0, path("etc/none"), Question::Node),
            (0, path("etc"), Question::Node),
            (0, path("etc"), Question::List),
            (0, path("lib"), Question::Node),
            (0, path("lib"), Question::Link),
            (3, path("src"), Question::Content),
        ]
        .into_iter()
        .collect();
        let tree = Memory::new().file("bin/sh", "shell").file("bin/cat", "cat");
        let tree: Arc<dyn Tree> = Arc::new(tree.directory("etc").link("lib", "usr/lib"));
        let trees = [(0, Arc::clone(&tree))].into();
        let answers = Answers::of(&pathset, &trees, None).expect("answered");
        let looked = Looked::new(&pathset, Some(&answers), Some(&*tree));
        let wanted =
            Totals { read: Count { paths: 2, bytes: 5 }, found: 1, absent: 1, listed: 1, links: 1 };
        assert_eq!(looked.totals(), wanted);
        let directories = looked.directories();
        let places: Vec<(u16, String)> =
            directories.iter().map(|d| (d.tree, d.path.display())).collect();
        let wanted = [(0, "/bin"), (3, "/"), (0, "/etc"), (0, "/")];
        assert_eq!(places, wanted.map(|(tree, path)| (tree, path.to_owned())));
        let read: Vec<Option<u64>> = looked.read().iter().map(|looked| looked.size).collect();
        assert_eq!(read, [Some(5), None]);
        // Without answers and trees it is known what was asked all the same.
        let blind = Looked::new(&pathset, None, None).totals();
        assert_eq!((blind.read.paths, blind.read.bytes, blind.absent), (2, 0, 0));
    }
}
