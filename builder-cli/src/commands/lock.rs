//! `phoenix lock`: pins what the recipe takes from outside.

use std::sync::Arc;

use builder_core::engine::BuildRequest;
use builder_core::event::Silent;
use builder_core::solve::LockMode;

use super::engine::Opener;
use crate::args::RecipeArgs;
use crate::error::CliError;
use crate::exit::Exit;
use crate::settings::Settings;
use crate::{files, interrupt, output};

/// Resolves everything anew and writes `recipe.lock` beside the recipe.
pub(crate) fn run(args: &RecipeArgs, settings: &Settings) -> Result<Exit, CliError> {
    let lock = interrupt::stoppable(|cancel| {
        let engine = Opener::new(settings, None, Arc::new(Silent), cancel);
        let loaded = super::recipe::load(args, None, true, settings, &engine)?;
        let request = BuildRequest {
            recipe: loaded.recipe_id,
            lock_mode: LockMode::Update,
            ..BuildRequest::new(loaded.plan)
        };
        Ok(engine.get()?.lock_blocking(&request, cancel)?)
    })?;
    let path = super::recipe::lock_path(args);
    if lock.debian.is_empty() && lock.images.is_empty() && !path.exists() {
        output::line("there is nothing to pin: the recipe takes nothing from outside")?;
        return Ok(Exit::Done);
    }
    files::write(&path, lock.to_text().as_bytes())?;
    output::line(&format!("wrote {}", path.display()))?;
    Ok(Exit::Done)
}
