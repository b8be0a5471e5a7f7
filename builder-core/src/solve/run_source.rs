//! Brings a base in, or finds that it is there already.

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use super::config::Config;
use super::decide::Decision;
use super::error::StepCause;
use super::grown::Grown;
use super::locks::LockMode;
use super::run_engine_source;
use super::run_image_source;
use super::session::{Session, lock, now};
use super::step::Step;
use super::value::{Base, Stacked, State, Value};
use super::{run_git, run_http};
use crate::cache::{Outcome, Record, SourceRecord};
use crate::image::ImageConfig;
use crate::layer::LayerDesc;
use crate::plan::key::Parts;
use crate::plan::op::{ConfigPatch, Debian, Source as Op};
use crate::source::debian::{self, Lock};
use crate::source::oci::Oci;
use crate::source::rootfs::Rootfs;
use crate::source::{Fetched, Source};

/// What a Debian image starts with, as Docker's official one does.
const DEBIAN_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

pub(super) fn run(step: &mut Step<'_>, source: &Op) -> Result<Value, StepCause> {
    let session = step.session;
    match source {
        Op::Scratch => scratch(step),
        Op::Local { name: _, path, ignore } => Ok(Value::Tree(session.context(path, ignore)?)),
        Op::Http(op) => run_http::run(step, op),
        Op::Git(op) => run_git::run(step, op),
        Op::Rootfs { path } => {
            let source = Rootfs {
                store: session.store.clone(),
                path: path.clone(),
                compression: session.compression,
                platform: session.platform.clone(),
            };
            let pin = source.pin()?;
            found(step, "rootfs", &pin, &mut |_| {
                let fetched = source.fetch()?;
                unchanged(&pin, source.pin()?, path)?;
                Ok(from_fetched(fetched))
            })
        }
        Op::Oci { path, tag, platform } => {
            let source = Oci {
                store: session.store.clone(),
                path: path.clone(),
                tag: tag.clone(),
                platform: session.platform_or(platform.as_deref())?,
            };
            let pin = source.pin()?;
            found(step, "image", &pin, &mut |_| {
                let fetched = source.fetch()?;
                unchanged(&pin, source.pin()?, path)?;
                Ok(from_fetched(fetched))
            })
        }
        Op::Debian(request) => debian_base(step, request),
        Op::Image { reference, digest, platform } => {
            run_image_source::run(step, reference, *digest, platform.as_deref())
        }
        Op::Engine { name } => run_engine_source::run(step, name),
    }
}

fn scratch(step: &Step<'_>) -> Result<Value, StepCause> {
    let session = step.session;
    Ok(Value::State(Box::new(State {
        layers: Vec::new(),
        marks: [0].into_iter().collect(),
        config: Config::new(ImageConfig::empty(&session.platform)),
        history: Grown::default(),
        base: None,
        caches: Default::default(),
        view: session.view(&[])?,
    })))
}

/// What a source of one layer and no config of its own gave.
pub(super) fn one_layer(session: &Session<'_>, layer: LayerDesc, name: &str) -> SourceRecord {
    let mut config = ImageConfig::empty(&session.platform);
    config.rootfs.diff_ids = vec![layer.diff_id];
    let line = crate::image::History { created_by: Some(name.to_owned()), ..Default::default() };
    config.history = vec![line];
    let (layers, run) = (vec![layer], Record::new(Outcome::Nothing, 0, 0));
    SourceRecord { config, layers, digest: None, name: None, run }
}

pub(super) fn from_fetched(fetched: Fetched) -> SourceRecord {
    let (name, digest) = fetched.base.map_or((None, None), |base| (base.name, base.digest));
    let run = Record::new(Outcome::Nothing, 0, 0);
    SourceRecord { config: fetched.config, layers: fetched.layers, digest, name, run }
}

/// Refuses what was fetched of a base that is edited meanwhile: it may not be
/// the content that the key names.
fn unchanged(pin: &str, now: String, path: &Path) -> Result<(), StepCause> {
    let path = path.display().to_string();
    if pin == now { Ok(()) } else { Err(StepCause::BaseChanged { path }) }
}

