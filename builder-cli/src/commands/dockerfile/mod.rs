//! A Dockerfile, with what the command line and the host say beside it, becomes
//! a plan.

mod call;
mod context;
mod convert;
mod find;
mod options;
mod resolver;

use std::path::Path;

use builder_core::dockerfile::ast::Dockerfile;
use builder_core::dockerfile::lint::{self, Checks};
use builder_core::dockerfile::{self, Lowered, Options};
use builder_core::frontend::{Diagnostic, SourceFile};
use builder_core::recipe::recipe_id;

pub(crate) use self::call::call;
use self::context::Given;
pub(crate) use self::convert::convert;
pub(crate) use self::find::{Found, STDIN, dockerfile_of, file_in, find, tell_of_both};
use self::resolver::Images;
use super::engine::Opener;
use super::recipe::{Loaded, Reading};
use crate::args::RecipeArgs;
use crate::error::CliError;
use crate::exit::Exit;
use crate::settings::Settings;

/// A Dockerfile that was read.
struct Read {
    source: SourceFile,
    file: Dockerfile,
    options: Options,
    /// What checks are asked for instead of the file's own.
    checks: Option<dockerfile::ast::Check>,
    recipe_id: String,
    keeps: Option<tempfile::TempPath>,
}

fn wrong(diagnostics: Vec<Diagnostic>) -> CliError {
    CliError::Recipe { diagnostics }
}

fn read(
    args: &RecipeArgs,
    path: Option<&Path>,
    target: Option<&str>,
    settings: &Settings,
    engine: &Opener<'_>,
) -> Result<Read, CliError> {
    let Given { name, text, context, keeps } = context::read(args, path, engine)?;
    let source = SourceFile::new(&name, &text);
    let file = dockerfile::parse(&source).map_err(wrong)?;
    let options = options::options(args, target, context, settings)?;
    let checks = options::checks(&options)?;
    // Where there is no directory its name is all that tells a context from others.
    let base = args.dir.canonicalize().unwrap_or_else(|_| args.dir.clone());
    let recipe_id = recipe_id(&name, &base);
    Ok(Read { source, file, options, checks, recipe_id, keeps })
}

/// Reads the Dockerfile at `path` (`-` is standard input), or the one of the
/// context where `path` is `None`, and lowers it.
pub(crate) fn load(
    args: &RecipeArgs,
    path: Option<&Path>,
    how: Reading<'_>,
    settings: &Settings,
    engine: &Opener<'_>,
) -> Result<Loaded, CliError> {
    let read = read(args, path, how.target, settings, engine)?;
    let Read { source, file, options, checks: instead, recipe_id, keeps } = read;
    let options = Options { all_stages: how.all_stages, ..options };
    let mut checks = Checks::new(&file, &source, instead.as_ref());
    let mut images = Images::new(engine, how);
    let lowered = dockerfile::lower(&file, &source, &options, &mut images, &mut checks);
    let Lowered { plan, secrets: _, stages: _ } =
        lowered.map_err(|diagnostic| match images.failed.take() {
            // The build is to stop: no mistake of the file.
            Some(error) if matches!(error.exit(), Exit::Interrupted | Exit::Terminated) => error,
            _ => wrong(vec![*diagnostic]),
        })?;
    let warnings = checks.finish();
    if let Some(violation) = lint::violation(&file, instead.as_ref(), &warnings) {
        warnings.iter().for_each(call::complain);
        return Err(wrong(vec![violation]));
    }
    Ok(Loaded { plan, recipe_id, warnings, keeps })
}
