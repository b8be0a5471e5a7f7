//! Looks at what a build will ask for before it asks.
//!
//! In: a path of the context. Out: nothing but what the tree then has at hand:
//! listings, stats, digests that an earlier build computed. No file is read.
//! Guards: what cannot be looked at is passed over; who asks for it is told.

use super::{ContextTree, State};
use crate::digest::ContentDigest;
use crate::layer::LayerPath;

impl ContextTree {
    /// Looks at all below `path`, until `stop`.
    pub fn look_ahead(&self, path: &LayerPath, stop: &dyn Fn() -> bool) {
        let mut todo = vec![path.clone()];
        while let Some(path) = todo.pop() {
            if stop() {
                return;
            }
            let Ok(Some(seen)) = self.seen(&path) else { continue };
            if !seen.node.is_dir() {
                self.known(&path);
                continue;
            }
            let Ok(names) = self.names(&path) else { continue };
            for child in names.iter().filter_map(|name| path.join(name).ok()) {
                if self.known(&child).is_none() {
                    todo.push(child);
                }
            }
        }
    }

    /// The digest of a file that was seen, where this build or an earlier one
    /// computed it.
    pub(super) fn known(&self, path: &LayerPath) -> Option<ContentDigest> {
        let State { before, seen, hashed, .. } = &mut *self.state();
        if let Some((hashed, _)) = hashed.get(path) {
            return Some(hashed.content);
        }
        let seen = seen.get(path)?.as_ref()?;
        let known = before.get(path).filter(|known| known.signature == seen.signature)?;
        hashed.insert(path.clone(), (*known, true));
        Some(known.content)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Store;
    use crate::view::{Tree as _, TreeError};

    #[test]
    fn looking_ahead_reads_nothing_and_what_it_saw_holds() {
        let (dir, place) = (tempfile::tempdir().expect("dir"), tempfile::tempdir().expect("dir"));
        let store = Store::open(place.path()).expect("a store");
        std::fs::create_dir_all(dir.path().join("d/e")).expect("made");
        std::fs::write(dir.path().join("d/e/f"), "one").expect("written");
        let file = LayerPath::new("d/e/f").expect("a path");
        let tree = ContextTree::open(Some(&store), dir.path()).expect("opened");
        tree.look_ahead(&LayerPath::new("d").expect("a path"), &|| false);
        tree.look_ahead(&LayerPath::new("absent").expect("a path"), &|| false);
        assert_eq!(tree.known(&file), None, "it was hashed by nobody");
        std::fs::write(dir.path().join("d/e/late"), "").expect("written");
        let listed = tree.list(&LayerPath::new("d/e").expect("a path")).expect("listed");
        assert_eq!(listed.len(), 1);
        std::fs::write(dir.path().join("d/e/f"), "longer").expect("written");
        assert!(matches!(tree.content(&file), Err(TreeError::Changed { .. })));
    }

    #[test]
    fn looking_ahead_stops_when_told() {
        let dir = tempfile::tempdir().expect("dir");
        std::fs::create_dir(dir.path().join("d")).expect("made");
        let tree = ContextTree::open(None, dir.path()).expect("opened");
        tree.look_ahead(&LayerPath::root(), &|| true);
        std::fs::write(dir.path().join("new"), "").expect("written");
        assert_eq!(tree.list(&LayerPath::root()).expect("listed").len(), 2);
    }
}
