//! Whether an execution that saw the same stands, and what it sees otherwise.
//!
//! In: a process with the trees that it would see. Out: an earlier execution of
//! the same process to which these trees would have said the same, or how they
//! differ from what the nearest one was told. Nothing is read, mounted or run:
//! questions are answered from tables of contents.

use std::collections::BTreeMap;

use super::error::StepCause;
use super::session::Session;
use crate::cache::{Observed, Outcome, Record};
use crate::digest::{CacheKey, DiffId, PathsetId, WeakFingerprint};
use crate::exec::Shown;
use crate::plan::key::Parts;
use crate::view::observe::{Answers, Difference, Pathset};

/// A process as it would run now.
pub(super) struct Process {
    pub weak: WeakFingerprint,
    pub parts: Parts,
    pub shown: Shown,
}

/// What is known of earlier executions of a process.
pub(super) enum Sight {
    /// This one saw exactly what it would see now.
    Same(Box<Observed>),
    /// So did this one, but its result was removed since.
    Evicted,
    /// None did: the nearest one, and how its answers differ, most telling first.
    Differs(Box<Observed>, Vec<Difference>),
    /// There is none.
    Never,
}

impl Sight {
    /// What the execution that saw the same made.
    pub(super) fn outcome(&self) -> Option<Outcome> {
        match self {
            Self::Same(observed) => Some(observed.record.outcome),
            Self::Evicted | Self::Differs(..) | Self::Never => None,
        }
    }
}

impl Process {
    pub(super) fn new(parts: Parts, shown: Shown) -> Self {
        let weak = WeakFingerprint::from_bytes(*parts.key().as_bytes());
        Self { weak, parts, shown }
    }

    /// Looks for an execution that stands, the newest first. `nearest` is the
    /// one that a difference is told of, if it is known; `except` is passed over.
    pub(super) fn look(
        &self,
        session: &Session<'_>,
        nearest: Option<CacheKey>,
        except: Option<CacheKey>,
    ) -> Result<Sight, StepCause> {
        let mut known = session.cache.observed(self.weak)?;
        known.retain(|observed| Some(observed.execution) != except);
        // Records with the same questions share one evaluation.
        let mut asked: BTreeMap<PathsetId, Option<(Pathset, Answers)>> = BTreeMap::new();
        let mut evicted = false;
        for observed in &known {
            let id = observed.pathset;
            if let std::collections::btree_map::Entry::Vacant(place) = asked.entry(id) {
                place.insert(self.ask(session, id)?);
            }
            let Some(Some((pathset, answers))) = asked.get(&id) else { continue };
            if answers.strong(pathset) != observed.strong {
                continue;
            }
            if session.cache.stands(&observed.record)? {
                return Ok(Sight::Same(Box::new(observed.clone())));
            }
            evicted = true;
        }
        if evicted {
            return Ok(Sight::Evicted);
        }
        let is_nearest = |observed: &&Observed| Some(observed.execution) == nearest;
        let Some(observed) = known.iter().find(is_nearest).or(known.first()) else {
            return Ok(Sight::Never);
        };
        let Some(Some((pathset, now))) = asked.get(&observed.pathset) else {
            return Ok(Sight::Never);
        };
        match session.cache.answers(observed.strong, pathset)? {
            Some(then) => {
                let differences = then.differences(now, pathset);
                Ok(Sight::Differs(Box::new(observed.clone()), differences))
            }
            None => Ok(Sight::Never),
        }
    }

    /// Whether an earlier execution stands.
    pub(super) fn stands(&self, session: &Session<'_>) -> Result<bool, StepCause> {
        Ok(matches!(self.look(session, None, None)?, Sight::Same(_)))
    }

    /// Whether this execution saw what the process would see now.
    pub(super) fn saw(
        &self,
        session: &Session<'_>,
        observed: &Observed,
    ) -> Result<bool, StepCause> {
        let asked = self.ask(session, observed.pathset)?;
        Ok(asked.is_some_and(|(pathset, answers)| answers.strong(&pathset) == observed.strong))
    }

    /// What the trees of now say to questions of then; `None` where the
    /// questions are gone, or a tree cannot answer.
    fn ask(
        &self,
        session: &Session<'_>,
        id: PathsetId,
    ) -> Result<Option<(Pathset, Answers)>, StepCause> {
        let Some(pathset) = session.cache.pathset(id)? else { return Ok(None) };
        // What it would meet is told when it runs.
        let Ok(answers) = Answers::of(&pathset, &self.shown.trees, session.blind) else {
            return Ok(None);
        };
        Ok(Some((pathset, answers)))
    }

    /// Keeps what an execution saw, and what it made.
    pub(super) fn save(
        &self,
        session: &Session<'_>,
        pathset: &Pathset,
        (execution, record): (CacheKey, Record),
        (layers, marks): (Vec<DiffId>, Vec<usize>),
    ) -> Result<Option<Observed>, StepCause> {
        let Ok(answers) = Answers::of(pathset, &self.shown.trees, session.blind) else {
            return Ok(None);
        };
        let (strong, id) = (answers.strong(pathset), pathset.id());
        let observed = Observed { pathset: id, strong, execution, record, layers, marks };
        session.cache.save_weak(self.weak, &self.parts)?;
        session.cache.save_observed(self.weak, &observed, pathset, &answers)?;
        Ok(Some(observed))
    }
}
