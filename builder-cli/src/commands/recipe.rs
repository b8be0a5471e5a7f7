//! Finding and reading what is to be built, a recipe or a Dockerfile, for all
//! commands that take one.

use std::io;
use std::path::{Path, PathBuf};

use builder_core::dockerfile::Warning;
use builder_core::plan::Plan;
use builder_core::recipe::{self, Params};
use builder_core::solve::{LockMode, Locks};
use builder_core::source::debian::LockFile;

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

/// How what is to be built is read.
#[derive(Clone, Copy)]
pub(crate) struct Reading<'a> {
    /// Of a Dockerfile: the stage that is wanted; the last one where `None`.
    pub(crate) target: Option<&'a str>,
    /// Of a Dockerfile: all stages are, whatever the target needs.
    pub(crate) all_stages: bool,
    /// Registries are asked for bases, whatever the store and the lock have.
    pub(crate) pull: bool,
    /// What names of images mean; what is found is put there.
    pub(crate) locks: &'a Locks,
}

impl<'a> Reading<'a> {
    /// As the last stage needs it, by what the lock or the store has.
    pub(crate) fn new(locks: &'a Locks) -> Self {
        Self { target: None, all_stages: false, pull: false, locks }
    }
}

/// Where the lock is: beside the recipe or Dockerfile. `None` where that is no
/// file of this host.
pub(crate) fn lock_path(args: &RecipeArgs) -> Option<PathBuf> {
    match find(args) {
        Found::Recipe(path) => Some(path.with_extension("lock")),
        Found::Dockerfile(Some(path)) if path.as_os_str() != dockerfile::STDIN => {
            let mut name = path.file_name().unwrap_or_default().to_owned();
            name.push(".lock");
            Some(path.with_file_name(name))
        }
        Found::Dockerfile(_) => None,
    }
}

/// Where a build writes what it pinned. Beside a Dockerfile, and so in its
/// context, it makes no file: only one that `phoenix lock` made is kept up.
pub(crate) fn lock_to_write(args: &RecipeArgs) -> Option<PathBuf> {
    let path = lock_path(args)?;
    let is_recipe = matches!(find(args), Found::Recipe(_));
    Some(path).filter(|path| is_recipe || path.exists())
}

/// What is pinned; nothing where there is no lock.
pub(crate) fn locks(args: &RecipeArgs, mode: LockMode) -> Result<Locks, CliError> {
    is_context(args, &find(args))?;
    let Some(path) = lock_path(args) else {
        return Ok(Locks::new(LockFile::default(), mode));
    };
    match files::read_text(&path) {
        Ok(text) => Ok(Locks::new(LockFile::parse(&text)?, mode)),
        Err(CliError::File { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
            Ok(Locks::new(LockFile::default(), mode))
        }
        Err(error) => Err(error),
    }
}

/// Refuses what can hold neither a recipe nor a Dockerfile.
fn is_context(args: &RecipeArgs, found: &Found) -> Result<(), CliError> {
    let in_directory = matches!(found, Found::Recipe(_)) && args.file.is_none();
    match in_directory && args.dir.exists() && !args.dir.is_dir() {
        true => Err(CliError::NoContext { dir: args.dir.clone() }),
        false => Ok(()),
    }
}

/// Reads what `args` names.
pub(crate) fn load(
    args: &RecipeArgs,
    how: Reading<'_>,
    settings: &Settings,
    engine: &Opener<'_>,
) -> Result<Loaded, CliError> {
    let found = find(args);
    is_context(args, &found)?;
    dockerfile::tell_of_both(args, &found);
    match found {
        Found::Dockerfile(path) => dockerfile::load(args, path.as_deref(), how, settings, engine),
        Found::Recipe(path) => of_recipe(args, &path, settings),
    }
}

fn of_recipe(args: &RecipeArgs, path: &Path, settings: &Settings) -> Result<Loaded, CliError> {
    if let Some(platform) = &args.docker.platform {
        return Err(CliError::PlatformOfRecipe { platform: platform.to_string() });
    }
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
