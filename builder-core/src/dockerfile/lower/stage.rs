//! A stage, instruction by instruction.

use std::collections::BTreeSet;

use super::Lowering;
use super::place::Place;
use super::scope::Scope;
use crate::digest::{BlobDigest, VertexId};
use crate::dockerfile::ast::InstructionKind;
use crate::dockerfile::unsupported;
use crate::frontend::Diagnostic;
use crate::plan::VertexMeta;
use crate::plan::op::{ConfigPatch, HistoryLine, Op};

/// How much memory the variables of all stages may take together, in bytes.
const MAX_VARIABLES: usize = 128 << 20;

/// How many bytes all steps may have together: each `RUN` has its variables, and
/// each `ONBUILD` those before it, so what a file asks for may grow with the
/// square of its length.
const MAX_STEPS: u64 = 64 << 20;

/// Who says so in an image's history: BuildKit's word for its Dockerfile
/// frontend, which tools look for.
const COMMENT: &str = "buildkit.dockerfile.v0";

/// Which image a stage goes back to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct BaseName {
    pub name: String,
    pub digest: Option<BlobDigest>,
}

/// What instructions have made of a stage so far.
#[derive(Debug, Clone)]
pub(super) struct State {
    pub vertex: VertexId,
    /// What words and commands see: the config's variables and arguments.
    pub env: Scope,
    /// The config's variables alone.
    pub config_env: Scope,
    /// The arguments that were declared, in order, with their values.
    pub args: Vec<(String, Option<String>)>,
    pub user: Option<String>,
    pub workdir: Option<String>,
    pub shell: Option<Vec<String>>,
    /// The triggers that this stage declares.
    pub onbuild: Vec<String>,
    /// The command that this stage itself sets.
    pub cmd: Option<Vec<String>>,
    /// Whether this file sets the working directory.
    pub workdir_is_set: bool,
    pub base: Option<BaseName>,
}

/// A finished stage.
pub(super) type Done = State;

impl State {
    /// What a stage that starts from this one finds.
    pub(super) fn inherited(&self) -> Self {
        Self { onbuild: Vec::new(), cmd: None, ..self.clone() }
    }

    /// Variables of the config count more than arguments of a base stage.
    pub(super) fn env_of_config(&mut self) {
        for (name, value) in self.config_env.pairs() {
            self.env.set(name, value);
        }
    }

    /// The names of all that is set.
    fn names(&self) -> Vec<&str> {
        self.env.names()
    }

    pub(super) fn workdir(&self) -> &str {
        self.workdir.as_deref().unwrap_or("/")
    }

    /// What a process is given beside the config's variables.
    pub(super) fn process_env(&self) -> Vec<(String, String)> {
        let other =
            |(name, value): &&(String, String)| self.config_env.value(name) != Some(value.as_str());
        self.env.pairs().iter().filter(other).cloned().collect()
    }
}

impl Lowering<'_, '_> {
    /// Carries out a stage.
    pub(super) fn stage(&mut self, at: usize) -> Result<Done, Box<Diagnostic>> {
        let mut state = self.base(at);
        if self.graph.stage_is_replaced(at) {
            return Ok(state);
        }
        let from_stage = matches!(self.graph.from(at), super::stages::From::Stage(_));
        let triggers = self.graph.triggers(at).to_vec();
        if from_stage && !triggers.is_empty() {
            // What the base stage declared is for this one, not for who builds on it.
            let patch = ConfigPatch { onbuild: Some(Vec::new()), ..ConfigPatch::default() };
            let meta = VertexMeta {
                name: "triggers of the base".to_owned(),
                stage: self.graph.name(at),
                history: HistoryLine::Nothing,
                ..VertexMeta::default()
            };
            state.vertex = self.builder.add(Op::Config(patch), &[state.vertex], meta);
        }
        let (source, stage) = (self.source, self.graph.stage(at));
        self.held += state.env.bytes();
        self.bounded().map_err(|(message, help)| {
            Box::new(source.diagnostic(stage.span, message).help(help))
        })?;
        for trigger in &triggers {
            let instruction = &trigger.instruction;
            let place = Place { source, stage, instruction, trigger: Some(&trigger.source) };
            self.instruction(at, &place, &mut state)?;
        }
        for instruction in &stage.instructions {
            let place = Place { source, stage, instruction, trigger: None };
            self.instruction(at, &place, &mut state)?;
        }
        Ok(state)
    }

    fn instruction(
        &mut self,
        at: usize,
        place: &Place<'_>,
        state: &mut State,
    ) -> Result<(), Box<Diagnostic>> {
        let instruction = place.instruction;
        if let Some(diagnostic) = unsupported(place.trigger.unwrap_or(place.source), instruction) {
            return Err(Box::new(diagnostic));
        }
        let before = state.env.bytes();
        self.carried_out(at, place, state)?;
        // All stages that are needed are held until the last is done.
        self.held += state.env.bytes().saturating_sub(before);
        self.bounded().map_err(|(message, help)| {
            let wrong = place.wrong(instruction.span, message);
            Box::new(wrong.help(help))
        })
    }

    /// What is wrong, and help, where what the file asks for is too much.
    fn bounded(&self) -> Result<(), (&'static str, String)> {
        if self.held > MAX_VARIABLES {
            let help = format!("all stages together may have {} MiB", MAX_VARIABLES >> 20);
            return Err(("the values of variables are too long", help));
        }
        if self.builder.size() > MAX_STEPS {
            let help = format!("all together may have {} MiB", MAX_STEPS >> 20);
            return Err(("the steps are too long", help));
        }
        Ok(())
    }

    /// Tells the checks of variables that are not set.
    pub(super) fn unset(&mut self, place: &Place<'_>, unset: &BTreeSet<String>, state: &State) {
        if !unset.is_empty() {
            self.checks.unset(place.checked(), unset, &state.names());
        }
    }

    fn carried_out(
        &mut self,
        at: usize,
        place: &Place<'_>,
        state: &mut State,
    ) -> Result<(), Box<Diagnostic>> {
        match &place.instruction.kind {
            InstructionKind::Run(run) => self.run(at, place, run, state),
            InstructionKind::Copy(copy) => self.copy(at, place, copy, state),
            InstructionKind::Add(add) => self.add(at, place, add, state),
            InstructionKind::Workdir(path) => self.workdir(at, place, path, state),
            InstructionKind::Arg(args) => self.arg(at, place, args, state),
            InstructionKind::Env(pairs) => self.env(at, place, pairs, state),
            InstructionKind::Label(pairs) => self.label(at, place, pairs, state),
            other => self.config(at, place, other, state),
        }
    }

    /// A vertex's name and place, with what history says of it.
    pub(super) fn told(&self, at: usize, place: &Place<'_>, created_by: String) -> VertexMeta {
        let comment = Some(COMMENT.to_owned());
        VertexMeta {
            name: place.name(),
            stage: self.graph.name(at),
            location: Some(place.location()),
            history: HistoryLine::Says { created_by, comment },
            ..VertexMeta::default()
        }
    }

    /// A change of the config, and its line of history.
    pub(super) fn patch(
        &mut self,
        at: usize,
        place: &Place<'_>,
        patch: ConfigPatch,
        created_by: String,
        state: &mut State,
    ) {
        let meta = self.told(at, place, created_by);
        state.vertex = self.builder.add(Op::Config(patch), &[state.vertex], meta);
    }
}
