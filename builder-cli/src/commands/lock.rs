//! `phoenix lock`: pins what the recipe takes from outside.

use std::sync::Arc;

use builder_core::engine::BuildRequest;
use builder_core::event::Silent;
use builder_core::solve::{LockMode, Locks};
use builder_core::source::debian::LockFile;

use super::engine::Opener;
use super::recipe::Reading;
use crate::args::RecipeArgs;
use crate::error::CliError;
use crate::exit::Exit;
use crate::settings::Settings;
use crate::{files, interrupt, output};

/// Resolves everything anew and writes the lock beside the recipe or Dockerfile.
pub(crate) fn run(args: &RecipeArgs, settings: &Settings) -> Result<Exit, CliError> {
    let path = super::recipe::lock_path(args).ok_or(CliError::NoPlaceForLock)?;
    let lock = interrupt::stoppable(|cancel| {
        let engine = Opener::new(settings, None, Arc::new(Silent), cancel);
        let locks = Locks::new(LockFile::default(), LockMode::Update);
        let how = Reading { all_stages: true, ..Reading::new(&locks) };
        let loaded = super::recipe::load(args, how, settings, &engine)?;
        let request = BuildRequest {
            recipe: loaded.recipe_id,
            lock_mode: LockMode::Update,
            ..BuildRequest::new(loaded.plan)
        };
        let mut lock = engine.get()?.lock_blocking(&request, cancel)?;
        // A Dockerfile's images were looked up while it was read.
        lock.images.extend(locks.state().0.images);
        Ok(lock)
    })?;
    if lock.debian.is_empty() && lock.images.is_empty() && !path.exists() {
        output::line("there is nothing to pin: nothing is taken from outside by name")?;
        return Ok(Exit::Done);
    }
    files::write(&path, lock.to_text().as_bytes())?;
    output::line(&format!("wrote {}", path.display()))?;
    Ok(Exit::Done)
}
