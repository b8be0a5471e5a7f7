//! A stage, from its base upwards.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::config::Config;
use super::run::usual_shell;
use super::yaml::{Entry, Item, Notes, Yaml, entry};
use super::{Draft, Unsaid, Written};
use crate::digest::VertexId;
use crate::plan::op::{Applies, ConfigPatch, FileOp, Op, Source};
use crate::plan::{Location, Vertex};
use crate::recipe::parse::ONLY_STAGE;

/// What is written so far.
pub(super) struct Writer<'a> {
    pub(super) draft: &'a Draft<'a>,
    /// What scripts are given to that do not say it themselves.
    pub(super) shell: Option<Vec<String>>,
    /// The names of stages and contexts, by what they are.
    pub(super) names: HashMap<VertexId, String>,
    pub(super) used: BTreeSet<String>,
    /// Contexts beside the recipe's own.
    pub(super) contexts: Vec<(String, Yaml)>,
    /// Stages that were written for the one at hand.
    pub(super) beside: Vec<Written>,
    comments: BTreeMap<u32, Vec<String>>,
    parts: Vec<String>,
}

/// A stage in the making.
#[derive(Default)]
pub(super) struct Steps {
    pub(super) items: Vec<Item>,
    config: Config,
    /// The arguments that are set for commands.
    pub(super) args: Vec<(String, String)>,
    /// The working directory, where it is known.
    workdir: Option<String>,
}

impl Steps {
    pub(super) fn push(&mut self, verb: &str, value: Yaml, notes: Notes) {
        self.items.push(Item { notes, value: Yaml::Map(vec![entry(verb, value)]) });
    }

    fn workdir(&mut self, path: &str, value: Yaml, notes: Notes) {
        self.workdir = Some(path.to_owned());
        self.config.unset_workdir();
        self.push("workdir", value, notes);
    }

    /// Variables, with those of the step before if it sets some too.
    fn env(&mut self, env: &[(String, String)], notes: Notes) {
        self.args.retain(|(name, _)| env.iter().all(|(known, _)| known != name));
        let mut all = Vec::new();
        if notes.comments.is_empty()
            && let Some(Item { value: Yaml::Map(step), .. }) = self.items.last_mut()
            && let [Entry { key, value: Yaml::Map(before), .. }] = &mut step[..]
            && key == "env"
        {
            all.append(before);
            self.items.pop();
        }
        for (name, value) in env {
            let value = Yaml::text(value);
            match all.iter_mut().find(|entry| entry.key == *name) {
                Some(known) => known.value = value,
                None => all.push(entry(name, value)),
            }
        }
        self.push("env", Yaml::Map(all), notes);
    }
}

impl<'a> Writer<'a> {
    pub(super) fn new(draft: &'a Draft<'a>) -> Self {
        let mut writer = Self {
            draft,
            shell: usual_shell(draft.plan),
            names: HashMap::new(),
            used: BTreeSet::new(),
            contexts: Vec::new(),
            beside: Vec::new(),
            comments: draft.comments.clone(),
            parts: Vec::new(),
        };
        let last = draft.parts.len().saturating_sub(1);
        // Those that have names keep them.
        let named = draft.parts.iter().map(|part| part.name.as_deref());
        let mut names: Vec<_> = named.map(|name| name.map(|name| writer.unused(name))).collect();
        for (at, name) in names.iter_mut().enumerate().filter(|(_, name)| name.is_none()) {
            let wish = if at == last { ONLY_STAGE.to_owned() } else { format!("stage-{at}") };
            *name = Some(writer.unused(&wish));
        }
        writer.parts = names.into_iter().flatten().collect();
        writer
    }

    /// The name of a part.
    pub(super) fn name(&self, at: usize) -> &str {
        &self.parts[at]
    }

