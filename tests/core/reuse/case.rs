//! A case: a world, rounds of edits, and whether every build after them gives
//! what a build in an empty store gives.

use std::fmt::Write as _;
use std::time::Duration;

use builder_core::solve::{NoCache, StepReport, StepStatus};
use builder_core::view::observe::Blind;

use super::edit::Edit;
use super::scene::{Ended, Kit, Scene, differences};
use super::world::World;
use crate::oracle::rng::Rng;

#[derive(Debug, Clone)]
pub(super) struct Case {
    pub(super) world: World,
    pub(super) rounds: Vec<Vec<Edit>>,
    pub(super) jobs: usize,
    /// What the recorder is made to forget.
    pub(super) blind: Option<Blind>,
}

/// What became of the `run` steps of builds after edits.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Tally {
    pub(super) cached: usize,
    pub(super) reused: usize,
    pub(super) ran: usize,
    /// Builds that were compared.
    pub(super) builds: usize,
    /// Of these, those that failed both times.
    pub(super) failed: usize,
}

/// What a case showed.
#[derive(Debug)]
pub(super) enum Verdict {
    Right,
    /// The world gives now this, now that, in empty stores.
    Unsteady(String),
    /// Reuse gave something else, with what.
    Wrong(String),
}

impl Tally {
    pub(super) fn add(&mut self, other: Self) {
        self.cached += other.cached;
        self.reused += other.reused;
        self.ran += other.ran;
        self.builds += other.builds;
        self.failed += other.failed;
    }

    fn count(&mut self, steps: &[StepReport]) {
        for step in steps.iter().filter(|step| step.name.starts_with("run ")) {
            match step.status {
                StepStatus::Cached => self.cached += 1,
                StepStatus::Reused => self.reused += 1,
                StepStatus::Ran | StepStatus::Waits => self.ran += 1,
            }
        }
    }
}

impl Case {
    /// The case of a seed.
    pub(super) fn new(seed: u64, heavy: bool) -> Self {
        let mut rng = Rng::new(seed);
        let world = World::new(&mut rng, heavy);
        let mut now = world.clone();
        let rounds = if world.pairs { 1 } else { 1 + rng.below(2) };
        let mut edited = Vec::new();
        for _ in 0..rounds {
            let mut edits = Vec::new();
            for _ in 0..1 + rng.below(2) {
                let edit = Edit::random(&mut rng, &mut now);
                edit.apply(&mut now);
                edits.push(edit);
            }
            edited.push(edits);
        }
        Self {
            world,
            rounds: edited,
            jobs: 1 + usize::try_from(seed % 2).expect("small"),
            blind: None,
        }
    }

    /// Builds, edits and builds, and compares each time.
    pub(super) fn play(&self, kit: &Kit, tally: &mut Tally) -> Verdict {
        let mut scene = Scene::new(kit, self.jobs, self.blind);
        let mut world = self.world.clone();
        scene.write(&world);
        let mut log = String::new();
        told(&mut log, "first", &scene.build(&world).steps);
        for edits in &self.rounds {
            edits.iter().for_each(|edit| edit.apply(&mut world));
            scene.write(&world);
            let got = scene.build(&world);
            told(&mut log, "edited", &got.steps);
            tally.count(&got.steps);
            let (wanted, _store) = scene.build_anew(&world);
            tally.builds += 1;
            if scene.alike(&got, &wanted) {
                tally.failed += usize::from(matches!(got.ended, Ended::Failed(_)));
                continue;
            }
            // Some tools keep times in whole seconds, also that of what is new.
            std::thread::sleep(Duration::from_millis(1100));
            let (again, _store) = scene.build_anew(&world);
            if !scene.alike(&again, &wanted) {
                return Verdict::Unsteady(differences(&again, &wanted).join("\n"));
            }
            let differ = differences(&got, &wanted).join("\n");
            return Verdict::Wrong(format!("{log}{differ}"));
        }
        Verdict::Right
    }

    /// Builds, and again with all reuse forbidden: then it is known which steps
    /// may run ahead, and what they make must be the same. Counts those that did.
    pub(super) fn ahead(&self, kit: &Kit) -> (Verdict, usize) {
        let mut scene = Scene::new(kit, self.jobs, self.blind);
        scene.write(&self.world);
        let wanted = scene.build(&self.world);
        let got = scene.build_with(&self.world, NoCache::All);
        let ahead = got.steps.iter().filter(|step| step.ahead).count();
        if scene.alike(&got, &wanted) {
            return (Verdict::Right, ahead);
        }
        std::thread::sleep(Duration::from_millis(1100));
        let (again, _store) = scene.build_anew(&self.world);
        let differ = differences(&got, &wanted).join("\n");
        let steady = scene.alike(&again, &wanted);
        (if steady { Verdict::Wrong(differ) } else { Verdict::Unsteady(differ) }, ahead)
    }

    /// As [`Self::play`], and what is wrong is wrong each time.
    pub(super) fn judge(&self, kit: &Kit, tally: &mut Tally) -> Verdict {
        let verdict = self.play(kit, tally);
        if matches!(verdict, Verdict::Wrong(_)) {
            for _ in 0..2 {
                let again = self.play(kit, &mut Tally::default());
                if !matches!(again, Verdict::Wrong(_)) {
                    let Verdict::Wrong(why) = verdict else { return again };
                    return Verdict::Unsteady(format!("wrong, but not each time:\n{why}"));
                }
            }
        }
        verdict
    }
}

fn told(log: &mut String, what: &str, steps: &[StepReport]) {
    writeln!(log, "{what}:").expect("a string takes all");
    for step in steps {
        let name = step.name.replace('\n', "; ");
        writeln!(log, "    {:?} {name}: {}", step.status, step.reason).expect("a string takes all");
    }
}
