//! Stages: what each starts from and takes from, and which of them the target
//! needs.
//!
//! Triggers (`ONBUILD`) of a base may name further stages, and are known only
//! once the base is; so needs are followed until nothing new turns up.

use std::collections::HashMap;

use super::bases::Bases;
use super::place;
use super::scope::Scope;
use super::{Context, Options};
use crate::dockerfile::ast::{Dockerfile, Instruction, InstructionKind, Stage, Word};
use crate::dockerfile::expand::Expander;
use crate::dockerfile::lint::Checks;
use crate::dockerfile::parse_trigger;
use crate::frontend::{Diagnostic, Resolver, SourceFile, Span, Wanted};

/// How many triggers all stages may be given by their bases.
const MAX_TRIGGERS: usize = 10_000;

/// What a stage starts from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum From {
    Scratch,
    /// An earlier stage.
    Stage(usize),
    /// A context of the command line, by its name there.
    Context {
        name: String,
        platform: Option<String>,
    },
    Image {
        name: String,
        platform: Option<String>,
    },
}

/// An instruction that a base brings.
#[derive(Debug, Clone)]
pub(super) struct Trigger {
    pub source: SourceFile,
    pub instruction: Instruction,
}

/// What an instruction takes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Reference {
    Stage(usize),
    /// A context of the command line, by its name there.
    Context(String),
    Scratch,
    Image(String),
}

pub(super) struct Graph<'a> {
    file: &'a Dockerfile,
    source: &'a SourceFile,
    options: &'a Options,
    pub target: usize,
    pub needed: Vec<bool>,
    froms: Vec<From>,
    by_name: HashMap<String, usize>,
    triggers: Vec<Vec<Trigger>>,
    /// How many triggers that are.
    given: usize,
}

impl<'a> Graph<'a> {
    pub(super) fn new(
        file: &'a Dockerfile,
        source: &'a SourceFile,
        options: &'a Options,
        globals: &Scope,
        checks: &mut Checks<'_>,
    ) -> Result<Self, Box<Diagnostic>> {
        let mut by_name = HashMap::new();
        let mut froms = Vec::with_capacity(file.stages.len());
        for (at, stage) in file.stages.iter().enumerate() {
            let expand = |word: &Word| {
                let expanded = Expander::new(file.escape()).word(&word.value, globals);
                expanded.map_err(|error| {
                    Box::new(source.diagnostic(place::at(word.span, &error), error.to_string()))
                })
            };
            let image = expand(&stage.image)?;
            checks.from_unset(stage, &image.unmatched, &globals.names());
            if image.text.is_empty() {
                let message = format!("base name ({}) should not be blank", stage.image.value);
                let names = globals.names();
                let unset = image.unmatched.iter().next().cloned().unwrap_or_default();
                let wrong = source.diagnostic(stage.image.span, message);
                return Err(Box::new(wrong.suggest(&unset, names)));
            }
            let platform = match &stage.platform {
                Some(word) => {
                    let expanded = expand(word)?;
                    checks.platform(stage, word, &expanded, globals.pairs());
                    Some(platform(source, word, &expanded.text)?)
                }
                None => options.foreign_platform(),
            };
            let own = stage.name.as_ref().and_then(|name| context_named(options, &name.value));
            let from = match (own, by_name.get(&image.text)) {
                (Some(context), _) => From::Context { name: context.to_owned(), platform },
                (None, Some(&earlier)) => From::Stage(earlier),
                (None, None) if image.text == "scratch" => From::Scratch,
                (None, None) => match context_named(options, &image.text) {
                    Some(context) => From::Context { name: context.to_owned(), platform },
                    None => From::Image { name: image.text, platform },
                },
            };
            froms.push(from);
            if let Some(name) = &stage.name {
                by_name.insert(name.value.to_lowercase(), at);
            }
        }
        let count = file.stages.len();
        let mut graph = Self {
            file,
            source,
            options,
            target: count - 1,
            needed: vec![false; count],
            froms,
            by_name,
            triggers: vec![Vec::new(); count],
            given: 0,
        };
        graph.target = graph.wanted()?;
        graph.check_cycles()?;
        Ok(graph)
    }

