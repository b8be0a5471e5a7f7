//! A set of questions: which paths of which trees, and what was asked of each.
//!
//! As bytes it is a list of paths in order, each without what it shares with
//! the one before, compressed: some 20 bytes a path.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::digest::PathsetId;
use crate::layer::LayerPath;

/// The most that is read of a set of questions, uncompressed, in bytes.
const LIMIT: usize = 64 << 20;
/// Most paths of a set.
pub(super) const MAX_PATHS: usize = 1 << 20;
/// The most that all paths of a set come to, in bytes.
const MAX_BYTES: usize = 256 << 20;
/// A fast one: a build waits for it.
const ZSTD_LEVEL: i32 = 1;

/// What can be asked of a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[repr(u8)]
pub enum Question {
    /// Whether something is there, and its metadata.
    Node = 1,
    /// The names in a directory, their types and inode numbers.
    List = 2,
    /// Where a symbolic link leads.
    Link = 4,
    /// A file's content.
    Content = 8,
}

impl Question {
    /// All of them, in the order in which they are answered.
    pub const ALL: [Self; 4] = [Self::Node, Self::List, Self::Link, Self::Content];
}

/// The questions that were asked of one path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
pub struct Asked(u8);

impl Asked {
    /// With one more question.
    #[must_use]
    pub const fn and(self, question: Question) -> Self {
        Self(self.0 | question as u8)
    }

    /// Whether it was asked.
    #[must_use]
    pub const fn has(self, question: Question) -> bool {
        self.0 & question as u8 != 0
    }

    /// The questions, in order.
    pub fn questions(self) -> impl Iterator<Item = Question> {
        Question::ALL.into_iter().filter(move |question| self.has(*question))
    }

    fn from_bits(bits: u8) -> Option<Self> {
        (bits != 0 && bits < 16).then_some(Self(bits))
    }
}

/// Bytes that are no set of questions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the bytes are no list of observed paths")]
pub struct PathsetError;

/// What was asked of one or several trees. Tree 0 is the root file system of a
/// step, the others are its mounts.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Pathset {
    trees: BTreeMap<u16, BTreeMap<LayerPath, Asked>>,
}

/// A path as it is written: what it shares with the one before is left out.
#[derive(Serialize, Deserialize)]
struct Written<'a> {
    tree: u16,
    shared: u16,
    #[serde(borrow)]
    rest: &'a [u8],
    asked: u8,
}

impl Pathset {
    /// Adds a question.
    pub fn add(&mut self, tree: u16, path: LayerPath, question: Question) {
        let asked = self.trees.entry(tree).or_default().entry(path).or_default();
        *asked = asked.and(question);
    }

    /// All paths with what was asked of them, by tree and path.
    pub fn iter(&self) -> impl Iterator<Item = (u16, &LayerPath, Asked)> {
        let of_tree = |(tree, paths): (&'_ u16, _)| (*tree, paths);
        let each = self.trees.iter().map(of_tree);
        each.flat_map(|(tree, paths): (u16, &BTreeMap<LayerPath, Asked>)| {
            paths.iter().map(move |(path, asked)| (tree, path, *asked))
        })
    }

    /// All questions, one by one, in the order of their answers.
    pub fn questions(&self) -> impl Iterator<Item = (u16, &LayerPath, Question)> {
        self.iter().flat_map(|(tree, path, asked)| {
            asked.questions().map(move |question| (tree, path, question))
        })
    }

    /// What was asked of one path.
    #[must_use]
    pub fn asked(&self, tree: u16, path: &LayerPath) -> Asked {
        self.trees.get(&tree).and_then(|paths| paths.get(path)).copied().unwrap_or_default()
    }

    /// How many paths there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.trees.values().map(BTreeMap::len).sum()
    }

    /// Whether nothing was asked.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Its identity.
    #[must_use]
    pub fn id(&self) -> PathsetId {
        let mut hasher = blake3::Hasher::new();
        for (tree, path, asked) in self.iter() {
            hasher.update(&tree.to_le_bytes()).update(&[asked.0]);
            hasher.update(&(path.as_bytes().len() as u64).to_le_bytes()).update(path.as_bytes());
        }
        PathsetId::from_bytes(*hasher.finalize().as_bytes())
    }

