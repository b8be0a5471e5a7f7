//! A Dockerfile, with what the command line and the host say beside it, becomes
//! a plan.

mod context;
mod find;
mod options;
mod resolver;

use std::path::Path;

use builder_core::dockerfile::{self, Lowered};
use builder_core::frontend::{Diagnostic, SourceFile};
use builder_core::recipe::recipe_id;

use self::context::Given;
pub(crate) use self::find::{Found, STDIN, file_in, find, tell_of_both};
use self::resolver::Images;
use super::engine::Opener;
use super::recipe::Loaded;
use crate::args::RecipeArgs;
use crate::error::CliError;
use crate::settings::Settings;

/// Reads the Dockerfile at `path` (`-` is standard input), or the one of the
/// context where `path` is `None`, and lowers it.
pub(crate) fn load(
    args: &RecipeArgs,
    path: Option<&Path>,
    target: Option<&str>,
    settings: &Settings,
    engine: &Opener<'_>,
) -> Result<Loaded, CliError> {
    let given = context::read(args, path, engine)?;
    let Given { name, text, context, keeps } = given;
    let wrong = |diagnostics: Vec<Diagnostic>| CliError::Recipe { diagnostics };
    let source = SourceFile::new(&name, &text);
    let file = dockerfile::parse(&source).map_err(wrong)?;
    let options = options::options(args, target, context, settings)?;
    let mut images = Images::new(engine, false);
    let lowered = dockerfile::lower(&file, &source, &options, &mut images);
    let lowered = lowered.map_err(|diagnostic| match images.failed.take() {
        // The build is to stop, or the store failed: that is no mistake of the file.
        Some(error) if error.exit() != crate::exit::Exit::Trouble => error,
        _ => wrong(vec![*diagnostic]),
    })?;
    let Lowered { plan, warnings, secrets: _ } = lowered;
    // Where there is no directory its name is all that tells a context from others.
    let base = args.dir.canonicalize().unwrap_or_else(|_| args.dir.clone());
    let recipe_id = recipe_id(&name, &base);
    Ok(Loaded { plan, recipe_id, warnings, keeps })
}
