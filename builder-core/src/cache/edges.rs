//! What the records of a cache keep alive, for garbage collection.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, SystemTime};

use super::{
    ANSWERS, BUILDS, BuildRecord, Cache, CacheError, LAYERS, LayerIndex, OBSERVED, Observed,
    Outcome, PARTS, PATHSETS, RESULTS, Record, SOURCES, SourceRecord,
};
use crate::digest::DiffId;
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
            [RESULTS, SOURCES, PARTS, LAYERS, BUILDS, OBSERVED, PATHSETS, ANSWERS]
                .map(|area| (area, BTreeSet::new()))
                .into();
        let layers: BTreeSet<DiffId> =
            kept.iter().flat_map(|named| named.layers.iter().map(|layer| layer.diff_id)).collect();
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
                Outcome::Nothing => history,
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
            for name in self.store.list_records(BUILDS)? {
                let steps = self.read::<BuildRecord>(BUILDS, &name)?.unwrap_or_default().steps;
                steps.iter().for_each(|step| keep(PARTS, step.key.hex()));
                keep(BUILDS, name);
            }
        }
        Ok(areas.into_iter().map(|(area, names)| (area.to_owned(), names)).collect())
    }
}