    /// The stage that `--target` names.
    fn wanted(&self) -> Result<usize, Box<Diagnostic>> {
        let Some(target) = &self.options.target else { return Ok(self.file.stages.len() - 1) };
        let found = self.by_name.get(&target.to_lowercase()).copied();
        found.ok_or_else(|| {
            let message = format!("target stage \"{target}\" could not be found");
            let names: Vec<_> = self.by_name.keys().map(String::as_str).collect();
            Box::new(Diagnostic::unplaced(message).suggest(target, names))
        })
    }

    pub(super) fn from(&self, at: usize) -> &From {
        &self.froms[at]
    }

    pub(super) fn stage(&self, at: usize) -> &'a Stage {
        &self.file.stages[at]
    }

    pub(super) fn triggers(&self, at: usize) -> &[Trigger] {
        &self.triggers[at]
    }

    /// What a stage is called in reports.
    pub(super) fn name(&self, at: usize) -> String {
        let own = self.file.stages[at].name.as_ref().map(|name| name.value.clone());
        own.unwrap_or_else(|| format!("stage-{at}"))
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.by_name.keys().map(String::as_str)
    }

    /// What `COPY --from` means.
    pub(super) fn copied_from(&self, word: &Word) -> Result<Reference, Wrong> {
        let name = &word.value;
        let unchanged = Expander::new(self.file.escape())
            .word(name, &Scope::default())
            .is_ok_and(|expanded| expanded.text == *name);
        if !unchanged {
            let message = "variable expansion is not supported for --from";
            return Err(Wrong::new(word.span, message)
                .help("define a new stage with FROM using ARG from global scope"));
        }
        match name.parse::<i64>() {
            Ok(number) => match usize::try_from(number) {
                Ok(at) if at < self.file.stages.len() => Ok(Reference::Stage(at)),
                _ => Err(Wrong::new(word.span, format!("invalid stage index {number}"))),
            },
            Err(_) => Ok(self.named(name)),
        }
    }

    /// What a name means where a stage, a context or an image may stand.
    pub(super) fn named(&self, name: &str) -> Reference {
        if let Some(&at) = self.by_name.get(&name.to_lowercase()) {
            return Reference::Stage(at);
        }
        match context_named(self.options, name) {
            Some(context) => Reference::Context(context.to_owned()),
            None if name == "scratch" => Reference::Scratch,
            None => Reference::Image(name.to_owned()),
        }
    }

    /// What an instruction takes from.
    fn references(&self, instruction: &Instruction) -> Result<Vec<Reference>, Wrong> {
        match &instruction.kind {
            InstructionKind::Copy(copy) => {
                copy.from.iter().map(|from| self.copied_from(from)).collect()
            }
            InstructionKind::Run(run) => {
                let froms = run.mounts.iter().filter_map(|mount| mount.from.as_deref());
                Ok(froms.map(|from| self.named(from)).collect())
            }
            _ => Ok(Vec::new()),
        }
    }

    /// The stages that a stage needs, and where it says so.
    fn edges(&self, at: usize) -> Result<Vec<(usize, Span)>, Box<Diagnostic>> {
        let mut edges = Vec::new();
        if let From::Stage(base) = self.froms[at] {
            edges.push((base, self.file.stages[at].span));
        }
        if matches!(self.froms[at], From::Context { .. }) && self.stage_is_replaced(at) {
            return Ok(edges);
        }
        for instruction in &self.file.stages[at].instructions {
            let found = self.references(instruction).map_err(|wrong| wrong.at(self.source))?;
            edges.extend(found.iter().filter_map(|reference| match reference {
                Reference::Stage(at) => Some((*at, instruction.span)),
                _ => None,
            }));
        }
        Ok(edges)
    }

    /// Whether a context of the command line has the stage's own name.
    pub(super) fn stage_is_replaced(&self, at: usize) -> bool {
        let name = self.file.stages[at].name.as_ref();
        name.is_some_and(|name| context_named(self.options, &name.value).is_some())
    }

    /// Depth-first, with a stack of its own: there may be any number of stages.
    fn check_cycles(&self) -> Result<(), Box<Diagnostic>> {
        #[derive(Clone, Copy, PartialEq)]
        enum Mark {
            New,
            Open,
            Over,
        }
        let count = self.file.stages.len();
        let mut marks = vec![Mark::New; count];
        for start in 0..count {
            let mut stack = vec![(start, None::<Vec<(usize, Span)>>)];
            while let Some((at, edges)) = stack.last_mut() {
                let at = *at;
                let rest = match edges {
                    Some(rest) => rest,
                    None if marks[at] == Mark::Over => {
                        stack.pop();
                        continue;
                    }
                    None => {
                        marks[at] = Mark::Open;
                        edges.insert(self.edges(at)?)
                    }
                };
                match rest.pop() {
                    None => {
                        marks[at] = Mark::Over;
                        stack.pop();
                    }
                    Some((next, span)) if marks[next] == Mark::Open => {
                        let name = self.name(at);
                        let message = format!("circular dependency detected on stage: {name}");
                        return Err(Box::new(self.source.diagnostic(span, message)));
                    }
                    Some((next, _)) => stack.push((next, None)),
                }
            }
        }
        Ok(())
    }

    /// Marks what the target needs, and asks for the images among that.
    pub(super) fn resolve(
        &mut self,
        resolver: &mut dyn Resolver,
    ) -> Result<Bases, Box<Diagnostic>> {
        let mut bases = Bases::default();
        let mut todo = match self.options.all_stages {
            true => (0..self.file.stages.len()).collect(),
            false => vec![self.target],
        };
        while let Some(at) = todo.pop() {
            if std::mem::replace(&mut self.needed[at], true) {
                continue;
            }
            let stage: &'a Stage = &self.file.stages[at];
            let span = stage.image.span;
            let onbuild = match self.froms[at].clone() {
                From::Scratch => Vec::new(),
                From::Stage(base) => {
                    todo.push(base);
                    onbuild_of(&self.file.stages[base])
                }
                From::Context { name, platform } => {
                    let wanted = wanted_of(&self.options.contexts[&name], platform);
                    if let Some(wanted) = &wanted {
                        self.ask(wanted, span, &mut bases, resolver)?;
                    }
                    if self.stage_is_replaced(at) {
                        continue;
                    }
                    wanted.map_or(Vec::new(), |wanted| bases.get(&wanted).onbuild.clone())
                }
                From::Image { name, platform } => {
                    let wanted = Wanted::Image { reference: name, platform };
                    self.ask(&wanted, span, &mut bases, resolver)?;
                    bases.get(&wanted).onbuild.clone()
                }
            };
            self.triggers[at] = self.parsed(stage, &onbuild)?;
            let own = stage.instructions.iter();
            let all: Vec<&Instruction> =
                self.triggers[at].iter().map(|trigger| &trigger.instruction).chain(own).collect();
            let mut found = Vec::new();
            for instruction in all {
                let place = |wrong: Wrong| wrong.at(self.source);
                let references = self.references(instruction).map_err(place)?;
                found.extend(references.into_iter().map(|found| (found, instruction.span)));
            }
            let is_trigger = self.triggers[at].len();
            for (at, (reference, span)) in found.into_iter().enumerate() {
                let span = if at < is_trigger { stage.span } else { span };
                match reference {
                    Reference::Stage(at) => todo.push(at),
                    Reference::Context(name) => {
                        let platform = self.options.foreign_platform();
                        if let Some(wanted) = wanted_of(&self.options.contexts[&name], platform) {
                            self.ask(&wanted, span, &mut bases, resolver)?;
                        }
                    }
                    Reference::Scratch => {}
                    Reference::Image(reference) => {
                        let platform = self.options.foreign_platform();
                        let wanted = Wanted::Image { reference, platform };
                        self.ask(&wanted, span, &mut bases, resolver)?;
                    }
                }
            }
        }
        Ok(bases)
    }

    fn ask(
        &self,
        wanted: &Wanted,
        span: Span,
        bases: &mut Bases,
        resolver: &mut dyn Resolver,
    ) -> Result<(), Box<Diagnostic>> {
        let asked = bases.ask(wanted, resolver);
        asked.map_err(|error| {
            let mut wrong = self.source.diagnostic(span, error.message);
            wrong.class = error.class;
            wrong.help = error.help;
            Box::new(match wanted {
                Wanted::Image { reference, .. } => wrong.suggest(reference, self.names()),
                Wanted::Layout { .. } => wrong,
            })
        })
    }

    fn parsed(
        &mut self,
        stage: &Stage,
        onbuild: &[String],
    ) -> Result<Vec<Trigger>, Box<Diagnostic>> {
        self.given += onbuild.len();
        if self.given > MAX_TRIGGERS {
            let message = format!("bases have more than {MAX_TRIGGERS} triggers for this file");
            return Err(Box::new(self.source.diagnostic(stage.span, message)));
        }
        let parse = |text: &String| {
            let source = SourceFile::new(std::path::Path::new("ONBUILD"), text);
            match parse_trigger(&source) {
                Ok(instruction) => Ok(Trigger { source, instruction }),
                Err(wrong) => {
                    let why = wrong.first().map(|wrong| wrong.message.as_str());
                    let why = why.unwrap_or("it cannot be read");
                    let message = format!("in the base's trigger `ONBUILD {}`: {why}", text.trim());
                    Err(Box::new(self.source.diagnostic(stage.span, message)))
                }
            }
        };
        onbuild.iter().map(parse).collect()
    }
}

