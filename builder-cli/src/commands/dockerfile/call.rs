//! `--call` and `--check`: what is told of a Dockerfile without building it.

use std::sync::Arc;

use builder_core::dockerfile::call::{self, Outline, Report};
use builder_core::dockerfile::lint::Checks;
use builder_core::dockerfile::{self, Options, Warning};
use builder_core::event::Silent;
use builder_core::solve::LockMode;
use serde::Serialize;

use super::super::engine::Opener;
use super::super::recipe::{Reading, locks};
use super::resolver::Images;
use super::{Found, Read, find, read, wrong};
use crate::args::{BuildArgs, RecipeArgs};
use crate::error::CliError;
use crate::exit::Exit;
use crate::settings::Settings;
use crate::values::{CallArg, CallMethod};
use crate::{diagnostic, interrupt, output};

/// Prints what is asked for.
pub(crate) fn call(args: &BuildArgs, how: CallArg, settings: &Settings) -> Result<Exit, CliError> {
    let Found::Dockerfile(path) = find(&args.recipe) else {
        return Err(CliError::CallOfRecipe);
    };
    let target = args.reuse.target.as_deref();
    interrupt::stoppable(|cancel| {
        let engine = Opener::new(settings, None, Arc::new(Silent), cancel);
        let asked = read(&args.recipe, path.as_deref(), target, settings, &engine)?;
        match how.method {
            CallMethod::Targets => {
                shown(&call::targets(&asked.file, &asked.source), how.json)?;
                Ok(Exit::Done)
            }
            CallMethod::Outline => {
                shown(&outline(&asked)?, how.json)?;
                Ok(Exit::Done)
            }
            CallMethod::Check => check(asked, &args.recipe, &engine, how.json),
            CallMethod::Build => Ok(Exit::Done), // nothing is asked for
        }
    })
}

fn shown(value: &(impl Serialize + std::fmt::Display), json: bool) -> Result<(), CliError> {
    if json {
        return output::json(&serde_json::to_value(value).expect("keys are strings"));
    }
    output::raw(value.to_string().as_bytes())
}

fn outline(asked: &Read) -> Result<Outline, CliError> {
    let Read { source, file, options, .. } = asked;
    let predefined = dockerfile::predefined(file, options);
    let target = options.target.as_deref();
    let found = call::outline(file, source, target, &options.build_args, &predefined);
    found.map_err(|diagnostic| wrong(vec![diagnostic]))
}

/// All stages are looked at, also what the target does not need. Fails where
/// there is anything to tell.
fn check(
    asked: Read,
    recipe: &RecipeArgs,
    engine: &Opener<'_>,
    json: bool,
) -> Result<Exit, CliError> {
    let Read { source, file, options, checks: instead, .. } = asked;
    let options = Options { all_stages: true, ..options };
    let mut checks = Checks::new(&file, &source, instead.as_ref());
    let locks = locks(recipe, LockMode::Use)?;
    let mut images = Images::new(engine, Reading::new(&locks));
    let lowered = dockerfile::lower(&file, &source, &options, &mut images, &mut checks);
    let error = lowered.err();
    let warnings = checks.finish();
    if json {
        let name = source.name();
        let report: Report = call::report(&name, &source, &warnings, error.as_deref());
        output::json(&serde_json::to_value(&report).expect("keys are strings"))?;
    } else {
        for warning in &warnings {
            output::line(&whole(warning, &source.lines(warning.location.line, warning.end_line)))?;
        }
        match warnings.len() {
            0 if error.is_none() => output::line("Check complete, no warnings found.")?,
            0 => {}
            1 => output::line("Check complete, 1 warning has been found!")?,
            count => output::line(&format!("Check complete, {count} warnings have been found!"))?,
        }
        if let Some(error) = error {
            return Err(wrong(vec![*error]));
        }
    }
    Ok(if warnings.is_empty() { Exit::Done } else { Exit::BuildFailed })
}

/// A warning with the lines that it is about.
fn whole(warning: &Warning, lines: &[(u32, String)]) -> String {
    let Warning { rule, url, detail, location, .. } = warning;
    let link = if url.is_empty() { String::new() } else { format!(" - {url}") };
    let mut text = format!(
        "WARNING: {rule}{link}\n{}\n{}:{}\n--------------------\n",
        output::visible(detail),
        location.file.display(),
        location.line,
    );
    for (number, line) in lines {
        let mark = ">>>";
        text.push_str(&format!("{number:4} | {mark} {}\n", output::visible(line)));
    }
    text.push_str("--------------------\n");
    text
}

/// Tells of a warning on standard error.
pub(super) fn complain(warning: &Warning) {
    output::complain(&format!("warning: {}", diagnostic::warning(warning)));
}
