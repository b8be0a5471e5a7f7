//! What the records of a cache keep alive, for garbage collection.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, SystemTime};

use super::{
    ANSWERS, BUILDS, BuildRecord, Cache, CacheError, HISTORY, History, LAYERS, LayerIndex,
    OBSERVED, Observed, Outcome, PARTS, PATHSETS, RESULTS, Record, SOURCES, Saw, SourceRecord,
};
use crate::digest::{CacheKey, DiffId};
use crate::layer::LayerDesc;

/// How long it is remembered that a step had a result which was removed since.
const REMEMBERED: Duration = Duration::from_secs(30 * 24 * 3600);

/// A record that names layers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Named {
    area: &'static str,
    name: String,
    /// When it was of use last.
    pub used: SystemTime,
    /// The layers that it needs.
    pub layers: Vec<LayerDesc>,
}

impl Named {
    /// The key that this is of, a step's or a source's.
    #[must_use]
    pub fn key(&self) -> Option<CacheKey> {
        CacheKey::from_hex(&self.name).ok()
    }
}

impl Cache {
    /// Every result and source, with the layers that it needs.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub fn named(&self) -> Result<Vec<Named>, CacheError> {
        let mut all = Vec::new();
        for name in self.store.list_records(RESULTS)? {
            let layers = match self.read::<Record>(RESULTS, &name)?.map(|record| record.outcome) {
                Some(Outcome::Layer(diff_id)) => {
                    let index = self.read::<LayerIndex>(LAYERS, &diff_id.hex())?;
                    index.unwrap_or_default().preferring(None).cloned().collect()
                }
                Some(Outcome::Nothing) => Vec::new(),
                // Of another version, or damaged: it is of no use.
                None => continue,
            };
            all.push(self.entry(RESULTS, name, layers));
        }
        for name in self.store.list_records(SOURCES)? {
            let Some(record) = self.read::<SourceRecord>(SOURCES, &name)? else { continue };
            all.push(self.entry(SOURCES, name, record.layers));
        }
        Ok(all)
    }

    fn all_observed(&self) -> Result<Vec<(String, Vec<Observed>)>, CacheError> {
        let names = self.store.list_records(OBSERVED)?.into_iter();
        let read = |name: String| {
            let found = self.read::<Vec<Observed>>(OBSERVED, &name);
            Ok((name, found?.unwrap_or_default()))
        };
        names.map(read).collect()
    }

    fn is_recent(&self, area: &str, name: &str) -> bool {
        let used = self.store.record_used(area, name);
        used.and_then(|at| at.elapsed().ok()).is_none_or(|age| age < REMEMBERED)
    }

    fn entry(&self, area: &'static str, name: String, layers: Vec<LayerDesc>) -> Named {
        let used = self.store.record_used(area, &name).unwrap_or(SystemTime::UNIX_EPOCH);
        Named { area, name, used, layers }
    }

    /// The names of all records that stay, by area, where of results and
    /// sources only `kept` do. With `history`, what earlier builds did is
    /// remembered, and why.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub fn records_of(
        &self,
        kept: &[Named],
        history: bool,
    ) -> Result<BTreeMap<String, BTreeSet<String>>, CacheError> {
        let mut areas: BTreeMap<&str, BTreeSet<String>> =
            [RESULTS, SOURCES, PARTS, LAYERS, BUILDS, HISTORY, OBSERVED, PATHSETS, ANSWERS]
                .map(|area| (area, BTreeSet::new()))
                .into();
        let layers: BTreeSet<DiffId> =
            kept.iter().flat_map(|named| named.layers.iter().map(|layer| layer.diff_id)).collect();
        let results: BTreeSet<CacheKey> = kept.iter().filter_map(Named::key).collect();
        let mut keep = |area: &'static str, name: String| {
            areas.entry(area).or_default().insert(name);
        };
        for Named { area, name, used: _, layers } in kept {
            keep(area, name.clone());
            keep(PARTS, name.clone());
            layers.iter().for_each(|layer| keep(LAYERS, layer.diff_id.hex()));
        }
        for (name, all) in self.all_observed()? {
            let alive = |observed: &Observed| match observed.record.outcome {
                Outcome::Layer(diff_id) => layers.contains(&diff_id),
                Outcome::Nothing => results.contains(&observed.execution),
            };
            // Of those whose layer goes, what they saw tells later that they were.
            let (any, of_use) = (all.iter().any(alive), self.is_recent(OBSERVED, &name));
            if any || (history && of_use) {
                keep(PARTS, name.clone());
                keep(OBSERVED, name);
                for observed in all {
                    keep(PATHSETS, observed.pathset.hex());
                    keep(ANSWERS, observed.strong.hex());
                }
            }
        }
        if history {
            self.keep_builds(&results, &mut keep)?;
        }
        Ok(areas.into_iter().map(|(area, names)| (area.to_owned(), names)).collect())
    }

    /// What builds did: of recipes that were built of late, or of which a result
    /// stays. What their steps saw is kept of builds of late only.
    fn keep_builds(
        &self,
        results: &BTreeSet<CacheKey>,
        keep: &mut dyn FnMut(&'static str, String),
    ) -> Result<(), CacheError> {
        let since = SystemTime::now().checked_sub(REMEMBERED).and_then(seconds).unwrap_or(0);
        let mut names: BTreeSet<String> = self.store.list_records(BUILDS)?.into_iter().collect();
        names.extend(self.store.list_records(HISTORY)?);
        for name in names {
            let build = self.read::<BuildRecord>(BUILDS, &name)?.unwrap_or_default();
            let stays = build.steps.iter().any(|step| results.contains(&step.key));
            if !stays && !self.is_recent(BUILDS, &name) {
                continue;
            }
            build.steps.iter().for_each(|step| keep(PARTS, step.key.hex()));
            let History { builds } = self.history_named(&name)?;
            for build in builds.iter().filter(|build| build.at >= since) {
                for step in &build.steps {
                    keep(PARTS, step.key.hex());
                    let Some(Saw { weak, pathset, strong, execution }) = &step.saw else {
                        continue;
                    };
                    keep(PARTS, weak.hex());
                    keep(PARTS, execution.hex());
                    keep(PATHSETS, pathset.hex());
                    keep(ANSWERS, strong.hex());
                }
            }
            keep(BUILDS, name.clone());
            keep(HISTORY, name);
        }
        Ok(())
    }
}

fn seconds(time: SystemTime) -> Option<i64> {
    i64::try_from(time.duration_since(SystemTime::UNIX_EPOCH).ok()?.as_secs()).ok()
}
