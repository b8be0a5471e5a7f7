//! `phoenix validate`: is the recipe right?

use std::sync::Arc;

use builder_core::event::Silent;
use builder_core::frontend::Diagnostic;
use builder_core::solve::LockMode;
use serde_json::{Value, json};

use super::engine::Opener;
use super::recipe::Reading;
use crate::args::{Format, ValidateArgs};
use crate::error::CliError;
use crate::exit::Exit;
use crate::settings::Settings;
use crate::{interrupt, output};

/// Checks it; nothing is built, fetched or written.
pub(crate) fn run(args: &ValidateArgs, settings: &Settings) -> Result<Exit, CliError> {
    let loaded = interrupt::stoppable(|cancel| {
        let engine = Opener::new(settings, None, Arc::new(Silent), cancel);
        let locks = super::recipe::locks(&args.recipe, LockMode::Use)?;
        super::recipe::load(&args.recipe, Reading::new(&locks), settings, &engine)
    });
    let path = super::recipe::path(&args.recipe);
    match (args.format.format, loaded) {
        (Format::Text, Ok(loaded)) => {
            let (stages, steps) = (loaded.plan.targets().len(), loaded.plan.vertices().len());
            let file = path.display();
            output::line(&format!("{file} is right: {stages} stage(s), {steps} operations"))?;
            Ok(Exit::Done)
        }
        (Format::Json, Ok(_)) => {
            output::json(&json!({ "valid": true, "diagnostics": [] }))?;
            Ok(Exit::Done)
        }
        (Format::Json, Err(CliError::Recipe { diagnostics })) => {
            let diagnostics: Vec<Value> = diagnostics.iter().map(as_json).collect();
            output::json(&json!({ "valid": false, "diagnostics": diagnostics }))?;
            Ok(Exit::Recipe)
        }
        (_, Err(error)) => Err(error),
    }
}

fn as_json(diagnostic: &Diagnostic) -> Value {
    let Diagnostic { message, location, source_line: _, width, label, help, class: _ } = diagnostic;
    json!({
        "message": message,
        "file": location.as_ref().map(|at| at.file.display().to_string()),
        "line": location.as_ref().map(|at| at.line),
        "column": location.as_ref().map(|at| at.column),
        "width": width,
        "label": label,
        "help": help,
    })
}
