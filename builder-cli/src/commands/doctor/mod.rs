//! `phoenix doctor`: what this host can do, and what to do about the rest.

mod checks;
mod host;

use serde::Serialize;

use crate::args::{Format, FormatArgs};
use crate::error::CliError;
use crate::exit::Exit;
use crate::output;
use crate::settings::Settings;

/// How well it stands with one thing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
enum Level {
    /// All is well.
    Ok,
    /// Builds work, but not as well, or not all of them.
    Warn,
    /// Builds with `run` steps cannot work.
    Fail,
}

/// What was found about one thing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Check {
    name: &'static str,
    level: Level,
    found: String,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    advice: Option<String>,
}

/// Prints the checks; the exit code says whether one failed.
pub(crate) fn run(args: &FormatArgs, settings: &Settings) -> Result<Exit, CliError> {
    let store = settings.store()?;
    let checks = checks::judge(&host::look(&store, &settings.search_path));
    let worst = checks.iter().map(|check| check.level).max().unwrap_or(Level::Ok);
    match args.format {
        Format::Json => output::json(&serde_json::json!({ "level": worst, "checks": checks }))?,
        Format::Text => output::line(&text(&checks))?,
    }
    Ok(if worst == Level::Fail { Exit::Host } else { Exit::Done })
}

fn text(checks: &[Check]) -> String {
    let width = checks.iter().map(|check| check.name.len()).max().unwrap_or(0);
    let mut lines = Vec::new();
    for check in checks {
        let level = match check.level {
            Level::Ok => "ok  ",
            Level::Warn => "warn",
            Level::Fail => "FAIL",
        };
        lines.push(format!("{level}  {:width$}  {}", check.name, check.found));
        let advice = check.advice.iter().flat_map(|advice| advice.lines());
        lines.extend(advice.map(|line| format!("      {:width$}  {line}", "")));
    }
    lines.join("\n")
}
