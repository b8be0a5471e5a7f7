//! Vertices and how they hang together.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::encode::{Encoder, VERSION};
use super::op::{HistoryLine, MountKind, Op};
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
    /// What the image's history says of it.
    pub history: HistoryLine,
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
    /// For people and for policies. Its `max_age` is the smallest that any
    /// place where this is written asks for.
    pub meta: VertexMeta,
    /// The other places where the same is written.
    pub also: Vec<VertexMeta>,
}

impl Vertex {
    /// All places where it is written, the first one first.
    pub fn places(&self) -> impl Iterator<Item = &VertexMeta> {
        std::iter::once(&self.meta).chain(&self.also)
    }
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

    /// The ids of the secrets that processes are given, in order of first mention.
    #[must_use]
    pub fn secrets(&self) -> Vec<String> {
        let mut found: Vec<String> = Vec::new();
        for vertex in &self.vertices {
            let Op::Exec(exec) = &vertex.op else { continue };
            for mount in &exec.mounts {
                if let MountKind::Secret { id, .. } = &mount.kind
                    && !found.contains(id)
                {
                    found.push(id.clone());
                }
            }
        }
        found
    }

    /// Adds an annotation to every image that can be made.
    pub fn annotate(&mut self, name: &str, value: &str) {
        for target in &mut self.targets {
            target.annotations.insert(name.to_owned(), value.to_owned());
        }
    }

    /// Sets labels of every image that can be made, over those that its steps set.
    pub fn label(&mut self, labels: &std::collections::BTreeMap<String, String>) {
        let patch = super::op::ConfigPatch { labels: labels.clone(), ..Default::default() };
        for at in 0..self.targets.len() {
            let meta = VertexMeta {
                name: "labels".to_owned(),
                stage: self.targets[at].stage.clone(),
                history: HistoryLine::Nothing,
                ..VertexMeta::default()
            };
            let vertex = self.targets[at].vertex;
            self.targets[at].vertex = self.add(Op::Config(patch.clone()), &[vertex], meta).0;
        }
    }

    /// Adds a vertex; its id, and how long its definition and its name are.
    fn add(&mut self, op: Op, inputs: &[VertexId], meta: VertexMeta) -> (VertexId, u64) {
        assert!(
            inputs.iter().all(|input| self.by_id.contains_key(input)),
            "an input of a vertex must be added before it"
        );
        let mut encoder = Encoder::default();
        encoder.number(u64::from(VERSION));
        encoder.op(&op);
        encoder.number(inputs.len() as u64);
        for input in inputs {
            encoder.bytes(input.as_bytes());
        }
        encoder.history(&meta.history);
        let id = VertexId::from_bytes(encoder.finish());
        let size = encoder.size() + meta.name.len() as u64;
        match self.by_id.get(&id) {
            Some(&at) => again(&mut self.vertices[at], meta),
            None => {
                self.by_id.insert(id, self.vertices.len());
                let (inputs, also) = (inputs.to_vec(), Vec::new());
                self.vertices.push(Vertex { id, op, inputs, meta, also });
            }
        }
        (id, size)
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
    size: u64,
}

impl PlanBuilder {
    /// An empty plan.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a vertex and returns its id. An equal definition that is there
    /// already, and of which history says the same, is not added again: it keeps
    /// its first name, takes the smaller `max_age`, and is known by both steps
    /// and stages.
    ///
    /// # Panics
    /// If an input was not returned by this builder.
    pub fn add(&mut self, op: Op, inputs: &[VertexId], meta: VertexMeta) -> VertexId {
        let (id, size) = self.plan.add(op, inputs, meta);
        self.size += size;
        id
    }

    /// How many bytes the definitions and names of all that was added have, for
    /// a frontend that lets no file ask for any number.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.size
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

/// Notes that a vertex is written at one more place.
fn again(vertex: &mut Vertex, meta: VertexMeta) {
    let ages = [vertex.meta.max_age, meta.max_age];
    vertex.meta.max_age = ages.into_iter().flatten().min();
    let known = |place: &VertexMeta| place.step == meta.step && place.stage == meta.stage;
    if !vertex.places().any(known) {
        vertex.also.push(meta);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::op::{Applies, FileOp, Source};

    fn mkdir(path: &str) -> Op {
        Op::File(FileOp::Mkdir {
            path: path.into(),
            owner: None,
            mode: None,
            applies: Applies::Last,
        })
    }

    fn meta(step: Option<&str>, stage: &str, max_age: Option<u64>) -> VertexMeta {
        let max_age = max_age.map(Duration::from_secs);
        let (step, stage) = (step.map(str::to_owned), stage.to_owned());
        VertexMeta { name: "mkdir".into(), step, stage, max_age, ..VertexMeta::default() }
    }

    #[test]
    fn of_equal_vertices_the_smaller_max_age_counts_and_each_name_is_known() {
        for (ages, expected) in [
            ([Some(60), Some(30)], Some(30)),
            ([Some(30), Some(60)], Some(30)),
            ([None, Some(60)], Some(60)),
            ([Some(60), None], Some(60)),
            ([None, None], None),
        ] {
            let mut builder = PlanBuilder::new();
            let base = builder.add(Op::Source(Source::Scratch), &[], VertexMeta::default());
            let first = builder.add(mkdir("/a"), &[base], meta(None, "one", ages[0]));
            let second = builder.add(mkdir("/a"), &[base], meta(Some("deps"), "two", ages[1]));
            let other = builder.add(mkdir("/b"), &[base], meta(None, "one", None));
            assert_eq!(first, second);
            assert_ne!(first, other);
            let plan = builder.finish();
            let vertex = plan.vertex(first).expect("it was added");
            assert_eq!(vertex.meta.max_age, expected.map(Duration::from_secs), "{ages:?}");
            let places: Vec<_> =
                vertex.places().map(|m| (m.step.as_deref(), m.stage.as_str())).collect();
            assert_eq!(places, [(None, "one"), (Some("deps"), "two")]);
            assert_eq!(plan.vertices().len(), 3);
        }
    }
}
