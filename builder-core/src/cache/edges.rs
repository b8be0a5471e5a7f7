//! What the records of a cache keep alive, for garbage collection.

use std::collections::{BTreeMap, BTreeSet};
use std::time::SystemTime;

use super::{
    BUILDS, BuildRecord, Cache, CacheError, LAYERS, LayerIndex, Outcome, PARTS, RESULTS, Record,
    SOURCES, SourceRecord,
};
use crate::layer::LayerDesc;

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
            [RESULTS, SOURCES, PARTS, LAYERS, BUILDS].map(|area| (area, BTreeSet::new())).into();
        let mut keep = |area: &'static str, name: String| {
            areas.entry(area).or_default().insert(name);
        };
        for Named { area, name, used: _, layers } in kept {
            keep(area, name.clone());
            keep(PARTS, name.clone());
            layers.iter().for_each(|layer| keep(LAYERS, layer.diff_id.hex()));
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
