//! Which file says what is to be built.
//!
//! `-f` names it; else it is `recipe.yaml`, `Dockerfile`, `Containerfile` or
//! `dockerfile` of the directory, the first that is there.

use std::path::{Path, PathBuf};

use builder_core::dockerfile::git_reference;

use crate::args::RecipeArgs;
use crate::error::CliError;
use crate::output;

/// The name of standard input.
pub(crate) const STDIN: &str = "-";

const RECIPE: &str = super::super::recipe::FILE_NAME;

/// What a Dockerfile may be called, the first that is there.
pub(super) const NAMES: [&str; 3] = ["Dockerfile", "Containerfile", "dockerfile"];

/// What is to be built.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Found {
    /// A recipe.
    Recipe(PathBuf),
    /// A Dockerfile; `None` where the context is no directory and holds it.
    Dockerfile(Option<PathBuf>),
}

/// What `args` names. Where there is neither, it is the recipe that is missed.
pub(crate) fn find(args: &RecipeArgs) -> Found {
    let dir = &args.dir;
    if let Some(file) = &args.file {
        let named = |extensions: &[&str]| {
            let extension = file.extension().and_then(|e| e.to_str()).unwrap_or_default();
            extensions.contains(&extension)
        };
        return match named(&["yaml", "yml"]) {
            true => Found::Recipe(file.clone()),
            false => Found::Dockerfile(Some(file.clone())),
        };
    }
    if dir.as_os_str() == STDIN || is_remote(dir) {
        return Found::Dockerfile(None);
    }
    in_directory(dir)
}

/// What a directory holds.
fn in_directory(dir: &Path) -> Found {
    let recipe = dir.join(RECIPE);
    let dockerfile = NAMES.iter().map(|name| dir.join(name)).find(|path| path.exists());
    match dockerfile {
        Some(path) if !recipe.exists() => Found::Dockerfile(Some(path)),
        _ => Found::Recipe(recipe),
    }
}

/// The Dockerfile that `args` name, whether there is a recipe or not; `None` where
/// the context is no directory and holds it.
pub(crate) fn dockerfile_of(args: &RecipeArgs) -> Result<Option<PathBuf>, CliError> {
    if args.file.is_some() || is_remote(&args.dir) {
        return Ok(args.file.clone());
    }
    let mut paths = NAMES.iter().map(|name| args.dir.join(name));
    match paths.find(|path| path.exists()) {
        Some(path) => Ok(Some(path)),
        None => {
            let context = args.dir.display().to_string();
            Err(CliError::NoDockerfile { path: args.dir.join(NAMES[0]), context })
        }
    }
}

/// The recipe or Dockerfile of a directory; the recipe where there is none.
pub(crate) fn file_in(dir: &Path) -> PathBuf {
    match in_directory(dir) {
        Found::Recipe(path) | Found::Dockerfile(Some(path)) => path,
        Found::Dockerfile(None) => dir.join(RECIPE),
    }
}

/// Says so where a directory holds both.
pub(crate) fn tell_of_both(args: &RecipeArgs, found: &Found) {
    let Found::Recipe(recipe) = found else { return };
    let other = NAMES.iter().map(|name| args.dir.join(name)).find(|path| path.exists());
    if let (None, Some(other), true) = (&args.file, other, recipe.exists()) {
        let (recipe, other) = (recipe.display(), other.display());
        output::complain(&format!("building {recipe}, not {other} (-f {other} builds that)"));
    }
}

/// Whether a context is a git repository and no directory.
pub(super) fn is_remote(dir: &Path) -> bool {
    let text = dir.to_string_lossy();
    !dir.exists() && (git_reference(&text).is_some() || text.starts_with("github.com/"))
}
