//! What differs between two executions of a step.

use super::ExplainError;
use crate::cache::{Cache, PastBuild, PastStep, Saw};
use crate::digest::CacheKey;
use crate::plan::key::{Difference as Part, Parts};
use crate::view::observe::{Answers, Difference, Pathset, Question};

/// A part of what a process was given, or of a key, that differs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartChange {
    /// Which: `command`, `variable PATH`, `layer 3`.
    pub name: String,
    /// What it was; none where it was not there.
    pub then: Option<String>,
    /// What it is; none where it is gone.
    pub now: Option<String>,
}

/// A step as it is, against what it was in an earlier build.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Compared {
    /// The earlier build's number.
    pub build: u32,
    /// When it ended.
    pub at: i64,
    /// Its execution.
    pub execution: CacheKey,
    /// Both have the result of one and the same execution.
    pub same_execution: bool,
    /// What differs of what the process was given; of a step that was not
    /// watched, of all that its key holds.
    pub parts: Vec<PartChange>,
    /// The questions that both asked and that had other answers; none where the
    /// answers are not known (any more).
    pub differences: Option<Vec<Difference>>,
    /// Paths that only the earlier one asked about.
    pub only_then: usize,
    /// Paths that only the later one asks about.
    pub only_now: usize,
}

/// Compares `now` with its counterpart in `build`.
pub(super) fn compare(
    cache: &Cache,
    now: &PastStep,
    build: &PastBuild,
) -> Result<Compared, ExplainError> {
    let Some(then) = build.counterpart(now) else {
        return Err(ExplainError::NotInBuild { build: build.number, step: now.name.clone() });
    };
    let (old, new) = (execution(then), execution(now));
    let mut compared = Compared {
        build: build.number,
        at: build.at,
        execution: old,
        same_execution: old == new,
        parts: Vec::new(),
        differences: None,
        only_then: 0,
        only_now: 0,
    };
    match (&then.saw, &now.saw) {
        (Some(old), Some(new)) => {
            compared.parts = changes(cache.weak_parts(new.weak)?, cache.weak_parts(old.weak)?);
            if let (Some(old), Some(new)) = (answers(cache, old)?, answers(cache, new)?) {
                compared.of_answers(&old, &new);
            }
        }
        _ => compared.parts = changes(cache.parts(now.key)?, cache.parts(then.key)?),
    }
    Ok(compared)
}

/// The execution behind a step.
pub(super) fn execution(step: &PastStep) -> CacheKey {
    step.saw.as_ref().map_or(step.key, |saw| saw.execution)
}

/// The questions of an execution with their answers, while they are kept.
pub(super) fn answers(
    cache: &Cache,
    saw: &Saw,
) -> Result<Option<(Pathset, Answers)>, ExplainError> {
    let Some(pathset) = cache.pathset(saw.pathset)? else { return Ok(None) };
    let answers = cache.answers(saw.strong, &pathset)?;
    Ok(answers.map(|answers| (pathset, answers)))
}

impl Compared {
    fn of_answers(&mut self, old: &(Pathset, Answers), new: &(Pathset, Answers)) {
        let mut differences = old.1.differences_of_both(&old.0, (&new.1, &new.0));
        // What is new is told of the name, not again of what is in it.
        let named = |d: &Difference| d.question != Question::Node && (d.is_new || d.is_gone);
        differences.retain(|difference| !named(difference));
        self.differences = Some(differences);
        let only = |a: &Pathset, b: &Pathset| {
            let asked = |(tree, path, _)| b.asked(tree, path).questions().next().is_some();
            a.iter().filter(|place| !asked(*place)).count()
        };
        (self.only_then, self.only_now) = (only(&old.0, &new.0), only(&new.0, &old.0));
    }
}

fn changes(new: Option<Parts>, old: Option<Parts>) -> Vec<PartChange> {
    let (Some(new), Some(old)) = (new, old) else { return Vec::new() };
    let change = |part: Part<'_>| {
        let (name, then, now) = match part {
            Part::Changed { name, old, new } => (name, Some(old), Some(new)),
            Part::Added { name, new } => (name, None, Some(new)),
            Part::Removed { name, old } => (name, Some(old), None),
        };
        let text = |value: Option<&str>| value.map(str::to_owned);
        PartChange { name: name.to_owned(), then: text(then), now: text(now) }
    };
    new.differences(&old).map(change).collect()
}
