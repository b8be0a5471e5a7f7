//! `phoenix convert`: a Dockerfile as a recipe.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use builder_core::event::Silent;

use super::dockerfile::{self, STDIN};
use super::engine::Opener;
use crate::args::{ConvertArgs, RecipeArgs};
use crate::error::CliError;
use crate::exit::Exit;
use crate::settings::Settings;
use crate::{files, interrupt, output};

/// Writes the recipe; one that is there stays.
pub(crate) fn run(args: ConvertArgs, settings: &Settings) -> Result<Exit, CliError> {
    let ConvertArgs { from, file, output: place, force, target, docker } = args;
    let from_stdin = from.as_os_str() == STDIN;
    let (dir, file) = match file {
        Some(_) if from_stdin || from.is_file() => {
            return Err(CliError::DockerfileTwice { path: from });
        }
        None if from_stdin => (PathBuf::from("."), Some(from)),
        None if from.is_file() => (parent(&from).to_owned(), Some(from)),
        file => (from, file),
    };
    let mut args = RecipeArgs { dir, file, set: Vec::new(), docker };
    let path = dockerfile::dockerfile_of(&args)?;
    // It is the Dockerfile that is meant, whatever stands beside it.
    args.file.clone_from(&path);
    let place = place.unwrap_or_else(|| match &path {
        Some(path) if path.as_os_str() == STDIN => PathBuf::from(STDIN),
        Some(path) => path.with_file_name(super::recipe::FILE_NAME),
        None => PathBuf::from(super::recipe::FILE_NAME),
    });
    let to_stdout = place.as_os_str() == STDIN;
    if !to_stdout && place.exists() && !force {
        return Err(CliError::RecipeExists { path: place });
    }
    let written = (!to_stdout).then_some(place.as_path());
    let text = interrupt::stoppable(|cancel| {
        let engine = Opener::new(settings, None, Arc::new(Silent), cancel);
        let (path, target) = (path.as_deref(), target.as_deref());
        dockerfile::convert(&args, path, target, written, settings, &engine)
    })?;
    if to_stdout {
        output::raw(text.as_bytes())?;
        return Ok(Exit::Done);
    }
    files::write(&place, text.as_bytes())?;
    let pins = pins(&args, &place, force)?;
    let pins = pins.map_or(String::new(), |path| format!(" and {}", path.display()));
    let (wrote, build) = (place.display(), build(&args, &place));
    output::line(&format!("wrote {wrote}{pins}; build it with: {build}"))?;
    Ok(Exit::Done)
}

/// What a lock beside the Dockerfile pins, the lock of the recipe pins too.
fn pins(args: &RecipeArgs, place: &Path, force: bool) -> Result<Option<PathBuf>, CliError> {
    let lock = super::recipe::lock_path(args).filter(|path| path.exists());
    let pins = place.with_extension("lock");
    match lock {
        Some(lock) if force || !pins.exists() => {
            files::write(&pins, files::read_text(&lock)?.as_bytes())?;
            Ok(Some(pins))
        }
        _ => Ok(None),
    }
}

/// The directory that a file is in.
fn parent(file: &Path) -> &Path {
    let parent = file.parent().filter(|parent| !parent.as_os_str().is_empty());
    parent.unwrap_or(Path::new("."))
}

/// What builds a recipe.
fn build(args: &RecipeArgs, place: &Path) -> String {
    let dir = if args.dir.is_dir() { args.dir.as_path() } else { Path::new(".") };
    let found = dir.canonicalize().is_ok_and(|dir| {
        let place = parent(place).canonicalize().ok();
        place.is_some_and(|place| place == dir)
    });
    let named = place.file_name().is_some_and(|name| name == super::recipe::FILE_NAME);
    match found && named {
        true => format!("phoenix build {} -t NAME", dir.display()),
        false => format!("phoenix build {} -f {} -t NAME", dir.display(), place.display()),
    }
}
