//! A Dockerfile as a recipe: the text of it.

use std::path::{Path, PathBuf};

use builder_core::convert::{self, Converted, Request};
use builder_core::solve::LockMode;

use super::super::engine::Opener;
use super::super::recipe::{Reading, locks};
use super::resolver::Images;
use super::{Read, read, wrong};
use crate::args::RecipeArgs;
use crate::error::CliError;
use crate::exit::Exit;
use crate::settings::Settings;
use crate::{files, output};

/// Reads the Dockerfile at `path`, or that of a context that is no directory, and
/// gives the recipe that goes to `place`.
pub(crate) fn convert(
    args: &RecipeArgs,
    path: Option<&Path>,
    target: Option<&str>,
    place: Option<&Path>,
    settings: &Settings,
    engine: &Opener<'_>,
) -> Result<String, CliError> {
    let read = read(args, path, target, settings, engine)?;
    let Read { source, file, options, checks: _, recipe_id: _, keeps: _keeps } = read;
    let dir = if args.dir.is_dir() { args.dir.as_path() } else { Path::new(".") };
    let base = files::absolute(dir)?;
    let place = place.and_then(|place| within(&base, place));
    let labels = args.docker.labels.iter().cloned().collect();
    let request = Request {
        source: &source,
        file: &file,
        options: &options,
        labels: &labels,
        base: &base,
        place: place.as_deref(),
    };
    let locks = locks(args, LockMode::Use)?;
    let mut images = Images::new(engine, Reading::new(&locks));
    let converted = convert::convert(&request, &mut images);
    let Converted { text, notes } =
        converted.map_err(|diagnostics| match images.failed.take() {
            Some(error) if matches!(error.exit(), Exit::Interrupted | Exit::Terminated) => error,
            _ => wrong(diagnostics),
        })?;
    for note in notes {
        output::complain(&format!("warning: {}", output::visible(&note.to_string())));
    }
    Ok(text)
}

/// A file's path as seen from a directory that it is in.
fn within(base: &Path, file: &Path) -> Option<PathBuf> {
    let parent = file.parent().filter(|parent| !parent.as_os_str().is_empty());
    let parent = parent.unwrap_or(Path::new(".")).canonicalize().ok()?;
    parent.join(file.file_name()?).strip_prefix(base).ok().map(Path::to_owned)
}
