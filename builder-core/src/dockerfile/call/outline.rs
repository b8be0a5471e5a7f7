//! What a target takes from outside: arguments, secrets, agents, caches.
//!
//! Followed through the stages that it needs, without their images: variables
//! that an image sets are not set here.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use super::super::ast::{Arg, Copy, Dockerfile, InstructionKind, Run, Stage, Word};
use super::super::expand::{ALL_VALUES, ExpandError, Expanded, Expander, Within};
use super::super::mount::{Mount, MountType};
use super::{Outline, OutlineArg, OutlineCache, OutlineSecret, Place, encoded};
use crate::frontend::{Diagnostic, SourceFile, Span};

/// What a variable takes beside its value, in bytes.
const ENTRY: usize = 128;

/// What the target takes. `predefined` are the arguments that are there
/// undeclared, such as `TARGETPLATFORM`.
///
/// # Errors
/// A target that is none, a word that cannot be expanded, a mount that is
/// wrong.
pub fn outline(
    file: &Dockerfile,
    source: &SourceFile,
    target: Option<&str>,
    build_args: &BTreeMap<String, String>,
    predefined: &BTreeMap<String, String>,
) -> Result<Outline, Diagnostic> {
    let mut walk = Walk {
        source,
        build_args,
        expander: Expander::new(file.escape()),
        globals: predefined.clone(),
        declared: BTreeMap::new(),
        names: HashMap::new(),
        stages: Vec::new(),
        left: Cell::new(ALL_VALUES),
    };
    walk.preamble(file)?;
    for (at, stage) in file.stages.iter().enumerate() {
        walk.stage(at, stage)?;
    }
    let target = match target {
        None => file.stages.len() - 1,
        Some(name) => walk.target(name)?,
    };
    let mut found = walk.collect(file, target);
    found.sources = vec![encoded(source)];
    Ok(found)
}

/// An argument as it was declared last.
#[derive(Clone)]
struct Declared {
    description: Option<String>,
    value: Option<String>,
    /// Arguments that its default uses.
    uses: BTreeSet<String>,
    span: Span,
}

/// What a stage takes itself.
#[derive(Default)]
struct Taken {
    variables: BTreeMap<String, String>,
    declared: BTreeMap<String, Declared>,
    used: BTreeSet<String>,
    secrets: BTreeMap<String, (bool, Span)>,
    ssh: BTreeMap<String, (bool, Span)>,
    caches: BTreeMap<String, Span>,
    base: Option<usize>,
    /// Names that `COPY --from` and mounts take from.
    from: Vec<String>,
}

struct Walk<'a> {
    source: &'a SourceFile,
    build_args: &'a BTreeMap<String, String>,
    expander: Expander,
    globals: BTreeMap<String, String>,
    declared: BTreeMap<String, Declared>,
    names: HashMap<String, usize>,
    stages: Vec<Taken>,
    /// How many bytes of values may still be brought in.
    left: Cell<usize>,
}

