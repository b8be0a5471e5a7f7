//! `phoenix run`: a command in an image, on a throwaway copy.

use std::sync::Arc;

use builder_core::engine::RunRequest;
use builder_core::event::Silent;
use builder_core::exec::{Cancel, ExitStatus};
use builder_core::image::blob_digest;
use builder_core::plan::op::Network;

use crate::args::RunArgs;
use crate::error::CliError;
use crate::exit::Exit;
use crate::interrupt;
use crate::settings::Settings;

/// Runs it; its exit code becomes ours, and 128 and the number of a signal
/// that ended it, as in a shell.
pub(crate) fn run(args: &RunArgs, settings: &Settings) -> Result<Exit, CliError> {
    let store = super::image::store(settings)?;
    let named = super::image::find(&store, &args.image.image)?;
    let request = RunRequest {
        image: blob_digest(&named.descriptor)?,
        command: args.command.clone(),
        entrypoint: None,
        env: Vec::new(),
        workdir: None,
        user: None,
        network: Network::Host,
    };
    let cancel = Cancel::new();
    let stop = cancel.clone();
    interrupt::on_signal(move || stop.cancel())?;
    let engine = super::engine::open(settings, None, Arc::new(Silent))?;
    let ended = engine.run_image_blocking(&request, &cancel);
    let ended = ended.map_err(|error| CliError::NotStarted { source: Box::new(error.into()) })?;
    Ok(exit(ended.status))
}

fn exit(status: ExitStatus) -> Exit {
    let byte = |code: i32| u8::try_from(code & 0xff).expect("it is one byte");
    match status {
        ExitStatus::Code(code) => Exit::Command(byte(code)),
        ExitStatus::Signal(signal) => Exit::Command(byte(128 + signal)),
        ExitStatus::TimedOut => Exit::Command(124),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exit_code_is_the_commands_own_or_as_a_shell_tells_it() {
        assert_eq!(exit(ExitStatus::Code(0)).code(), 0);
        assert_eq!(exit(ExitStatus::Code(77)).code(), 77);
        assert_eq!(exit(ExitStatus::Signal(9)).code(), 137);
        assert_eq!(exit(ExitStatus::TimedOut).code(), 124);
    }
}
