//! What is told of each step after a build, or before one.

use std::time::Duration;

use crate::cache::Saw;
use crate::digest::{DiffId, VertexId};
use crate::view::observe::Difference;

/// What became of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StepStatus {
    /// An earlier result stands: nothing of its input has changed.
    Cached,
    /// An earlier result stands: its input has changed, and it looks at nothing
    /// of what did.
    Reused,
    /// It was executed; in a plan: it would be.
    Ran,
    /// A plan only: that hangs on what a step before it makes.
    Waits,
}

/// What `paranoid` found: a result that stands, and that is not what the step
/// makes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wrong {
    /// The step's display name.
    pub step: String,
    /// What differs, one sentence each.
    pub paths: Vec<String>,
    /// The step does not even make the same twice on one root: nothing can be
    /// said of its reuse.
    pub differs_from_itself: bool,
}

/// A step's line in the report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StepReport {
    /// Its vertex.
    pub id: VertexId,
    /// Its display name.
    pub name: String,
    /// Its stage.
    pub stage: String,
    /// What became of it.
    pub status: StepStatus,
    /// Why, in one sentence.
    pub reason: String,
    /// How long that took.
    pub duration: Duration,
    /// The layer that it made or that stands; none where it changed no file.
    pub layer: Option<DiffId>,
    /// The execution that it has its result of, and what that looked at; none
    /// for what is no process, or was not watched.
    pub saw: Option<Saw>,
    /// For one that runs since something that it looks at changed: what, most
    /// telling first.
    pub because: Vec<Difference>,
    /// Whether it ran before the steps above it had ended.
    pub ahead: bool,
    /// How the first of these came to be, as far as it is known.
    pub detail: Option<Detail>,
    /// A plan only: steps that run before it, and are taken to make again what
    /// they made before.
    pub supposes: Vec<String>,
}

/// How what a step sees differs from what it saw.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Detail {
    /// A text has other lines.
    Text {
        /// How many are new.
        added: usize,
        /// How many are gone.
        removed: usize,
        /// Both in the unified format.
        diff: String,
    },
    /// A file is no text, or too long to be compared.
    NoText,
    /// What of the metadata, from what, to what.
    Metadata(Vec<(&'static str, String, String)>),
    /// Names of a directory.
    Names {
        /// Those that are new.
        came: Vec<String>,
        /// Those that are gone.
        went: Vec<String>,
    },
    /// A symbolic link leads elsewhere.
    Target {
        /// Where it led.
        from: String,
        /// Where it leads.
        to: String,
    },
    /// The store no longer has the layers that the step saw.
    Forgotten,
}
