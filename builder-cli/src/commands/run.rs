//! `phoenix run`: a command in an image, on a throwaway copy.

use crate::args::RunArgs;
use crate::engine::EngineError;
use crate::error::CliError;
use crate::exit::Exit;
use crate::settings::Settings;

/// Runs it; its exit code becomes ours.
pub(crate) fn run(_args: &RunArgs, _settings: &Settings) -> Result<Exit, CliError> {
    Err(EngineError::NotThere.into())
}
