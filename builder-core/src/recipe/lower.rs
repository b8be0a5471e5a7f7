//! A recipe becomes a plan.
//!
//! Each stage is a chain: its base, one vertex per step that `when` leaves in
//! (`workdir` and a list for `mkdir` make more), its config. What is not
//! written is no vertex. The context is one vertex, made when first used.

use std::collections::{BTreeMap, HashMap};

use super::debian::debian_configure;
use super::decode::Decoder;
use super::model::{Action, From, Input, Recipe, Stage, Step};
use crate::digest::VertexId;
use crate::frontend::{Span, Spanned};
use crate::plan::op::{Applies, ConfigPatch, Exec, ExecKind, FileOp, Op, Source};
use crate::plan::{Plan, PlanBuilder, Target, TargetTest, VertexMeta};

/// Annotation that names an image's base.
const BASE_NAME: &str = "org.opencontainers.image.base.name";

/// The plan of a recipe; `None` once everything wrong has been reported.
pub(super) fn lower(decoder: &Decoder<'_>, recipe: &Recipe) -> Option<Plan> {
    let order = order(decoder, recipe)?;
    let mut lowering = Lowering {
        decoder,
        builder: PlanBuilder::new(),
        ignore: &recipe.ignore,
        contexts: &recipe.contexts,
        context: None,
        states: HashMap::new(),
    };
    lowering.builder.mtime(recipe.mtime);
    let mut targets = HashMap::new();
    for at in order {
        let target = lowering.stage(&recipe.stages[at])?;
        targets.insert(at, target);
    }
    for at in 0..recipe.stages.len() {
        lowering.builder.target(targets.remove(&at)?);
    }
    Some(lowering.builder.finish())
}

/// The stages that a stage is made from, where they are named.
fn references(stage: &Stage, all: bool) -> Vec<(&str, Span)> {
    let mut found: Vec<_> = started_from(stage).into_iter().collect();
    let steps = stage.steps.iter().chain(&stage.tests).filter(|step| all || step.active);
    for input in steps.flat_map(|step| &step.inputs) {
        if let Input::Stage(name) = input {
            found.push((name.value.as_str(), name.span));
        }
    }
    found
}

/// The stage that a stage starts from.
fn started_from(stage: &Stage) -> Option<(&str, Span)> {
    match &stage.from {
        Spanned { value: From::Stage(name), span } => Some((name.as_str(), *span)),
        _ => None,
    }
}

/// Indices of the stages, each after those it is made from.
fn order(decoder: &Decoder<'_>, recipe: &Recipe) -> Option<Vec<usize>> {
    let names: Vec<_> = recipe.stages.iter().map(|stage| stage.name.value.as_str()).collect();
    let mut known = true;
    for stage in &recipe.stages {
        let base = started_from(stage);
        for (name, span) in references(stage, true) {
            let context = recipe.contexts.iter().any(|(known, _)| known.value == name);
            if !names.contains(&name) && (!context || base == Some((name, span))) {
                let diagnostic = decoder.source.diagnostic(span, format!("unknown stage `{name}`"));
                known = decoder
                    .report(diagnostic.suggest(name, names.iter().copied()))
                    .unwrap_or(false);
            }
        }
    }
    let mut search = Search { decoder, recipe, names, done: Vec::new(), path: Vec::new() };
    let acyclic = (0..recipe.stages.len()).all(|at| search.visit(at).is_some());
    (known && acyclic).then_some(search.done)
}

/// Depth-first search; as deep as there are stages, so it keeps its own stack.
struct Search<'a> {
    decoder: &'a Decoder<'a>,
    recipe: &'a Recipe,
    names: Vec<&'a str>,
    done: Vec<usize>,
    path: Vec<(usize, Vec<(usize, Span)>)>,
}

