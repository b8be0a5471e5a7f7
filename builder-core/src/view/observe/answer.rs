//! What trees say to a set of questions, as hashes.
//!
//! | question | enters its answer | never |
//! |---|---|---|
//! | node | absent or type; mode, owner, extended attributes; size of a file, length of a link's target; time in whole seconds of what is no directory; device number; link count and first name of the link group | content; times of directories |
//! | list | every name, its type, and the first name of its link group (of which its inode number is the hash) | metadata of what is listed |
//! | link | the target | |
//! | content | the file's digest | where it lies in a layer |
//!
//! That is what `root::served` shows, no more and no less. A question that does
//! not fit what is there (the content of what is now a directory) has an answer
//! of its own.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::VERSION;
use super::pathset::{Pathset, PathsetError, Question, unpacked};
use crate::digest::StrongFingerprint;
use crate::layer::{LayerPath, Xattrs};
use crate::view::{Links, Node, NodeKind, Tree, TreeError, is_overlays};

/// One answer: as many bits of a BLAKE3 hash as make an accident impossible.
pub type Answer = [u8; 16];

/// The answers to a [`Pathset`], in the order of its questions.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Answers(Vec<Answer>);

/// A kind of answer that is left out on purpose, so that a test can prove that
/// it would find that. No build is ever blind.
#[doc(hidden)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Blind {
    Found,
    Absent,
    Listed,
    Link,
    Content,
    Mode,
    Owner,
    Size,
    Time,
    Device,
    Links,
    Xattrs,
}

/// A question to which two sets of answers differ.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Difference {
    /// Which tree: 0 is the root, the others are mounts.
    pub tree: u16,
    /// Which path of it.
    pub path: LayerPath,
    /// What was asked.
    pub question: Question,
    /// Whether there was nothing at that path then.
    pub is_new: bool,
    /// Whether there is nothing now.
    pub is_gone: bool,
}

impl Answers {
    /// Asks `trees` all questions of `pathset`. A tree that is not there has
    /// nothing.
    ///
    /// # Errors
    /// [`TreeError`] where a tree cannot be read.
    pub fn of(
        pathset: &Pathset,
        trees: &BTreeMap<u16, Arc<dyn Tree>>,
        blind: Option<Blind>,
    ) -> Result<Self, TreeError> {
        let mut answers = Vec::with_capacity(pathset.len() * 2);
        for (tree, path, asked) in pathset.iter() {
            let tree = trees.get(&tree).map(AsRef::as_ref);
            let node = tree.map_or(Ok(None), |tree| tree.node(path))?;
            for question in asked.questions() {
                answers.push(answer(tree, path, node.as_ref(), question, blind)?);
            }
        }
        Ok(Self(answers))
    }

    /// The hash of questions and answers.
    #[must_use]
    pub fn strong(&self, pathset: &Pathset) -> StrongFingerprint {
        let mut hasher = blake3::Hasher::new();
        hasher.update(&VERSION.to_le_bytes()).update(pathset.id().as_bytes());
        self.0.iter().for_each(|answer| {
            hasher.update(answer);
        });
        StrongFingerprint::from_bytes(*hasher.finalize().as_bytes())
    }

    /// The questions whose answers are others in `now`, those first that tell a
    /// person most: content, then links, then names that came or went, then
    /// lists and the rest.
    #[must_use]
    pub fn differences(&self, now: &Self, pathset: &Pathset) -> Vec<Difference> {
        let pairs = self.0.iter().zip(&now.0).zip(pathset.questions());
        let pairs = pairs.map(|((old, new), place)| (old, new, place));
        differing(pairs)
    }

    /// The same for answers to other questions, `pathset` being those of `self`:
    /// of what both were asked.
    #[must_use]
    pub fn differences_of_both(
        &self,
        pathset: &Pathset,
        (now, questions): (&Self, &Pathset),
    ) -> Vec<Difference> {
        let new: BTreeMap<(u16, &LayerPath, Question), &Answer> = now.each(questions).collect();
        let old = self.each(pathset);
        differing(old.filter_map(|(place, old)| Some((old, *new.get(&place)?, place))))
    }

    /// Each question with its answer.
    pub fn each<'a>(
        &'a self,
        pathset: &'a Pathset,
    ) -> impl Iterator<Item = ((u16, &'a LayerPath, Question), &'a Answer)> {
        pathset.questions().zip(&self.0)
    }

    /// As bytes, for a record.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        zstd::bulk::compress(&self.plain(), 1).expect("memory is there to compress into")
    }

    /// As bytes that are not compressed.
    #[must_use]
    pub fn plain(&self) -> Vec<u8> {
        self.0.iter().flatten().copied().collect()
    }

    /// From bytes that may be damaged.
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
        let (answers, []) = bytes.as_chunks::<16>() else { return Err(PathsetError) };
        Ok(Self(answers.to_vec()))
    }

    /// Whether these are as many answers as `pathset` has questions.
    #[must_use]
    pub fn fit(&self, pathset: &Pathset) -> bool {
        self.0.len() == pathset.questions().count()
    }
}

