//! The smallest case that still fails, and how it is told.

use std::fmt::Write as _;

use super::case::{Case, Tally, Verdict};
use super::scene::Kit;
use super::world::{Does, World};

/// Most cases that are tried on the way.
const TRIES: usize = 600;

/// Leaves out what can be left out while the case still fails; gives the case
/// and what is wrong with it.
pub(super) fn shrink(mut case: Case, mut why: String, kit: &Kit) -> (Case, String) {
    let mut tries = 0;
    loop {
        let mut smaller = false;
        let mut at = 0;
        // A candidate that still fails takes the place, and the next has its number.
        while let Some(candidate) = without(&case, at) {
            tries += 1;
            if tries > TRIES {
                return (case, why);
            }
            match candidate.play(kit, &mut Tally::default()) {
                Verdict::Wrong(still) => {
                    (case, why) = (candidate, still);
                    smaller = true;
                }
                _ => at += 1,
            }
        }
        if !smaller {
            return (case, why);
        }
    }
}

/// The case without its `at`th part: large parts first.
fn without(case: &Case, at: usize) -> Option<Case> {
    let mut cut = Cut { left: at, done: false };
    let mut case = case.clone();
    cut.vec(&mut case.rounds);
    for world in [&mut case.world] {
        for tree in world.bases.iter_mut().flatten().chain([&mut world.context]) {
            if !tree.is_empty() && cut.here() {
                tree.clear();
            }
        }
        for stage in &mut world.stages {
            cut.vec(&mut stage.steps);
        }
    }
    case.rounds.iter_mut().for_each(|edits| cut.vec(edits));
    for does in case.world.stages.iter_mut().flat_map(|s| &mut s.steps).map(|s| &mut s.does) {
        if let Does::Run(run) = does {
            cut.vec(&mut run.commands);
            cut.vec(&mut run.mounts);
            cut.vec(&mut run.keys);
        }
    }
    let World { bases, context, .. } = &mut case.world;
    for tree in bases.iter_mut().flatten().chain([context]) {
        for path in tree.keys().cloned().collect::<Vec<_>>() {
            if cut.here() {
                tree.remove(&path);
            }
        }
    }
    cut.done.then_some(case)
}

/// Counts parts, and cuts one out.
struct Cut {
    left: usize,
    done: bool,
}

impl Cut {
    fn here(&mut self) -> bool {
        if self.done || self.left > 0 {
            self.left = self.left.saturating_sub(1);
            return false;
        }
        self.done = true;
        true
    }

    fn vec<T>(&mut self, parts: &mut Vec<T>) {
        let mut at = 0;
        parts.retain(|_| {
            at += 1;
            !self.here()
        });
    }
}

/// All of a case, in words.
pub(super) fn told(case: &Case) -> String {
    let mut text = format!("{}\n", readable(&case.world.recipe()));
    for (at, base) in case.world.bases.iter().enumerate() {
        for (layer, tree) in base.iter().enumerate() {
            for (path, item) in tree {
                writeln!(text, "base {at} layer {layer} /{path}: {item:?}").expect("it takes all");
            }
        }
    }
    for (path, item) in &case.world.context {
        writeln!(text, "context app/{path}: {item:?}").expect("it takes all");
    }
    for (round, edits) in case.rounds.iter().enumerate() {
        for edit in edits {
            writeln!(text, "edit in round {round}: {edit:?}").expect("it takes all");
        }
    }
    text.replace(&"0123456\\n".repeat(40_000), "LARGE")
}

fn readable(recipe: &str) -> String {
    let value: serde_json::Value = serde_json::from_str(recipe).expect("it is JSON");
    let text = serde_json::to_string_pretty(&value).expect("it was JSON");
    text.replace("\\n", "\n            ")
}