impl Search<'_> {
    fn open(&self, at: usize) -> (usize, Vec<(usize, Span)>) {
        let named = references(&self.recipe.stages[at], false).into_iter().rev();
        let index = |name| self.names.iter().position(|known| *known == name);
        (at, named.filter_map(|(name, span)| Some((index(name)?, span))).collect())
    }

    fn visit(&mut self, start: usize) -> Option<()> {
        let mut done = vec![false; self.names.len()];
        for &at in &self.done {
            done[at] = true;
        }
        if done[start] {
            return Some(());
        }
        self.path = vec![self.open(start)];
        while let Some((at, rest)) = self.path.last_mut() {
            let Some((next, span)) = rest.pop() else {
                done[*at] = true;
                self.done.push(*at);
                self.path.pop();
                continue;
            };
            if let Some(begin) = self.path.iter().position(|(at, _)| *at == next) {
                let cycle = self.path[begin..].iter().map(|(at, _)| *at).chain([next]);
                let cycle: Vec<_> = cycle.map(|at| self.names[at]).collect();
                return self
                    .decoder
                    .wrong(span, format!("stages need each other: {}", cycle.join(" -> ")));
            }
            if !done[next] {
                let opened = self.open(next);
                self.path.push(opened);
            }
        }
        Some(())
    }
}

struct Lowering<'a> {
    decoder: &'a Decoder<'a>,
    builder: PlanBuilder,
    ignore: &'a [String],
    contexts: &'a [(Spanned<String>, Source)],
    context: Option<VertexId>,
    /// Each stage's state, and the name of the base it goes back to.
    states: HashMap<&'a str, (VertexId, Option<String>)>,
}

impl<'a> Lowering<'a> {
    fn stage(&mut self, stage: &'a Stage) -> Option<Target> {
        let name = stage.name.value.as_str();
        let (mut state, base) = self.base(stage)?;
        let mut args = Vec::new();
        for step in stage.steps.iter().filter(|step| step.active) {
            match &step.action {
                Action::Args(pairs) => {
                    pairs.iter().for_each(|pair| set(&mut args, pair));
                    continue;
                }
                // What the image sets counts more from then on.
                Action::Config(patch) => {
                    args.retain(|(name, _)| patch.env.iter().all(|(known, _)| known != name));
                }
                _ => {}
            }
            state = self.step(name, step, state, &args)?;
        }
        if let Some(config) = stage.config.as_ref().filter(|c| c.value != ConfigPatch::default()) {
            let meta = self.meta(name, config.span, "config");
            state = self.builder.add(Op::Config(config.value.clone()), &[state], meta);
        }
        let mut tests = Vec::new();
        for test in stage.tests.iter().filter(|test| test.active) {
            tests.push(TargetTest { vertex: self.step(name, test, state, &[])? });
        }
        self.states.insert(name, (state, base.clone()));
        let annotations: BTreeMap<_, _> =
            base.map(|base| (BASE_NAME.to_owned(), base)).into_iter().collect();
        Some(Target { stage: name.to_owned(), vertex: state, tests, annotations })
    }

    fn meta(&self, stage: &str, span: Span, name: impl Into<String>) -> VertexMeta {
        VertexMeta {
            name: name.into(),
            stage: stage.to_owned(),
            location: Some(self.decoder.source.location(span)),
            ..Default::default()
        }
    }

    fn base(&mut self, stage: &'a Stage) -> Option<(VertexId, Option<String>)> {
        let (name, span) = (stage.name.value.as_str(), stage.from.span);
        match &stage.from.value {
            From::Stage(other) => self.states.get(other.as_str()).cloned(),
            From::Source { source, base } => {
                let title = match (source, base) {
                    (Source::Scratch, _) | (_, None) => "from scratch".to_owned(),
                    (_, Some(base)) => format!("from {base}"),
                };
                let meta = self.meta(name, span, title);
                let mut id = self.builder.add(Op::Source(source.clone()), &[], meta);
                if let Source::Debian(debian) = source {
                    let title = format!("configure debian:{}", debian.suite);
                    let meta = self.meta(name, span, title);
                    id = self.builder.add(Op::Exec(debian_configure(debian)), &[id], meta);
                }
                // What an image is called in full is known once it was found.
                let named = !matches!(source, Source::Image { .. });
                Some((id, base.clone().filter(|_| named)))
            }
        }
    }