    pub(super) fn vertex(&self, id: VertexId) -> &'a Vertex {
        self.draft.plan.vertex(id).expect("inputs of a plan are in it")
    }

    pub(super) fn unsaid(&self, vertex: &Vertex, what: impl Into<String>) -> Unsaid {
        Unsaid::new(what, vertex.meta.location.as_ref())
    }

    /// A place in the file that the plan is from.
    pub(super) fn location(&self, line: u32) -> Option<Location> {
        let mut vertices = self.draft.plan.vertices().iter();
        let file = vertices.find_map(|vertex| vertex.meta.location.as_ref())?.file.clone();
        Some(Location { file, line, column: 1 })
    }

    fn notes(&mut self, location: Option<&Location>) -> Notes {
        self.notes_at(location.map(|location| location.line))
    }

    /// What stands above a line; it is given out once.
    pub(super) fn notes_at(&mut self, line: Option<u32>) -> Notes {
        let comments = line.and_then(|line| self.comments.remove(&line)).unwrap_or_default();
        Notes { line, comments, apart: false }
    }

    /// A part, as a stage.
    pub(super) fn part(&mut self, at: usize) -> Result<Written, Unsaid> {
        let part = &self.draft.parts[at];
        let notes = self.notes(part.location.as_ref());
        let entries = self.stage(part.from, part.vertex)?;
        // Of two that are the same the first is as good.
        let name = self.parts[at].clone();
        self.names.entry(part.vertex).or_insert_with(|| name.clone());
        Ok(Written { name, notes, entries })
    }

    /// What a stage consists of.
    pub(super) fn stage(
        &mut self,
        from: Option<usize>,
        last: VertexId,
    ) -> Result<Vec<Entry>, Unsaid> {
        let mut steps = Steps::default();
        let mut chain = Vec::new();
        let start = from.map(|at| self.draft.parts[at].vertex);
        let mut vertex = self.vertex(last);
        while Some(vertex.id) != start && !vertex.inputs.is_empty() {
            chain.push(vertex);
            vertex = self.vertex(vertex.inputs[0]);
        }
        chain.reverse();
        let base = match from {
            Some(at) if Some(vertex.id) == start => {
                vec![("stage".to_owned(), Yaml::text(self.name(at)))]
            }
            _ => self.base(vertex, &mut steps)?,
        };
        let runs = chain.iter().rposition(|vertex| matches!(vertex.op, Op::Exec(_)));
        for at in 0..chain.len() {
            let vertex = chain[at];
            let seen = runs.is_some_and(|last| at < last);
            let moves = chain[at..].iter().any(|vertex| is_relative(&vertex.op));
            let before = at.checked_sub(1).map(|at| &chain[at].op);
            let next = chain.get(at + 1).map(|next| &next.op);
            match &vertex.op {
                Op::Config(patch) => {
                    // What `workdir` sets besides making the directory.
                    if before.is_some_and(|before| workdir(before, Some(&vertex.op)).is_some()) {
                        continue;
                    }
                    self.patch(vertex, patch, (seen, moves), &mut steps);
                }
                Op::Exec(exec) => self.run(vertex, exec, &mut steps)?,
                Op::File(op) => match workdir(&vertex.op, next) {
                    Some((path, owner)) => {
                        let notes = self.notes(vertex.meta.location.as_ref());
                        steps.workdir(path, directory(path, owner), notes);
                    }
                    None => self.file(vertex, op, &mut steps)?,
                },
                Op::Source(_) => return Err(self.unsaid(vertex, "a source has no inputs")),
            }
        }
        let mut entries = vec![entry("from", Yaml::Flow(base))];
        if !steps.items.is_empty() {
            entries.push(entry("steps", Yaml::List(steps.items)));
        }
        let config = steps.config.entries();
        let config = config.map_err(|what| self.unsaid(self.vertex(last), what))?;
        if !config.is_empty() {
            entries.push(entry("config", Yaml::Map(config)));
        }
        Ok(entries)
    }

    /// What a stage starts from that is no stage.
    fn base(&self, vertex: &Vertex, steps: &mut Steps) -> Result<Vec<(String, Yaml)>, Unsaid> {
        let Op::Source(source) = &vertex.op else {
            return Err(self.unsaid(vertex, "a stage starts from a source"));
        };
        let (key, value) = match source {
            Source::Scratch => {
                steps.workdir = Some("/".to_owned());
                ("scratch", Yaml::Plain("true".to_owned()))
            }
            Source::Image { reference, digest: _, platform: None } => {
                ("image", Yaml::text(reference))
            }
            Source::Image { reference, digest: _, platform: Some(platform) } => {
                let name = ("name".to_owned(), Yaml::text(reference));
                ("image", Yaml::Flow(vec![name, ("platform".to_owned(), Yaml::text(platform))]))
            }
            Source::Oci { platform: Some(_), .. } => {
                let what = "a recipe takes the image of a layout that is for this host";
                return Err(self.unsaid(vertex, what));
            }
            Source::Oci { path, tag, platform: None } => {
                let tag = tag.as_ref().map_or(String::new(), |tag| format!(":{tag}"));
                ("oci", Yaml::text(format!("{}{tag}", self.relative(path))))
            }
            Source::Rootfs { path } => ("rootfs", Yaml::text(self.relative(path))),
            Source::Engine { name } => ("engine", Yaml::text(name)),
            _ => return Err(self.unsaid(vertex, "a recipe's stage cannot start from this")),
        };
        Ok(vec![(key.to_owned(), value)])
    }

    /// A change of the config: a step where a later one can see it, else a part of
    /// the stage's config.
    fn patch(
        &mut self,
        vertex: &Vertex,
        patch: &ConfigPatch,
        (seen, moves): (bool, bool),
        steps: &mut Steps,
    ) {
        let mut rest = patch.clone();
        let mut notes = self.notes(vertex.meta.location.as_ref());
        if seen && !rest.env.is_empty() {
            steps.env(&std::mem::take(&mut rest.env), std::mem::take(&mut notes));
        }
        if seen && let Some(user) = rest.user.take() {
            steps.push("user", owner(&user), std::mem::take(&mut notes));
        }
        let known = rest.workdir.is_some() && rest.workdir == steps.workdir;
        if moves
            && !known
            && let Some(path) = rest.workdir.take()
        {
            steps.workdir(&path, Yaml::text(&path), std::mem::take(&mut notes));
        }
        steps.config.add(&rest, notes);
    }

    /// A change of files.
    fn file(
        &mut self,
        vertex: &'a Vertex,
        op: &'a FileOp,
        steps: &mut Steps,
    ) -> Result<(), Unsaid> {
        let notes = self.notes(vertex.meta.location.as_ref());
        match op {
            FileOp::Copy(copy) => {
                let (verb, value) = self.copy(vertex, copy)?;
                steps.push(verb, value, notes);
            }
            FileOp::Write { path, content, owner: whose, mode } => {
                let Ok(content) = String::from_utf8(content.clone()) else {
                    return Err(self.unsaid(vertex, "a recipe is text, and this file is none"));
                };
                let mut entries = vec![entry("path", Yaml::text(path))];
                entries.extend(whose.as_deref().map(|whose| entry("owner", owner(whose))));
                entries.extend(mode.map(|mode| entry("mode", octal(mode))));
                entries.push(entry("content", Yaml::text(content)));
                steps.push("write", Yaml::Map(entries), notes);
            }
            FileOp::Mkdir { path, owner: whose, mode, applies } => {
                let mut entries = vec![entry("path", Yaml::text(path))];
                entries.extend(whose.as_deref().map(|whose| entry("owner", owner(whose))));
                entries.extend(mode.map(|mode| entry("mode", octal(mode))));
                if *applies == Applies::Made {
                    entries.push(entry("applies", Yaml::text("made")));
                }
                steps.push("mkdir", Yaml::Map(entries), notes);
            }
            FileOp::Symlink { target, path } => {
                let entries = [("target", target), ("path", path)];
                let entries = entries.map(|(key, text)| entry(key, Yaml::text(text)));
                steps.push("symlink", Yaml::Map(entries.into()), notes);
            }
            FileOp::Remove { paths, required } => {
                let mut entries = vec![entry("paths", Yaml::one_or_more(paths))];
                if !required {
                    entries.push(entry("required", Yaml::Plain("false".to_owned())));
                }
                steps.push("remove", Yaml::Map(entries), notes);
            }
        }
        Ok(())
    }

    /// The notes of a step.
    pub(super) fn notes_of(&mut self, vertex: &Vertex) -> Notes {
        self.notes(vertex.meta.location.as_ref())
    }
}

