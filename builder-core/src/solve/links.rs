//! What is written down of an image's steps, so that they can be taken to
//! another base.
//!
//! In: a plan that was carried out. Out: the [`Chain`] from the base to the
//! image. Of a step whose records are gone it says less, and the step then
//! stands only on what it stood on.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use super::error::StepCause;
use super::prepared::Prepared;
use super::run_config::state;
use super::run_exec::{path, tree};
use super::run_file;
use super::session::Session;
use super::value::{State, Value, merged_caches};
use super::{Solved, StepReport};
use crate::cache::Saw;
use crate::chain::{Act, Chain, Input, Link, Part, Seen};
use crate::digest::{ContentDigest, DiffId, VertexId};
use crate::fileop;
use crate::layer::{LayerPath, Meta, Mtime};
use crate::plan::key::Parts;
use crate::plan::op::{Copy, Exec, ExecKind, FileOp, MountKind, Op, Source};
use crate::plan::{Plan, Target, Vertex};
use crate::view::observe::{Answers, Pathset, Question, Recorder, Watched};
use crate::view::{self, Node, NodeKind, ReadAt, Tree, TreeError, passwd};

/// How the image of `target` was made; `None` where it does not begin with a
/// root file system.
pub(crate) fn steps_of(
    session: &Session<'_>,
    plan: &Plan,
    solved: &Solved,
    target: &Target,
) -> Result<Option<Chain>, StepCause> {
    let Some((base, steps)) = line(plan, target.vertex) else { return Ok(None) };
    let Some(Value::State(base)) = solved.values.get(&base).map(Arc::as_ref) else {
        return Ok(None);
    };
    let reports: HashMap<VertexId, &StepReport> =
        solved.steps.iter().map(|step| (step.id, step)).collect();
    let told = |vertex: &Vertex| -> Result<Option<Link>, StepCause> {
        let inputs = vertex.inputs.iter().map(|id| solved.values.get(id).cloned());
        let Some(inputs) = inputs.collect::<Option<Vec<_>>>() else { return Ok(None) };
        link(session, vertex, &inputs, reports.get(&vertex.id).copied()).map(Some)
    };
    let all = |vertices: &[&Vertex]| -> Result<Option<Vec<Link>>, StepCause> {
        vertices.iter().map(|vertex| told(vertex)).collect()
    };
    // A test stands on the image itself.
    let tests = target.tests.iter().filter_map(|test| plan.vertex(test.vertex));
    let tests: Vec<&Vertex> =
        tests.filter(|test| test.inputs.first() == Some(&target.vertex)).collect();
    let (Some(steps), Some(tests)) = (all(&steps)?, all(&tests)?) else { return Ok(None) };
    Ok(Some(Chain {
        base: base.layers.len(),
        mtime: session.mtime.secs,
        compression: session.compression,
        annotations: target.annotations.clone(),
        secrets: secrets(session, steps.iter().chain(&tests)),
        steps,
        tests,
    }))
}

/// The vertex that is the base, and those that stand on it, in order.
fn line(plan: &Plan, image: VertexId) -> Option<(VertexId, Vec<&Vertex>)> {
    let mut steps = Vec::new();
    let mut vertex = plan.vertex(image)?;
    while !matches!(vertex.op, Op::Source(_)) {
        steps.push(vertex);
        vertex = plan.vertex(*vertex.inputs.first()?)?;
    }
    steps.reverse();
    // A base of packages is one once they are configured.
    let is_debian = matches!(vertex.op, Op::Source(Source::Debian(_)));
    match steps.first() {
        Some(Vertex { id, op: Op::Exec(Exec { kind: ExecKind::Packages, .. }), .. })
            if is_debian =>
        {
            Some((*id, steps.split_off(1)))
        }
        _ => Some((vertex.id, steps)),
    }
}

