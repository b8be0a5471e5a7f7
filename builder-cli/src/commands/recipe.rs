//! Finding and reading what is to be built, a recipe or a Dockerfile, for all
//! commands that take one.

use std::io;
use std::path::{Path, PathBuf};

use builder_core::dockerfile::Warning;
use builder_core::plan::Plan;
use builder_core::recipe::{self, Params};

use super::dockerfile::{self, Found, find};
use super::engine::Opener;

use crate::args::RecipeArgs;
use crate::error::CliError;
use crate::files;
use crate::settings::Settings;

/// The recipe's name in its directory.
pub(crate) const FILE_NAME: &str = "recipe.yaml";

/// What is to be built.
pub(crate) struct Loaded {
    /// As a graph.
    pub(crate) plan: Plan,
    /// Which recipe or Dockerfile it is, whatever its content.
    pub(crate) recipe_id: String,
    /// What the checks of a Dockerfile found.
    pub(crate) warnings: Vec<Warning>,
    /// A file that the plan names and that goes with this.
    pub(crate) keeps: Option<tempfile::TempPath>,
}

/// Where the recipe or Dockerfile is, if it is a file.
pub(crate) fn path(args: &RecipeArgs) -> PathBuf {
    match find(args) {
        Found::Recipe(path) | Found::Dockerfile(Some(path)) => path,
        Found::Dockerfile(None) => args.dir.join("Dockerfile"),
    }
}

/// Where the lock is: beside the recipe or Dockerfile.
pub(crate) fn lock_path(args: &RecipeArgs) -> PathBuf {
    match find(args) {
        Found::Recipe(path) => path.with_extension("lock"),
        Found::Dockerfile(Some(path)) if path.as_os_str() != dockerfile::STDIN => {
            let mut name = path.file_name().unwrap_or_default().to_owned();
            name.push(".lock");
            path.with_file_name(name)
        }
        Found::Dockerfile(_) => PathBuf::from("Dockerfile.lock"),
    }
}

/// Reads what `args` names; of a Dockerfile what `target` needs, and with `pull`
/// registries are asked for its bases.
pub(crate) fn load(
    args: &RecipeArgs,
    target: Option<&str>,
    pull: bool,
    settings: &Settings,
    engine: &Opener<'_>,
) -> Result<Loaded, CliError> {
    let found = find(args);
    dockerfile::tell_of_both(args, &found);
    match found {
        Found::Dockerfile(path) => {
            dockerfile::load(args, path.as_deref(), target, pull, settings, engine)
        }
        Found::Recipe(path) => of_recipe(args, &path, settings),
    }
}

fn of_recipe(args: &RecipeArgs, path: &Path, settings: &Settings) -> Result<Loaded, CliError> {
    let text = files::read_text(path).map_err(|error| match error {
        CliError::File { source, .. } if source.kind() == io::ErrorKind::NotFound => {
            match args.file {
                Some(_) => CliError::NoRecipe { path: path.to_owned() },
                None => CliError::NothingToBuild { dir: args.dir.clone() },
            }
        }
        other => other,
    })?;
    let base = files::absolute(&args.dir)?;
    let params = Params { set: args.set.iter().cloned().collect(), env: settings.params() };
    let loaded = recipe::load(&text, path, &base, &params)
        .map_err(|diagnostics| CliError::Recipe { diagnostics })?;
    let (plan, recipe_id) = (loaded.plan, loaded.recipe_id);
    Ok(Loaded { plan, recipe_id, warnings: Vec::new(), keeps: None })
}
