//! What a build tells while it runs.
//!
//! In: facts from any thread of a build. Out: [`Event`]s to one [`Sink`].
//! Events mention vertices by id only and own all that they say, so a sink may
//! keep or send them.

use std::time::Duration;

use crate::digest::{DiffId, VertexId};

/// Which output of a step a line came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// How a vertex ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Status {
    /// An earlier result stands: nothing of its input has changed.
    Cached,
    /// An earlier result stands: it looks at nothing of what changed.
    Reused,
    /// It was executed.
    Ran,
    /// It was executed and failed; the text is the whole error chain.
    Failed(String),
    /// It was not started, or was stopped, because the build ended early.
    Canceled,
}

/// One fact.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// The graph is known; every vertex that will be reported, in order.
    Planned {
        /// Id, display name and stage of each.
        vertices: Vec<PlannedVertex>,
    },
    /// Work on a vertex began (it is not cached).
    Started {
        /// Which.
        vertex: VertexId,
        /// Why it runs.
        reason: String,
    },
    /// A step is tried before those above it have ended.
    Ahead {
        /// Which.
        vertex: VertexId,
        /// What became of that.
        trial: Trial,
    },
    /// A part of a vertex's work, in units of `unit`.
    Progress {
        /// Which.
        vertex: VertexId,
        /// What is being done: `downloading`, `unpacking`, `compressing`.
        what: String,
        /// How far.
        done: u64,
        /// Of how much, where known.
        total: Option<u64>,
        /// What is counted.
        unit: Unit,
    },
    /// Output of a step, as it was written: neither whole lines nor UTF-8.
    Output {
        /// Which.
        vertex: VertexId,
        /// From where.
        stream: Stream,
        /// The bytes.
        bytes: Vec<u8>,
    },
    /// Something a person should know and that is not an error.
    Warning {
        /// Which vertex, if one.
        vertex: Option<VertexId>,
        /// The sentence.
        message: String,
    },
    /// A vertex ended.
    Finished {
        /// Which.
        vertex: VertexId,
        /// How.
        status: Status,
        /// Why it ran or not.
        reason: String,
        /// Wall-clock time of it.
        duration: Duration,
        /// The layer that it made or that stands, if any.
        layer: Option<DiffId>,
    },
    /// An image or another output is being written.
    Exporting {
        /// What and where, for people.
        what: String,
    },
}

/// What [`Event::Ahead`] tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trial {
    /// It runs. Nothing more is heard of one that comes to nothing.
    Began,
    /// It saw what the step sees in its turn: its result is the step's. What it
    /// wrote to its streams follows.
    Taken,
}

/// What [`Event::Progress`] counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// Bytes.
    Bytes,
    /// Things: files, packages.
    Items,
}

/// A vertex as [`Event::Planned`] lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlannedVertex {
    /// Its id.
    pub id: VertexId,
    /// Display name, e.g. ``run `make` ``.
    pub name: String,
    /// The stage it belongs to.
    pub stage: String,
}

/// Takes the events of a build. Called from many threads at once; must return
/// quickly, as the build waits for it.
pub trait Sink: Send + Sync {
    /// Takes one event.
    fn event(&self, event: Event);
}

/// A sink that forgets everything.
#[derive(Debug, Clone, Copy, Default)]
pub struct Silent;

impl Sink for Silent {
    fn event(&self, _event: Event) {}
}

impl<F: Fn(Event) + Send + Sync> Sink for F {
    fn event(&self, event: Event) {
        self(event);
    }
}