    /// As bytes, for a record.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        zstd::bulk::compress(&self.plain(), ZSTD_LEVEL).expect("memory is there to compress into")
    }

    /// As bytes that are not compressed.
    #[must_use]
    pub fn plain(&self) -> Vec<u8> {
        let mut last: &[u8] = b"";
        let mut written = Vec::with_capacity(self.len());
        for (tree, path, asked) in self.iter() {
            let bytes = path.as_bytes();
            let same = last.iter().zip(bytes).take_while(|(a, b)| a == b).count();
            let shared = u16::try_from(same).unwrap_or(u16::MAX);
            written.push(Written { tree, shared, rest: &bytes[shared.into()..], asked: asked.0 });
            last = bytes;
        }
        postcard::to_stdvec(&written).expect("a list of plain values can be written")
    }

    /// From bytes that may be damaged, or anybody's.
    ///
    /// # Errors
    /// [`PathsetError`] for what [`Self::encode`] did not make.
    pub fn decode(bytes: &[u8]) -> Result<Self, PathsetError> {
        Self::from_plain(&unpacked(bytes)?)
    }

    /// From what [`Self::plain`] made, or anybody.
    ///
    /// # Errors
    /// [`PathsetError`].
    pub fn from_plain(bytes: &[u8]) -> Result<Self, PathsetError> {
        let written: Vec<Written<'_>> = postcard::from_bytes(bytes).map_err(|_| PathsetError)?;
        let mut trees: BTreeMap<u16, BTreeMap<LayerPath, Asked>> = BTreeMap::new();
        let (mut last, mut left) = (Vec::new(), MAX_BYTES);
        if written.len() > MAX_PATHS {
            return Err(PathsetError);
        }
        for Written { tree, shared, rest, asked } in written {
            if usize::from(shared) > last.len() {
                return Err(PathsetError);
            }
            last.truncate(shared.into());
            last.extend_from_slice(rest);
            // A few bytes name a long path that is like the one before.
            left = left.checked_sub(last.len()).ok_or(PathsetError)?;
            let path = LayerPath::new(&last).map_err(|_| PathsetError)?;
            if path.as_bytes() != last {
                return Err(PathsetError);
            }
            let asked = Asked::from_bits(asked).ok_or(PathsetError)?;
            trees.entry(tree).or_default().insert(path, asked);
        }
        Ok(Self { trees })
    }
}

/// Decompresses what says that it is not too large.
pub(super) fn unpacked(bytes: &[u8]) -> Result<Vec<u8>, PathsetError> {
    let size = zstd::zstd_safe::get_frame_content_size(bytes).ok().flatten();
    let size = size.and_then(|size| usize::try_from(size).ok()).filter(|size| *size <= LIMIT);
    zstd::bulk::decompress(bytes, size.ok_or(PathsetError)?).map_err(|_| PathsetError)
}

impl FromIterator<(u16, LayerPath, Question)> for Pathset {
    fn from_iter<I: IntoIterator<Item = (u16, LayerPath, Question)>>(all: I) -> Self {
        let mut pathset = Self::default();
        all.into_iter().for_each(|(tree, path, question)| pathset.add(tree, path, question));
        pathset
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> LayerPath {
        LayerPath::new(text).expect("a test's path is valid")
    }

    fn some() -> Pathset {
        [
            (0, path(""), Question::Node),
            (0, path("usr/lib/a"), Question::Node),
            (0, path("usr/lib/a"), Question::Content),
            (0, path("usr/lib/ab"), Question::Link),
            (3, path("usr/lib"), Question::List),
        ]
        .into_iter()
        .collect()
    }

    #[test]
    fn bytes_round_trip_and_the_order_of_questions_does_not_count() {
        let set = some();
        assert_eq!(Pathset::decode(&set.encode()), Ok(set.clone()));
        let backwards: Vec<_> = set.questions().map(|(t, p, q)| (t, p.clone(), q)).collect();
        let backwards: Pathset = backwards.into_iter().rev().collect();
        assert_eq!((backwards.id(), backwards.len()), (set.id(), 4));
        assert!(set.asked(0, &path("usr/lib/a")).has(Question::Content));
        assert!(!set.asked(3, &path("usr/lib/a")).has(Question::Node));
        assert!(Pathset::default().is_empty());
    }

    #[test]
    fn damaged_bytes_are_refused_and_never_a_panic() {
        let good = some().encode();
        for at in 0..good.len() {
            let _ = Pathset::decode(&good[..at]).expect_err("it is cut");
            let mut bad = good.clone();
            bad[at] ^= 0x55;
            let _ = Pathset::decode(&bad);
        }
        let written = |all: &[Written<'_>]| {
            let plain = postcard::to_stdvec(all).expect("plain values");
            Pathset::decode(&zstd::bulk::compress(&plain, 1).expect("compressed"))
        };
        let one = |shared, rest, asked| [Written { tree: 0, shared, rest, asked }];
        assert!(written(&one(0, b"a/b", 1)).is_ok());
        assert_eq!(written(&one(1, b"a", 1)), Err(PathsetError), "shares with nothing");
        assert_eq!(written(&one(0, b"a/../b", 1)), Err(PathsetError));
        assert_eq!(written(&one(0, b"/a", 1)), Err(PathsetError));
        assert_eq!(written(&one(0, b"a", 0)), Err(PathsetError));
        assert_eq!(written(&one(0, b"a", 16)), Err(PathsetError));
    }
}
