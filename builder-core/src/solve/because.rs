//! Gathers why a step runs: what it was before, and what is otherwise now.

use super::decide::Miss;
use super::detail::detail;
use super::error::StepCause;
use super::observed::{Process, Sight};
use super::reason::{Facts, reason};
use super::report::Detail;
use super::step::Step;
use crate::digest::CacheKey;
use crate::plan::key::Parts;
use crate::plan::op::{Op, Trace};
use crate::view::observe::Difference;

/// Why a step runs.
pub(super) struct Because {
    /// In one sentence.
    pub reason: String,
    /// What it would see otherwise than an earlier execution, most telling first.
    pub differences: Vec<Difference>,
    /// How the first of these came to be.
    pub detail: Option<Detail>,
}

impl Step<'_> {
    /// Why this step, of these parts on these layers, runs.
    pub(super) fn because(
        &self,
        miss: &Miss,
        key: CacheKey,
        (new, origins): (&Parts, &[String]),
        sight: Option<(&Process, &Sight)>,
    ) -> Result<Because, StepCause> {
        let cache = self.session.cache;
        let earlier = self.earlier();
        let old = earlier.map(|step| cache.parts(step.key)).transpose()?.flatten();
        // Where its process was given something else, that is told first.
        let given = match sight {
            Some((process, Sight::Never)) => earlier
                .and_then(|step| step.saw.as_ref())
                .filter(|saw| saw.weak != process.weak)
                .map(|saw| cache.weak_parts(saw.weak))
                .transpose()?
                .flatten()
                .map(|old| (&process.parts, old)),
            _ => None,
        };
        let unwatched = self.unwatched();
        let mut facts = Facts {
            new,
            old: old.as_ref(),
            origins,
            given: None,
            seen: None,
            gone: None,
            unwatched: unwatched.as_deref(),
        };
        facts.given = given.as_ref().map(|(new, old)| (*new, old));
        if *miss == Miss::NoRecord {
            facts.gone = self.gone(key)?;
        }
        let mut differences = Vec::new();
        let (mut found, mut place) = (None, None);
        if let (Miss::NoRecord, Some((process, Sight::Differs(then, all)))) = (miss, sight)
            && let Some(first) = all.first()
        {
            let shown = &process.shown;
            let tree = shown.trees.get(&first.tree);
            found = tree.and_then(|now| detail(self.session, then, first, &**now));
            place = shown.seen_at(first.tree, &first.path).map(|path| path.display());
            differences.clone_from(all);
        }
        facts.seen = sight.map(|(_, sight)| (sight, place.as_deref(), found.as_ref()));
        Ok(Because { reason: reason(miss, &facts), differences, detail: found })
    }
    /// Why what its process looks at is not recorded, if that is so.
    fn unwatched(&self) -> Option<String> {
        match &self.vertex.op {
            Op::Exec(exec) if exec.trace == Trace::Off => Some("trace: off".to_owned()),
            Op::Exec(_) => self.session.executor.observes().err(),
            _ => None,
        }
    }
}