/// The ids of those secrets that were given and that a step asks for.
fn secrets<'a>(session: &Session<'_>, links: impl Iterator<Item = &'a Link>) -> BTreeSet<String> {
    let mounts = links.flat_map(|link| match &link.act {
        Act::Exec(exec) => &exec.mounts[..],
        Act::File(_) | Act::Config(_) => &[],
    });
    let id = |kind: &'a MountKind| match kind {
        MountKind::Secret { id, .. } => Some(id),
        _ => None,
    };
    let asked = mounts.filter_map(|mount| id(&mount.kind));
    asked.filter(|id| session.secrets.contains_key(*id)).cloned().collect()
}

/// What is told of one step.
pub(super) fn link(
    session: &Session<'_>,
    vertex: &Vertex,
    inputs: &[Arc<Value>],
    report: Option<&StepReport>,
) -> Result<Link, StepCause> {
    let state = state(inputs)?.map_err(|_| StepCause::Input { index: 0, expected: "known" })?;
    let act = match &vertex.op {
        Op::Exec(exec) => Act::Exec(exec.clone()),
        Op::File(op) => Act::File(op.clone()),
        Op::Config(patch) => Act::Config(patch.clone()),
        Op::Source(_) => return Err(StepCause::Input { index: 0, expected: "a step" }),
    };
    let mut link = Link {
        name: vertex.meta.name.clone(),
        history: vertex.meta.history.clone(),
        stage: vertex.meta.stage.clone(),
        act,
        key: None,
        layer: report.and_then(|report| report.layer),
        execution: None,
        seen: None,
        cwd: state.config.workdir().to_owned(),
        owner: None,
        inputs: BTreeMap::new(),
    };
    match &vertex.op {
        Op::Exec(exec) => {
            let saw = report.and_then(|report| report.saw.as_ref());
            process(session, &mut link, (exec, saw), state, inputs)?;
        }
        Op::File(FileOp::Copy(op)) => copied(session, &mut link, op, state, inputs)?,
        Op::File(op) => {
            let prepared = run_file::prepare(session, op, inputs, (state, &*state.view))?;
            link.key = Some(run_file::parts(&prepared).key());
        }
        Op::Config(_) | Op::Source(_) => {}
    }
    Ok(link)
}

fn process(
    session: &Session<'_>,
    link: &mut Link,
    (exec, saw): (&Exec, Option<&Saw>),
    state: &State,
    inputs: &[Arc<Value>],
) -> Result<(), StepCause> {
    let prepared = Prepared::new(session, exec, state, inputs)?;
    let key = prepared.parts.key();
    link.key = Some(key);
    link.execution = Some(saw.map_or(key, |saw| saw.execution));
    link.seen = saw.map(|saw| seen(session, saw)).transpose()?.flatten();
    for (at, mount) in exec.mounts.iter().enumerate() {
        let Some((input, source)) = mount.kind.takes() else { continue };
        let tree = tree(inputs, input)?;
        let content = prepared.bound.get(at).cloned().flatten().unwrap_or_default();
        let found = view::lookup::resolve(&*tree, &path(source)?)?;
        let is_dir = found.node.is_some_and(|node| node.kind == NodeKind::Directory);
        let part = Part { source: source.to_owned(), path: found.path, is_dir, content };
        let known = self::input(inputs, input)?;
        link.inputs.entry(input).or_insert(known).parts.push(part);
    }
    Ok(())
}

/// What an execution saw, if that is still known.
fn seen(session: &Session<'_>, saw: &Saw) -> Result<Option<Seen>, StepCause> {
    let cache = session.cache;
    let Some(given) = cache.weak_parts(saw.weak)? else { return Ok(None) };
    let Some(pathset) = cache.pathset(saw.pathset)? else { return Ok(None) };
    let Some(answers) = cache.answers(saw.strong, &pathset)? else { return Ok(None) };
    Ok(Some(Seen::new(given, &pathset, &answers)))
}

/// A further input, without what is mounted of it.
fn input(inputs: &[Arc<Value>], index: usize) -> Result<Input, StepCause> {
    let caches = inputs.get(index).map(|input| merged_caches(std::slice::from_ref(input)));
    let tree = tree(inputs, index)?;
    let root = tree.node(&LayerPath::root())?;
    let root = root.map_or((0o755, 0, 0), |n| (n.meta.mode, n.meta.uid, n.meta.gid));
    let (xattrs, caches) = (tree.has_xattrs(), caches.unwrap_or_default());
    Ok(Input { root, xattrs, caches, parts: Vec::new() })
}

