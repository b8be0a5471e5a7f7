//! `phoenix schema`: the recipe's JSON Schema.

use crate::error::CliError;
use crate::exit::Exit;
use crate::output;

/// Prints it.
pub(crate) fn run() -> Result<Exit, CliError> {
    output::json(&builder_core::recipe::schema())?;
    Ok(Exit::Done)
}
