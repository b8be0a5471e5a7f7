//! The steps of an image, taken to another base.
//!
//! In: the chain of an image's steps, as it was written down anywhere, the
//! image's own layers, verified, and another base. Out: the state on that base,
//! and of each step whether its layer stands there, or that it ran and why.
//!
//! A step stands if what it would be given is what it was given, and the new
//! root answers all that it asked as the old one did; of its mounts only that
//! is known which it was given of them, and they are not changed by another
//! base. What does not stand runs as in any build, with the cache of this store.
//!
//! Invariant: nothing that the chain says enters the cache; what runs here does.
//!
//! Limitations: what a copy or a mount takes its files from is not here. So a
//! copy is done again only where nothing but the numbers of its owner changed,
//! and a process with such a mount not at all: the image must be built again.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Instant;

use super::config::Config;
use super::elsewhere::Elsewhere;
use super::error::{StepCause, StepError};
use super::links::Kinds;
use super::prepared::Prepared;
use super::reason;
use super::report::{StepReport, StepStatus};
use super::run_exec::{next_state, process_seen};
use super::session::{Names, Session};
use super::step::Step;
use super::value::{Base, Stacked, State, Value, merged_caches, unknown};
use super::{announce, fail, links, names, positions, run_config, run_exec, run_file, run_source};
use crate::cache::Outcome;
use crate::chain::{Act, Chain, Link};
use crate::digest::{CacheKey, DiffId, VertexId};
use crate::image::Image;
use crate::layer::{Change, Kind, LayerDesc, LayerWriter};
use crate::plan::op::{Copy, Exec, FileOp, Op, Source};
use crate::plan::{Plan, PlanBuilder, Vertex, VertexMeta};
use crate::view::observe::{Answers, Difference};
use crate::view::{Tree as _, View};

/// What an image's steps are taken to.
pub(crate) enum Onto {
    /// Something that is brought in as the base of a build is.
    Source(Source),
    /// An image of the store.
    Stored(Box<Image>),
}

/// What is to be done.
pub(crate) struct Rebase<'a> {
    pub chain: &'a Chain,
    /// The layers that the chain's steps made, lowest first.
    pub layers: &'a [LayerDesc],
    pub onto: Onto,
    /// What the new base is called.
    pub name: String,
}

/// What came of it.
pub(crate) struct Rebased {
    /// The image on the new base; in a plan it may not be known.
    pub value: Option<Arc<Value>>,
    /// How it was made.
    pub chain: Option<Chain>,
    /// The steps that were reached, the base first.
    pub steps: Vec<StepReport>,
    /// The step that failed.
    pub error: Option<Box<StepError>>,
}

/// Takes the steps to the new base.
pub(crate) fn rebase(session: &Session<'_>, order: &Rebase<'_>) -> Rebased {
    order.layers.iter().for_each(|desc| session.take_in(desc));
    let (plan, ids) = plan(session, order);
    let vertices: Vec<&Vertex> = plan.vertices().iter().collect();
    announce(session, &vertices);
    // As if the secrets were here that were given to the steps then: whether
    // they are is asked of those that run.
    let mut secrets = session.secrets.clone();
    for id in &order.chain.secrets {
        secrets.entry(id.clone()).or_default();
    }
    let (none, positions) = (BTreeMap::new(), positions(&vertices));
    let replay = Replay {
        session,
        judging: session.but(true, &secrets),
        bringing: session.but(false, &none),
        order,
        plan: &plan,
        positions: vertices.iter().map(|vertex| vertex.id).zip(positions).collect(),
        names: names(&vertices),
    };
    let mut reached = Vec::new();
    let ended = replay.all(&ids, &mut reached);
    let mut steps = replay.bringing.take_reports();
    steps.extend(session.take_reports());
    let (value, error) = match ended {
        Ok(value) => (Some(value), None),
        Err(error) => (None, Some(error)),
    };
    let chain = match &value {
        Some(value) if !session.dry => replay.chain(value, &reached, &steps).ok(),
        _ => None,
    };
    Rebased { value, chain, steps, error }
}

