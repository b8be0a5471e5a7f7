//! `--check-reproducible`: the same build in a second, empty store.

use super::request::{BuildRequest, BuildResult};
use super::{Inner, build};
use crate::cache::Cache;
use crate::error::{Error, Result};
use crate::exec::Cancel;
use crate::image::read_image;
use crate::layer::{self, Layer};
use crate::store::Store;

/// Most paths that are named.
const NAMED: usize = 50;

/// Builds twice: as always, and again where nothing is cached. Tags and outputs
/// are written only if both are the same.
pub(super) fn build(inner: &Inner, request: &BuildRequest, cancel: &Cancel) -> Result<BuildResult> {
    let silent = BuildRequest {
        tags: Vec::new(),
        outputs: Vec::new(),
        push: Vec::new(),
        load: false,
        check_reproducible: false,
        ..request.clone()
    };
    // Nothing may be collected before both are compared and the tag is set.
    let _lease = inner.store.until(cancel).lease()?;
    let first = build::build(inner, &silent, cancel)?;
    let lock = first.new_lock.clone().unwrap_or_else(|| request.lock.clone());
    // Both stand on the same images.
    let again = BuildRequest { lock, pull: false, ..silent };
    let second_dir = inner.store.work_dir()?;
    let store = Store::open_beside(&second_dir.path().join("store"), &inner.store)?;
    let second = Inner { cache: Cache::new(store.clone()), store, ..inner.clone() };
    let other = build::build(&second, &again, cancel)?;
    if first.digest != other.digest {
        let differences = differences(inner, &first, &second, &other)?;
        return Err(Error::NotReproducible { differences });
    }
    let mut result = build::build(
        inner,
        &BuildRequest { check_reproducible: false, ..request.clone() },
        cancel,
    )?;
    result.steps = first.steps;
    result.new_lock = first.new_lock;
    Ok(result)
}

/// The files that differ, each with its layer and how.
fn differences(
    inner: &Inner,
    first: &BuildResult,
    second: &Inner,
    other: &BuildResult,
) -> Result<Vec<String>> {
    let (a, b) =
        (read_image(&inner.store, &first.digest)?, read_image(&second.store, &other.digest)?);
    let mut named = Vec::new();
    if a.layers.len() != b.layers.len() {
        named.push(format!("{} layers, and {} the second time", a.layers.len(), b.layers.len()));
    }
    for (number, (x, y)) in a.layers.iter().zip(&b.layers).enumerate() {
        if x.diff_id == y.diff_id {
            continue;
        }
        let (x, y) = (Layer::open(&inner.store, x)?, Layer::open(&second.store, y)?);
        for difference in layer::diff(&x, &y)? {
            named.push(format!("layer {}: {difference}", number + 1));
        }
    }
    if named.is_empty() {
        named.push("the image's config".to_owned());
    }
    named.truncate(NAMED);
    Ok(named)
}