fn copied(
    session: &Session<'_>,
    link: &mut Link,
    copy: &Copy,
    state: &State,
    inputs: &[Arc<Value>],
) -> Result<(), StepCause> {
    for number in copy.inputs() {
        link.inputs.insert(number, input(inputs, number)?);
    }
    // Who the owner is, is asked on its own: of the list of users only that
    // entry counts.
    link.owner = owner(copy, &*state.view)?;
    let kinds = Kinds(Arc::clone(&state.view));
    let Some(pathset) = asked(session, &kinds, (copy, link.layer), &link.cwd)? else {
        return Ok(());
    };
    let answers = Answers::of(&pathset, &kinds.trees(), None)?;
    link.seen = Some(Seen::new(Parts::new(), &pathset, &answers));
    Ok(())
}

/// What a copy asks of the tree that it changes: where its destination leads,
/// and what is at each path that it writes and above it.
fn asked(
    session: &Session<'_>,
    target: &Kinds,
    (copy, layer): (&Copy, Option<DiffId>),
    cwd: &str,
) -> Result<Option<Pathset>, StepCause> {
    let recorder = Recorder::default();
    let dest = fileop::destination(cwd, &copy.dest)?;
    view::lookup::resolve(&Watched::new(target, &recorder, 0), &dest)?;
    let Ok(mut pathset) = recorder.take() else { return Ok(None) };
    let Some(layer) = layer else { return Ok(Some(pathset)) };
    let mut seen: HashSet<LayerPath> = HashSet::new();
    for entry in session.layer(&session.made(layer)?)?.entries()? {
        let mut next = Some(entry.path);
        // Most often all above it is known.
        while let Some(path) = next.filter(|path| !seen.contains(path)) {
            pathset.add(0, path.clone(), Question::Node);
            next = path.parent();
            seen.insert(path);
        }
    }
    Ok(Some(pathset))
}

/// The numbers of a copy's owner.
pub(super) fn owner(copy: &Copy, target: &dyn Tree) -> Result<Option<(u32, u32)>, StepCause> {
    Ok(copy.owner.as_deref().map(|owner| passwd::owner(target, owner)).transpose()?)
}

/// A tree as a copy into it sees it: what is there, and where links lead. Owners,
/// modes, times and sizes of files that it covers are nothing to it; a directory that
/// is there keeps its owner, so that is told.
pub(super) struct Kinds(pub(super) Arc<dyn Tree>);

impl Kinds {
    /// As the one tree that is asked.
    pub(super) fn trees(&self) -> BTreeMap<u16, Arc<dyn Tree>> {
        [(0, Arc::new(Self(Arc::clone(&self.0))) as Arc<dyn Tree>)].into()
    }
}

/// The node with nothing but its kind, and of a directory all but its time.
fn plain(node: Node) -> Node {
    let meta = match node.kind {
        NodeKind::Directory => Meta { mtime: Mtime::CONSTANT, ..node.meta },
        _ => Meta::root_owned(0),
    };
    let kind = match node.kind {
        NodeKind::File { .. } => NodeKind::File { size: 0 },
        kind => kind,
    };
    Node { meta, kind, links: None }
}

impl Tree for Kinds {
    fn node(&self, path: &LayerPath) -> Result<Option<Node>, TreeError> {
        Ok(self.0.node(path)?.map(plain))
    }

    fn list(&self, path: &LayerPath) -> Result<Vec<(Vec<u8>, Node)>, TreeError> {
        let all = self.0.list(path)?.into_iter();
        Ok(all.map(|(name, node)| (name, plain(node))).collect())
    }

    fn content(&self, path: &LayerPath) -> Result<ContentDigest, TreeError> {
        self.0.content(path)
    }

    fn open(&self, path: &LayerPath) -> Result<Arc<dyn ReadAt>, TreeError> {
        self.0.open(path)
    }
}
