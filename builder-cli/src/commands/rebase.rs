//! `phoenix rebase`: an image's steps are taken to another base.

use std::sync::Arc;

use builder_core::engine::{ImagePlace, RebaseRequest};
use builder_core::event::Silent;
use builder_core::image::blob_digest;
use builder_core::solve::{StepReport, StepStatus};
use builder_core::source::oci::split_tag;
use serde_json::{Value, json};

use super::build;
use crate::args::{Format, Progress, RebaseArgs};
use crate::error::CliError;
use crate::exit::Exit;
use crate::settings::Settings;
use crate::values::OutputKind;
use crate::{interrupt, output, revision, ui};

/// Rebases, or says what that would do.
pub(crate) fn run(args: &RebaseArgs, settings: &Settings) -> Result<Exit, CliError> {
    let stdout_taken = match args.outputs.iter().filter(|output| output.is_stdout()).count() {
        0 => false,
        1 => true,
        _ => return Err(CliError::StdoutTwice),
    };
    build::places(&args.outputs)?;
    let (tags, push) = build::names(&args.tags, &args.outputs, false)?;
    let request = RebaseRequest {
        image: place(&args.image, settings)?,
        onto: place(&args.onto, settings)?,
        onto_name: args.onto.clone(),
        tags,
        push,
        outputs: args.outputs.iter().filter_map(build::output_spec).collect(),
        load: args.load || args.outputs.iter().any(|output| output.kind == OutputKind::Engine),
        secrets: build::secrets(&args.secrets, settings)?,
        annotations: revision::time(settings.source_date_epoch()?),
    };
    if args.dry_run {
        return plan(args, &request, settings);
    }
    let progress = if args.quiet { Progress::Quiet } else { args.progress };
    let view = ui::view(progress, settings.terminal, stdout_taken);
    let built = interrupt::stoppable(|cancel| {
        let engine = super::engine::open(settings, None, Arc::clone(&view) as _)?;
        let built = engine.rebase_blocking(&request, cancel)?;
        build::write_metadata(args.metadata_file.as_deref(), &built)?;
        Ok(built)
    });
    build::close(&*view, &built, settings);
    let built = built?;
    if progress == Progress::Quiet && !stdout_taken {
        output::line(&built.digest.to_string())?;
    }
    Ok(Exit::Done)
}

fn plan(args: &RebaseArgs, request: &RebaseRequest, settings: &Settings) -> Result<Exit, CliError> {
    let steps = interrupt::stoppable(|cancel| {
        let engine = super::engine::open(settings, None, Arc::new(Silent))?;
        Ok(engine.plan_rebase_blocking(request, cancel)?.steps)
    })?;
    match args.format.format {
        Format::Json => {
            let steps: Vec<Value> = steps.iter().map(build::step).collect();
            output::json(&json!({ "steps": steps }))?;
        }
        Format::Text => output::line(&text(&steps))?,
    }
    Ok(Exit::Done)
}

fn text(steps: &[StepReport]) -> String {
    let row = |step: &StepReport| {
        let status = match step.status {
            StepStatus::Cached | StepStatus::Reused => "stands",
            StepStatus::Ran | StepStatus::Waits => "runs",
        };
        [status, &step.name, &step.reason].map(str::to_owned).to_vec()
    };
    let head = ["STATUS", "STEP", "WHY"].map(str::to_owned).to_vec();
    let rows: Vec<_> = std::iter::once(head).chain(steps.iter().map(row)).collect();
    output::columns(&rows)
}

/// Where the image called `text` is: a name of the store goes before a path,
/// but for what can only be one.
fn place(text: &str, settings: &Settings) -> Result<ImagePlace, CliError> {
    let (path, tag) = split_tag(text);
    let is_path = text.starts_with(['.', '/']);
    if !is_path {
        let store = super::image::store(settings)?;
        match super::image::find(&store, text) {
            Ok(found) => return Ok(ImagePlace::Store(blob_digest(&found.descriptor)?)),
            Err(CliError::NoImage { .. }) if path.exists() => {}
            Err(error) => return Err(error),
        }
    }
    let failed = |source| CliError::File { action: "finding", path: path.clone(), source };
    let path = std::path::absolute(&path).map_err(failed)?;
    Ok(ImagePlace::Path { path, tag })
}
