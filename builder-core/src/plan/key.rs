//! Cache keys: what a vertex's work depends on, by name.
//!
//! | enters every key | where from |
//! |---|---|
//! | version of encoding and behaviour | [`KEY_VERSION`] |
//! | platform | the request |
//! | modification time constant | [`Plan::mtime`](super::Plan::mtime) |
//!
//! | enters an exec's key | |
//! |---|---|
//! | command, network, mounts, kind | the operation |
//! | environment, user, working directory | the operation over the state's config |
//! | root file system | the state's layers by diffID |
//! | bind mounts | content of the mounted tree, with the times that it shows |
//! | cache mounts | keys of the ancestors' executions that mounted the same id |
//! | presence of each secret and agent | the request |
//! | security, hosts, host name, size of /dev/shm, limits, where they are not the usual ones | the operation |
//!
//! | enters a file operation's key | |
//! |---|---|
//! | every entry of the layer it would write | the operation over what it touches |
//!
//! | never enters a key |
//! |---|
//! | times of files, tags, host paths, host names, values of secrets, contents of cache mounts, labels and other config that a process cannot see, time limits, proxies |
//!
//! The parts are kept beside the hash, so that every miss can name the part
//! that differs, the old value and the new one.

use serde::{Deserialize, Serialize};

use super::encode::Encoder;
use crate::digest::CacheKey;

/// Raised whenever the same parts may lead to another result than before.
pub const KEY_VERSION: u32 = 1;

/// Longest text that is kept of a part for messages; longer ones are hashed.
const KEPT: usize = 400;

/// What a kept hash begins with.
const HASHED: &str = "blake3:";

/// One named part of a key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    /// What it is: `command`, `env PATH`, `layer 3`, `file src/main.rs`.
    pub name: String,
    /// Its value, or the hash of it where it is long.
    pub value: String,
}

/// The parts of a key, in order.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Parts(Vec<Part>);

impl Parts {
    /// No parts yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a part. The whole of `value` counts, whatever is kept of it. A short
    /// text that looks like the hash of a long one is hashed too, so that it is
    /// never taken for that.
    pub fn push(&mut self, name: impl Into<String>, value: impl AsRef<str>) {
        let value = value.as_ref();
        let value = if value.len() <= KEPT && !value.starts_with(HASHED) {
            value.to_owned()
        } else {
            format!("{HASHED}{}", blake3::hash(value.as_bytes()).to_hex())
        };
        self.0.push(Part { name: name.into(), value });
    }

    /// The parts, in order.
    #[must_use]
    pub fn as_slice(&self) -> &[Part] {
        &self.0
    }

    /// The hash of all parts.
    #[must_use]
    pub fn key(&self) -> CacheKey {
        let mut encoder = Encoder::default();
        encoder.number(u64::from(KEY_VERSION)).number(self.0.len() as u64);
        for Part { name, value } in &self.0 {
            encoder.text(name).text(value);
        }
        CacheKey::from_bytes(encoder.finish())
    }

    /// The first part that differs from `old`, with what it was; `None` if
    /// they are equal. Parts are matched by name, so an inserted one does not
    /// make all that follow differ.
    #[must_use]
    pub fn first_difference<'a>(&'a self, old: &'a Self) -> Option<Difference<'a>> {
        self.differences(old).next()
    }

    /// All parts that differ, those that are gone last.
    pub fn differences<'a>(&'a self, old: &'a Self) -> impl Iterator<Item = Difference<'a>> {
        let find = |parts: &'a Self, name: &str| parts.0.iter().find(|part| part.name == name);
        let changed = self.0.iter().filter_map(move |new| match find(old, &new.name) {
            Some(old) if old.value == new.value => None,
            Some(old) => {
                Some(Difference::Changed { name: &new.name, old: &old.value, new: &new.value })
            }
            None => Some(Difference::Added { name: &new.name, new: &new.value }),
        });
        let gone = old.0.iter().filter(move |old| find(self, &old.name).is_none());
        changed.chain(gone.map(|old| Difference::Removed { name: &old.name, old: &old.value }))
    }
}

/// How two lists of parts differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Difference<'a> {
    /// Both have it, with other values.
    Changed {
        /// The part.
        name: &'a str,
        /// Its value then.
        old: &'a str,
        /// Its value now.
        new: &'a str,
    },
    /// Only the new one has it.
    Added {
        /// The part.
        name: &'a str,
        /// Its value now.
        new: &'a str,
    },
    /// Only the old one has it.
    Removed {
        /// The part.
        name: &'a str,
        /// Its value then.
        old: &'a str,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(list: &[(&str, &str)]) -> Parts {
        let mut parts = Parts::new();
        for (name, value) in list {
            parts.push(*name, value);
        }
        parts
    }

    #[test]
    fn moving_text_between_parts_changes_the_key() {
        assert_ne!(parts(&[("a", "bc")]).key(), parts(&[("ab", "c")]).key());
        assert_ne!(parts(&[("a", "b"), ("c", "")]).key(), parts(&[("a", "b")]).key());
        let (long, longer) = ("x".repeat(1000), "x".repeat(1001));
        assert_ne!(parts(&[("a", &long)]).key(), parts(&[("a", &longer)]).key());
        let kept = parts(&[("a", &long)]).as_slice()[0].value.clone();
        assert_ne!(parts(&[("a", &long)]).key(), parts(&[("a", &kept)]).key());
    }

    #[test]
    fn the_difference_names_the_part() {
        let old = parts(&[("command", "make"), ("layer 1", "x")]);
        let new = parts(&[("command", "make"), ("env A", "1"), ("layer 1", "x")]);
        assert_eq!(new.first_difference(&old), Some(Difference::Added { name: "env A", new: "1" }));
        assert_eq!(
            old.first_difference(&new),
            Some(Difference::Removed { name: "env A", old: "1" })
        );
        assert_eq!(old.first_difference(&old), None);
    }
}