/// The vertices: the base, the steps, the tests.
struct Ids {
    base: VertexId,
    steps: Vec<VertexId>,
    tests: Vec<VertexId>,
}

fn plan(session: &Session<'_>, order: &Rebase<'_>) -> (Plan, Ids) {
    let mut builder = PlanBuilder::new();
    let Rebase { chain, onto, name, .. } = order;
    let source = match onto {
        Onto::Source(source) => source.clone(),
        // Nothing is fetched of it: it is there.
        Onto::Stored(image) => Source::Oci {
            path: session.store.root().to_owned(),
            tag: Some(image.digest.to_string()),
            platform: None,
        },
    };
    let stage = chain.steps.first().map_or_else(|| "main".to_owned(), |link| link.stage.clone());
    let meta = VertexMeta { name: format!("from {name}"), stage, ..VertexMeta::default() };
    let base = builder.add(Op::Source(source), &[], meta);
    let mut add = |link: &Link, on: VertexId| {
        let op = match &link.act {
            Act::Exec(exec) => Op::Exec(exec.clone()),
            Act::File(op) => Op::File(op.clone()),
            Act::Config(patch) => Op::Config(patch.clone()),
        };
        let (name, stage, history) = (link.name.clone(), link.stage.clone(), link.history.clone());
        builder.add(op, &[on], VertexMeta { name, stage, history, ..VertexMeta::default() })
    };
    let (mut steps, mut on) = (Vec::new(), base);
    for link in &chain.steps {
        on = add(link, on);
        steps.push(on);
    }
    let tests = chain.tests.iter().map(|link| add(link, on)).collect();
    (builder.finish(), Ids { base, steps, tests })
}

/// A step that was reached.
struct Reached<'a> {
    vertex: &'a Vertex,
    inputs: Vec<Arc<Value>>,
    /// What is to be written down of it, unless it ran as in a build.
    told: Option<Link>,
    is_test: bool,
}

struct Replay<'a> {
    session: &'a Session<'a>,
    /// Prepares processes as they were prepared.
    judging: Session<'a>,
    /// Brings the base in, in a plan too.
    bringing: Session<'a>,
    order: &'a Rebase<'a>,
    plan: &'a Plan,
    positions: HashMap<VertexId, usize>,
    names: Names,
}

impl<'a> Replay<'a> {
    /// The base, then each step on what the one before made, then the tests.
    fn all(
        &'a self,
        ids: &Ids,
        reached: &mut Vec<Reached<'a>>,
    ) -> Result<Arc<Value>, Box<StepError>> {
        let mut value = self.at(&self.bringing, ids.base, |step| self.base(step))?;
        for (link, id) in self.order.chain.steps.iter().zip(&ids.steps) {
            value = self.one((link, *id), value, reached, false)?;
        }
        let mut tested = BTreeSet::new();
        for (link, id) in self.order.chain.tests.iter().zip(&ids.tests) {
            if tested.insert(*id) {
                self.one((link, *id), Arc::clone(&value), reached, true)?;
            }
        }
        Ok(value)
    }

