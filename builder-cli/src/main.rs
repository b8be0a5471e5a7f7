//! `phoenix`: the command line of Phoenix.
//!
//! In: arguments, environment, terminal. Out: calls of `builder_core`, text and
//! an exit code. Data flows once: `args` (as typed) and `settings` (resolved)
//! go to one file of `commands`; events go to a view of `ui`; errors go to
//! `diagnostic`, with what `hints` knows to do about them.

mod args;
mod commands;
mod diagnostic;
mod error;
mod exit;
mod files;
mod hints;
mod interrupt;
mod output;
mod revision;
mod settings;
mod terminal;
mod ui;
mod values;

use std::process::ExitCode;

use clap::Parser;

use crate::error::CliError;
use crate::exit::Exit;
use crate::settings::Settings;

fn main() -> ExitCode {
    // Where this process is the runner of a step, that is all it does.
    builder_core::exec::runner_main();
    let cli = args::Cli::parse();
    let settings = Settings::read(cli.store.clone(), cli.insecure_registries.clone());
    match commands::run(cli.command, &settings) {
        Ok(exit) => exit.into(),
        Err(CliError::ReaderGone) => Exit::Done.into(),
        Err(error) => {
            let store = settings.store().ok();
            let colour = settings.terminal.colour;
            output::complain(&diagnostic::render(&error, colour, store.as_deref()));
            error.exit().into()
        }
    }
}