fn onbuild_of(stage: &Stage) -> Vec<String> {
    let triggers = stage.instructions.iter().filter_map(|instruction| match &instruction.kind {
        InstructionKind::Onbuild(text) => Some(text.value.clone()),
        _ => None,
    });
    triggers.collect()
}

/// The image that a context of the command line is, if it is one.
pub(super) fn wanted_of(context: &Context, platform: Option<String>) -> Option<Wanted> {
    match context {
        Context::Image(reference) => Some(Wanted::Image { reference: reference.clone(), platform }),
        Context::Layout { path, tag } => {
            Some(Wanted::Layout { path: path.clone(), tag: tag.clone(), platform })
        }
        Context::Local { .. } | Context::Git(_) | Context::Archive(_) => None,
    }
}

/// The name that the command line gives to a context that stands for `name`.
pub(super) fn context_named<'o>(options: &'o Options, name: &str) -> Option<&'o str> {
    if name.eq_ignore_ascii_case("scratch") || name.eq_ignore_ascii_case("context") {
        return None;
    }
    let wanted = familiar(name);
    let found = options.contexts.keys().find(|known| *known == name || familiar(known) == wanted);
    found.map(String::as_str)
}

/// An image's short name, with its tag.
fn familiar(name: &str) -> String {
    let short = name.strip_prefix("docker.io/").unwrap_or(name);
    let short = short.strip_prefix("library/").unwrap_or(short);
    let last = short.rsplit('/').next().unwrap_or_default();
    if last.contains([':', '@']) { short.to_owned() } else { format!("{short}:latest") }
}

