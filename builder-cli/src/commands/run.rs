//! `phoenix run`: a command in an image, on a throwaway copy.

use std::os::fd::OwnedFd;
use std::sync::Arc;

use builder_core::engine::{Engine, RunRequest, RunStreams};
use builder_core::error::{Error, Result};
use builder_core::event::Silent;
use builder_core::exec::{Cancel, ExecError, Exit as Ended, ExitStatus, TerminalSize};
use builder_core::image::blob_digest;
use builder_core::plan::op::Network;

use crate::args::{NetworkArg, RunArgs};
use crate::error::CliError;
use crate::exit::Exit;
use crate::settings::Settings;
use crate::terminal::{self, Lent};
use crate::{interrupt, output};

/// Runs it; its exit code becomes ours, and 128 and the number of a signal
/// that ended it, as in a shell.
pub(crate) fn run(args: &RunArgs, settings: &Settings) -> Result<Exit, CliError> {
    let store = super::image::store(settings)?;
    let named = super::image::find(&store, &args.image.image)?;
    let request = RunRequest {
        image: blob_digest(&named.descriptor)?,
        command: args.command.clone(),
        entrypoint: args.entrypoint.clone().map(|program| vec![program]),
        env: env(&args.env, settings),
        workdir: args.workdir.clone(),
        user: args.user.clone(),
        network: match args.network {
            NetworkArg::Host => Network::Host,
            NetworkArg::None => Network::None,
        },
    };
    let ended = interrupt::stoppable(|cancel| {
        let engine = super::engine::open(settings, None, Arc::new(Silent))?;
        let size = terminal::size().or(args.tty.then_some(terminal::FALLBACK));
        let ended = match size {
            Some(size) => on_terminal(&engine, &request, size, cancel),
            None => engine.run_image_blocking(&request, RunStreams::Own, cancel),
        };
        ended.map_err(|error| match error {
            Error::Exec(ExecError::Canceled) => CliError::Interrupted { exit: Exit::Interrupted },
            error => CliError::NotStarted { source: Box::new(error.into()) },
        })
    });
    match ended {
        Ok(ended) => Ok(exit(ended.status)),
        // The person knows: they asked for it.
        Err(CliError::Interrupted { exit }) => Ok(exit),
        Err(error) => Err(error),
    }
}

/// With a terminal of the command's own, which the caller's is lent to.
fn on_terminal(
    engine: &Engine,
    request: &RunRequest,
    size: TerminalSize,
    cancel: &Cancel,
) -> Result<Ended> {
    let mut lent = None;
    let mut take = |theirs: OwnedFd| {
        let stop = cancel.clone();
        match Lent::to(theirs, move || stop.cancel()) {
            Ok(terminal) => lent = Some(terminal),
            Err(error) => {
                output::complain(&format!("the terminal cannot be lent: {error}"));
                cancel.cancel();
            }
        }
    };
    let streams = RunStreams::Terminal { size, take: &mut take };
    let ended = engine.run_image_blocking(request, streams, cancel);
    if let Some(lent) = lent {
        lent.finish();
    }
    ended
}

/// A name alone stands for the variable of that name here; one that is not set
/// is left out, as in docker.
fn env(args: &[String], settings: &Settings) -> Vec<(String, String)> {
    let pair = |arg: &String| match arg.split_once('=') {
        Some((name, value)) => Some((name.to_owned(), value.to_owned())),
        None => settings.variable(arg).map(|value| (arg.clone(), value)),
    };
    args.iter().filter_map(pair).collect()
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