    fn one(
        &'a self,
        (link, id): (&'a Link, VertexId),
        on: Arc<Value>,
        reached: &mut Vec<Reached<'a>>,
        is_test: bool,
    ) -> Result<Arc<Value>, Box<StepError>> {
        let inputs = inputs(link, on);
        let mut told = None;
        let value = self.at(self.session, id, |step| {
            let (value, link) = replay(step, &self.judging, link, &inputs)?;
            told = link;
            Ok(value)
        })?;
        if let Some(vertex) = self.plan.vertex(id) {
            reached.push(Reached { vertex, inputs, told, is_test });
        }
        Ok(value)
    }

    /// Does the work of a vertex, and reports it.
    fn at(
        &'a self,
        session: &'a Session<'a>,
        id: VertexId,
        work: impl FnOnce(&mut Step<'a>) -> Result<Value, StepCause>,
    ) -> Result<Arc<Value>, Box<StepError>> {
        let vertex = self.plan.vertex(id).expect("the ids are those of the plan's vertices");
        let began = Instant::now();
        if session.stop.is_canceled() {
            return Err(fail(session, vertex, StepCause::Canceled, began, Vec::new()));
        }
        let position = self.positions.get(&id).copied().unwrap_or_default();
        let mut step = session.step(vertex, position, &self.names);
        let result = work(&mut step);
        let output = step.output.finish();
        match result {
            Ok(value) => {
                step.finish(began);
                Ok(Arc::new(value))
            }
            Err(cause) => Err(fail(session, vertex, cause, began, output)),
        }
    }

    fn base(&self, step: &mut Step<'_>) -> Result<Value, StepCause> {
        let image = match &self.order.onto {
            Onto::Source(source) => return run_source::run(step, source),
            Onto::Stored(image) => image,
        };
        step.stood(StepStatus::Cached, "it is in the store".to_owned(), Outcome::Nothing);
        let origin = step.vertex.meta.name.clone();
        let stack = |desc: &LayerDesc| Stacked { desc: desc.clone(), origin: origin.clone() };
        let layers: Vec<Stacked> = image.layers.iter().map(stack).collect();
        let config = image.config.clone().into_base();
        let history = config.history.iter().cloned().collect();
        let config = Config::new(config);
        let base = Some(Base { name: self.order.name.clone(), digest: Some(image.digest) });
        let view = self.session.view(&layers)? as Arc<_>;
        let (caches, marks) = (BTreeMap::new(), [layers.len()].into_iter().collect());
        Ok(Value::State(Box::new(State { layers, marks, config, history, base, caches, view })))
    }

    /// What is written down of the image on its new base.
    fn chain(
        &self,
        value: &Value,
        reached: &[Reached<'_>],
        reports: &[StepReport],
    ) -> Result<Chain, StepCause> {
        let old = self.order.chain;
        let reports: HashMap<VertexId, &StepReport> =
            reports.iter().map(|step| (step.id, step)).collect();
        let made = reached.iter().filter(|step| !step.is_test);
        let made = made.filter_map(|step| reports.get(&step.vertex.id)?.layer).count();
        let all = match value {
            Value::State(state) => state.layers.len(),
            Value::Tree(_) | Value::Elsewhere(_) | Value::Unknown { .. } => 0,
        };
        let (mut steps, mut tests) = (Vec::new(), Vec::new());
        for Reached { vertex, inputs, told, is_test } in reached {
            let told = match told {
                Some(link) => link.clone(),
                None => {
                    let report = reports.get(&vertex.id).copied();
                    links::link(self.session, vertex, inputs, report)?
                }
            };
            if *is_test { tests.push(told) } else { steps.push(told) }
        }
        Ok(Chain {
            base: all.saturating_sub(made),
            mtime: old.mtime,
            compression: old.compression,
            annotations: old.annotations.clone(),
            secrets: old.secrets.clone(),
            steps,
            tests,
        })
    }
}

/// The inputs of a step: what it stands on, and trees that are not here.
fn inputs(link: &Link, on: Arc<Value>) -> Vec<Arc<Value>> {
    let mut inputs = vec![on];
    let asked = match &link.act {
        Act::Exec(exec) => exec.mounts.iter().filter_map(|m| Some(m.kind.takes()?.0)).max(),
        Act::File(FileOp::Copy(copy)) => copy.inputs().last().copied(),
        Act::File(_) | Act::Config(_) => None,
    };
    // Numbers that mean nothing here are as good as none.
    let last = asked.unwrap_or(0).min(usize::from(u16::MAX));
    let nothing = crate::chain::Input::default();
    for at in 1..=last {
        let input = link.inputs.get(&at).unwrap_or(&nothing);
        inputs.push(Arc::new(Value::Elsewhere(Arc::new(Elsewhere::new(input)))));
    }
    inputs
}

/// What a step comes to, and what is to be written down of it; that is left open
/// where it is done as in a build.
type Replayed = Result<(Value, Option<Link>), StepCause>;

/// A step on what is below it now.
fn replay(
    step: &mut Step<'_>,
    judging: &Session<'_>,
    link: &Link,
    inputs: &[Arc<Value>],
) -> Replayed {
    let state = match inputs.first().map(AsRef::as_ref) {
        Some(Value::State(state)) if unknown(inputs).is_none() => state,
        _ => return again(step, link, inputs),
    };
    match &link.act {
        Act::Exec(exec) => process(step, judging, (link, exec), state, inputs),
        Act::File(FileOp::Copy(copy)) => copied(step, (link, copy), state, inputs),
        Act::File(op) => {
            let prepared = run_file::prepare(step.session, op, inputs, (state, &*state.view))?;
            match Some(run_file::parts(&prepared).key()) == link.key {
                true => standing(step, as_it_was(), link.clone(), inputs, state),
                false => again(step, link, inputs),
            }
        }
        Act::Config(_) => again(step, link, inputs),
    }
}

fn as_it_was() -> (StepStatus, String) {
    (StepStatus::Cached, reason::stands())
}

/// Does it as a build does.
fn again(step: &mut Step<'_>, link: &Link, inputs: &[Arc<Value>]) -> Replayed {
    let value = match &link.act {
        Act::Exec(exec) => run_exec::run(step, exec, inputs),
        Act::File(op) => run_file::run(step, op, inputs),
        Act::Config(patch) => run_config::run(step, patch, inputs),
    };
    Ok((value?, None))
}

/// Whether a process stands, and why not.
enum Verdict {
    Stands(StepStatus, String),
    Differs(String, Vec<Difference>),
}

fn process(
    step: &mut Step<'_>,
    judging: &Session<'_>,
    (link, exec): (&Link, &Exec),
    state: &State,
    inputs: &[Arc<Value>],
) -> Replayed {
    let prepared = Prepared::new(judging, exec, state, inputs)?;
    let key = prepared.parts.key();
    match judge(judging, (link, exec), key, &prepared, inputs)? {
        Verdict::Stands(status, why) => {
            let link = Link { key: Some(key), ..link.clone() };
            standing(step, (status, why), link, inputs, state)
        }
        Verdict::Differs(why, because) => {
            let mounts = exec.mounts.iter().any(|mount| mount.kind.takes().is_some());
            if mounts && step.session.cache.lookup(key)?.is_none() {
                return Err(StepCause::Elsewhere { why });
            }
            step.told = Some((why, because));
            again(step, link, inputs)
        }
    }
}

fn judge(
    judging: &Session<'_>,
    (link, exec): (&Link, &Exec),
    key: CacheKey,
    prepared: &Prepared<'_>,
    inputs: &[Arc<Value>],
) -> Result<Verdict, StepCause> {
    let differs = |why: &str| Ok(Verdict::Differs(why.to_owned(), Vec::new()));
    if Some(key) == link.key {
        return Ok(Verdict::Stands(StepStatus::Cached, reason::stands()));
    }
    let Some(seen) = &link.seen else {
        return differs("what is below it changed, and what it looks at was not recorded");
    };
    let Some(now) = process_seen(judging, exec, inputs, prepared)? else {
        return differs("what is below it changed, and what it would look at cannot be told here");
    };
    if let Some(difference) = now.parts.first_difference(&seen.given) {
        return differs(&reason::sentence(difference, &[]));
    }
    let (pathset, then) = seen.open()?;
    // What is mounted is not changed by another base.
    let root = now.shown.trees.into_iter().filter(|(number, _)| *number == 0).collect();
    let now = Answers::of(&pathset, &root, judging.blind)?;
    let mut differences = then.differences(&now, &pathset);
    differences.retain(|difference| difference.tree == 0);
    if differences.is_empty() {
        let why = "of what changed below it, it looks at nothing".to_owned();
        return Ok(Verdict::Stands(StepStatus::Reused, why));
    }
    Ok(Verdict::Differs(reason::differs(&differences, None, None), differences))
}

/// A copy stands where the tree that it changes says what it said. Where only
/// its owner has other numbers, the layer is written with those.
fn copied(
    step: &mut Step<'_>,
    (link, copy): (&Link, &Copy),
    state: &State,
    inputs: &[Arc<Value>],
) -> Replayed {
    let elsewhere = |why: String| Err(StepCause::Elsewhere { why });
    let cwd = state.config.workdir();
    if !copy.dest.starts_with('/') && cwd != link.cwd {
        return elsewhere(format!("the working directory is {cwd} and was {}", link.cwd));
    }
    let Some(seen) = &link.seen else {
        return elsewhere("what it looks at was not recorded".to_owned());
    };
    let (pathset, then) = seen.open()?;
    let kinds = Kinds(Arc::clone(&state.view));
    let now = Answers::of(&pathset, &kinds.trees(), step.session.blind)?;
    let differences = then.differences(&now, &pathset);
    if !differences.is_empty() {
        return elsewhere(reason::differs(&differences, None, None));
    }
    match (link.owner, links::owner(copy, &*state.view)?) {
        (old, new) if old == new => standing(step, as_it_was(), link.clone(), inputs, state),
        (Some(old), Some(new)) if old != (0, 0) => {
            let why = format!("its owner is {}:{} and was {}:{}", new.0, new.1, old.0, old.1);
            if step.session.dry {
                step.stood(StepStatus::Ran, why, Outcome::Nothing);
                return Ok((Value::Unknown { step: link.name.clone() }, None));
            }
            let layer = link.layer.map(|layer| given_to(step.session, layer, (old, new)));
            let link = Link { layer: layer.transpose()?, owner: Some(new), ..link.clone() };
            standing(step, (StepStatus::Ran, why), link, inputs, state)
        }
        _ => elsewhere("its owner has other numbers".to_owned()),
    }
}

/// The layer of a copy with another owner.
fn given_to(
    session: &Session<'_>,
    layer: DiffId,
    (old, new): ((u32, u32), (u32, u32)),
) -> Result<DiffId, StepCause> {
    let layer = session.layer(&session.made(layer)?)?;
    let content = View::new(vec![layer.clone()]);
    let mut writer = LayerWriter::new(session.store, session.compression)?;
    for mut entry in layer.entries()? {
        let mut is_file = false;
        if let Change::Present { meta, kind } = &mut entry.change {
            is_file = matches!(kind, Kind::File { .. });
            if (meta.uid, meta.gid) == old {
                (meta.uid, meta.gid) = new;
            }
        }
        match is_file {
            true => writer.append(&entry, Some(&mut content.stream(&entry.path)?))?,
            false => writer.append(&entry, None)?,
        }
    }
    let desc = writer.finish()?;
    // It is made of what came from anywhere: the cache hears nothing of it.
    session.take_in(&desc);
    Ok(desc.diff_id)
}

/// The state with the layer that a step made before.
fn standing(
    step: &mut Step<'_>,
    (status, why): (StepStatus, String),
    link: Link,
    inputs: &[Arc<Value>],
    state: &State,
) -> Replayed {
    let outcome = link.layer.map_or(Outcome::Nothing, Outcome::Layer);
    step.stood(status, why, outcome);
    let value = match (&link.act, link.execution.or(link.key)) {
        (Act::Exec(exec), Some(execution)) => {
            next_state(step, exec, inputs, state, outcome, execution)
        }
        _ => run_exec::stacked(step, state, outcome, merged_caches(inputs)),
    };
    Ok((value?, Some(link)))
}
