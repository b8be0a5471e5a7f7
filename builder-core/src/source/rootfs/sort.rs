//! Entries of a tar in the order that a layer has.
//!
//! In: entries in any order, a name perhaps more than once, links before or
//! after what they link to. Out: strictly sorted entries, of which the first
//! name of a link group is the file and the others link to it.

use std::collections::BTreeMap;

use crate::layer::{Change, Entry, LayerError, LayerPath, Mtime};

/// An entry and where its content stands in the spool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Spooled {
    pub(super) entry: Entry,
    pub(super) offset: u64,
}

/// Entries by path, the last of a name only.
#[derive(Debug, Default)]
pub(super) struct Sorter {
    entries: BTreeMap<LayerPath, (Change, u64)>,
}

impl Sorter {
    pub(super) fn add(&mut self, entry: Entry, offset: u64) {
        let Entry { path, mut change } = entry;
        match &mut change {
            Change::Whiteout | Change::Opaque => return,
            Change::Present { meta, kind } if kind.is_dir() => meta.mtime = Mtime::CONSTANT,
            // A link to itself says nothing.
            Change::Hardlink { target } if *target == path => return,
            _ => {}
        }
        self.entries.insert(path, (change, offset));
    }

    /// The entries in order.
    pub(super) fn finish(mut self) -> Result<Vec<Spooled>, LayerError> {
        let mut groups: BTreeMap<LayerPath, Vec<LayerPath>> = BTreeMap::new();
        for (path, (change, _)) in &self.entries {
            if let Change::Hardlink { .. } = change {
                groups.entry(self.file_of(path)?).or_default().push(path.clone());
            }
        }
        for (file, links) in groups {
            let first = links.iter().min().filter(|first| **first < file).cloned();
            let Some(first) = first else {
                for link in links {
                    self.link(link, &file);
                }
                continue;
            };
            let content = self.entries.remove(&file).expect("it was found above");
            self.entries.insert(first.clone(), content);
            for link in links.into_iter().chain([file]).filter(|link| *link != first) {
                self.link(link, &first);
            }
        }
        let spooled = self
            .entries
            .into_iter()
            .map(|(path, (change, offset))| Spooled { entry: Entry { path, change }, offset });
        Ok(spooled.collect())
    }

    fn link(&mut self, path: LayerPath, target: &LayerPath) {
        self.entries.insert(path, (Change::Hardlink { target: target.clone() }, 0));
    }

    /// The file that a chain of links ends in.
    fn file_of(&self, path: &LayerPath) -> Result<LayerPath, LayerError> {
        let refuse = |target: &LayerPath, reason| LayerError::Link {
            path: path.display(),
            target: target.display(),
            reason,
        };
        let mut at = path;
        for _ in 0..=self.entries.len().min(64) {
            match self.entries.get(at) {
                Some((Change::Hardlink { target }, _)) => at = target,
                Some((Change::Present { kind, .. }, _)) if kind.is_dir() => {
                    return Err(refuse(at, "a directory cannot be linked to"));
                }
                Some(_) => return Ok(at.clone()),
                None => return Err(refuse(at, "there is no such file")),
            }
        }
        Err(refuse(at, "the links go round in a circle"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layer::{Kind, Meta};

    fn path(name: &str) -> LayerPath {
        LayerPath::new(name).expect("a good path")
    }

    fn file(name: &str) -> Entry {
        let kind = Kind::Symlink { target: Vec::new() };
        Entry { path: path(name), change: Change::Present { meta: Meta::root_owned(0), kind } }
    }

    fn link(name: &str, target: &str) -> Entry {
        Entry { path: path(name), change: Change::Hardlink { target: path(target) } }
    }

    fn sorted(entries: Vec<Entry>) -> Result<Vec<(String, Option<String>, u64)>, LayerError> {
        let mut sorter = Sorter::default();
        for (at, entry) in entries.into_iter().enumerate() {
            sorter.add(entry, at as u64 + 1);
        }
        let entries = sorter.finish()?.into_iter().map(|Spooled { entry, offset }| {
            let target = match entry.change {
                Change::Hardlink { target } => Some(target.display()),
                _ => None,
            };
            (entry.path.display(), target, offset)
        });
        Ok(entries.collect())
    }

    #[test]
    fn the_first_name_of_a_group_becomes_the_file() {
        let entries = vec![link("c", "b"), file("b"), link("a", "c"), file("a.b"), file("a/b")];
        let to_a = || Some("/a".to_owned());
        let expected = [
            ("/a".to_owned(), None, 2),
            ("/a/b".to_owned(), None, 5),
            ("/a.b".to_owned(), None, 4),
            ("/b".to_owned(), to_a(), 0),
            ("/c".to_owned(), to_a(), 0),
        ];
        assert_eq!(sorted(entries).expect("good"), expected);
    }

    #[test]
    fn the_last_of_a_name_counts_and_whiteouts_do_not() {
        let whiteout = Entry { path: path("gone"), change: Change::Whiteout };
        let entries = vec![file("a"), whiteout, file("a")];
        assert_eq!(sorted(entries).expect("good"), [("/a".to_owned(), None, 3)]);
    }

    #[test]
    fn links_to_nothing_and_in_circles_are_refused() {
        for entries in [vec![link("a", "b")], vec![link("a", "b"), link("b", "a")]] {
            assert!(matches!(sorted(entries), Err(LayerError::Link { .. })));
        }
    }
}
