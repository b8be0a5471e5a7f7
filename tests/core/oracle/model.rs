//! What the rules let run: keys that are computed from the words of a recipe
//! and the layers that a build says it made, and from nothing of the solver.
//!
//! The keys are no coarser than those of the rules, so a step whose key was
//! seen before must not run again.

use std::collections::{BTreeMap, BTreeSet};

use builder_core::solve::StepReport;

use super::world::{From, Kind, World, Written};

/// What flows from step to step.
#[derive(Debug, Clone, Default)]
struct State {
    layers: Vec<String>,
    env: Vec<String>,
    caches: BTreeMap<String, BTreeSet<String>>,
}

/// A step that a build came to, with its key.
#[derive(Debug)]
pub(super) struct Expected {
    pub(super) name: String,
    pub(super) key: String,
    pub(super) max_age: bool,
}

/// The keys of all steps that are in `reports`.
pub(super) fn keys(world: &World, reports: &[StepReport]) -> Vec<Expected> {
    let mut expected = Vec::new();
    let mut states: Vec<Option<State>> = Vec::new();
    for (at, stage) in world.stages.iter().enumerate() {
        let mut state = match stage.from {
            From::Stage(other) => states[other].clone(),
            // All that begin so are one vertex, told under its first stage.
            From::Base => reports.iter().find(|r| r.name.starts_with("from ")).map(|report| {
                let key = format!("base {} {:?}", world.word, report.layer);
                expected.push(Expected { name: report.name.clone(), key, max_age: false });
                State { layers: layer(report), ..State::default() }
            }),
        };
        for written in world.written(at) {
            if written.kind == Kind::Env {
                if let Some(state) = &mut state {
                    state.env.push(written.words["env"].to_string());
                }
                continue;
            }
            let report = reports.iter().find(|report| report.name == written.name);
            let (Some(before), Some(report)) = (&state, report) else {
                // A failed test has no report, and nothing stands on it.
                if written.kind != Kind::Test {
                    state = None;
                }
                continue;
            };
            let key = key(world, &written, before, &states, report);
            let mut after = before.clone();
            after.layers.extend(layer(report));
            if let Kind::BindStage(other) | Kind::CopyStage(other) = written.kind
                && let Some(Some(other)) = states.get(other)
            {
                for (id, keys) in &other.caches {
                    after.caches.entry(id.clone()).or_default().extend(keys.iter().cloned());
                }
            }
            if let Some(id) = &written.cache {
                after.caches.insert(id.clone(), [key.clone()].into());
            }
            let Written { name, max_age, .. } = written;
            expected.push(Expected { name, key, max_age });
            if written.kind != Kind::Test {
                state = Some(after);
            }
        }
        states.push(state);
    }
    expected
}

fn layer(report: &StepReport) -> Vec<String> {
    report.layer.iter().map(ToString::to_string).collect()
}

fn key(
    world: &World,
    written: &Written,
    before: &State,
    states: &[Option<State>],
    report: &StepReport,
) -> String {
    if written.words.get("run").is_none() {
        // A file operation depends on what it writes and on nothing else.
        return format!("files {:?}", report.layer);
    }
    let mut bound = Vec::new();
    match written.kind {
        // What is below `app`: names, modes, content.
        Kind::BindContext | Kind::Guard | Kind::Cache => bound.push(format!("{:?}", world.files)),
        Kind::BindStage(other) => bound.push(format!("{:?}", states[other])),
        _ => {}
    }
    let cache = written.cache.as_ref().map(|id| (id, before.caches.get(id)));
    let script = written.words["run"].to_string().replace("${{ used }}", &world.used.to_string());
    let layers = &before.layers;
    format!("{script} {:?} {layers:?} {bound:?} {cache:?}", before.env)
}