/// The source's state: from the cache by what pins its content, else fetched.
pub(super) fn found(
    step: &mut Step<'_>,
    kind: &str,
    pin: &str,
    fetch: &mut dyn FnMut(&Step<'_>) -> Result<SourceRecord, StepCause>,
) -> Result<Value, StepCause> {
    let session = step.session;
    let mut parts = Parts::new();
    parts.push("source", kind);
    parts.push("content of the base", pin);
    parts.push("platform", session.platform.to_string());
    parts.push("file times", session.mtime.secs.to_string());
    let key = parts.key();
    let exclusive = session.exclusive(key);
    let _alone = lock(&exclusive);
    let known = session.cache.source(key)?;
    let record = known.as_ref().map(|known| known.run.clone());
    let record = match (step.decide(key, record, &parts, &[])?, known) {
        (Decision::Hit(_), Some(known)) => known,
        _ if session.dry => return Ok(Value::Unknown { step: step.vertex.meta.name.clone() }),
        _ => {
            let (ran_at, began) = (now(), Instant::now());
            let mut made = fetch(step)?;
            let outcome =
                made.layers.last().map_or(Outcome::Nothing, |l| Outcome::Layer(l.diff_id));
            let duration_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
            made.run = Record::new(outcome, ran_at, duration_ms);
            if kind != "image" {
                made.layers.iter().try_for_each(|desc| session.cache.add_layer(desc))?;
            }
            session.cache.save_source(key, &parts, &made)?;
            step.made(outcome);
            made
        }
    };
    // An image keeps its own blobs; what is made here is as this build wants it.
    based_on(step, record, kind != "image")
}

fn based_on(step: &Step<'_>, record: SourceRecord, made_here: bool) -> Result<Value, StepCause> {
    let session = step.session;
    let origin = step.vertex.meta.name.clone();
    let stack = |desc: LayerDesc| {
        let foreign = !made_here || desc.compression == session.compression;
        let desc = if foreign { desc } else { session.made(desc.diff_id)? };
        Ok(Stacked { desc, origin: origin.clone() })
    };
    let layers = record.layers.into_iter().map(stack);
    let layers = layers.collect::<Result<Vec<Stacked>, StepCause>>()?;
    let config = record.config.into_base();
    let history = config.history.iter().cloned().collect();
    let config = Config::new(config);
    let name = record.name.unwrap_or_else(|| origin.clone());
    let base = Some(Base { name, digest: record.digest });
    let view = session.view(&layers)? as Arc<_>;
    let caches = Default::default();
    let marks = [layers.len()].into_iter().collect();
    Ok(Value::State(Box::new(State { layers, marks, config, history, base, caches, view })))
}

fn debian_base(step: &mut Step<'_>, request: &Debian) -> Result<Value, StepCause> {
    let session = step.session;
    let Some(lock) = pinned(step, request)? else {
        step.waits_for("resolving the packages");
        return Ok(Value::Unknown { step: step.vertex.meta.name.clone() });
    };
    let pin = format!("{} as layer {}", lock.identity(), debian::LAYER_VERSION);
    let name = format!("debian:{}", request.suite);
    found(step, "debian", &pin, &mut |step| {
        let report = |p: debian::Progress| step.progress(p.what, p.done, p.total, p.unit);
        debian::fetch(&lock, session.debian, session.store, &report)?;
        let layer = debian::layer(&lock, session.store, session.compression, &report)?;
        let mut config = ImageConfig::empty(&session.platform);
        config.apply(&ConfigPatch {
            env: vec![("PATH".to_owned(), DEBIAN_PATH.to_owned())],
            cmd: Some(vec!["bash".to_owned()]),
            ..ConfigPatch::default()
        });
        config.rootfs.diff_ids = vec![layer.diff_id];
        config.history = vec![crate::image::History {
            created_by: Some(format!("{name} from {} packages", lock.packages.len())),
            ..Default::default()
        }];
        let run = Record::new(Outcome::Nothing, 0, 0);
        let name = Some(name.clone());
        Ok(SourceRecord { config, layers: vec![layer], digest: None, name, run })
    })
}

/// The lock of this base; resolved now if there is none. `None` in a plan that
/// would have to resolve it.
fn pinned(step: &Step<'_>, request: &Debian) -> Result<Option<Lock>, StepCause> {
    let session = step.session;
    let (locks, stage) = (session.locks, &step.vertex.meta.stage);
    let known = locks.get(stage);
    let stale = known.is_some();
    let answering = known.filter(|lock| lock.answers(request));
    match (locks.mode(), answering) {
        (LockMode::Use | LockMode::Require, Some(lock)) => Ok(Some(lock)),
        (LockMode::Require, None) => Err(StepCause::Locked { stale }),
        _ if session.dry => Ok(None),
        _ => {
            let report = |p: debian::Progress| step.progress(p.what, p.done, p.total, p.unit);
            let lock = debian::resolve(request, session.debian, session.store, &report)?;
            locks.put(stage, lock.clone());
            Ok(Some(lock))
        }
    }
}
