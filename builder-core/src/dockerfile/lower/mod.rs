//! A Dockerfile becomes a plan.
//!
//! In: the parsed file, what the command line says ([`Options`]), and whoever
//! knows images ([`Resolver`]). Out: a [`Plan`] with the wanted stage as its
//! target. Stages that it does not need are not looked at.
//!
//! Each instruction is a vertex of the same kinds that recipes use: `RUN` an
//! exec, `COPY` and `ADD` one copy, `WORKDIR` a directory and config, the
//! others config. Meaning and words of history are those of BuildKit 0.32
//! (`frontend/dockerfile/dockerfile2llb`).
//!
//! Limitations: `--device` is refused; an image is for one platform.

mod bases;
mod config;
mod copy;
mod golang;
mod mounts;
mod place;
mod remote;
mod run;
mod scope;
mod stage;
mod stages;

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;

pub use remote::git_reference;

use self::place::Place;
use self::scope::Scope;
use self::stage::{Done, State};
use self::stages::Graph;
use super::ast::Dockerfile;
use super::expand::Expander;
use super::lint::Checks;
use crate::digest::VertexId;
use crate::frontend::{Diagnostic, Resolver, SourceFile};
use crate::plan::op::{Git, Network, Ulimit};
use crate::plan::{Location, Plan, PlanBuilder, Target};

/// Annotations that name an image's base.
const BASE_NAME: &str = "org.opencontainers.image.base.name";
const BASE_DIGEST: &str = "org.opencontainers.image.base.digest";

/// Where files outside of all stages come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Context {
    /// A directory, and what of it is not there for the build.
    Local {
        /// Absolute.
        path: PathBuf,
        /// The patterns of `.dockerignore`.
        ignore: Vec<String>,
    },
    /// An image in an OCI layout.
    Layout {
        /// Absolute.
        path: PathBuf,
        /// The tag or reference, where there is more than one image.
        tag: Option<String>,
    },
    /// An image by name.
    Image(String),
    /// A commit of a git repository.
    Git(Git),
    /// A tar archive, whose owners and times are kept.
    Archive(PathBuf),
}

/// What the file does not say itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Options {
    /// What `COPY`, `ADD` and bind mounts take from; none where absent.
    pub context: Option<Context>,
    /// Those of `--build-context`, by name.
    pub contexts: BTreeMap<String, Context>,
    /// `--build-arg`.
    pub build_args: BTreeMap<String, String>,
    /// The name of the stage that becomes the image; the last where absent.
    pub target: Option<String>,
    /// The network of steps that do not say it themselves.
    pub network: Network,
    /// `--add-host`: names and addresses.
    pub hosts: Vec<(String, String)>,
    /// `--shm-size`, in bytes.
    pub shm_size: Option<u64>,
    /// `--ulimit`.
    pub ulimits: Vec<Ulimit>,
    /// Whether steps may ask for all rights (`--allow security.insecure`).
    pub insecure: bool,
    /// `os/arch[/variant]` of this host.
    pub build_platform: String,
    /// That of the image, where it is not this host's.
    pub target_platform: Option<String>,
    /// Whether stages are looked at that the target does not need.
    pub all_stages: bool,
}

impl Options {
    /// What bases are for whose `FROM` does not say it; `None` where that is
    /// this host.
    fn foreign_platform(&self) -> Option<String> {
        self.target_platform.clone().filter(|platform| *platform != self.build_platform)
    }
}

/// A Dockerfile, ready to be built.
#[derive(Debug, Clone, PartialEq)]
pub struct Lowered {
    /// What it asks for.
    pub plan: Plan,
    /// The stages that were looked at, in the order of the file.
    pub stages: Vec<LoweredStage>,
    /// The secrets that steps mount, in order of first mention.
    pub secrets: Vec<String>,
}

/// What became of a stage.
#[derive(Debug, Clone, PartialEq)]
pub struct LoweredStage {
    /// As the file calls it, if it does.
    pub name: Option<String>,
    /// The stage that it starts from, by its place among those that were looked at.
    pub from: Option<usize>,
    /// Its state.
    pub vertex: VertexId,
    /// Where it begins.
    pub location: Location,
    /// Whether it is the one that was asked for.
    pub is_target: bool,
}

