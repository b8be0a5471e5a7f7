//! Names of one file: linked within a source, apart across sources.

use super::*;
use crate::view::HostFile;

/// A context in which all names of a file that begin with `same` are one.
struct Host(Memory);

impl Tree for Host {
    fn node(&self, path: &LayerPath) -> Result<Option<Node>, TreeError> {
        self.0.node(path)
    }

    fn list(&self, path: &LayerPath) -> Result<Vec<(Vec<u8>, Node)>, TreeError> {
        self.0.list(path)
    }

    fn content(&self, path: &LayerPath) -> Result<ContentDigest, TreeError> {
        self.0.content(path)
    }

    fn open(&self, path: &LayerPath) -> Result<Arc<dyn ReadAt>, TreeError> {
        self.0.open(path)
    }

    fn host_file(&self, path: &LayerPath) -> Result<Option<HostFile>, TreeError> {
        Ok(path.name().starts_with(b"same").then_some(HostFile([1; 7])))
    }
}

fn host() -> Host {
    let names = ["d/same-z", "d/sub/same-a", "e/same-b", "e/same-z", "same-top"];
    let tree = names.iter().fold(Memory::new(), |tree, name| tree.file(name, "x"));
    Host(tree.file("e/other", "x"))
}

fn links(copy: Copy) -> Vec<String> {
    let prepared = prepare(&FileOp::Copy(copy), &target(), input(host(), true), &settings());
    let lines = shown(prepared).expect("copied");
    lines.into_iter().filter(|line| line.starts_with("same") || line.starts_with("file")).collect()
}

#[test]
fn names_of_one_file_of_the_host_are_linked_to_the_first_in_the_layer() {
    assert_eq!(
        links(plain(&["."], "/x/")),
        [
            "file /x/d/same-z 644",
            "same /x/d/sub/same-a /x/d/same-z",
            "file /x/e/other 644",
            "same /x/e/same-b /x/d/same-z",
            "same /x/e/same-z /x/d/same-z",
            "same /x/same-top /x/d/same-z",
        ]
    );
    // A name that is left out is nobody's first.
    assert_eq!(
        links(excluding(&["d"], "/x/", &["d/same-z"])),
        ["file /x/sub/same-a 644"],
        "one name is left"
    );
}

#[test]
fn names_that_two_sources_have_are_files_of_their_own() {
    // `e/same-z` comes over the one of `d`.
    assert_eq!(
        links(plain(&["d", "e"], "/x/")),
        [
            "file /x/other 644",
            "file /x/same-b 644",
            "same /x/same-z /x/same-b",
            "file /x/sub/same-a 644",
        ]
    );
    // So are those that one pattern names.
    assert_eq!(links(plain(&["e/same*"], "/x/")), ["file /x/same-b 644", "file /x/same-z 644"]);
}

#[test]
fn a_link_that_comes_or_goes_is_another_key() {
    let entries = |tree: Inputs| -> Vec<(String, String)> {
        let op = FileOp::Copy(plain(&["e"], "/x/"));
        prepare(&op, &target(), tree, &settings()).expect("copied").entries().collect()
    };
    let (linked, apart) = (entries(input(host(), true)), entries(input(host().0, true)));
    assert_ne!(linked, apart);
}
