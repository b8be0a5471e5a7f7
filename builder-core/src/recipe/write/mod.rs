//! A plan becomes a recipe, as text that a person can go on with.
//!
//! In: a [`Draft`], which is a plan with its stages, as a frontend made them.
//! Out: a recipe, or what of the plan no recipe can say. The invariant: whatever
//! is given out was read again with [`super::load`], and its plan makes the same
//! layers and the same configs (`same`), so that nothing is silently different.
//! Only history tells other words.
//!
//! `stage` goes through a stage from its base upwards, `take` names what steps
//! take from, `run`, `copy` and `config` are the steps as YAML, `yaml` and
//! `scalar` its text.
//!
//! Limitations: what a Dockerfile never asks for, such as packages of Debian, is
//! refused. Annotations are no part of a recipe.

mod config;
mod copy;
mod fold;
mod run;
mod same;
mod scalar;
mod stage;
mod take;
#[cfg(test)]
mod tests;
mod yaml;

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use self::stage::Writer;
use self::yaml::{Entry, Notes, Yaml, entry};
use super::Params;
use super::parse::ONLY_STAGE;
use crate::digest::VertexId;
use crate::pattern::{Pattern, is_glob};
use crate::plan::op::{CopySource, FileOp, Op, Source};
use crate::plan::{Location, Plan};

/// A stage of what is written.
#[derive(Debug, Clone)]
pub struct Part {
    /// Its name, if it has one; it is made to fit where it is no stage's name in
    /// a recipe.
    pub name: Option<String>,
    /// The earlier part that it starts from, by its index.
    pub from: Option<usize>,
    /// The vertex whose state it is.
    pub vertex: VertexId,
    /// Where it begins.
    pub location: Option<Location>,
}

/// A parameter of the recipe.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Param {
    /// Its name.
    pub name: String,
    /// Its value where none is given.
    pub default: String,
    /// What stands for its value in the plan, and is in no text by accident.
    pub mark: String,
    /// The line that its comments stand above.
    pub line: u32,
}

/// What the defaults of all parameters make of a plan.
#[derive(Debug, Clone)]
pub struct Meant<'a> {
    /// The plan.
    pub plan: &'a Plan,
    /// The states of its parts.
    pub vertices: Vec<VertexId>,
}

/// What is to be written.
#[derive(Debug, Clone)]
pub struct Draft<'a> {
    /// What is to be done.
    pub plan: &'a Plan,
    /// The stages, each after those that it needs; the last is what is built where
    /// nothing else is asked for.
    pub parts: Vec<Part>,
    /// The directory that the recipe's paths begin at: its context. Absolute.
    pub base: &'a Path,
    /// What of the context is ignored beyond what the plan says.
    pub ignore: Vec<String>,
    /// Comments by the line of what they stand above, without their `#`.
    pub comments: BTreeMap<u32, Vec<String>>,
    /// Lines at the top.
    pub head: Vec<String>,
    /// What may be written as parameters; what the plan does not use is not.
    pub params: Vec<Param>,
    /// The plan without marks, where there are any.
    pub meant: Option<Meant<'a>>,
}

impl<'a> Draft<'a> {
    /// The parts of a plan, with nothing said beside it: a draft to change.
    #[must_use]
    pub fn new(plan: &'a Plan, parts: Vec<Part>, base: &'a Path) -> Self {
        Self {
            plan,
            parts,
            base,
            ignore: Vec::new(),
            comments: BTreeMap::new(),
            head: Vec::new(),
            params: Vec::new(),
            meant: None,
        }
    }

    /// The parameters that the plan uses.
    fn used(&self) -> Vec<&Param> {
        let told: Vec<String> =
            self.plan.vertices().iter().map(|vertex| format!("{:?}", vertex.op)).collect();
        let is_used = |param: &&Param| told.iter().any(|text| text.contains(&param.mark));
        self.params.iter().filter(is_used).collect()
    }
}

