//! What is told of each step after a build, or before one.

use std::time::Duration;

use crate::digest::{DiffId, VertexId};

/// What became of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StepStatus {
    /// An earlier result stands.
    Cached,
    /// It was executed; in a plan: it would be.
    Ran,
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
}