    fn context(&mut self, stage: &str, span: Span) -> VertexId {
        if let Some(id) = self.context {
            return id;
        }
        let path = self.decoder.base.to_owned();
        let meta = self.meta(stage, span, "context");
        let (name, ignore) = ("context".to_owned(), self.ignore.to_vec());
        let op = Op::Source(Source::Local { name, path, ignore });
        *self.context.insert(self.builder.add(op, &[], meta))
    }

    /// What `from` names: a stage, else a context.
    fn named(&mut self, stage: &str, name: &Spanned<String>) -> Option<VertexId> {
        if let Some((state, _)) = self.states.get(name.value.as_str()) {
            return Some(*state);
        }
        let mut contexts = self.contexts.iter();
        let (at, source) = contexts.find(|(known, _)| known.value == name.value)?;
        let meta = self.meta(stage, at.span, format!("context {}", name.value));
        Some(self.builder.add(Op::Source(source.clone()), &[], meta))
    }

    fn step(
        &mut self,
        stage: &str,
        step: &Step,
        state: VertexId,
        args: &[(String, String)],
    ) -> Option<VertexId> {
        let mut inputs = vec![state];
        for input in &step.inputs {
            inputs.push(match input {
                Input::Context => self.context(stage, step.span),
                Input::Stage(name) => self.named(stage, name)?,
                Input::Source(source) => {
                    let title = match source {
                        Source::Http(http) => format!("download {}", http.name),
                        Source::Git(git) => {
                            format!("git {}", git.reference.as_deref().unwrap_or("HEAD"))
                        }
                        _ => "source".to_owned(),
                    };
                    let meta = self.meta(stage, step.span, title);
                    self.builder.add(Op::Source(source.clone()), &[], meta)
                }
            });
        }
        let mut meta = self.meta(stage, step.span, step.name.as_deref().unwrap_or(&step.title));
        meta.step.clone_from(&step.name);
        meta.max_age = step.max_age;
        let mut ops = match &step.action {
            Action::Exec(exec) => vec![Op::Exec(with_args(exec, args))],
            Action::Files(ops) => ops.iter().cloned().map(Op::File).collect(),
            Action::Config(patch) => vec![Op::Config(patch.clone())],
            // It was carried out by the stage.
            Action::Args(_) => Vec::new(),
            Action::Workdir { path, owner } => {
                let (owner, mode, applies) = (owner.clone(), Some(0o755), Applies::Made);
                let mkdir = FileOp::Mkdir { path: path.clone(), owner, mode, applies };
                let patch = ConfigPatch { workdir: Some(path.clone()), ..Default::default() };
                // The root is there, in every image.
                let mkdir = (path != "/").then_some(Op::File(mkdir));
                mkdir.into_iter().chain([Op::Config(patch)]).collect()
            }
        };
        // A config that sets nothing (`env: {}`) is no vertex.
        ops.retain(|op| !matches!(op, Op::Config(patch) if *patch == ConfigPatch::default()));
        for op in ops {
            inputs[0] = self.builder.add(op, &inputs, meta.clone());
        }
        Some(inputs[0])
    }
}

/// Sets a variable where it stands, or at the end.
fn set(variables: &mut Vec<(String, String)>, pair: &(String, String)) {
    match variables.iter_mut().find(|(name, _)| *name == pair.0) {
        Some(known) => known.1.clone_from(&pair.1),
        None => variables.push(pair.clone()),
    }
}

/// A command with the arguments that are set above it; what it sets itself
/// counts more.
fn with_args(exec: &Exec, args: &[(String, String)]) -> Exec {
    let mut exec = exec.clone();
    if exec.kind == ExecKind::Step {
        let own = std::mem::take(&mut exec.env);
        let other = args.iter().filter(|(name, _)| own.iter().all(|(known, _)| known != name));
        exec.env = other.cloned().collect();
        exec.env.extend(own);
    }
    exec
}
