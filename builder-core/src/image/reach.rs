//! What an image keeps alive: every blob that can be reached from a descriptor.
//!
//! In: digests of manifests or indexes. Out: [`Reached`]. Documents are read as
//! plain JSON, whatever their media type, and each `digest` in them counts: so
//! what other tools put into the store (lists, artifacts, attestations) is kept
//! whole too. A document that is missing or damaged reaches nothing.

use std::collections::BTreeSet;

use serde_json::Value;

use super::MAX_DOCUMENT;
use crate::digest::{BlobDigest, DiffId};
use crate::store::{Store, StoreError};

/// What was reached.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Reached {
    /// Every blob, the starting points included.
    pub blobs: BTreeSet<BlobDigest>,
    /// Every layer that a config names.
    pub diff_ids: BTreeSet<DiffId>,
}

/// All that can be reached from `roots`.
///
/// # Errors
/// If the store cannot be read.
pub fn reach(
    store: &Store,
    roots: impl IntoIterator<Item = BlobDigest>,
) -> Result<Reached, StoreError> {
    let mut reached = Reached::default();
    let mut pending: Vec<BlobDigest> = roots.into_iter().collect();
    while let Some(digest) = pending.pop() {
        if !reached.blobs.insert(digest) {
            continue;
        }
        let bytes = match store.read_blob(&digest, MAX_DOCUMENT) {
            Ok(bytes) => bytes,
            Err(error @ StoreError::Io { .. }) => return Err(error),
            // Not there, damaged, or no document.
            Err(_) => continue,
        };
        if let Ok(document) = serde_json::from_slice::<Value>(&bytes) {
            follow(&document, &mut pending, &mut reached);
        }
    }
    Ok(reached)
}

/// Collects the digests in `value`; those that may be of documents are pending.
fn follow(value: &Value, pending: &mut Vec<BlobDigest>, reached: &mut Reached) {
    match value {
        Value::Array(values) => values.iter().for_each(|value| follow(value, pending, reached)),
        Value::Object(fields) => {
            for (name, value) in fields {
                match (name.as_str(), value) {
                    ("digest", Value::String(digest)) => {
                        pending.extend(digest.parse::<BlobDigest>());
                    }
                    ("layers", Value::Array(layers)) => {
                        let digests = layers.iter().filter_map(|layer| layer["digest"].as_str());
                        reached
                            .blobs
                            .extend(digests.filter_map(|digest| digest.parse::<BlobDigest>().ok()));
                    }
                    ("diff_ids", Value::Array(ids)) => {
                        let ids = ids.iter().filter_map(Value::as_str);
                        reached.diff_ids.extend(ids.filter_map(|id| id.parse::<DiffId>().ok()));
                    }
                    _ => follow(value, pending, reached),
                }
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_that_an_index_leads_to_is_reached_and_nothing_else() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let store = Store::open(&dir.path().join("store")).expect("a store");
        let put = |text: String| store.put_blob(text.as_bytes()).expect("stored");
        let diff_id = DiffId::from_bytes([7; 32]);
        let config = put(format!(r#"{{"rootfs":{{"diff_ids":["{diff_id}"]}}}}"#));
        let layer = put("not JSON".to_owned());
        let other = put("other".to_owned());
        let manifest = put(format!(
            r#"{{"config":{{"digest":"{config}"}},"layers":[{{"digest":"{layer}"}}]}}"#
        ));
        let lost = BlobDigest::of(b"lost");
        let index =
            put(format!(r#"{{"manifests":[{{"digest":"{manifest}"}},{{"digest":"{lost}"}}]}}"#));
        let reached = reach(&store, [index]).expect("read");
        assert_eq!(reached.blobs, [index, manifest, config, layer, lost].into());
        assert_eq!(reached.diff_ids, [diff_id].into());
        assert!(!reached.blobs.contains(&other));
    }
}
