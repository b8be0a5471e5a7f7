//! What the last builds of a recipe did and why: the memory behind `explain`.
//!
//! In: a build as it ended. Out: [`History`], the newest build first. It is
//! kept beside [`BuildRecord`](super::BuildRecord), which every build reads: this is
//! read by who asks, and written by builds in which something happened.
//!
//! Invariant: it is bounded by builds and by steps, and builds that end at the
//! same time are all in it, each with a number of its own.

use serde::{Deserialize, Serialize};

use super::{Cache, CacheError, HISTORY, Saw, encode, parse, recipe_name};
use crate::digest::{BlobDigest, CacheKey, ChainId, DiffId};
use crate::view::observe::{Difference, Question};

/// Most builds that are kept of a recipe.
const KEPT: usize = 20;
/// Most steps of all those together; the newest build is kept whole.
const KEPT_STEPS: usize = 20_000;
/// Most causes that are kept of a step.
const KEPT_CAUSES: usize = 16;
/// The most that is read of a history, uncompressed, in bytes.
const LIMIT: usize = 256 << 20;
/// A fast one: a build waits for it.
const ZSTD_LEVEL: i32 = 1;

/// What became of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Ended {
    /// Its result stood: nothing of its input had changed.
    Cached,
    /// Its result stood: it looked at nothing of what had changed.
    Reused,
    /// It was executed.
    Ran,
    /// It was executed and failed.
    Failed,
    /// It was stopped, as the build ended early.
    Stopped,
}

/// What kind of work a step is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Work {
    /// A process, whose writes are kept.
    Process,
    /// A process that tests.
    Test,
    /// A change of files by Phoenix itself.
    Files,
    /// Something that is brought in.
    Source,
}

/// A question whose answer was another than before, as it is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cause {
    /// Which tree: 0 is the root, the others are mounts.
    #[serde(default, skip_serializing_if = "is_root")]
    pub tree: u16,
    /// The path, for people.
    pub path: String,
    /// What was asked.
    pub question: Question,
    /// Whether there was nothing before.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_new: bool,
    /// Whether there was nothing any more.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_gone: bool,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
fn is_root(tree: &u16) -> bool {
    *tree == 0
}

impl From<&Difference> for Cause {
    fn from(difference: &Difference) -> Self {
        let Difference { tree, path, question, is_new, is_gone } = difference;
        Self {
            tree: *tree,
            path: path.display(),
            question: *question,
            is_new: *is_new,
            is_gone: *is_gone,
        }
    }
}

/// One step of an earlier build.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PastStep {
    /// Its stage.
    pub stage: String,
    /// Its display name.
    pub name: String,
    /// How many vertices of the stage stand before it.
    pub position: usize,
    /// What it is.
    pub work: Work,
    /// The key that it had.
    pub key: CacheKey,
    /// What became of it.
    pub ended: Ended,
    /// Why, in one sentence.
    pub reason: String,
    /// For one that ran since what it looks at changed: the first such paths.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub causes: Vec<Cause>,
    /// How many there were in all.
    #[serde(default)]
    pub causes_in_all: usize,
    /// When the run behind its result began, in seconds since the Unix epoch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ran_at: Option<i64>,
    /// How long it took in this build.
    pub duration_ms: u64,
    /// The layer that it has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub layer: Option<DiffId>,
    /// The layers that it stood on, where it is a process.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on: Option<ChainId>,
    /// The execution whose result it has, where that was watched.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub saw: Option<Saw>,
}

impl PastStep {
    /// Notes why it ran: the first of `differences`.
    pub fn because(&mut self, differences: &[Difference]) {
        self.causes = differences.iter().take(KEPT_CAUSES).map(Cause::from).collect();
        self.causes_in_all = differences.len();
    }
}

/// One earlier build.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PastBuild {
    /// Its number among the builds of its recipe, from 1; given when it is kept.
    pub number: u32,
    /// When it ended, in seconds since the Unix epoch.
    pub at: i64,
    /// The image that it made; none where it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<BlobDigest>,
    /// The steps that it came to, in plan order.
    pub steps: Vec<PastStep>,
}

impl PastBuild {
    /// Whether nothing happened in it.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.steps.iter().all(|step| step.ended == Ended::Cached)
    }

    /// The step that most likely is `step` of another build: equal stage and
    /// name, of several the nearest.
    #[must_use]
    pub fn counterpart(&self, step: &PastStep) -> Option<&PastStep> {
        let same = self.steps.iter().filter(|s| s.stage == step.stage && s.name == step.name);
        same.min_by_key(|same| same.position.abs_diff(step.position))
    }
}

/// The last builds of one recipe.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct History {
    /// The newest first.
    pub builds: Vec<PastBuild>,
}

impl History {
    /// Adds a build under the next number, and drops those that are too many.
    pub fn add(&mut self, mut build: PastBuild) {
        build.number = self.builds.first().map_or(1, |newest| newest.number.saturating_add(1));
        self.builds.insert(0, build);
        // However often it failed since, the last image can be asked about.
        let good = self.builds.iter().find(|build| build.image.is_some());
        let good = good.map(|build| build.number);
        let (mut steps, mut place) = (0, 0);
        self.builds.retain(|build| {
            steps += build.steps.len();
            place += 1;
            let fits = place <= KEPT && steps <= KEPT_STEPS;
            place == 1 || fits || Some(build.number) == good
        });
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let size = zstd::zstd_safe::get_frame_content_size(bytes).ok().flatten()?;
        let size = usize::try_from(size).ok().filter(|size| *size <= LIMIT)?;
        parse(&zstd::bulk::decompress(bytes, size).ok()?)
    }

