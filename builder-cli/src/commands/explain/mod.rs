//! `phoenix explain`: what a step looked at and why it ran; what nobody looked
//! at.

mod json;
mod known;
mod text;

use std::path::{Path, PathBuf};

use builder_core::cache::{Cache, History, PastBuild};
use builder_core::explain::{self, Against, ExplainError};
use builder_core::image::blob_digest;
use builder_core::recipe::recipe_id;
use builder_core::store::Store;

use crate::args::{ExplainArgs, Format};
use crate::error::CliError;
use crate::exit::Exit;
use crate::settings::Settings;
use crate::{files, output};

/// Prints it; runs nothing.
pub(crate) fn run(args: &ExplainArgs, settings: &Settings) -> Result<Exit, CliError> {
    let store = super::image::store(settings)?;
    let cache = Cache::new(store.clone());
    if args.unused {
        let build = build(args, &store, &cache)?;
        let unused = explain::unused(&store, &build)?;
        return print(args, || json::unused(&unused), || text::unused(&unused));
    }
    let (dir, step) = words(args);
    let history = history(&cache, &dir, args.file.as_deref())?;
    let Some(step) = step else {
        if args.against.is_some() {
            return Err(CliError::AgainstWhat);
        }
        if history.builds.is_empty() {
            return Err(ExplainError::NoHistory.into());
        }
        return print(args, || json::builds(&history), || text::builds(&history));
    };
    let against = args.against.as_deref().map(|text| against(&store, text)).transpose()?;
    let told = explain::explain_step(&store, &history, &step, against)?;
    print(args, || json::step(&told), || text::step(&told))
}

fn print(
    args: &ExplainArgs,
    json: impl FnOnce() -> serde_json::Value,
    text: impl FnOnce() -> String,
) -> Result<Exit, CliError> {
    match args.format.format {
        Format::Json => output::json(&json())?,
        Format::Text => output::line(&text())?,
    }
    Ok(Exit::Done)
}

/// The directory and the step. One word alone is a step, unless it names a
/// directory with a recipe.
fn words(args: &ExplainArgs) -> (PathBuf, Option<String>) {
    let here = || PathBuf::from(".");
    match (&args.dir, &args.step) {
        (None, _) => (here(), None),
        (Some(dir), Some(step)) => (PathBuf::from(dir), Some(step.clone())),
        (Some(word), None) if has_recipe(Path::new(word), args) => (PathBuf::from(word), None),
        (Some(word), None) => (here(), Some(word.clone())),
    }
}

fn has_recipe(dir: &Path, args: &ExplainArgs) -> bool {
    dir.is_dir() && (args.file.is_some() || super::dockerfile::file_in(dir).exists())
}

/// What the builds of the recipe did; the recipe itself need not be right.
fn history(cache: &Cache, dir: &Path, file: Option<&Path>) -> Result<History, CliError> {
    let base = files::absolute(dir)?;
    let recipe = file.map_or_else(|| super::dockerfile::file_in(dir), Path::to_owned);
    let history = cache.history(&recipe_id(&recipe, &base));
    Ok(history.map_err(ExplainError::from)?)
}

/// A number is one of a build; all else is an image.
fn against(store: &Store, text: &str) -> Result<Against, CliError> {
    match text.parse() {
        Ok(number) if text.len() < 6 => Ok(Against::Number(number)),
        _ => {
            let named = super::image::find(store, text)?;
            Ok(Against::Image(blob_digest(&named.descriptor)?))
        }
    }
}

/// The build of which what nobody looked at is told: that of an image, or the
/// last good one of a recipe.
fn build(args: &ExplainArgs, store: &Store, cache: &Cache) -> Result<PastBuild, CliError> {
    let word = args.dir.as_deref().unwrap_or(".");
    if !has_recipe(Path::new(word), args) {
        let named = super::image::find(store, word)?;
        return Ok(explain::build_of(cache, blob_digest(&named.descriptor)?)?);
    }
    let history = history(cache, Path::new(word), args.file.as_deref())?;
    let none = match history.builds.is_empty() {
        true => ExplainError::NoHistory,
        false => ExplainError::NoImage,
    };
    Ok(history.builds.into_iter().find(|build| build.image.is_some()).ok_or(none)?)
}
