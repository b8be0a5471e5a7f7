//! Which step of a recipe a person means.
//!
//! In: the last builds, and a text. Out: one step of them, or why not. A text is
//! the step's whole name, `STAGE/NAME`, its number in the list, or a part of its
//! name that no other has; the first of these that fits counts.

use std::collections::BTreeSet;

use super::ExplainError;
use crate::cache::{History, PastBuild, PastStep};
use crate::frontend::closest;

/// The steps of a recipe as its last builds had them.
#[derive(Debug, Clone)]
pub struct Steps<'a> {
    all: Vec<(&'a PastBuild, &'a PastStep)>,
}

/// One of them.
#[derive(Debug, Clone, Copy)]
pub struct WhichStep<'a> {
    /// Its number in the list, from 1.
    pub number: usize,
    /// The build that it was in last.
    pub build: &'a PastBuild,
    /// What became of it there.
    pub step: &'a PastStep,
}

impl<'a> Steps<'a> {
    /// Those of the newest build; and of stages that it did not come to, or did
    /// not come to the end of, those of the last good one that did.
    #[must_use]
    pub fn of(history: &'a History) -> Self {
        let mut all: Vec<(&PastBuild, &PastStep)> = Vec::new();
        let mut whole: BTreeSet<&str> = BTreeSet::new();
        for (at, build) in history.builds.iter().enumerate() {
            if at > 0 && build.image.is_none() {
                continue;
            }
            let is_new = |step: &&PastStep| {
                let known = |(_, known): &(&PastBuild, &PastStep)| {
                    known.stage == step.stage && known.name == step.name
                };
                !whole.contains(step.stage.as_str()) && !all.iter().any(known)
            };
            let new: Vec<_> = match at {
                // It may have several of one name.
                0 => build.steps.iter().collect(),
                _ => build.steps.iter().filter(is_new).collect(),
            };
            all.extend(new.into_iter().map(|step| (build, step)));
            if build.image.is_some() {
                whole.extend(build.steps.iter().map(|step| step.stage.as_str()));
            }
        }
        Self { all }
    }

    /// All of them, in order.
    pub fn iter(&self) -> impl Iterator<Item = WhichStep<'a>> {
        let number = |(at, (build, step)): (usize, &(&'a PastBuild, &'a PastStep))| WhichStep {
            number: at + 1,
            build,
            step,
        };
        self.all.iter().enumerate().map(number)
    }

    /// The one that `wanted` means.
    ///
    /// # Errors
    /// [`ExplainError::NoStep`] or [`ExplainError::SeveralSteps`].
    pub fn find(&self, wanted: &str) -> Result<WhichStep<'a>, ExplainError> {
        let full = |step: &PastStep| format!("{}/{}", step.stage, step.name);
        let number = wanted.parse::<usize>().ok();
        let ways: [&dyn Fn(&WhichStep<'a>) -> bool; 4] = [
            &|which| which.step.name == wanted,
            &|which| full(which.step) == wanted,
            &|which| Some(which.number) == number,
            &|which| full(which.step).contains(wanted),
        ];
        for way in ways {
            let found: Vec<WhichStep<'a>> = self.iter().filter(|which| way(which)).collect();
            match found[..] {
                [] => {}
                [one] => return Ok(one),
                _ => {
                    let name =
                        |which: &WhichStep<'_>| format!("{} ({})", which.number, full(which.step));
                    let names = found.iter().map(name).collect();
                    return Err(ExplainError::SeveralSteps { wanted: wanted.to_owned(), names });
                }
            }
        }
        let names = self.all.iter().map(|(_, step)| step.name.as_str());
        let similar = closest(wanted, names).map(str::to_owned);
        Err(ExplainError::NoStep { wanted: wanted.to_owned(), similar })
    }
}

#[cfg(test)]
mod tests {
    use super::super::step::tests::{build, step};
    use super::*;

    #[test]
    fn a_step_is_meant_by_name_number_or_a_part_that_no_other_has() {
        let steps = vec![
            step("main", "from root"),
            step("main", "run `make all`"),
            step("main", "run `make test`"),
            step("web", "3"),
            step("web", "run `make all`"),
        ];
        let history = History { builds: vec![build(1, true, steps)] };
        let steps = Steps::of(&history);
        let number = |wanted: &str| steps.find(wanted).map(|which| which.number);
        assert_eq!(number("from root").ok(), Some(1));
        assert_eq!(number("3").ok(), Some(4), "a name counts before a number");
        assert_eq!(number("2").ok(), Some(2));
        assert_eq!(number("make test").ok(), Some(3));
        assert_eq!(number("web/run `make all`").ok(), Some(5));
        assert_eq!(number("web/run").ok(), Some(5));
        let several = |wanted: &str| matches!(number(wanted), Err(ExplainError::SeveralSteps { names, .. }) if names.len() == 2);
        assert!(several("run `make all`") && several("all"));
        let Err(ExplainError::NoStep { similar, .. }) = number("from rot") else { panic!("none") };
        assert_eq!(similar.as_deref(), Some("from root"));
        assert!(matches!(number("9"), Err(ExplainError::NoStep { .. })));
        assert!(matches!(number(""), Err(ExplainError::SeveralSteps { .. })));
    }

    #[test]
    fn of_a_build_that_failed_the_steps_behind_are_those_of_the_last_good_one() {
        let good = build(1, true, ["a", "b", "c"].map(|name| step("main", name)).into());
        let failed = build(2, false, ["a", "b2"].map(|name| step("main", name)).into());
        let history = History { builds: vec![failed, good] };
        let all: Vec<(u32, String)> = Steps::of(&history)
            .iter()
            .map(|which| (which.build.number, which.step.name.clone()))
            .collect();
        let wanted = [(2, "a"), (2, "b2"), (1, "b"), (1, "c")];
        assert_eq!(all, wanted.map(|(build, name)| (build, name.to_owned())));
        assert_eq!(Steps::of(&History::default()).iter().count(), 0);
    }

    #[test]
    fn stages_that_the_newest_build_did_not_come_to_are_told_of_too() {
        let steps = |stage: &str, names: &[&str]| -> Vec<PastStep> {
            names.iter().map(|name| step(stage, name)).collect()
        };
        let history = History {
            builds: vec![
                build(4, true, steps("dev", &["d", "d"])),
                build(3, false, steps("main", &["gone"])),
                build(2, true, steps("main", &["a", "b"])),
                build(1, true, [steps("main", &["old"]), steps("test", &["t"])].concat()),
            ],
        };
        let names: Vec<&str> =
            Steps::of(&history).iter().map(|which| which.step.name.as_str()).collect();
        assert_eq!(names, ["d", "d", "a", "b", "t"]);
    }
}
