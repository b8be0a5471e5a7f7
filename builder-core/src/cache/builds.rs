//! What the builds of one recipe did: the memory behind every "because".

use std::collections::HashSet;

use serde::{Deserialize, Serialize};

use super::Saw;
use crate::digest::{BlobDigest, CacheKey};

/// Most steps that are kept: builds that fail again and again under other
/// names would leave more and more.
const KEPT: usize = 10_000;

/// One step of an earlier build.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepRecord {
    /// Its stage.
    pub stage: String,
    /// Its display name.
    pub name: String,
    /// How many vertices of the stage stand before it.
    pub position: usize,
    /// The key that it had.
    pub key: CacheKey,
    /// The execution whose result it has, where it looked at its trees itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub saw: Option<Saw>,
    /// Whether it ran and failed, or was stopped.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub failed: bool,
}

/// The steps that the last build of a recipe came to, and whether it ended well.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BuildRecord {
    /// The steps, in plan order.
    pub steps: Vec<StepRecord>,
    /// The image of the last one that ended well.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<BlobDigest>,
}

impl BuildRecord {
    /// The step that most likely is the same one: equal stage and name, else
    /// one of the stage whose name the recipe (`named`, by stage and name) no
    /// longer has; of several the nearest. `None` for a step that is new.
    #[must_use]
    pub fn counterpart(
        &self,
        (stage, name, position): (&str, &str, usize),
        named: &dyn Fn(&str, &str) -> bool,
    ) -> Option<&StepRecord> {
        let nearest = |wanted: &dyn Fn(&StepRecord) -> bool| {
            let of_stage = self.steps.iter().filter(|step| step.stage == stage && wanted(step));
            of_stage.min_by_key(|step| step.position.abs_diff(position))
        };
        nearest(&|step| step.name == name)
            .or_else(|| nearest(&|step| !named(&step.stage, &step.name)))
    }

    /// Puts this build's steps over those of `older`: what is known of a step
    /// that this build did not come to stays. Of a stage that was `whole`, all
    /// of whose steps it came to, nothing older does.
    #[must_use]
    pub fn over(mut self, older: Option<Self>, whole: &dyn Fn(&str) -> bool) -> Self {
        let known: HashSet<(String, String)> =
            self.steps.iter().map(|step| (step.stage.clone(), step.name.clone())).collect();
        let Some(older) = older else { return self };
        self.image = self.image.or(older.image);
        for old in older.steps {
            let stays = !whole(&old.stage) && self.steps.len() < KEPT;
            if stays && !known.contains(&(old.stage.clone(), old.name.clone())) {
                self.steps.push(old);
            }
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(name: &str, position: usize) -> StepRecord {
        let key = CacheKey::from_bytes([u8::try_from(position).expect("small"); 32]);
        StepRecord {
            stage: "main".into(),
            name: name.into(),
            position,
            key,
            saw: None,
            failed: false,
        }
    }

    #[test]
    fn the_counterpart_is_found_by_name_then_among_those_that_are_gone() {
        let build =
            BuildRecord { steps: vec![step("a", 0), step("b", 1), step("a", 5)], image: None };
        let position = |name, at, now: &[&str]| {
            let named = |_: &str, name: &str| now.contains(&name);
            build.counterpart(("main", name, at), &named).map(|s| s.position)
        };
        assert_eq!(position("a", 4, &["a", "b"]), Some(5));
        assert_eq!(position("b", 9, &["a", "b"]), Some(1));
        // `b` was rewritten, and something was put above it.
        assert_eq!(position("b2", 2, &["x", "a", "b2"]), Some(1));
        assert_eq!(position("x", 0, &["x", "a", "b"]), None, "a step that is new");
        let other = build.counterpart(("other", "a", 0), &|_, _| false);
        assert_eq!(other, None);
    }

    #[test]
    fn steps_that_were_not_reached_keep_what_is_known() {
        let image = Some(BlobDigest::from_bytes([1; 32]));
        let older = || Some(BuildRecord { steps: vec![step("a", 0), step("b", 1)], image });
        let now = |steps: Vec<StepRecord>| BuildRecord { steps, image: None };
        let failed = now(vec![step("x", 0)]).over(older(), &|_| false);
        assert_eq!(failed.steps, vec![step("x", 0), step("a", 0), step("b", 1)]);
        assert_eq!(failed.image, image, "it made none");
        let again = now(vec![step("a", 3)]).over(older(), &|_| false);
        assert_eq!(again.steps, vec![step("a", 3), step("b", 1)]);
        let ended = now(vec![step("a", 0)]).over(older(), &|_| true);
        assert_eq!(ended.steps, vec![step("a", 0)]);
    }
}
