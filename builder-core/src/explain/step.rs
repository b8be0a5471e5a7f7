//! All that is known of one step.

use std::collections::BTreeMap;

use super::ExplainError;
use super::compare::{Compared, answers, compare, execution};
use super::find::{Steps, WhichStep};
use super::looked::Looked;
use super::often::{Often, often};
use crate::cache::{Cache, Ended, History, PastBuild, PastStep, Saw, Work};
use crate::digest::{BlobDigest, DiffId};
use crate::exec::{PLACE_OF_MOUNT, tree_of_mount};
use crate::layer::Layer;
use crate::plan::key::Part;
use crate::store::Store;
use crate::view::View;

/// Why it is not known what a step looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotKnown {
    /// It is no process: Phoenix itself did it.
    NoProcess,
    /// It failed or was stopped.
    NotEnded,
    /// It was not watched.
    NotWatched,
    /// It was removed from the store.
    Removed,
}

/// When a step ran last, as far as is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ran {
    /// The build in which it did.
    pub build: u32,
    /// When that ended.
    pub at: i64,
    /// The step in it.
    pub step: PastStep,
    /// What differs from the build before; none where there is none.
    pub against: Option<Compared>,
}

/// What is known of a step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explained {
    /// Its number among the steps of the recipe.
    pub number: usize,
    /// The last build that came to it and in which anything happened.
    pub build: u32,
    /// When that ended.
    pub at: i64,
    /// The image that it made.
    pub image: Option<BlobDigest>,
    /// The step in it.
    pub step: PastStep,
    /// What its execution looked at.
    pub looked: Result<Looked, NotKnown>,
    /// The oldest build that is known to have had the same result.
    pub since: u32,
    /// When it ran last; none where no build that is known ran it.
    pub ran: Option<Ran>,
    /// Against the build that was asked for.
    pub against: Option<Compared>,
    /// The paths that made it run of late, the most frequent first.
    pub often: Vec<Often>,
}

/// Explains the step that `wanted` means, against the build of number or image
/// `against`.
///
/// # Errors
/// [`ExplainError`].
pub fn explain_step(
    store: &Store,
    history: &History,
    wanted: &str,
    against: Option<Against>,
) -> Result<Explained, ExplainError> {
    let cache = Cache::new(store.clone());
    if history.builds.is_empty() {
        return Err(ExplainError::NoHistory);
    }
    let WhichStep { number, build, step } = Steps::of(history).find(wanted)?;
    let against = against.map(|against| against.build(history)).transpose()?;
    let against = against.map(|earlier| compare(&cache, step, earlier)).transpose()?;
    let same = |build: &&PastBuild| {
        build.counterpart(step).is_some_and(|then| execution(then) == execution(step))
    };
    let since = history.builds.iter().rev().find(same).map_or(build.number, |b| b.number);
    Ok(Explained {
        number,
        build: build.number,
        at: build.at,
        image: build.image,
        step: step.clone(),
        looked: looked(store, &cache, step)?,
        since,
        ran: ran(&cache, history, step)?,
        against,
        often: often(history, &|other| other.name == step.name && other.stage == step.stage),
    })
}

/// A build that a step is compared with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Against {
    /// That of this number.
    Number(u32),
    /// The newest that made this image.
    Image(BlobDigest),
}

impl Against {
    fn build(self, history: &History) -> Result<&PastBuild, ExplainError> {
        let found = history.builds.iter().find(|build| match self {
            Self::Number(number) => build.number == number,
            Self::Image(image) => build.image == Some(image),
        });
        let ends = || [history.builds.last(), history.builds.first()];
        found.ok_or_else(|| {
            let [oldest, newest] = ends().map(|build| build.map_or(0, |build| build.number));
            let wanted = match self {
                Self::Number(number) => number.to_string(),
                Self::Image(image) => format!("of {image}"),
            };
            ExplainError::NoBuild { wanted, oldest, newest }
        })
    }
}

fn ran(cache: &Cache, history: &History, step: &PastStep) -> Result<Option<Ran>, ExplainError> {
    for (at, build) in history.builds.iter().enumerate() {
        let Some(then) = build.counterpart(step) else { continue };
        if matches!(then.ended, Ended::Cached | Ended::Reused) {
            continue;
        }
        let before = history.builds[at + 1..].iter().find(|b| b.counterpart(then).is_some());
        let against = before.map(|before| compare(cache, then, before)).transpose()?;
        let (step, at) = (then.clone(), build.at);
        return Ok(Some(Ran { build: build.number, at, step, against }));
    }
    Ok(None)
}

