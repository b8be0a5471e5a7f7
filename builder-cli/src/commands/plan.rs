//! `phoenix plan`: what a build would do, and why.

use std::sync::Arc;

use builder_core::event::Silent;
use builder_core::solve::{StepReport, StepStatus};
use serde_json::{Value, json};

use crate::args::{Format, PlanArgs};
use crate::error::CliError;
use crate::exit::Exit;
use crate::settings::Settings;
use crate::{interrupt, output};

/// Prints it; runs nothing.
pub(crate) fn run(args: &PlanArgs, settings: &Settings) -> Result<Exit, CliError> {
    let request = super::build::request(&args.recipe, &args.reuse, settings)?;
    let steps = interrupt::stoppable(|cancel| {
        let engine = super::engine::open(settings, None, Arc::new(Silent))?;
        Ok(engine.plan_blocking(&request, cancel)?.steps)
    })?;
    match args.format.format {
        Format::Json => {
            let steps: Vec<Value> = steps.iter().map(super::build::step).collect();
            output::json(&json!({ "steps": steps }))?;
        }
        Format::Text => output::line(&text(&steps))?,
    }
    Ok(Exit::Done)
}

fn text(steps: &[StepReport]) -> String {
    let row = |step: &StepReport| {
        let status = match step.status {
            StepStatus::Cached => "cached",
            StepStatus::Reused => "reused",
            StepStatus::Ran => "run",
        };
        [status, &step.stage, &step.name, &step.reason].map(str::to_owned).to_vec()
    };
    let head = ["STATUS", "STAGE", "STEP", "WHY"].map(str::to_owned).to_vec();
    let rows: Vec<_> = std::iter::once(head).chain(steps.iter().map(row)).collect();
    output::columns(&rows)
}
