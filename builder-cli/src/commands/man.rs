//! `phoenix man`: the manual page, for packagers.

use clap::CommandFactory;

use crate::args::Cli;
use crate::error::CliError;
use crate::exit::Exit;
use crate::output;

/// Prints it as roff.
pub(crate) fn run() -> Result<Exit, CliError> {
    let mut page = Vec::new();
    let rendered = clap_mangen::Man::new(Cli::command()).render(&mut page);
    rendered.map_err(|source| CliError::Stdout { source })?;
    output::raw(&page)?;
    Ok(Exit::Done)
}