/// Of the old answer, the new one, and what was asked: what differs, in order.
fn differing<'a>(
    pairs: impl Iterator<Item = (&'a Answer, &'a Answer, (u16, &'a LayerPath, Question))>,
) -> Vec<Difference> {
    let absent = absent();
    let differ = pairs.filter(|(old, new, _)| old != new);
    let mut all: Vec<Difference> = differ
        .map(|(old, new, (tree, path, question))| Difference {
            tree,
            path: path.clone(),
            question,
            is_new: *old == absent,
            is_gone: *new == absent,
        })
        .collect();
    // What came or went is otherwise in every way.
    let moved: BTreeSet<(u16, LayerPath)> = all
        .iter()
        .filter(|difference| difference.is_new || difference.is_gone)
        .map(|difference| (difference.tree, difference.path.clone()))
        .collect();
    all.retain(|difference| {
        let Difference { tree, path, question, .. } = difference;
        *question == Question::Node || !moved.contains(&(*tree, path.clone()))
    });
    let rank = |question| match question {
        Question::Content => 0,
        Question::Link => 1,
        Question::Node => 2,
        Question::List => 3,
    };
    all.sort_by(|a, b| (rank(a.question), a).cmp(&(rank(b.question), b)));
    all
}

/// Whether an answer says that there is nothing.
#[must_use]
pub fn is_absent(answer: &Answer) -> bool {
    *answer == absent()
}

/// What is said of a path where there is nothing.
fn absent() -> Answer {
    let mut hasher = Hasher(blake3::Hasher::new());
    hasher.tag(b"absent");
    hasher.finish()
}

fn answer(
    tree: Option<&dyn Tree>,
    path: &LayerPath,
    node: Option<&Node>,
    question: Question,
    blind: Option<Blind>,
) -> Result<Answer, TreeError> {
    let mut hasher = Hasher(blake3::Hasher::new());
    match (question, tree, node) {
        (Question::Node, _, None) => return Ok(absent()),
        (Question::Node, _, Some(node)) => put_node(&mut hasher, node, blind),
        (Question::List, Some(tree), Some(Node { kind: NodeKind::Directory, .. })) => {
            hasher.tag(b"list");
            for (name, node) in tree.list(path)? {
                hasher.bytes(&name);
                hasher.tag(type_of(&node.kind));
                if blind != Some(Blind::Links) {
                    put_links(&mut hasher, node.links.as_ref().map(|links| &links.first));
                }
            }
        }
        (Question::Link, _, Some(Node { kind: NodeKind::Symlink { target }, .. })) => {
            hasher.tag(b"link");
            hasher.bytes(target);
        }
        (Question::Content, Some(tree), Some(Node { kind: NodeKind::File { .. }, .. })) => {
            hasher.tag(b"content");
            hasher.bytes(tree.content(path)?.as_bytes());
        }
        (Question::List | Question::Link | Question::Content, ..) => hasher.tag(b"none"),
    }
    Ok(hasher.finish())
}

fn put_node(hasher: &mut Hasher, node: &Node, blind: Option<Blind>) {
    let Node { meta, kind, links } = node;
    let sees = |what| blind != Some(what);
    hasher.tag(type_of(kind));
    if sees(Blind::Mode) {
        hasher.number((meta.mode & 0o7777).into());
    }
    if sees(Blind::Owner) {
        hasher.number(meta.uid.into());
        hasher.number(meta.gid.into());
    }
    if sees(Blind::Time) && !node.is_dir() {
        hasher.bytes(&meta.mtime.secs.to_le_bytes());
    }
    match kind {
        NodeKind::File { size } if sees(Blind::Size) => hasher.number(*size),
        NodeKind::Symlink { target } => hasher.number(target.len() as u64),
        NodeKind::CharDevice { major, minor } | NodeKind::BlockDevice { major, minor }
            if sees(Blind::Device) =>
        {
            hasher.number((*major).into());
            hasher.number((*minor).into());
        }
        NodeKind::File { .. }
        | NodeKind::CharDevice { .. }
        | NodeKind::BlockDevice { .. }
        | NodeKind::Directory
        | NodeKind::Fifo
        | NodeKind::Socket => {}
    }
    if sees(Blind::Xattrs) {
        put_xattrs(hasher, &meta.xattrs);
    }
    if sees(Blind::Links) {
        put_links(hasher, links.as_ref().map(|Links { first, count: _ }| first));
        hasher.number(links.as_ref().map_or(1, |links| links.count).into());
    }
}

fn put_xattrs(hasher: &mut Hasher, xattrs: &Xattrs) {
    for (name, value) in xattrs.iter().filter(|(name, _)| !is_overlays(name)) {
        hasher.tag(b"xattr");
        hasher.bytes(name);
        hasher.bytes(value);
    }
}

fn put_links(hasher: &mut Hasher, first: Option<&LayerPath>) {
    match first {
        Some(first) => {
            hasher.tag(b"links");
            hasher.bytes(first.as_bytes());
        }
        None => hasher.tag(b"alone"),
    }
}

fn type_of(kind: &NodeKind) -> &'static [u8] {
    match kind {
        NodeKind::File { .. } => b"file",
        NodeKind::Directory => b"directory",
        NodeKind::Symlink { .. } => b"symlink",
        NodeKind::CharDevice { .. } => b"character",
        NodeKind::BlockDevice { .. } => b"block",
        NodeKind::Fifo => b"fifo",
        NodeKind::Socket => b"socket",
    }
}

/// Fields with their lengths, so that no two sequences look alike.
struct Hasher(blake3::Hasher);

impl Hasher {
    fn tag(&mut self, tag: &[u8]) {
        self.bytes(tag);
    }

    fn number(&mut self, number: u64) {
        self.bytes(&number.to_le_bytes());
    }

    fn bytes(&mut self, bytes: &[u8]) {
        self.0.update(&(bytes.len() as u64).to_le_bytes()).update(bytes);
    }

    fn finish(self) -> Answer {
        let hash = self.0.finalize();
        *hash.as_bytes().first_chunk().expect("a hash is longer")
    }
}
