//! What executions looked at, and what they made: records that are found by
//! what a process is given (its weak fingerprint), not by what its trees hold.
//!
//! In: fingerprints, questions and answers. Out: [`Observed`] records, newest
//! first. One process may have several: with other questions, or other answers
//! to the same ones. Questions and answers are kept apart from the records, as
//! many records share them.
//!
//! Invariant: what is read is checked: questions and answers against their hashes,
//! a record against the layer that it promises. So none of it need last.

use serde::{Deserialize, Serialize};

use super::{ANSWERS, Cache, CacheError, OBSERVED, Outcome, PATHSETS, Record, Saw, encode, parse};
use crate::digest::{CacheKey, DiffId, PathsetId, StrongFingerprint, WeakFingerprint};
use crate::view::observe::{Answers, Pathset};

/// Most records that are kept of one weak fingerprint.
const KEPT: usize = 16;

/// One execution of a process, and what it saw.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Observed {
    /// What it asked.
    pub pathset: PathsetId,
    /// With the answers that it got.
    pub strong: StrongFingerprint,
    /// The execution: its key.
    pub execution: CacheKey,
    /// What it made.
    pub record: Record,
    /// The layers of its root, lowest first.
    pub layers: Vec<DiffId>,
    /// For the base and for each step on it, how many of these there were then.
    #[serde(default)]
    pub marks: Vec<usize>,
}

impl Observed {
    /// The record as it stands for whatever would see the same.
    #[must_use]
    pub fn record_of(&self, weak: WeakFingerprint) -> Record {
        let Self { pathset, strong, execution, record, layers: _, marks: _ } = self;
        let (pathset, strong, execution) = (*pathset, *strong, *execution);
        Record { saw: Some(Saw { weak, pathset, strong, execution }), ..record.clone() }
    }
}

impl Cache {
    /// What is known of executions of a process, newest first. A record whose
    /// layer is gone is among them: [`Self::stands`] tells.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub fn observed(&self, weak: WeakFingerprint) -> Result<Vec<Observed>, CacheError> {
        let found: Option<Vec<Observed>> = self.read(OBSERVED, &weak.hex())?;
        if found.is_some() {
            self.store.touch_record(OBSERVED, &weak.hex());
        }
        Ok(found.unwrap_or_default())
    }

    /// Whether the store still has what a record promises.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub fn stands(&self, record: &Record) -> Result<bool, CacheError> {
        match record.outcome {
            Outcome::Layer(diff_id) => Ok(self.layer_prefer(diff_id, None)?.is_some()),
            Outcome::Nothing => Ok(true),
        }
    }

    /// Keeps an execution. Its layer must be durable.
    ///
    /// # Errors
    /// If the store cannot be written.
    pub fn save_observed(
        &self,
        weak: WeakFingerprint,
        observed: &Observed,
        pathset: &Pathset,
        answers: &Answers,
    ) -> Result<(), CacheError> {
        self.save_questions(observed, pathset, answers)?;
        let mut dropped = Vec::new();
        let change = |old: Option<Vec<u8>>| {
            let mut all: Vec<Observed> = old.and_then(|old| parse(&old)).unwrap_or_default();
            // The same questions with the same answers: the newer run counts.
            all.retain(|known| known.strong != observed.strong);
            all.insert(0, observed.clone());
            dropped = all.split_off(all.len().min(KEPT));
            Some(encode(&all))
        };
        self.store.update_note(OBSERVED, &weak.hex(), change)?;
        // Other processes may have asked the same; nobody had the same answers.
        let drop = |old: &Observed| self.store.remove_record(ANSWERS, &old.strong.hex());
        Ok(dropped.iter().try_for_each(drop)?)
    }

    fn save_questions(
        &self,
        observed: &Observed,
        pathset: &Pathset,
        answers: &Answers,
    ) -> Result<(), CacheError> {
        let (questions, said) = (observed.pathset.hex(), observed.strong.hex());
        // A damaged one is mended.
        self.store.put_note(PATHSETS, &questions, &pathset.encode())?;
        Ok(self.store.put_note(ANSWERS, &said, &answers.encode())?)
    }

    /// The questions of this identity; `None` where they are gone or damaged.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub fn pathset(&self, id: PathsetId) -> Result<Option<Pathset>, CacheError> {
        let bytes = self.store.get_record(PATHSETS, &id.hex())?;
        let found = bytes.and_then(|bytes| Pathset::decode(&bytes).ok());
        Ok(found.filter(|pathset| pathset.id() == id))
    }

    /// The answers that make up a fingerprint; `None` where they are gone or
    /// damaged.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub fn answers(
        &self,
        strong: StrongFingerprint,
        pathset: &Pathset,
    ) -> Result<Option<Answers>, CacheError> {
        let bytes = self.store.get_record(ANSWERS, &strong.hex())?;
        let found = bytes.and_then(|bytes| Answers::decode(&bytes).ok());
        Ok(found.filter(|answers| answers.strong(pathset) == strong))
    }
}
