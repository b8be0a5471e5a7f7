//! What the builds of one recipe did: the memory behind every "because".

use serde::{Deserialize, Serialize};

use crate::digest::CacheKey;

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
}

/// The steps that the last build of a recipe came to, and whether it ended well.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BuildRecord {
    /// The steps, in plan order.
    pub steps: Vec<StepRecord>,
}

impl BuildRecord {
    /// The step that most likely is the same one: equal stage and name (the
    /// nearest position if there are several), else equal stage and position.
    #[must_use]
    pub fn counterpart(&self, stage: &str, name: &str, position: usize) -> Option<&StepRecord> {
        let of_stage = || self.steps.iter().filter(|step| step.stage == stage);
        of_stage()
            .filter(|step| step.name == name)
            .min_by_key(|step| step.position.abs_diff(position))
            .or_else(|| of_stage().find(|step| step.position == position))
    }

    /// Puts this build's steps over those of `older`: a step that this build
    /// did not come to keeps what is known of it.
    #[must_use]
    pub fn over(mut self, older: Option<Self>) -> Self {
        let known = |steps: &[StepRecord], old: &StepRecord| {
            steps.iter().any(|new| new.stage == old.stage && new.position == old.position)
        };
        for old in older.into_iter().flat_map(|build| build.steps) {
            if !known(&self.steps, &old) {
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
        StepRecord { stage: "main".into(), name: name.into(), position, key }
    }

    #[test]
    fn the_counterpart_is_found_by_name_then_by_position() {
        let build = BuildRecord { steps: vec![step("a", 0), step("b", 1), step("a", 5)] };
        let position = |name, at| build.counterpart("main", name, at).map(|s| s.position);
        assert_eq!(position("a", 4), Some(5));
        assert_eq!(position("b", 9), Some(1));
        assert_eq!(position("new words", 1), Some(1));
        assert_eq!(position("new words", 7), None);
        assert_eq!(build.counterpart("other", "a", 0), None);
    }

    #[test]
    fn steps_that_were_not_reached_keep_what_is_known() {
        let older = BuildRecord { steps: vec![step("a", 0), step("b", 1)] };
        let merged = BuildRecord { steps: vec![step("a2", 0)] }.over(Some(older));
        assert_eq!(merged.steps, vec![step("a2", 0), step("b", 1)]);
    }
}
