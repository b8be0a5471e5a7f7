//! `phoenix man`: manual pages, for packagers.

use clap::CommandFactory;

use crate::args::{Cli, ManArgs};
use crate::error::CliError;
use crate::exit::Exit;
use crate::output;

/// Prints the page of `phoenix` as roff, or writes one for each command.
pub(crate) fn run(args: &ManArgs) -> Result<Exit, CliError> {
    if let Some(dir) = &args.dir {
        let fail = |source| CliError::File { action: "writing into", path: dir.clone(), source };
        // The pages of `help` and below would only repeat the others.
        let command = Cli::command().disable_help_subcommand(true);
        clap_mangen::generate_to(command, dir).map_err(fail)?;
        return Ok(Exit::Done);
    }
    let mut page = Vec::new();
    let rendered = clap_mangen::Man::new(Cli::command()).render(&mut page);
    rendered.map_err(|source| CliError::Stdout { source })?;
    output::raw(&page)?;
    Ok(Exit::Done)
}
