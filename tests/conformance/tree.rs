//! A tree of files in memory, as layers give it, and how one is written down:
//! one line per path, in the order of paths, so that two trees are compared by
//! comparing lines. Times are left out: they are not what peers agree on.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use sha2::Digest as _;

/// The most bytes of content that are written down as they are.
const LITERAL: usize = 400;

/// What a file is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Kind {
    Dir,
    File(Vec<u8>),
    Link(Vec<u8>),
    Fifo,
    Device(char, u32, u32),
}

/// A file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Node {
    pub(crate) kind: Kind,
    pub(crate) mode: u32,
    pub(crate) owner: (u64, u64),
    pub(crate) xattrs: BTreeMap<String, Vec<u8>>,
}

/// Files by path, without a slash at the start; names of one file share a number.
#[derive(Debug, Clone, Default)]
pub(crate) struct Tree {
    nodes: Vec<Node>,
    paths: BTreeMap<Vec<u8>, usize>,
}

impl Tree {
    /// Puts a file at a path, in the place of what is there; what lies in a
    /// directory stays if a directory replaces it.
    pub(crate) fn put(&mut self, path: &[u8], node: Node) {
        if node.kind != Kind::Dir {
            self.remove_below(path);
        }
        self.nodes.push(node);
        self.paths.insert(path.to_vec(), self.nodes.len() - 1);
    }

    /// Gives a file that is there another name.
    pub(crate) fn link(&mut self, path: &[u8], target: &[u8]) {
        let node = *self.paths.get(target).expect("a hard link is to what is there");
        self.remove_below(path);
        self.paths.insert(path.to_vec(), node);
    }

    /// Removes a path and all below it.
    pub(crate) fn remove(&mut self, path: &[u8]) {
        self.remove_below(path);
        self.paths.remove(path);
    }

    /// Removes all below a path.
    pub(crate) fn remove_below(&mut self, path: &[u8]) {
        let below = |other: &[u8]| {
            path.is_empty()
                || other.strip_prefix(path).is_some_and(|rest| rest.first() == Some(&b'/'))
        };
        self.paths.retain(|other, _| !below(other));
    }

    /// A line for each path that is not in `base` as it is here, and for each
    /// that is gone.
    pub(crate) fn changes(&self, base: &Self) -> String {
        let (before, after) = (base.lines(), self.lines());
        let mut text = String::new();
        let mut paths: Vec<_> = before.keys().chain(after.keys()).collect();
        paths.sort();
        paths.dedup();
        let mut gone: Option<&Vec<u8>> = None;
        for path in paths {
            match (before.get(path), after.get(path)) {
                (_, Some(line)) if before.get(path) != Some(line) => {
                    writeln!(text, "{line}").expect("a string takes all");
                }
                (Some(_), None) => {
                    let covered = gone.is_some_and(|above| {
                        path.strip_prefix(&above[..]).is_some_and(|rest| rest.starts_with(b"/"))
                    });
                    if !covered {
                        writeln!(text, "gone {}", shown(path)).expect("a string takes all");
                        gone = Some(path);
                    }
                }
                _ => {}
            }
        }
        text
    }

    fn lines(&self) -> BTreeMap<Vec<u8>, String> {
        let mut first: BTreeMap<usize, &Vec<u8>> = BTreeMap::new();
        let mut lines = BTreeMap::new();
        for (path, number) in &self.paths {
            let mut line = line(path, &self.nodes[*number]);
            if let Some(other) = first.get(number) {
                write!(line, " = {}", shown(other)).expect("a string takes all");
            } else {
                first.insert(*number, path);
            }
            lines.insert(path.clone(), line);
        }
        lines
    }
}

fn line(path: &[u8], node: &Node) -> String {
    let (word, rest) = match &node.kind {
        Kind::Dir => ("dir ", String::new()),
        Kind::File(content) => ("file", format!(" {}", content_shown(content))),
        Kind::Link(target) => ("link", format!(" -> {}", shown(target))),
        Kind::Fifo => ("fifo", String::new()),
        Kind::Device(kind, major, minor) => ("node", format!(" {kind} {major}:{minor}")),
    };
    let path = if path.is_empty() { "/".to_owned() } else { shown(path) };
    let (user, group) = node.owner;
    let mut line = format!("{word} {:04o} {user}:{group} {path}{rest}", node.mode);
    for (name, value) in &node.xattrs {
        write!(line, " {name}={}", content_shown(value)).expect("a string takes all");
    }
    line
}

fn content_shown(content: &[u8]) -> String {
    match std::str::from_utf8(content) {
        Ok(text) if text.len() <= LITERAL => format!("{text:?}"),
        _ => format!("{} sha256:{}", content.len(), hex(&sha2::Sha256::digest(content))),
    }
}

/// Bytes as hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").expect("a string takes all");
        text
    })
}

/// A path as one word.
fn shown(path: &[u8]) -> String {
    path.iter().fold(String::new(), |mut text, byte| {
        match byte {
            b'!'..=b'[' | b']'..=b'~' => text.push(char::from(*byte)),
            _ => write!(text, "\\x{byte:02x}").expect("a string takes all"),
        }
        text
    })
}

#[test]
fn a_tree_is_told_by_what_differs() {
    let file = |text: &str| Node {
        kind: Kind::File(text.into()),
        mode: 0o644,
        owner: (0, 0),
        xattrs: BTreeMap::new(),
    };
    let dir = Node { kind: Kind::Dir, mode: 0o755, ..file("") };
    let mut base = Tree::default();
    base.put(b"a", dir.clone());
    base.put(b"a/old", file("old"));
    base.put(b"b", dir);
    base.put(b"b/kept", file("kept"));
    let mut after = base.clone();
    after.remove(b"a");
    after.put(b"b/new", file("new\n"));
    after.link(b"c", b"b/new");
    let expected = "gone a\nfile 0644 0:0 b/new \"new\\n\"\nfile 0644 0:0 c \"new\\n\" = b/new\n";
    assert_eq!(after.changes(&base), expected);
}
