//! Which results were removed from the store: so that a step that runs for want
//! of one says so, and not what else changed since.
//!
//! In: keys, when they are pruned. Out: whether a key's result was. A hint for
//! people: nothing depends on it.

use std::collections::HashSet;
use std::time::SystemTime;

use super::{Cache, CacheError, REMOVED, RESULTS};
use crate::digest::CacheKey;

/// Most keys that are remembered, those removed last: half a megabyte.
const KEPT: usize = 10_000;
/// How long they are, in seconds.
const REMEMBERED: u64 = 30 * 24 * 3600;

/// A key, and when its result was removed.
type Removed = ([u8; 32], u64);

impl Cache {
    /// Remembers that the results of these keys are going to be removed.
    ///
    /// # Errors
    /// If the store cannot be written.
    pub fn note_removed(&self, keys: &[CacheKey]) -> Result<(), CacheError> {
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        let now = since.unwrap_or_default().as_secs();
        let change = |old: Option<Vec<u8>>| {
            let old = old.and_then(|old| parse(&old)).unwrap_or_default();
            let new = remembered(old, keys, now)?;
            Some(postcard::to_stdvec(&new).expect("a list of plain values can be written"))
        };
        Ok(self.store.update_record(REMOVED, RESULTS, change)?)
    }

    /// Whether the result of this key was removed of late.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub fn was_removed(&self, key: CacheKey) -> Result<bool, CacheError> {
        let known = self.store.get_record(REMOVED, RESULTS)?.and_then(|bytes| parse(&bytes));
        Ok(known.unwrap_or_default().iter().any(|(known, _)| known == key.as_bytes()))
    }
}

fn parse(bytes: &[u8]) -> Option<Vec<Removed>> {
    postcard::from_bytes(bytes).ok()
}

/// The list with `keys`, without what is too old or too much; `None` where that
/// changes nothing.
fn remembered(old: Vec<Removed>, keys: &[CacheKey], now: u64) -> Option<Vec<Removed>> {
    let new: HashSet<&[u8; 32]> = keys.iter().map(CacheKey::as_bytes).collect();
    let stays =
        |removed: &Removed| now.saturating_sub(removed.1) < REMEMBERED && !new.contains(&removed.0);
    let mut all: Vec<Removed> = old.iter().copied().filter(stays).collect();
    all.extend(new.iter().map(|key| (**key, now)));
    let too_many = all.len().saturating_sub(KEPT);
    all.drain(..too_many);
    (all != old).then_some(all)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Store;

    fn key(number: u16) -> CacheKey {
        CacheKey::from_bytes(*blake3::hash(&number.to_le_bytes()).as_bytes())
    }

    #[test]
    fn what_was_removed_is_known_for_a_while_and_never_grows_without_bound() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let cache = Cache::new(Store::open(&dir.path().join("store")).expect("a store"));
        assert!(!cache.was_removed(key(1)).expect("read"));
        cache.note_removed(&[key(1), key(2)]).expect("kept");
        cache.note_removed(&[key(2), key(3)]).expect("kept");
        assert!((1..=3).all(|number| cache.was_removed(key(number)).expect("read")));
        assert!(!cache.was_removed(key(4)).expect("read"));
        let old = vec![(*key(1).as_bytes(), 100)];
        assert_eq!(remembered(old.clone(), &[], 200), None);
        assert_eq!(remembered(old, &[], 101 + REMEMBERED), Some(Vec::new()));
        let many: Vec<CacheKey> = (0..20_000).map(key).collect();
        assert_eq!(remembered(Vec::new(), &many, 1).expect("new").len(), KEPT);
    }
}
