//! `HEALTHCHECK`.

use std::time::Duration;

use crate::frontend::Diagnostic;

use super::ast::{CommandLine, Healthcheck};
use super::flags::{Flags, Takes};
use super::instruction::{self, Context};
use super::{scan, units};

type Result<T> = std::result::Result<T, Diagnostic>;

const FLAGS: &[(&str, Takes)] = &[
    ("interval", Takes::Text),
    ("timeout", Takes::Text),
    ("start-period", Takes::Text),
    ("start-interval", Takes::Text),
    ("retries", Takes::Text),
];

/// Nothing shorter is an interval.
const SHORTEST: Duration = Duration::from_millis(1);

pub(super) fn read(context: &Context<'_>) -> Result<Healthcheck> {
    let words = scan::spaced(context.logical, context.scan.rest.clone());
    let Some(first) = words.first() else {
        return Err(context.fail("HEALTHCHECK requires at least one argument"));
    };
    let kind = context.word(first.clone());
    let command = words.get(1).map(|word| word.start..context.scan.rest.end);
    match kind.value.to_ascii_uppercase().as_str() {
        "NONE" if command.is_some() => Err(context.fail("HEALTHCHECK NONE takes no arguments")),
        "NONE" => Ok(Healthcheck::None),
        "CMD" => {
            let flags = context.flags(FLAGS)?;
            let missing = || context.fail("Missing command after HEALTHCHECK CMD");
            let range = command.ok_or_else(missing)?;
            let command = match instruction::json(context, range.clone())? {
                Some(argv) if argv.is_empty() => return Err(missing()),
                Some(argv) => CommandLine::Exec(argv),
                None => CommandLine::Shell(context.logical.text[range].to_owned()),
            };
            let interval = |name| interval(context, &flags, name);
            Ok(Healthcheck::Check {
                command,
                interval: interval("interval")?,
                timeout: interval("timeout")?,
                start_period: interval("start-period")?,
                start_interval: interval("start-interval")?,
                retries: retries(context, &flags)?,
            })
        }
        other => {
            let message = format!("Unknown type {other:?} in HEALTHCHECK (try CMD)");
            Err(context.source.diagnostic(kind.span, message))
        }
    }
}

fn interval(context: &Context<'_>, flags: &Flags, name: &str) -> Result<Option<Duration>> {
    let Some(word) = flags.text(name) else { return Ok(None) };
    let fail = |message| context.source.diagnostic(word.span, message);
    match units::duration(&word.value).map_err(fail)? {
        Some(Duration::ZERO) => Ok(None),
        Some(long) if long >= SHORTEST => Ok(Some(long)),
        _ => Err(fail(format!("Interval {name:?} cannot be less than 1ms"))),
    }
}

fn retries(context: &Context<'_>, flags: &Flags) -> Result<Option<u32>> {
    let Some(word) = flags.text("retries") else { return Ok(None) };
    let fail = |message| context.source.diagnostic(word.span, message);
    match word.value.parse::<i32>() {
        Ok(0) => Ok(None),
        Ok(retries) => {
            let negative = |_| fail(format!("--retries cannot be negative ({retries})"));
            u32::try_from(retries).map(Some).map_err(negative)
        }
        Err(_) => Err(fail(format!("--retries is no number: {:?}", word.value))),
    }
}