fn platform(source: &SourceFile, word: &Word, text: &str) -> Result<String, Box<Diagnostic>> {
    if text.is_empty() {
        let message = format!("empty platform value from expression {}", word.value);
        return Err(Box::new(source.diagnostic(word.span, message)));
    }
    let parts: Vec<&str> = text.split('/').collect();
    let fits = |part: &str| {
        !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-.()".contains(&b))
    };
    if parts.len() > 3 || !parts.iter().all(|part| fits(part)) {
        let message = format!("failed to parse platform {}", word.value);
        let wrong = source.diagnostic(word.span, message);
        return Err(Box::new(wrong.help("a platform is os/arch[/variant], as in linux/arm64")));
    }
    Ok(match parts[..] {
        [arch] if arch != "linux" && arch != "windows" => format!("linux/{arch}"),
        _ => text.to_owned(),
    })
}

/// A mistake in an instruction, whose file is not known here.
#[derive(Debug)]
pub(super) struct Wrong {
    pub span: Span,
    pub message: String,
    pub help: Option<&'static str>,
}

impl Wrong {
    fn new(span: Span, message: impl Into<String>) -> Self {
        Self { span, message: message.into(), help: None }
    }

    fn help(self, help: &'static str) -> Self {
        Self { help: Some(help), ..self }
    }

    fn at(self, source: &SourceFile) -> Box<Diagnostic> {
        let wrong = source.diagnostic(self.span, self.message);
        Box::new(match self.help {
            Some(help) => wrong.help(help),
            None => wrong,
        })
    }
}
