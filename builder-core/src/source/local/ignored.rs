//! What a context leaves out.
//!
//! Guards: a directory that is left out is not entered unless something below
//! it may be taken back; it is there only if something is.

use super::{ContextTree, Seen, failed};
use crate::layer::LayerPath;
use crate::pattern::Matched;
use crate::view::TreeError;

impl ContextTree {
    /// Whether `path` is there for the build; `seen` is what stands there.
    pub(super) fn shows(&self, path: &LayerPath, seen: &Seen) -> Result<bool, TreeError> {
        if self.inner.ignore.is_empty() || path.is_root() {
            return Ok(true);
        }
        self.keeps(path, &self.inner.ignore.at(path.as_bytes()), seen.node.is_dir())
    }

    /// What is left out is not looked at.
    pub(super) fn surely_left_out(&self, path: &LayerPath) -> bool {
        let ignore = &self.inner.ignore;
        !ignore.is_empty()
            && ignore.at(path.as_bytes()).is_match()
            && !ignore.may_take_back_below(path.as_bytes())
    }

    /// What the list says of a directory.
    pub(super) fn matched(&self, directory: &LayerPath) -> Matched {
        self.inner.ignore.at(directory.as_bytes())
    }

    /// Whether something in a directory is there for the build.
    pub(super) fn shows_in(
        &self,
        parent: &Matched,
        path: &LayerPath,
        is_dir: bool,
    ) -> Result<bool, TreeError> {
        if self.inner.ignore.is_empty() {
            return Ok(true);
        }
        self.keeps(path, &self.inner.ignore.below(parent, path.as_bytes()), is_dir)
    }

    fn keeps(&self, path: &LayerPath, matched: &Matched, is_dir: bool) -> Result<bool, TreeError> {
        if !matched.is_match() {
            return Ok(true);
        }
        if !is_dir || !self.inner.ignore.may_take_back_below(path.as_bytes()) {
            return Ok(false);
        }
        self.any_below(path, matched)
    }

    /// Whether anything below a directory that is left out is taken back.
    fn any_below(&self, path: &LayerPath, matched: &Matched) -> Result<bool, TreeError> {
        let ignore = &self.inner.ignore;
        let mut todo = vec![(path.clone(), matched.clone())];
        while let Some((at, matched)) = todo.pop() {
            for (name, stat, target) in self.inner.root.list(at.as_bytes()).map_err(failed(&at))? {
                let Ok(child) = at.join(&name) else { continue };
                let Some(seen) = Seen::new(&stat, target) else { continue };
                let matched = ignore.below(&matched, child.as_bytes());
                if !matched.is_match() {
                    return Ok(true);
                }
                if seen.node.is_dir() && ignore.may_take_back_below(child.as_bytes()) {
                    todo.push((child, matched));
                }
            }
        }
        Ok(false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::view::Tree as _;

    fn path(text: &str) -> LayerPath {
        LayerPath::new(text).expect("a path")
    }

    /// Every path of a context with that list, sorted.
    fn shown(tree: &ContextTree) -> Vec<String> {
        let (mut all, mut todo) = (Vec::new(), vec![LayerPath::root()]);
        while let Some(at) = todo.pop() {
            for (name, node) in tree.list(&at).expect("listed") {
                let child = at.join(&name).expect("a name");
                all.push(child.display());
                if node.is_dir() {
                    todo.push(child);
                }
            }
        }
        all.sort();
        all
    }

    fn scene() -> tempfile::TempDir {
        let dir = tempfile::tempdir().expect("a directory");
        for file in ["a", "d/x", "d/e/keep", "d/e/f/deep", "other/x", "other/y/z", "n/m/o"] {
            let at = dir.path().join(file);
            std::fs::create_dir_all(at.parent().expect("it has one")).expect("made");
            std::fs::write(at, file).expect("written");
        }
        dir
    }

    #[test]
    fn what_is_ignored_is_not_there_and_what_is_taken_back_is() {
        let dir = scene();
        let table: &[(&[&str], &[&str])] = &[
            (&["d", "n", "other"], &["/a"]),
            (&["*", "!d/e/keep"], &["/d", "/d/e", "/d/e/keep"]),
            (&["*", "!**/deep"], &["/d", "/d/e", "/d/e/f", "/d/e/f/deep"]),
            (&["**/x", "d/e", "n/*"], &["/a", "/d", "/n", "/other", "/other/y", "/other/y/z"]),
            (&["*", "!nothing/here"], &[]),
            (&["*", "!other", "other/y"], &["/other", "/other/x"]),
        ];
        for (list, expected) in table {
            let list: Vec<String> = list.iter().map(|text| (*text).to_owned()).collect();
            let open = || ContextTree::open_without(None, dir.path(), &list).expect("opened");
            assert_eq!(shown(&open()), *expected, "{list:?}");
            // The same answers where nothing was listed before.
            for at in ["a", "d", "d/x", "d/e", "d/e/keep", "d/e/f/deep", "other/y", "n/m/o"] {
                let there = open().node(&path(at)).expect("asked").is_some();
                assert_eq!(there, expected.contains(&&*format!("/{at}")), "{list:?} {at}");
            }
        }
    }

    #[test]
    fn a_directory_that_is_left_out_is_never_entered() {
        let dir = scene();
        let list = ["d/e".to_owned(), "!other/x".to_owned()];
        let tree = ContextTree::open_without(None, dir.path(), &list).expect("opened");
        assert!(tree.surely_left_out(&path("d/e")) && tree.surely_left_out(&path("d/e/f")));
        assert!(!tree.surely_left_out(&path("d")));
        assert_eq!(tree.list(&path("d")).expect("listed").len(), 1);
        assert!(tree.node(&path("d/e/keep")).expect("asked").is_none());
        assert!(tree.list(&path("d/e")).is_err(), "for the build it is not there");
    }

    #[test]
    fn an_edit_that_keeps_size_and_time_is_seen_and_one_that_is_ignored_is_not() {
        use crate::digest::ContentDigest;
        let dir = scene();
        let list = ["other".to_owned()];
        let tree = ContextTree::open_without(None, dir.path(), &list).expect("opened");
        assert_eq!(tree.content(&path("a")).expect("read"), ContentDigest::of(b"a"));
        let at = dir.path().join("a");
        let time = at.metadata().and_then(|meta| meta.modified()).expect("a time");
        std::fs::write(&at, "b").expect("written");
        std::fs::write(dir.path().join("other/x"), "changed").expect("written");
        std::fs::File::open(&at).and_then(|file| file.set_modified(time)).expect("set");
        // Its ctime tells; no tool can set that.
        assert!(matches!(
            tree.stream(&path("a")).and_then(|mut stream| {
                let mut all = Vec::new();
                let read = std::io::Read::read_to_end(&mut stream, &mut all);
                read.map_err(|error| error.downcast::<TreeError>().expect("it changed"))
            }),
            Err(TreeError::Changed { .. })
        ));
        let again = ContextTree::open_without(None, dir.path(), &list).expect("opened");
        assert_eq!(again.content(&path("a")).expect("read"), ContentDigest::of(b"b"));
    }
}
