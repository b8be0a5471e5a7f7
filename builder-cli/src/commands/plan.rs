//! `phoenix plan`: what a build would do, and why.
//!
//! `--format json` prints `{"steps": [...]}`. A step is as in `--metadata-file`
//! (see `build`), where `status` may also be `depends`: its result stands if the
//! steps that run before it leave what it looks at as they did. Beyond that:
//!
//! | field | is |
//! |---|---|
//! | `supposes` | steps that run before it, and are taken to make again what they made |
//! | `diff` | with `--diff`: how the text changed that it reads, in the unified format, or null |

use std::collections::BTreeMap;
use std::sync::Arc;

use builder_core::event::Silent;
use builder_core::solve::{Detail, StepReport, StepStatus};
use serde_json::{Value, json};

use super::engine::Opener;
use crate::args::{Format, PlanArgs};
use crate::error::CliError;
use crate::exit::Exit;
use crate::settings::Settings;
use crate::{interrupt, output};

/// Prints it; runs nothing.
pub(crate) fn run(args: &PlanArgs, settings: &Settings) -> Result<Exit, CliError> {
    let steps = interrupt::stoppable(|cancel| {
        let secrets = super::build::secrets(&args.reuse.secrets, settings)?;
        let engine = Opener::new(settings, None, Arc::new(Silent), cancel);
        let engine = engine.knowing(secrets, BTreeMap::new());
        let asked = super::build::request(&args.recipe, &args.reuse, settings, &engine)?;
        Ok(engine.get()?.plan_blocking(&asked.request, cancel)?.steps)
    })?;
    match args.format.format {
        Format::Json => {
            let steps: Vec<Value> = steps.iter().map(|step| as_json(step, args.diff)).collect();
            output::json(&json!({ "steps": steps }))?;
        }
        Format::Text => {
            output::line(&text(&steps))?;
            let changes = steps.iter().filter(|_| args.diff).filter_map(change);
            changes.into_iter().try_for_each(|change| output::line(&format!("\n{change}")))?;
        }
    }
    Ok(Exit::Done)
}

fn as_json(step: &StepReport, with_diff: bool) -> Value {
    let mut value = super::build::step(step);
    value["supposes"] = json!(step.supposes);
    if with_diff {
        value["diff"] = match &step.detail {
            Some(Detail::Text { diff, .. }) => json!(diff),
            _ => Value::Null,
        };
    }
    value
}

/// The steps by stage, as a tree.
pub(crate) fn text(steps: &[StepReport]) -> String {
    let mut rows = Vec::new();
    for of_stage in steps.chunk_by(|one, next| one.stage == next.stage) {
        let stage = of_stage.first().map(|step| step.stage.clone()).unwrap_or_default();
        rows.push(vec![stage, String::new(), String::new()]);
        for (at, step) in of_stage.iter().enumerate() {
            let branch = if at + 1 == of_stage.len() { "└─" } else { "├─" };
            rows.push(vec![
                format!("{branch} {}", word(step.status)),
                step.name.clone(),
                why(step),
            ]);
        }
    }
    output::columns(&rows)
}

fn word(status: StepStatus) -> &'static str {
    match status {
        StepStatus::Cached => "cached",
        StepStatus::Reused => "reused",
        StepStatus::Ran => "run",
        StepStatus::Waits => "depends",
    }
}

fn why(step: &StepReport) -> String {
    let runs = step.status == StepStatus::Ran;
    match step.supposes.last() {
        Some(last) if runs => format!("{} (if `{last}` makes what it made)", step.reason),
        _ => step.reason.clone(),
    }
}

/// What changed of the text that a step reads.
fn change(step: &StepReport) -> Option<String> {
    let path = step.because.first()?.path.display();
    let told = match step.detail.as_ref()? {
        Detail::Text { diff, .. } => diff.trim_end().to_owned(),
        Detail::NoText => format!("{path} is no text, or too long to be compared"),
        Detail::Forgotten => format!("the store no longer has what it saw of {path}"),
        Detail::Metadata(_) | Detail::Names { .. } | Detail::Target { .. } => return None,
    };
    let lines: Vec<String> = told.lines().map(output::visible).collect();
    Some(format!("{}:\n{}", output::visible(&step.name), lines.join("\n")))
}
