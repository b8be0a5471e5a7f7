//! One file per command: settings in, calls of the library, text out.

mod build;
mod completions;
mod doctor;
mod init;
mod man;
mod plan;
mod recipe;
mod run;
mod schema;
mod validate;

use crate::args::Command;
use crate::error::CliError;
use crate::exit::Exit;
use crate::settings::Settings;

/// Runs the command that was asked for.
pub(crate) fn run(command: Command, settings: &Settings) -> Result<Exit, CliError> {
    match command {
        Command::Build(args) => build::run(&args, settings),
        Command::Plan(args) => plan::run(&args, settings),
        Command::Validate(args) => validate::run(&args, settings),
        Command::Schema => schema::run(),
        Command::Init(args) => init::run(&args),
        Command::Doctor(args) => doctor::run(&args, settings),
        Command::Run(args) => run::run(&args, settings),
        Command::Completions(args) => completions::run(&args),
        Command::Man => man::run(),
        Command::Lock(_)
        | Command::Images(_)
        | Command::Tag(_)
        | Command::Rm(_)
        | Command::Inspect(_)
        | Command::History(_)
        | Command::Ls(_)
        | Command::Cat(_) => Err(crate::engine::EngineError::NotThere.into()),
    }
}
