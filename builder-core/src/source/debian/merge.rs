//! Many packages' data as one tree.
//!
//! In: packages in order, each taken apart. Out: one tree by path. Paths that
//! lead through a symbolic link of the tree stand where the link leads, as
//! they would when unpacked; so a merged `/usr` needs no rule of its own but
//! its links. The first package's owner and mode of a directory stand. A file
//! in two packages is an error unless one replaces the other.

use std::collections::BTreeMap;

use super::DebianError;
use super::deb::{Contents, Data, DataEntry};
use super::relation;
use crate::layer::LayerPath;

/// How many links a path may lead through.
const LINKS_LIMIT: usize = 40;

/// One file of the tree and the package that it is from.
#[derive(Debug, Clone)]
pub(super) struct Node {
    /// Index of the package; `None` for what belongs to no package.
    pub(super) package: Option<usize>,
    pub(super) entry: DataEntry,
}

/// A package as merging sees it.
pub(super) struct Unpacked<'p> {
    pub(super) name: &'p str,
    pub(super) version: &'p str,
    pub(super) replaces: &'p str,
    pub(super) contents: &'p Contents,
}

/// The tree.
#[derive(Debug, Default)]
pub(super) struct Tree {
    pub(super) nodes: BTreeMap<LayerPath, Node>,
}

impl Tree {
    /// Puts something there that belongs to no package.
    pub(super) fn put(&mut self, entry: DataEntry) {
        self.insert(Node { package: None, entry });
    }

    /// Inserts a node, and directories above it where there are none.
    fn insert(&mut self, node: Node) {
        let above: Vec<_> = node.entry.path.ancestors().filter(|p| !p.is_root()).collect();
        for path in above {
            self.nodes.entry(path.clone()).or_insert_with(|| Node {
                package: node.package,
                entry: DataEntry::plain(path, 0o755, Data::Directory),
            });
        }
        self.nodes.insert(node.entry.path.clone(), node);
    }

    /// Adds all entries of package `at`.
    pub(super) fn add(&mut self, at: usize, all: &[Unpacked<'_>]) -> Result<(), DebianError> {
        for entry in &all[at].contents.entries {
            let fail =
                |reason: String| DebianError::Package { package: all[at].name.into(), reason };
            let path = self.place(&entry.path).map_err(fail)?;
            let mut entry = DataEntry { path, ..entry.clone() };
            if let Data::Hardlink(target) = &entry.data {
                entry.data = Data::Hardlink(self.place(target).map_err(fail)?);
            }
            self.add_entry(entry, at, all)?;
        }
        Ok(())
    }

    fn add_entry(
        &mut self,
        entry: DataEntry,
        at: usize,
        all: &[Unpacked<'_>],
    ) -> Result<(), DebianError> {
        if entry.path.is_root() {
            return Ok(());
        }
        if let Some(there) = self.nodes.get(&entry.path) {
            let is_dir = |data: &Data| *data == Data::Directory;
            // An existing directory, or link to one, stands; as does an equal link.
            let link = matches!(there.entry.data, Data::Symlink(_));
            if is_dir(&entry.data) && (is_dir(&there.entry.data) || link)
                || link && there.entry.data == entry.data
            {
                return Ok(());
            }
            let owner = there.package.map(|other| &all[other]);
            let conflict = || DebianError::FileConflict {
                path: entry.path.display(),
                first: owner.map_or("the base", |o| o.name).to_owned(),
                second: all[at].name.to_owned(),
            };
            let owner = owner.ok_or_else(conflict)?;
            if is_dir(&there.entry.data) || is_dir(&entry.data) {
                return Err(conflict());
            }
            if replaces(owner, &all[at]) {
                return Ok(());
            }
            if !replaces(&all[at], owner) && there.package != Some(at) {
                return Err(conflict());
            }
        }
        self.insert(Node { package: Some(at), entry });
        Ok(())
    }

    /// Where a path is when the links on the way to its last component are followed.
    pub(super) fn place(&self, path: &LayerPath) -> Result<LayerPath, String> {
        let mut links = 0;
        let mut rest: Vec<Vec<u8>> = path.components().map(<[u8]>::to_vec).collect();
        rest.reverse();
        let mut done: Vec<Vec<u8>> = Vec::new();
        while let Some(next) = rest.pop() {
            match &next[..] {
                b"" | b"." => continue,
                b".." => {
                    done.pop();
                    continue;
                }
                _ => {}
            }
            done.push(next);
            let here = LayerPath::new(done.join(&b'/')).map_err(|e| e.to_string())?;
            let Some(node) = self.nodes.get(&here).filter(|_| !rest.is_empty()) else { continue };
            match &node.entry.data {
                Data::Directory => {}
                Data::Symlink(target) => {
                    links += 1;
                    if links > LINKS_LIMIT {
                        return Err(format!("{} leads through too many links", path.display()));
                    }
                    done.pop();
                    if target.starts_with(b"/") {
                        done.clear();
                    }
                    rest.extend(target.split(|b| *b == b'/').rev().map(<[u8]>::to_vec));
                }
                _ => return Err(format!("{} is below a file", path.display())),
            }
        }
        LayerPath::new(done.join(&b'/')).map_err(|e| e.to_string())
    }
}

/// Whether one package may overwrite files of the other.
fn replaces(one: &Unpacked<'_>, other: &Unpacked<'_>) -> bool {
    relation::groups(one.replaces)
        .unwrap_or_default()
        .iter()
        .flatten()
        .any(|r| r.name == other.name && r.admits(other.version))
}