/// What a recipe cannot say.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what}")]
pub struct Unsaid {
    /// What, and why.
    pub what: String,
    /// Where it was asked for.
    pub location: Option<Location>,
}

impl Unsaid {
    fn new(what: impl Into<String>, location: Option<&Location>) -> Self {
        Self { what: what.into(), location: location.cloned() }
    }
}

/// Writes the recipe of a plan.
///
/// # Errors
/// What cannot be said, in order of place; never empty.
pub fn write(draft: &Draft<'_>) -> Result<String, Vec<Unsaid>> {
    let mut writer = Writer::new(draft);
    let mut stages = Vec::new();
    for at in 0..draft.parts.len() {
        let written = writer.part(at).map_err(|unsaid| vec![unsaid])?;
        stages.append(&mut writer.beside);
        stages.push(written);
    }
    let used = draft.used();
    let document = document(draft, &mut writer, &used, stages);
    let printed = yaml::print(&document, &used);
    let wrong = check(draft, &writer, &printed, &used);
    if wrong.is_empty() { Ok(printed.text) } else { Err(wrong) }
}

/// A stage that was written.
struct Written {
    name: String,
    notes: Notes,
    entries: Vec<Entry>,
}

fn document(
    draft: &Draft<'_>,
    writer: &mut Writer<'_>,
    used: &[&Param],
    mut stages: Vec<Written>,
) -> Vec<Entry> {
    let apart = |key: &str, value| {
        let notes = Notes { apart: true, ..Notes::default() };
        Entry { notes, ..entry(key, value) }
    };
    let mut document = Vec::new();
    let param = |param: &&Param| Entry {
        notes: Notes { line: None, ..writer.notes_at(Some(param.line)) },
        ..entry(&param.name, Yaml::text(&param.default))
    };
    let params: Vec<Entry> = used.iter().map(param).collect();
    if !params.is_empty() {
        document.push(apart("params", Yaml::Map(params)));
    }
    let ignore = ignored(draft);
    if !ignore.is_empty() {
        document.push(apart("ignore", Yaml::texts(&ignore)));
    }
    if !writer.contexts.is_empty() {
        let contexts = writer.contexts.iter().map(|(name, context)| entry(name, context.clone()));
        document.push(apart("contexts", Yaml::Map(contexts.collect())));
    }
    if let Some(shell) = &writer.shell {
        document.push(apart("shell", Yaml::texts(shell)));
    }
    match &mut stages[..] {
        [only] if only.name == ONLY_STAGE => {
            let mut entries = std::mem::take(&mut only.entries);
            for entry in &mut entries {
                entry.notes.apart = true;
            }
            if let Some(first) = entries.first_mut() {
                first.notes.join(std::mem::take(&mut only.notes));
            }
            document.extend(entries);
        }
        _ => {
            let stages = stages.into_iter().enumerate().map(|(at, stage)| {
                let notes = Notes { apart: at > 0, ..stage.notes };
                Entry { key: stage.name, notes, value: Yaml::Map(stage.entries) }
            });
            document.push(apart("stages", Yaml::Map(stages.collect())));
        }
    }
    if let Some(first) = document.first_mut() {
        let mut comments = draft.head.clone();
        comments.append(&mut first.notes.comments);
        first.notes.comments = comments;
    }
    document
}

/// What of the context is left out, if anything is taken from it.
fn ignored(draft: &Draft<'_>) -> Vec<String> {
    let context = draft.plan.vertices().iter().find_map(|vertex| match &vertex.op {
        Op::Source(Source::Local { name, ignore, .. }) if name == "context" => Some(ignore),
        _ => None,
    });
    let ignore = context.map(|ignore| ignore.iter().chain(&draft.ignore).cloned());
    ignore.into_iter().flatten().collect()
}

