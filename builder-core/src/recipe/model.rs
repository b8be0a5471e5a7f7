//! A recipe that was read: typed, checked by itself, not yet a graph.
//!
//! Operations are the plan's own; only references to stages are still names.
//! An [`Input`] at index `i` of a step is the vertex's input `i + 1`.

use std::time::Duration;

use crate::frontend::{Span, Spanned};
use crate::plan::op::{ConfigPatch, Exec, FileOp, Source};

/// A whole recipe.
#[derive(Debug)]
pub(super) struct Recipe {
    pub(super) mtime: Option<i64>,
    /// What of the context is left out.
    pub(super) ignore: Vec<String>,
    /// What else may be copied from and mounted, by name.
    pub(super) contexts: Vec<(Spanned<String>, Source)>,
    pub(super) stages: Vec<Stage>,
}

/// One named image.
#[derive(Debug)]
pub(super) struct Stage {
    pub(super) name: Spanned<String>,
    pub(super) from: Spanned<From>,
    pub(super) steps: Vec<Step>,
    pub(super) config: Option<Spanned<ConfigPatch>>,
    pub(super) tests: Vec<Step>,
}

/// What a stage starts from.
#[derive(Debug)]
pub(super) enum From {
    /// A source, and the name the base has in annotations.
    Source {
        source: Source,
        base: Option<String>,
    },
    Stage(String),
}

/// What a step may take from beside its own state.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Input {
    Context,
    /// A stage, or a further context.
    Stage(Spanned<String>),
    /// A file of the web, a commit.
    Source(Source),
}

/// One step or test.
#[derive(Debug)]
pub(super) struct Step {
    pub(super) span: Span,
    pub(super) name: Option<String>,
    /// Whether `when` holds.
    pub(super) active: bool,
    pub(super) max_age: Option<Duration>,
    /// What it is called where it has no name.
    pub(super) title: String,
    pub(super) inputs: Vec<Input>,
    pub(super) action: Action,
}

/// What a step does.
#[derive(Debug)]
pub(super) enum Action {
    Exec(Exec),
    Files(Vec<FileOp>),
    Config(ConfigPatch),
    /// Variables of the commands that follow.
    Args(Vec<(String, String)>),
    Workdir {
        path: String,
        owner: Option<String>,
    },
}
