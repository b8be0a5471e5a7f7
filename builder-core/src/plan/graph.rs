//! Vertices and how they hang together.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::encode::{Encoder, VERSION};
use super::op::Op;
use crate::digest::VertexId;

/// Where in a user's file something was written.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Location {
    /// The file, as the user named it.
    pub file: Arc<PathBuf>,
    /// 1-based.
    pub line: u32,
    /// 1-based, in characters.
    pub column: u32,
}

/// What does not change a vertex's definition or result.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct VertexMeta {
    /// Display name: the step's own, or its text.
    pub name: String,
    /// The step's name as the user gave it, for `--no-cache=STEP`.
    pub step: Option<String>,
    /// The stage it was written in.
    pub stage: String,
    /// Where it was written.
    pub location: Option<Location>,
    /// A result whose run is older than this does not stand.
    pub max_age: Option<Duration>,
}

/// One operation in the graph.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Vertex {
    /// Hash of `op` and of the inputs' ids.
    pub id: VertexId,
    /// What it does.
    pub op: Op,
    /// Ids of vertices that stand earlier in the plan.
    pub inputs: Vec<VertexId>,
    /// For people and for policies.
    pub meta: VertexMeta,
}

/// A test of a finished image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TargetTest {
    /// The vertex, an exec of kind `Test`.
    pub vertex: VertexId,
}

/// An image that the plan makes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// The stage's name.
    pub stage: String,
    /// The vertex whose state becomes the image.
    pub vertex: VertexId,
    /// What must pass before anything is tagged or exported.
    pub tests: Vec<TargetTest>,
    /// Annotations of the manifest: the same for the same image.
    pub annotations: std::collections::BTreeMap<String, String>,
}

/// A graph of operations, inputs before their users.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Plan {
    vertices: Vec<Vertex>,
    by_id: HashMap<VertexId, usize>,
    targets: Vec<Target>,
    /// Modification time, in seconds since the Unix epoch, that replaces
    /// [`CONSTANT_MTIME`](crate::layer::CONSTANT_MTIME) where the recipe says
    /// so; part of every key.
    pub mtime: Option<i64>,
}

impl Plan {
    /// The vertices, inputs before their users.
    #[must_use]
    pub fn vertices(&self) -> &[Vertex] {
        &self.vertices
    }

    /// The vertex of that id.
    #[must_use]
    pub fn vertex(&self, id: VertexId) -> Option<&Vertex> {
        self.by_id.get(&id).map(|&at| &self.vertices[at])
    }

    /// The images that can be made, in the order of the recipe.
    #[must_use]
    pub fn targets(&self) -> &[Target] {
        &self.targets
    }

    /// The target of that stage, or the last one (as in a Dockerfile).
    #[must_use]
    pub fn target(&self, stage: Option<&str>) -> Option<&Target> {
        match stage {
            Some(stage) => self.targets.iter().find(|target| target.stage == stage),
            None => self.targets.last(),
        }
    }

    /// The ids of `roots` and all that they need, in plan order.
    #[must_use]
    pub fn needed(&self, roots: &[VertexId]) -> Vec<VertexId> {
        let mut wanted = vec![false; self.vertices.len()];
        for root in roots {
            if let Some(&at) = self.by_id.get(root) {
                wanted[at] = true;
            }
        }
        for at in (0..self.vertices.len()).rev() {
            if wanted[at] {
                for input in &self.vertices[at].inputs {
                    wanted[self.by_id[input]] = true;
                }
            }
        }
        let vertices = self.vertices.iter().zip(wanted);
        vertices.filter(|(_, wanted)| *wanted).map(|(vertex, _)| vertex.id).collect()
    }
}

/// Makes a [`Plan`]. Inputs are named by ids that `add` returned, so a cycle
/// cannot be written.
#[derive(Debug, Default)]
pub struct PlanBuilder {
    plan: Plan,
}

impl PlanBuilder {
    /// An empty plan.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a vertex and returns its id. An equal definition that is there
    /// already is not added again and keeps its first `meta`.
    ///
    /// # Panics
    /// If an input was not returned by this builder.
    pub fn add(&mut self, op: Op, inputs: &[VertexId], meta: VertexMeta) -> VertexId {
        assert!(
            inputs.iter().all(|input| self.plan.by_id.contains_key(input)),
            "an input of a vertex must be added before it"
        );
        let mut encoder = Encoder::default();
        encoder.number(u64::from(VERSION));
        encoder.op(&op);
        encoder.number(inputs.len() as u64);
        for input in inputs {
            encoder.bytes(input.as_bytes());
        }
        let id = VertexId::from_bytes(encoder.finish());
        if !self.plan.by_id.contains_key(&id) {
            self.plan.by_id.insert(id, self.plan.vertices.len());
            self.plan.vertices.push(Vertex { id, op, inputs: inputs.to_vec(), meta });
        }
        id
    }

    /// Declares that a vertex's state is an image.
    pub fn target(&mut self, target: Target) {
        self.plan.targets.push(target);
    }

    /// Sets [`Plan::mtime`].
    pub fn mtime(&mut self, seconds: Option<i64>) {
        self.plan.mtime = seconds;
    }

    /// The finished plan.
    #[must_use]
    pub fn finish(self) -> Plan {
        self.plan
    }
}