fn looked(
    store: &Store,
    cache: &Cache,
    step: &PastStep,
) -> Result<Result<Looked, NotKnown>, ExplainError> {
    let process = matches!(step.work, Work::Process | Work::Test);
    let Some(saw) = &step.saw else {
        return Ok(Err(match step.ended {
            _ if !process => NotKnown::NoProcess,
            Ended::Failed | Ended::Stopped => NotKnown::NotEnded,
            Ended::Cached | Ended::Reused | Ended::Ran => NotKnown::NotWatched,
        }));
    };
    let Some((pathset, answers)) = answers(cache, saw)? else { return Ok(Err(NotKnown::Removed)) };
    let root = root(store, cache, saw)?;
    let root = root.as_ref().map(|root| root as _);
    let looked = Looked::new(&pathset, Some(&answers), root);
    Ok(Ok(Looked { mounts: mounts(cache, saw)?, ..looked }))
}

/// Where trees were mounted, from what the process was given.
fn mounts(cache: &Cache, saw: &Saw) -> Result<BTreeMap<u16, String>, ExplainError> {
    let parts = cache.weak_parts(saw.weak)?.unwrap_or_default();
    let mount = |part: &Part| {
        let number = part.name.strip_prefix(PLACE_OF_MOUNT)?.parse().ok()?;
        Some((tree_of_mount(number)?, part.value.clone()))
    };
    Ok(parts.as_slice().iter().filter_map(mount).collect())
}

/// The root of an execution, if all its layers are still there.
fn root(store: &Store, cache: &Cache, saw: &Saw) -> Result<Option<View>, ExplainError> {
    let known = cache.observed(saw.weak)?;
    let Some(observed) = known.into_iter().find(|observed| observed.strong == saw.strong) else {
        return Ok(None);
    };
    view(store, cache, &observed.layers)
}

fn view(store: &Store, cache: &Cache, layers: &[DiffId]) -> Result<Option<View>, ExplainError> {
    let mut opened = Vec::new();
    for layer in layers {
        match cache.any_layer(*layer)? {
            Some(desc) => opened.push(Layer::open(store, &desc)?),
            None => return Ok(None),
        }
    }
    Ok(Some(View::new(opened)))
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::digest::CacheKey;

    /// A step that ran and made nothing.
    pub(crate) fn step(stage: &str, name: &str) -> PastStep {
        PastStep {
            stage: stage.to_owned(),
            name: name.to_owned(),
            position: 0,
            work: Work::Process,
            key: CacheKey::from_bytes(*blake3::hash(name.as_bytes()).as_bytes()),
            ended: Ended::Ran,
            reason: "because".to_owned(),
            causes: Vec::new(),
            causes_in_all: 0,
            ran_at: Some(1),
            duration_ms: 1,
            layer: None,
            on: None,
            saw: None,
        }
    }

    pub(crate) fn build(number: u32, good: bool, steps: Vec<PastStep>) -> PastBuild {
        let image = good.then(|| BlobDigest::of(&number.to_le_bytes()));
        PastBuild { number, at: number.into(), image, steps }
    }

    #[test]
    fn a_step_that_stands_tells_since_when_and_when_it_ran() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let store = Store::open(&dir.path().join("store")).expect("a store");
        let other = CacheKey::from_bytes([9; 32]);
        let cached = |ended| PastStep { ended, ..step("main", "a") };
        let builds = vec![
            build(4, true, vec![cached(Ended::Cached)]),
            build(3, true, vec![cached(Ended::Reused)]),
            build(2, true, vec![cached(Ended::Ran)]),
            build(1, true, vec![PastStep { key: other, ..step("main", "a") }]),
        ];
        let history = History { builds };
        let told = explain_step(&store, &history, "a", Some(Against::Number(1))).expect("known");
        assert_eq!((told.build, told.since, told.number), (4, 2, 1));
        assert_eq!(told.looked, Err(NotKnown::NotWatched));
        let ran = told.ran.expect("it did");
        assert_eq!((ran.build, ran.against.map(|before| before.build)), (2, Some(1)));
        let against = told.against.expect("asked for");
        assert!(!against.same_execution && against.differences.is_none());
        let image = BlobDigest::of(&3_u32.to_le_bytes());
        let told = explain_step(&store, &history, "1", Some(Against::Image(image)));
        assert!(told.expect("known").against.expect("asked for").same_execution);
        let none = explain_step(&store, &history, "a", Some(Against::Number(7)));
        let text = none.expect_err("there is none").to_string();
        assert_eq!(text, "no build 7 of this recipe is known; builds 1 to 4 are");
        let empty = explain_step(&store, &History::default(), "a", None);
        assert!(matches!(empty, Err(ExplainError::NoHistory)));
    }
}