    fn to_bytes(&self) -> Vec<u8> {
        let compressed = zstd::bulk::compress(&encode(self), ZSTD_LEVEL);
        compressed.expect("memory is there to compress into")
    }
}

impl Cache {
    /// What the last builds of this recipe did. What cannot be read counts as
    /// absent: it was written by another version.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub fn history(&self, recipe: &str) -> Result<History, CacheError> {
        self.history_named(&recipe_name(recipe))
    }

    /// The histories of all recipes.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub fn histories(&self) -> Result<Vec<History>, CacheError> {
        let names = self.store.list_records(HISTORY)?;
        names.iter().map(|name| self.history_named(name)).collect()
    }

    pub(super) fn history_named(&self, name: &str) -> Result<History, CacheError> {
        let bytes = self.store.get_record(HISTORY, name)?;
        Ok(bytes.and_then(|bytes| History::from_bytes(&bytes)).unwrap_or_default())
    }

    /// Keeps a build as the newest of its recipe.
    ///
    /// # Errors
    /// If the store cannot be written.
    pub fn add_build(&self, recipe: &str, build: PastBuild) -> Result<(), CacheError> {
        let change = |old: Option<Vec<u8>>| {
            let mut history = old.and_then(|old| History::from_bytes(&old)).unwrap_or_default();
            history.add(build);
            Some(history.to_bytes())
        };
        Ok(self.store.update_record(HISTORY, &recipe_name(recipe), change)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Store;

    fn step(name: &str, ended: Ended) -> PastStep {
        PastStep {
            stage: "main".into(),
            name: name.into(),
            position: 0,
            work: Work::Process,
            key: CacheKey::from_bytes([1; 32]),
            ended,
            reason: "because".into(),
            causes: Vec::new(),
            causes_in_all: 0,
            ran_at: Some(5),
            duration_ms: 7,
            layer: None,
            on: None,
            saw: None,
        }
    }

    fn build(steps: usize) -> PastBuild {
        let steps = (0..steps).map(|at| step(&at.to_string(), Ended::Ran)).collect();
        PastBuild { steps, ..PastBuild::default() }
    }

    #[test]
    fn only_so_many_builds_and_steps_are_kept_and_the_newest_whole() {
        let mut history = History::default();
        (0..50).for_each(|_| history.add(build(2)));
        let numbers: Vec<u32> = history.builds.iter().map(|build| build.number).collect();
        assert_eq!(numbers, (31..=50).rev().collect::<Vec<_>>());
        let image = Some(BlobDigest::from_bytes([1; 32]));
        history.add(PastBuild { image, ..build(1) });
        (0..50).for_each(|_| history.add(build(2)));
        let good = history.builds.last().expect("some");
        assert_eq!((history.builds.len(), good.number, good.image), (KEPT + 1, 51, image));
        history.builds.pop();
        history.add(build(KEPT_STEPS + 1));
        assert_eq!(history.builds.len(), 1);
        history.add(build(1));
        let sizes: Vec<usize> = history.builds.iter().map(|build| build.steps.len()).collect();
        assert_eq!(sizes, [1]);
        assert_eq!(history.builds[0].number, 103);
    }

    #[test]
    fn builds_that_end_at_the_same_time_are_all_kept_and_bytes_of_others_are_none() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let cache = Cache::new(Store::open(&dir.path().join("store")).expect("a store"));
        assert_eq!(cache.history("r").expect("read"), History::default());
        std::thread::scope(|scope| {
            for at in 0..8 {
                let cache = cache.clone();
                scope.spawn(move || {
                    cache.add_build("r", PastBuild { at, ..build(1) }).expect("kept");
                });
            }
        });
        let history = cache.history("r").expect("read");
        let mut times: Vec<i64> = history.builds.iter().map(|build| build.at).collect();
        times.sort_unstable();
        assert_eq!(times, (0..8).collect::<Vec<_>>());
        assert_eq!(cache.histories().expect("read"), std::slice::from_ref(&history));
        let good = history.to_bytes();
        for at in 0..good.len() {
            let mut bad = good.clone();
            bad[at] ^= 0x55;
            let _ = History::from_bytes(&bad);
            assert_eq!(History::from_bytes(&good[..at]), None);
        }
    }

    #[test]
    fn many_steps_take_little_room() {
        let mut history = History::default();
        for number in 0..20 {
            let mut steps = Vec::new();
            for at in 0..30_u8 {
                let key = CacheKey::from_bytes(*blake3::hash(&[at]).as_bytes());
                let ended = if at > 20 { Ended::Ran } else { Ended::Cached };
                let mut step = step(&format!("run `make {at}`"), ended);
                (step.key, step.ran_at) = (key, Some(number));
                steps.push(step);
            }
            history.add(PastBuild { steps, at: number, ..PastBuild::default() });
        }
        assert!(history.to_bytes().len() < 20 << 10, "{}", history.to_bytes().len());
    }

    #[test]
    fn a_step_is_found_again_by_stage_and_name_near_its_place() {
        let mut past = build(3);
        past.steps[2].name = "0".into();
        past.steps[2].position = 9;
        let wanted = PastStep { position: 8, ..step("0", Ended::Ran) };
        assert_eq!(past.counterpart(&wanted).map(|step| step.position), Some(9));
        assert_eq!(past.counterpart(&step("x", Ended::Ran)), None);
        assert!(!past.is_idle() && PastBuild::default().is_idle());
    }
}
