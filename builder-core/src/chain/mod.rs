//! The steps that an image was made of, to be taken to another base: what
//! `phoenix rebase` reads, and what lies beside an image for that.
//!
//! In: what each step does, what it was given, what it looked at, what it made.
//! Out: bytes for an artifact whose subject is the image ([`encode`]), and the
//! same read back ([`decode`]).
//!
//! | of | is told | never |
//! |---|---|---|
//! | a process | its operation, what it was given, what it asked and was told (hashes), its layer | values of secrets, proxies |
//! | a copy | its operation, what it asked of the tree that it changed, its layer | content, names of the host |
//! | another change of files | its operation, with content that the recipe itself holds | |
//! | the config | the change | |
//! | what is mounted or copied from | root's owner, kind and hash of each part | names and content |
//!
//! Invariant: bytes of anybody are read within bounds, and what is read makes
//! no promise: that the layers are the image's is for the reader to check
//! ([`Chain::layers`]), and nothing of it enters a cache.

mod format;
#[cfg(test)]
mod mutated;

use std::collections::{BTreeMap, BTreeSet};

pub use format::{ChainError, MAX_BYTES, decode, encode};
use serde::{Deserialize, Serialize};

use crate::digest::{CacheKey, DiffId};
use crate::layer::{Compression, LayerPath};
use crate::plan::key::Parts;
use crate::plan::op::{ConfigPatch, Exec, FileOp, HistoryLine};
use crate::view::observe::{Answers, Pathset, PathsetError};

/// The type of the artifact and of its payload.
pub const KIND: &str = "application/vnd.phoenix.steps.v2+json+zstd";

/// How an image was made from its base.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Chain {
    /// How many of the image's layers are the base's.
    pub base: usize,
    /// The constant that files get as their time.
    pub mtime: i64,
    /// How layers that steps made are compressed.
    pub compression: Compression,
    /// Annotations of the manifest that the recipe asks for.
    pub annotations: BTreeMap<String, String>,
    /// The secrets that were given to steps, by id.
    pub secrets: BTreeSet<String>,
    /// In order, from the base up.
    pub steps: Vec<Link>,
    /// Tests of the whole.
    pub tests: Vec<Link>,
}

/// A step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Link {
    /// Its display name.
    pub name: String,
    /// What the image's history says of it.
    pub history: HistoryLine,
    /// The stage that it was written in.
    pub stage: String,
    /// What it does.
    pub act: Act,
    /// The key that it had: whoever has the same makes the same. None for
    /// changes of the config.
    pub key: Option<CacheKey>,
    /// What it made.
    pub layer: Option<DiffId>,
    /// The execution behind that, for a process.
    pub execution: Option<CacheKey>,
    /// What it looked at; none where that was not recorded.
    pub seen: Option<Seen>,
    /// The working directory that the config had.
    pub cwd: String,
    /// The numbers of a copy's owner, where it names one.
    pub owner: Option<(u32, u32)>,
    /// What else it mounts or copies from, by number of the input.
    pub inputs: BTreeMap<usize, Input>,
}

/// The kinds of steps.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
pub enum Act {
    /// A process.
    Exec(Exec),
    /// A change of files.
    File(FileOp),
    /// A change of the config.
    Config(ConfigPatch),
}

/// What a step looked at. It is kept packed, as it may be anybody's and is
/// looked into one step at a time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Seen {
    /// What a process was given besides its trees; nothing for a copy.
    pub given: Parts,
    #[serde(with = "format::digits")]
    pathset: Vec<u8>,
    #[serde(with = "format::digits")]
    answers: Vec<u8>,
}

impl Seen {
    /// What was asked, and what was said.
    #[must_use]
    pub fn new(given: Parts, pathset: &Pathset, answers: &Answers) -> Self {
        Self { given, pathset: pathset.plain(), answers: answers.plain() }
    }

    /// The questions with an answer to each.
    ///
    /// # Errors
    /// [`PathsetError`] where they are not that.
    pub fn open(&self) -> Result<(Pathset, Answers), PathsetError> {
        let pathset = Pathset::from_plain(&self.pathset)?;
        let answers = Answers::from_plain(&self.answers)?;
        if answers.fit(&pathset) { Ok((pathset, answers)) } else { Err(PathsetError) }
    }
}

/// A tree that a step mounts or copies from, as far as that is known elsewhere.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Input {
    /// Mode, owner and group of its root.
    pub root: (u32, u32, u32),
    /// Whether anything in it may have extended attributes.
    pub xattrs: bool,
    /// The executions behind cache mounts that it brings along.
    pub caches: BTreeMap<String, BTreeSet<CacheKey>>,
    /// The parts of it that are mounted.
    pub parts: Vec<Part>,
}

/// A part of a tree that is mounted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Part {
    /// As the step names it.
    pub source: String,
    /// Where that is, without symbolic links.
    #[serde(with = "format::path")]
    pub path: LayerPath,
    /// Whether it is a directory.
    pub is_dir: bool,
    /// The hash of all that is in it.
    pub content: String,
}

impl Chain {
    /// The layers that its steps made, lowest first.
    pub fn layers(&self) -> impl Iterator<Item = DiffId> {
        self.steps.iter().filter_map(|step| step.layer)
    }
}