impl Walk<'_> {
    fn preamble(&mut self, file: &Dockerfile) -> Result<(), Diagnostic> {
        for instruction in &file.preamble {
            let InstructionKind::Arg(args) = &instruction.kind else { continue };
            for Arg { name, value, description } in args {
                let mut uses = BTreeSet::new();
                let value = match (self.build_args.get(&name.value), value) {
                    (Some(given), _) => Some(given.clone()),
                    (None, Some(word)) => {
                        let expanded = self.expanded(&word.value, &self.globals);
                        let expanded =
                            expanded.map_err(|error| error.diagnostic(self.source, word))?;
                        uses = expanded.matched;
                        // One that uses what it was before needs what that needed.
                        if uses.remove(&name.value)
                            && let Some(before) = self.declared.get(&name.value)
                        {
                            uses.extend(before.uses.iter().cloned());
                        }
                        Some(expanded.text)
                    }
                    (None, None) => None,
                };
                if let Some(value) = &value {
                    self.globals.insert(name.value.clone(), value.clone());
                }
                let (description, span) = (description.clone(), instruction.span);
                let declared = Declared { description, value, uses, span };
                self.declared.insert(name.value.clone(), declared);
            }
        }
        Ok(())
    }

    fn stage(&mut self, at: usize, stage: &Stage) -> Result<(), Diagnostic> {
        let mut taken = Taken { declared: self.declared.clone(), ..Taken::default() };
        let mut used = BTreeSet::new();
        let mut expand = |word: &Word| {
            let expanded = self.expanded(&word.value, &self.globals);
            let expanded = expanded.map_err(|error| error.diagnostic(self.source, word))?;
            used.extend(expanded.matched);
            Ok::<_, Diagnostic>(expanded.text)
        };
        let image = expand(&stage.image)?;
        stage.platform.as_ref().map(&mut expand).transpose()?;
        taken.base = self.names.get(&image).copied();
        if let Some(base) = taken.base.and_then(|base| self.stages.get(base)) {
            taken.declared = base.declared.clone();
            taken.variables = base.variables.clone();
        }
        taken.used = used;
        // A stage that takes over what another has is one more that has it.
        let values: usize = taken.variables.values().map(String::len).sum();
        let entries = taken.declared.len() + taken.variables.len();
        self.pay(stage.span, values.saturating_add(entries * ENTRY))?;
        for instruction in &stage.instructions {
            let span = instruction.span;
            match &instruction.kind {
                InstructionKind::Arg(args) => {
                    for arg in args {
                        self.arg(arg, span, &mut taken)?;
                    }
                }
                InstructionKind::Env(pairs) => {
                    let mut set = Vec::new();
                    for pair in pairs {
                        let key = self.word(&pair.key, &taken)?;
                        set.push((key, self.word(&pair.value, &taken)?));
                    }
                    taken.variables.extend(set);
                }
                InstructionKind::Copy(Copy { from: Some(from), .. }) => {
                    taken.from.push(from.value.clone());
                }
                InstructionKind::Run(run) => self.mounts(run, span, &mut taken)?,
                _ => {}
            }
        }
        self.stages.push(taken);
        if let Some(name) = &stage.name {
            self.names.insert(name.value.clone(), at);
        }
        Ok(())
    }

    fn word(&self, word: &Word, taken: &Taken) -> Result<String, Diagnostic> {
        let expanded = self.expanded(&word.value, &taken.variables);
        let expanded = expanded.map_err(|error| error.diagnostic(self.source, word))?;
        Ok(expanded.text)
    }

    fn expanded(
        &self,
        word: &str,
        variables: &BTreeMap<String, String>,
    ) -> Result<Expanded, ExpandError> {
        self.expander.word(word, &Within { variables, left: &self.left })
    }

    /// Counts what is taken over.
    fn pay(&self, span: Span, bytes: usize) -> Result<(), Diagnostic> {
        let left = self.left.get().checked_sub(bytes);
        let message = "the variables of all stages are too long";
        self.left.set(left.ok_or_else(|| self.source.diagnostic(span, message))?);
        Ok(())
    }

    fn arg(&self, arg: &Arg, span: Span, taken: &mut Taken) -> Result<(), Diagnostic> {
        let name = &arg.name.value;
        let given = self.build_args.get(name);
        let (value, own) = match (given, &arg.value, self.globals.get(name)) {
            (Some(given), ..) => (Some(given.clone()), true),
            (None, Some(word), _) => (Some(self.word(word, taken)?), true),
            // One that is there already is described where it was declared.
            (None, None, Some(global)) => {
                self.pay(span, global.len())?;
                (Some(global.clone()), false)
            }
            (None, None, None) => (None, true),
        };
        if let Some(value) = &value {
            taken.variables.insert(name.clone(), value.clone());
        }
        if own {
            let (description, uses) = (arg.description.clone(), BTreeSet::new());
            taken.declared.insert(name.clone(), Declared { description, value, uses, span });
        }
        taken.used.insert(name.clone());
        Ok(())
    }

    fn mounts(&self, run: &Run, span: Span, taken: &mut Taken) -> Result<(), Diagnostic> {
        for spec in &run.mounts {
            taken.from.extend(spec.from.clone());
            let mut expand = |value: &str| {
                let expanded = self.expanded(value, &taken.variables);
                let expanded = expanded
                    .map_err(|error| self.source.diagnostic(spec.text.span, error.to_string()))?;
                Ok(expanded.text)
            };
            let Mount { kind, id, source, target, required, .. } =
                spec.mount(self.source, &mut expand)?;
            let base = |path: &String| path.rsplit('/').next().unwrap_or_default().to_owned();
            match kind {
                MountType::Secret => {
                    let name = source.or(id).or_else(|| target.as_ref().map(base));
                    taken.secrets.entry(name.unwrap_or_default()).or_insert((required, span));
                }
                MountType::Ssh => {
                    let name = id.unwrap_or_else(|| "default".to_owned());
                    taken.ssh.entry(name).or_insert((required, span));
                }
                MountType::Cache => {
                    taken.caches.entry(id.or(target).unwrap_or_default()).or_insert(span);
                }
                MountType::Bind | MountType::Tmpfs => {}
            }
        }
        Ok(())
    }

    fn target(&self, name: &str) -> Result<usize, Diagnostic> {
        let found = self.names.get(&name.to_lowercase()).copied();
        found.ok_or_else(|| {
            let message = format!("target stage {name:?} could not be found");
            Diagnostic::unplaced(message).suggest(name, self.names.keys().map(String::as_str))
        })
    }

    /// What the target and all that it needs take; of a name the nearest.
    fn collect(&self, file: &Dockerfile, target: usize) -> Outline {
        let stage = &file.stages[target];
        let mut outline = Outline {
            name: stage.name.as_ref().map(|name| name.value.clone()).unwrap_or_default(),
            description: stage.description.clone().unwrap_or_default(),
            ..Outline::default()
        };
        let place = |span: Span| Place::of(self.source, span);
        let mut seen: [HashSet<&str>; 4] = Default::default();
        let (mut todo, mut visited) = (vec![target], HashSet::new());
        while let Some(at) = todo.pop() {
            if !visited.insert(at) {
                continue;
            }
            let taken = &self.stages[at];
            for name in all_used(taken) {
                if let Some(declared) = taken.declared.get(name)
                    && seen[0].insert(name)
                {
                    outline.args.push(OutlineArg {
                        name: name.to_owned(),
                        description: declared.description.clone().unwrap_or_default(),
                        value: declared.value.clone().unwrap_or_default(),
                        location: place(declared.span),
                    });
                }
            }
            let secret = |(name, (required, span)): (&String, &(bool, Span))| OutlineSecret {
                name: name.clone(),
                required: *required,
                location: place(*span),
            };
            let new = taken.secrets.iter().filter(|(name, _)| seen[1].insert(name));
            outline.secrets.extend(new.map(secret));
            let new = taken.ssh.iter().filter(|(name, _)| seen[2].insert(name));
            outline.ssh.extend(new.map(secret));
            let new = taken.caches.iter().filter(|(name, _)| seen[3].insert(name));
            let cache = |(id, span): (&String, &Span)| OutlineCache {
                id: id.clone(),
                location: place(*span),
            };
            outline.cache.extend(new.map(cache));
            todo.extend(taken.from.iter().filter_map(|from| self.referred(from)));
            todo.extend(taken.base);
        }
        let line = |place: &Place| place.ranges.first().map(|range| range.start.line);
        outline.args.sort_by_key(|it| line(&it.location));
        outline.secrets.sort_by_key(|it| line(&it.location));
        outline.ssh.sort_by_key(|it| line(&it.location));
        outline.cache.sort_by_key(|it| line(&it.location));
        outline
    }

    /// The stage that a `--from` names, if it is one.
    fn referred(&self, from: &str) -> Option<usize> {
        let number = from.parse().ok().filter(|at| *at < self.stages.len());
        self.names.get(&from.to_lowercase()).copied().or(number)
    }
}

/// The arguments that a stage uses, and those that their defaults use.
fn all_used(taken: &Taken) -> BTreeSet<&str> {
    let mut used = BTreeSet::new();
    let mut todo: Vec<&str> = taken.used.iter().map(String::as_str).collect();
    while let Some(name) = todo.pop() {
        if used.insert(name)
            && let Some(declared) = taken.declared.get(name)
        {
            todo.extend(declared.uses.iter().map(String::as_str));
        }
    }
    used
}