/// A user, a number as one.
pub(super) fn owner(text: &str) -> Yaml {
    let number = text.parse::<u32>().is_ok_and(|number| number.to_string() == text);
    if number { Yaml::Plain(text.to_owned()) } else { Yaml::text(text) }
}

pub(super) fn octal(mode: u32) -> Yaml {
    Yaml::Text(format!("{mode:04o}"))
}

fn directory(path: &str, whose: Option<&str>) -> Yaml {
    match whose {
        None => Yaml::text(path),
        Some(whose) => {
            let owner = ("owner".to_owned(), owner(whose));
            Yaml::Flow(vec![("path".to_owned(), Yaml::text(path)), owner])
        }
    }
}

/// A directory and its owner, where two operations are what `workdir` does.
fn workdir<'o>(op: &'o Op, next: Option<&'o Op>) -> Option<(&'o str, Option<&'o str>)> {
    let Op::File(FileOp::Mkdir { path, owner, mode: Some(0o755), applies: Applies::Made }) = op
    else {
        return None;
    };
    let Some(Op::Config(patch)) = next else { return None };
    let only = ConfigPatch { workdir: Some(path.clone()), ..ConfigPatch::default() };
    // Of the root `workdir` makes nothing.
    (*patch == only && path != "/").then_some((path, owner.as_deref()))
}

/// Whether an operation means something else in another working directory.
fn is_relative(op: &Op) -> bool {
    match op {
        Op::Exec(_) => true,
        Op::File(FileOp::Copy(copy)) => !copy.dest.starts_with('/'),
        Op::File(
            FileOp::Write { path, .. } | FileOp::Mkdir { path, .. } | FileOp::Symlink { path, .. },
        ) => !path.starts_with('/'),
        Op::File(FileOp::Remove { paths, .. }) => paths.iter().any(|path| !path.starts_with('/')),
        Op::Source(_) | Op::Config(_) => false,
    }
}
