//! `RUN`, `CMD`, `ENTRYPOINT`, `SHELL`: commands in shell or exec form.

use crate::frontend::Diagnostic;

use super::ast::{CommandLine, InstructionKind, Run, RunNetwork, Security};
use super::flags::Takes;
use super::instruction::Context;
use super::mount::MountSpec;

type Result<T> = std::result::Result<T, Diagnostic>;

const RUN: &[(&str, Takes)] = &[
    ("mount", Takes::Texts),
    ("network", Takes::Text),
    ("security", Takes::Text),
    ("device", Takes::Texts),
];

fn command_line(context: &Context<'_>) -> Result<CommandLine> {
    Ok(match context.json()? {
        Some(argv) => CommandLine::Exec(argv),
        None => CommandLine::Shell(context.rest().to_owned()),
    })
}

pub(super) fn cmd(context: &Context<'_>) -> Result<InstructionKind> {
    context.flags(&[])?;
    command_line(context).map(InstructionKind::Cmd)
}

pub(super) fn entrypoint(context: &Context<'_>) -> Result<InstructionKind> {
    context.flags(&[])?;
    command_line(context).map(InstructionKind::Entrypoint)
}

pub(super) fn shell(context: &Context<'_>) -> Result<InstructionKind> {
    context.flags(&[])?;
    match command_line(context)? {
        CommandLine::Exec(argv) if !argv.is_empty() => Ok(InstructionKind::Shell(argv)),
        CommandLine::Shell(text) if !text.is_empty() => {
            Err(context.fail("SHELL requires the arguments to be in JSON form"))
        }
        _ => Err(context.fail("SHELL requires at least one argument")),
    }
}

pub(super) fn run(context: &Context<'_>) -> Result<InstructionKind> {
    let flags = context.flags(RUN)?;
    let command = command_line(context)?;
    let mounts = flags.texts("mount").into_iter();
    let mounts = mounts.map(|text| MountSpec::new(context.source, text)).collect::<Result<_>>()?;
    let network = match flags.word("network") {
        None => RunNetwork::Default,
        Some(word) => match word.value.as_str() {
            "default" => RunNetwork::Default,
            "none" => RunNetwork::None,
            "host" => RunNetwork::Host,
            other => {
                let message = format!("invalid network mode {other:?}");
                let diagnostic = context.source.diagnostic(word.span, message);
                return Err(diagnostic.suggest(other, ["default", "none", "host"]));
            }
        },
    };
    let security = match flags.word("security") {
        None => Security::Sandbox,
        Some(word) => match word.value.as_str() {
            "sandbox" => Security::Sandbox,
            "insecure" => Security::Insecure,
            other => {
                let message = format!("security {other:?} is not valid");
                let diagnostic = context.source.diagnostic(word.span, message);
                return Err(diagnostic.suggest(other, ["sandbox", "insecure"]));
            }
        },
    };
    Ok(InstructionKind::Run(Run {
        command,
        heredocs: context.heredocs.clone(),
        mounts,
        network,
        security,
        devices: flags.texts("device"),
    }))
}