/// Reads what was written, and names all that is not what was meant: with the
/// marks in the place of parameters, and with their defaults.
fn check(
    draft: &Draft<'_>,
    writer: &Writer<'_>,
    printed: &yaml::Printed,
    used: &[&Param],
) -> Vec<Unsaid> {
    let set = used.iter().map(|param| (param.name.clone(), param.mark.clone())).collect();
    let vertices: Vec<VertexId> = draft.parts.iter().map(|part| part.vertex).collect();
    let params = Params { set, ..Params::default() };
    let mut wrong = differs((draft, writer), printed, (draft.plan, &vertices), &params);
    if let (Some(meant), true) = (&draft.meant, wrong.is_empty()) {
        let meant = (meant.plan, meant.vertices.as_slice());
        wrong = differs((draft, writer), printed, meant, &Params::default());
    }
    wrong
}

fn differs(
    (draft, writer): (&Draft<'_>, &Writer<'_>),
    printed: &yaml::Printed,
    (plan, vertices): (&Plan, &[VertexId]),
    params: &Params,
) -> Vec<Unsaid> {
    let file = Path::new("recipe.yaml");
    let loaded = match super::load(&printed.text, file, draft.base, params) {
        Ok(loaded) => loaded,
        Err(found) => {
            let told = found.into_iter().map(|wrong| {
                let line = wrong.location.as_ref().map_or(0, |location| location.line);
                let before = printed.origins.iter().rev().find(|(written, _)| *written <= line);
                let location = before.and_then(|(_, line)| writer.location(*line));
                Unsaid { what: format!("a recipe cannot say this: {}", wrong.message), location }
            });
            return told.collect();
        }
    };
    let (wanted, made) = (same::forms(plan, &draft.ignore), same::forms(&loaded.plan, &[]));
    let targets: HashMap<&str, VertexId> =
        loaded.plan.targets().iter().map(|target| (target.stage.as_str(), target.vertex)).collect();
    let differs = draft.parts.iter().enumerate().filter_map(|(at, part)| {
        let (one, other) = (&wanted[&vertices[at]], &made[targets.get(writer.name(at))?]);
        let which = match (one.same_layers(other), one.same_config(other)) {
            (true, true) => return None,
            (false, _) => "the same layers",
            (true, false) => "the same config",
        };
        let what =
            format!("stage `{}` cannot be written so that it gives {which}", writer.name(at));
        Some(Unsaid::new(what, part.location.as_ref()))
    });
    differs.collect()
}

/// Whether a plan may take a file of that name, and does not name it itself, from
/// its context.
#[must_use]
pub fn is_taken(plan: &Plan, name: &str) -> bool {
    let is_context = |id: &VertexId| {
        let source = plan.vertex(*id).map(|vertex| &vertex.op);
        matches!(source, Some(Op::Source(Source::Local { name, .. })) if name == "context")
    };
    plan.vertices().iter().any(|vertex| {
        let of_context = |at: usize| vertex.inputs.get(at).is_some_and(is_context);
        let within = |path: &str| {
            let path = path.trim_matches('/');
            matches!(path, "" | ".") || Path::new(name).starts_with(path) && name != path
        };
        match &vertex.op {
            Op::File(FileOp::Copy(copy)) => copy.sources.iter().any(|source| match source {
                CopySource::Path { input, path, .. } if of_context(*input) => {
                    within(path) || is_glob(path.as_bytes()) && glob_reaches(path, name)
                }
                _ => false,
            }),
            Op::Exec(exec) => exec.mounts.iter().any(|mount| {
                mount.kind.takes().is_some_and(|(input, path)| of_context(input) && within(path))
            }),
            _ => false,
        }
    })
}

/// Whether a glob matches a path or a directory that it is in.
fn glob_reaches(glob: &str, path: &str) -> bool {
    let Ok(pattern) = Pattern::path(glob.as_bytes()) else { return true };
    Path::new(path)
        .ancestors()
        .filter(|part| !part.as_os_str().is_empty())
        .any(|part| pattern.matches(part.as_os_str().as_encoded_bytes()))
}
