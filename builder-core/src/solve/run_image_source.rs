//! Brings in an image by its name.
//!
//! A name becomes the digest of a manifest first: by the frontend, by the lock,
//! by the store, else by the registry. The digest is what the key holds, so
//! what was brought in once needs no network while the name means the same.
//!
//! What a registry says of a name goes into the lock. What the store says does
//! not, unless the lock is made anew: an image that was built here is at no
//! registry, and a build that stands on it follows it.

use std::collections::BTreeMap;
use std::sync::Mutex;

use super::error::StepCause;
use super::locks::{LockMode, Locks};
use super::run_source::found;
use super::session::lock;
use super::step::Step;
use super::value::{Base, Value};
use crate::cache::{Outcome, Record, SourceRecord};
use crate::digest::BlobDigest;
use crate::event::Unit;
use crate::image::{Image, Platform};
use crate::plan::key::Parts;
use crate::registry::{Fit, Reference, Registry, RegistryError};
use crate::source::named::{self, Fetching, Found};
use crate::store::Store;

/// The part of a key that names an image's manifest.
const CONTENT: &str = "content of the base";
/// What stands before the digest there.
const MANIFEST: &str = "manifest ";

pub(super) fn run(
    step: &mut Step<'_>,
    reference: &str,
    digest: Option<BlobDigest>,
    platform: Option<&str>,
) -> Result<Value, StepCause> {
    let session = step.session;
    let name: Reference = reference.parse().map_err(RegistryError::from)?;
    let platform = session.platform_or(platform)?;
    // What a frontend resolved is taken as it is, as it was then.
    let fit = if digest.is_some() { Fit::Lone } else { Fit::Exact };
    let name = digest.map_or(name.clone(), |digest| name.with_digest(digest));
    let registry = Registry::new(session.registry, &session.stop)?;
    let Some(digest) = pinned(step, &registry, &name, &platform)? else {
        step.waits_for("finding the image");
        return Ok(Value::Unknown { step: step.vertex.meta.name.clone() });
    };
    let pin = match platform == session.platform {
        true => format!("{MANIFEST}{digest}"),
        // The digest may be that of an index.
        false => format!("{MANIFEST}{digest} for {platform}"),
    };
    if let Some(reason) = changed(step, &name, &pin)? {
        step.told = Some((reason, Vec::new()));
    }
    let wanted = name.clone().with_digest(digest);
    let mut value = found(step, "image", &pin, &mut |step| {
        let report = Reports::new(step);
        let image =
            named::fetch(session.store, &registry, &wanted, (&platform, fit), &|at, what| {
                report.tell(at, what);
            })?;
        Ok(record(&image))
    })?;
    if let Value::State(state) = &mut value {
        // Results are found by content; another name may have been the first.
        let digest = state.base.as_ref().and_then(|base| base.digest);
        state.base = Some(Base { name: name.name(), digest });
    }
    Ok(value)
}

/// The digest that the name means in this build; `None` in a plan that cannot
/// ask.
fn pinned(
    step: &Step<'_>,
    registry: &Registry,
    name: &Reference,
    platform: &Platform,
) -> Result<Option<BlobDigest>, StepCause> {
    let session = step.session;
    let of = (platform, Fit::Exact);
    match find(session.store, registry, session.locks, (name, of), session.pull) {
        Ok(Meant::Pinned(digest)) => Ok(Some(digest)),
        Ok(Meant::Found(found)) => Ok(Some(found.digest())),
        Err(StepCause::Registry(error)) if session.dry && error.is_network() => Ok(None),
        Err(error) => Err(error),
    }
}

/// What a name means.
pub(crate) enum Meant {
    /// This manifest, as it or the lock says; nobody was asked.
    Pinned(BlobDigest),
    /// What the store or the registry says.
    Found(Found),
}

/// Says what a name means: as it says itself, as the lock has it, else as the
/// store or the registry answers. What goes into the lock is put there.
pub(crate) fn find(
    store: &Store,
    registry: &Registry,
    locks: &Locks,
    (name, (platform, fit)): (&Reference, (&Platform, Fit)),
    pull: bool,
) -> Result<Meant, StepCause> {
    if let Some(digest) = name.digest() {
        return Ok(Meant::Pinned(digest));
    }
    let of = (name.name(), platform.to_string());
    // Two that ask for the same image must not get two answers.
    let _alone = lock(locks.resolving());
    let locked = locks.image(&of);
    match (locks.mode(), locked) {
        (LockMode::Require, None) => return Err(StepCause::Locked { stale: false }),
        (LockMode::Require, Some(digest)) => return Ok(Meant::Pinned(digest)),
        (LockMode::Use, Some(digest)) if !pull => return Ok(Meant::Pinned(digest)),
        _ => {}
    }
    let anew = locks.mode() == LockMode::Update;
    let pull = pull || (anew && !named::is_own(store, name)?);
    let found = named::find(store, registry, name, (platform, fit), pull)?;
    let from_registry = matches!(found, Found::There(_));
    if anew || (from_registry && locked != Some(found.digest())) {
        locks.put_image(of, found.digest());
    }
    Ok(Meant::Found(found))
}

/// The sentence for a base that is not what it was in the build before.
fn changed(step: &Step<'_>, name: &Reference, pin: &str) -> Result<Option<String>, StepCause> {
    if step.policy().forbidden {
        return Ok(None);
    }
    let Some(earlier) = step.earlier() else { return Ok(None) };
    let Some(parts) = step.session.cache.parts(earlier.key)? else { return Ok(None) };
    let Some(then) = manifest_of(&parts) else { return Ok(None) };
    let (Some(then), Some(now)) = (short(then), short(pin)) else { return Ok(None) };
    let name = name.familiar();
    Ok((then != now).then(|| format!("base {name} changed: {then} -> {now}")))
}

fn manifest_of(parts: &Parts) -> Option<&str> {
    let part = parts.as_slice().iter().find(|part| part.name == CONTENT)?;
    Some(part.value.as_str())
}

/// The start of the digest in a pin.
fn short(pin: &str) -> Option<String> {
    let digest = pin.strip_prefix(MANIFEST)?;
    Some(format!("{}…", digest.get(.."sha256:".len() + 12)?))
}

fn record(image: &Image) -> SourceRecord {
    SourceRecord {
        config: image.config.clone(),
        layers: image.layers.clone(),
        digest: Some(image.digest),
        name: None,
        run: Record::new(Outcome::Nothing, 0, 0),
    }
}

/// Sums up for one step what becomes of its layers.
struct Reports<'a, 'b> {
    step: &'a Step<'b>,
    /// Of each layer that is fetched: what came of it, and its size.
    layers: Mutex<BTreeMap<usize, (u64, u64)>>,
}

impl<'a, 'b> Reports<'a, 'b> {
    fn new(step: &'a Step<'b>) -> Self {
        Self { step, layers: Mutex::default() }
    }

    fn tell(&self, at: usize, what: Fetching) {
        let mut layers = lock(&self.layers);
        let (done, size) = layers.entry(at).or_default();
        match what {
            Fetching::Known => return,
            Fetching::Began(bytes) => (*done, *size) = (0, bytes),
            Fetching::Came(bytes) => *done = bytes,
            Fetching::Done => *done = *size,
        }
        let (done, size) =
            layers.values().fold((0, 0), |(d, s), (done, size)| (d + done, s + size));
        self.step.progress("downloading", done, Some(size), Unit::Bytes);
    }
}
