//! `phoenix completions`: a shell's completions.

use clap::CommandFactory;

use crate::args::{Cli, CompletionsArgs};
use crate::error::CliError;
use crate::exit::Exit;
use crate::output;

/// Prints them.
pub(crate) fn run(args: &CompletionsArgs) -> Result<Exit, CliError> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "phoenix", &mut script);
    output::raw(&script)?;
    Ok(Exit::Done)
}