/// Lowers a Dockerfile. `checks` are told what is met on the way.
///
/// # Errors
/// The first mistake; or a base that could not be resolved.
pub fn lower(
    file: &Dockerfile,
    source: &SourceFile,
    options: &Options,
    resolver: &mut dyn Resolver,
    checks: &mut Checks<'_>,
) -> Result<Lowered, Box<Diagnostic>> {
    let globals = scope::globals(file, source, options, checks)?;
    let mut graph = Graph::new(file, source, options, &globals, checks)?;
    let bases = graph.resolve(resolver)?;
    let target = graph.target;
    let mut lowering = Lowering {
        file,
        source,
        options,
        globals,
        graph,
        bases,
        builder: PlanBuilder::new(),
        done: HashMap::new(),
        trees: HashMap::new(),
        context: None,
        held: 0,
        ports: 0,
        checks,
    };
    for at in 0..file.stages.len() {
        if lowering.graph.needed[at] {
            let state = lowering.stage(at)?;
            lowering.done.insert(at, state);
        }
    }
    let stages = lowering.stages();
    let mut state = lowering.done.remove(&target).expect("the target is needed");
    lowering.for_platform(target, &mut state);
    let mut annotations = BTreeMap::new();
    if let Some(base) = &state.base {
        annotations.insert(BASE_NAME.to_owned(), base.name.clone());
        if let Some(digest) = base.digest {
            annotations.insert(BASE_DIGEST.to_owned(), digest.to_string());
        }
    }
    let stage = lowering.graph.name(target);
    let (vertex, tests) = (state.vertex, Vec::new());
    lowering.builder.target(Target { stage, vertex, tests, annotations });
    let plan = lowering.builder.finish();
    Ok(Lowered { secrets: plan.secrets(), plan, stages })
}

/// The arguments that are there without being declared before the first stage,
/// such as `TARGETPLATFORM`.
#[must_use]
pub fn predefined(file: &Dockerfile, options: &Options) -> BTreeMap<String, String> {
    scope::builtin(file, options).pairs().iter().cloned().collect()
}

/// A Dockerfile on its way to a plan.
struct Lowering<'a, 'c> {
    file: &'a Dockerfile,
    source: &'a SourceFile,
    options: &'a Options,
    /// What `FROM` may use.
    globals: Scope,
    graph: Graph<'a>,
    /// By the name that the file uses.
    bases: bases::Bases,
    builder: PlanBuilder,
    /// What became of the stages before the present one.
    done: HashMap<usize, Done>,
    /// Vertices of images and contexts, by name.
    trees: HashMap<String, VertexId>,
    context: Option<VertexId>,
    /// How many bytes the variables of the stages so far have.
    held: usize,
    /// How many ports the instructions so far name.
    ports: usize,
    checks: &'a mut Checks<'c>,
}

impl Lowering<'_, '_> {
    /// The stages that were looked at.
    fn stages(&self) -> Vec<LoweredStage> {
        let needed: Vec<usize> =
            (0..self.file.stages.len()).filter(|at| self.graph.needed[*at]).collect();
        let stage = |at: &usize| {
            let stage = self.graph.stage(*at);
            let from = match self.graph.from(*at) {
                stages::From::Stage(base) => needed.iter().position(|at| at == base),
                _ => None,
            };
            LoweredStage {
                name: stage.name.as_ref().map(|name| name.value.clone()),
                from,
                vertex: self.done[at].vertex,
                location: self.source.location(stage.span),
                is_target: *at == self.graph.target,
            }
        };
        needed.iter().map(stage).collect()
    }

    fn expander(&self) -> Expander {
        Expander::new(self.file.escape())
    }

    /// Expands a word of an instruction by what is set in its stage.
    fn word(
        &mut self,
        place: &Place<'_>,
        word: &super::ast::Word,
        state: &State,
    ) -> Result<String, Box<Diagnostic>> {
        let expanded = self.expander().word(&word.value, &state.env);
        let expanded = expanded.map_err(|error| place.expand(word.span, &error))?;
        self.unset(place, &expanded.unmatched, state);
        Ok(expanded.text)
    }
}
