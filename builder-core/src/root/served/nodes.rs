//! Numbers of inodes.
//!
//! In: paths. Out: for each a number, and for each number that was given out
//! the path that it stands for. The number is the hash of the path (of the
//! first name of a link group): a number by position would show the whole tree
//! to whoever looks at one file, through `ls -i`, file handles and every
//! copied-up entry.
//!
//! Limitation: two paths whose hashes agree in 48 bits get numbers in the order
//! in which they are asked for. Among 100,000 paths that has a chance of 1 in
//! 50,000.

use std::collections::HashMap;

use crate::layer::LayerPath;

/// The root's number, fixed by FUSE.
pub(super) const ROOT: u64 = 1;
/// The top 16 bits of a number are overlayfs's (`xino`).
const NUMBER_BITS: u64 = (1 << 48) - 1;

/// The numbers that were given out.
#[derive(Default)]
pub(super) struct Nodes {
    paths: HashMap<u64, LayerPath>,
}

/// A number that was given out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Numbered {
    pub(super) number: u64,
    /// Whether it is the path's hash; else another path had that first.
    pub(super) is_hash: bool,
}

impl Nodes {
    /// The number of `path`, which can be asked for by it from now on.
    pub(super) fn number(&mut self, path: &LayerPath) -> Numbered {
        if path.is_root() {
            return Numbered { number: ROOT, is_hash: true };
        }
        let hash = blake3::hash(path.as_bytes());
        let (first, _) = hash.as_bytes().split_first_chunk().expect("a hash has 32 bytes");
        let hash = u64::from_le_bytes(*first) & NUMBER_BITS;
        let mut number = hash;
        loop {
            match self.paths.get(&number) {
                Some(taken) if taken == path => break,
                None if number > ROOT => {
                    self.paths.insert(number, path.clone());
                    break;
                }
                _ => number = (number + 1) & NUMBER_BITS,
            }
        }
        Numbered { number, is_hash: number == hash }
    }

    /// What a number stands for.
    pub(super) fn path(&self, number: u64) -> Option<LayerPath> {
        if number == ROOT { Some(LayerPath::root()) } else { self.paths.get(&number).cloned() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> LayerPath {
        LayerPath::new(text).expect("a test's path is valid")
    }

    #[test]
    fn numbers_come_from_paths_and_not_from_the_order_of_questions() {
        let (mut one, mut other) = (Nodes::default(), Nodes::default());
        let names: Vec<_> = (0..1000).map(|n| path(&format!("usr/lib/{n}"))).collect();
        let forwards: Vec<u64> = names.iter().map(|name| one.number(name).number).collect();
        let mut backwards: Vec<u64> =
            names.iter().rev().map(|name| other.number(name).number).collect();
        backwards.reverse();
        assert_eq!(forwards, backwards);
        assert!(forwards.iter().all(|number| *number > ROOT && number >> 48 == 0));
        assert_eq!(one.number(&LayerPath::root()).number, ROOT);
        for (name, number) in names.iter().zip(forwards) {
            assert_eq!(one.path(number).as_ref(), Some(name));
        }
    }

    #[test]
    fn a_number_that_is_taken_is_not_given_out_again() {
        let mut nodes = Nodes::default();
        let alone = Nodes::default().number(&path("a"));
        assert!(alone.is_hash);
        nodes.paths.insert(alone.number, path("b"));
        let second = nodes.number(&path("a"));
        assert!(second.number != alone.number && !second.is_hash);
        assert_eq!(nodes.number(&path("a")), second);
        assert_eq!(nodes.path(alone.number), Some(path("b")));
    }
}
