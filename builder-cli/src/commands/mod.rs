//! One file per command: settings in, calls of the library, text out.

mod build;
mod cat;
mod completions;
mod convert;
mod dockerfile;
mod doctor;
mod engine;
mod explain;
mod history;
mod image;
mod images;
mod init;
mod inspect;
mod lock;
mod ls;
mod man;
mod plan;
mod prune;
mod pull;
mod push;
mod rebase;
mod recipe;
mod rm;
mod run;
mod schema;
mod tag;
mod validate;
mod watch;

use crate::args::Command;
use crate::error::CliError;
use crate::exit::Exit;
use crate::settings::Settings;

/// Runs the command that was asked for.
pub(crate) fn run(command: Command, settings: &Settings) -> Result<Exit, CliError> {
    match command {
        Command::Build(args) => build::run(&args, settings),
        Command::Plan(args) => plan::run(&args, settings),
        Command::Explain(args) => explain::run(&args, settings),
        Command::Rebase(args) => rebase::run(&args, settings),
        Command::Validate(args) => validate::run(&args, settings),
        Command::Schema => schema::run(),
        Command::Init(args) => init::run(&args),
        Command::Convert(args) => convert::run(*args, settings),
        Command::Doctor(args) => doctor::run(&args, settings),
        Command::Run(args) => run::run(&args, settings),
        Command::Completions(args) => completions::run(&args),
        Command::Man(args) => man::run(&args),
        Command::Images(args) => images::run(&args, settings),
        Command::Tag(args) => tag::run(&args, settings),
        Command::Rm(args) => rm::run(&args, settings),
        Command::Prune(args) => prune::run(&args, settings),
        Command::Inspect(args) => inspect::run(&args, settings),
        Command::History(args) => history::run(&args, settings),
        Command::Ls(args) => ls::run(&args, settings),
        Command::Cat(args) => cat::run(&args, settings),
        Command::Pull(args) => pull::run(&args, settings),
        Command::Push(args) => push::run(&args, settings),
        Command::Lock(args) => lock::run(&args, settings),
    }
}
