//! Edits of a world. Each says what is to be, so it can be left out or applied
//! to a world that has shrunk.

use super::heavy;
use super::tree::{self, Altered, Item};
use super::words::{self, Scope};
use super::world::{Does, From, Run, Step, USERS, World};
use crate::oracle::rng::Rng;

#[derive(Debug, Clone)]
pub(super) enum Edit {
    Base { base: usize, layer: usize, path: String, item: Option<Item> },
    Context { path: String, item: Option<Item> },
    Insert { stage: usize, at: usize, step: Step },
    Remove { id: u32 },
    Replace { step: Step },
    From { stage: usize, from: From },
}

impl Edit {
    pub(super) fn apply(&self, world: &mut World) {
        let put = |tree: &mut tree::Tree, path: &String, item: &Option<Item>| match item {
            Some(item) => drop(tree.insert(path.clone(), item.clone())),
            None => drop(tree.remove(path)),
        };
        match self {
            Self::Base { base, layer, path, item } => {
                if let Some(tree) = world.bases[*base].get_mut(*layer) {
                    put(tree, path, item);
                }
            }
            Self::Context { path, item } => put(&mut world.context, path, item),
            Self::Insert { stage, at, step } => {
                let steps = &mut world.stages[*stage].steps;
                steps.insert((*at).min(steps.len()), step.clone());
            }
            Self::Remove { id } => {
                for stage in &mut world.stages {
                    stage.steps.retain(|step| step.id != *id);
                }
            }
            Self::Replace { step } => {
                let all = world.stages.iter_mut().flat_map(|stage| &mut stage.steps);
                for old in all.filter(|old| old.id == step.id) {
                    *old = step.clone();
                }
            }
            Self::From { stage, from } => world.stages[*stage].from = *from,
        }
    }

    /// An edit that fits a world.
    pub(super) fn random(rng: &mut Rng, world: &mut World) -> Self {
        match rng.below(20) {
            10..=14 if world.recipe().contains("app") => context(rng, world),
            0..=14 => base(rng, world),
            15..=18 => recipe(rng, world),
            _ => {
                let stage = rng.below(world.stages.len());
                Self::From { stage, from: From::Base(rng.below(2)) }
            }
        }
    }
}

fn base(rng: &mut Rng, world: &World) -> Edit {
    // The first is what most stages stand on.
    let base = usize::from(rng.one_in(8));
    let layers = &world.bases[base];
    if world.heavy && !rng.one_in(3) {
        let layer = layers.len() - 1;
        let (path, item) = heavy::edit(rng, &layers[layer]);
        return Edit::Base { base, layer, path, item };
    }
    if !world.heavy && rng.one_in(12) {
        let (path, texts) = rng.pick(&USERS);
        let item = Some(Item::file(texts[rng.below(texts.len())]));
        return Edit::Base { base, layer: layers.len() - 1, path: (*path).to_owned(), item };
    }
    let recipe = world.recipe();
    let named = |path: &str| recipe.contains(&format!("/{path}"));
    let Altered { layer, path, item } = tree::altered(rng, layers, &named, true);
    Edit::Base { base, layer, path, item }
}

fn context(rng: &mut Rng, world: &World) -> Edit {
    let layers = std::slice::from_ref(&world.context);
    let Altered { path, mut item, .. } = tree::altered(rng, layers, &|_| false, false);
    // What a step copies is always there.
    if tree::DIRS.contains(&&*path) {
        item = Some(Item { what: Item::dir().what, ..item.unwrap_or_else(Item::dir) });
    }
    Edit::Context { path, item }
}

fn recipe(rng: &mut Rng, world: &mut World) -> Edit {
    let stage = rng.below(world.stages.len());
    let at = rng.below(world.stages[stage].steps.len() + 1);
    let Some(step) = world.stages[stage].steps.get(at).cloned().filter(|_| !rng.one_in(3)) else {
        let at = if rng.one_in(2) { 0 } else { at };
        return Edit::Insert { stage, at, step: world.step(rng, stage, at) };
    };
    if rng.one_in(3) {
        return Edit::Remove { id: step.id };
    }
    let mut step = step;
    match &mut step.does {
        Does::Run(Run { commands, .. }) => {
            let scope = Scope::new(Vec::new(), &[], false);
            let command = words::change(&scope, rng);
            commands.push(command);
        }
        _ => return Edit::Insert { stage, at, step: world.step(rng, stage, at) },
    }
    Edit::Replace { step }
}
