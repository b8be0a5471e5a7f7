//! Finding and reading a recipe, for all commands that take one.

use std::io;
use std::path::PathBuf;

use builder_core::recipe::{self, Loaded, Params};

use crate::args::RecipeArgs;
use crate::error::CliError;
use crate::files;
use crate::settings::Settings;

/// The recipe's name in its directory.
pub(crate) const FILE_NAME: &str = "recipe.yaml";

/// Where the recipe is.
pub(crate) fn path(args: &RecipeArgs) -> PathBuf {
    args.file.clone().unwrap_or_else(|| args.dir.join(FILE_NAME))
}

/// Where the recipe's lock is: beside it.
pub(crate) fn lock_path(args: &RecipeArgs) -> PathBuf {
    path(args).with_extension("lock")
}

/// Reads the recipe that `args` names.
pub(crate) fn load(args: &RecipeArgs, settings: &Settings) -> Result<Loaded, CliError> {
    let path = path(args);
    let text = files::read_text(&path).map_err(|error| match error {
        CliError::File { source, .. } if source.kind() == io::ErrorKind::NotFound => {
            CliError::NoRecipe { path: path.clone() }
        }
        other => other,
    })?;
    let base = files::absolute(&args.dir)?;
    let params = Params { set: args.set.iter().cloned().collect(), env: settings.params() };
    recipe::load(&text, &path, &base, &params)
        .map_err(|diagnostics| CliError::Recipe { diagnostics })
}
