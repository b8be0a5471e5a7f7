//! `phoenix build --watch`: builds again whenever context, recipe or lock change.
//!
//! The plan is printed before each build. What a build that ended well would
//! find cached, with the same recipe and lock, is not built again: so an editor
//! that touches files, and what the build itself writes, start nothing. A build
//! that fails is told and waited after; Ctrl-C ends it all.

mod changes;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use builder_core::event::Silent;
use builder_core::plan::Plan;
use builder_core::plan::op::{Op, Source};
use builder_core::solve::StepStatus;

use self::changes::Changes;
use super::engine::Opener;
use crate::args::{BuildArgs, Progress};
use crate::error::CliError;
use crate::exit::Exit;
use crate::interrupt::{self, Interrupt};
use crate::settings::Settings;
use crate::{diagnostic, files, output};

/// Builds until Ctrl-C.
pub(crate) fn run(args: &BuildArgs, settings: &Settings) -> Result<Exit, CliError> {
    if args.outputs.iter().any(crate::values::OutputArg::is_stdout) {
        return Err(CliError::WatchStdout);
    }
    let mut changes = Changes::new()?;
    let wake = changes.waker();
    let interrupt = interrupt::listen(wake)?;
    changes.ignore(written(args, settings)?);
    changes.follow_all_below(&args.recipe.dir)?;
    changes.follow_file(&super::recipe::path(&args.recipe))?;
    if let Some(lock) = super::recipe::lock_path(&args.recipe) {
        changes.follow_file(&lock)?;
    }
    let mut built = None;
    loop {
        let ended = round(args, settings, &interrupt, &mut changes, &mut built);
        interrupt.received()?;
        match ended {
            Ok(true) => output::complain("watching for changes (Ctrl-C ends)"),
            Ok(false) => {}
            Err(CliError::ReaderGone) => return Ok(Exit::Done),
            Err(error) => {
                let store = settings.store().ok();
                let colour = settings.terminal.colour;
                output::complain(&diagnostic::render(&error, colour, store.as_deref()));
                output::complain("watching for changes (Ctrl-C ends)");
            }
        }
        changes.wait();
        interrupt.received()?;
    }
}

/// What a build reads besides its context.
#[derive(PartialEq, Eq)]
struct Texts {
    recipe: Option<Vec<u8>>,
    lock: Option<Vec<u8>>,
}

/// Plans and builds, if there is anything to do: then it is `true`. `built` is
/// what the last build read, if that ended well.
fn round(
    args: &BuildArgs,
    settings: &Settings,
    interrupt: &Interrupt,
    changes: &mut Changes,
    built: &mut Option<Texts>,
) -> Result<bool, CliError> {
    let text = |path: &Path| files::read(path, 4 << 20).ok();
    let lock = super::recipe::lock_path(&args.recipe);
    let lock_text = || lock.as_deref().and_then(text);
    let now = Texts { recipe: text(&super::recipe::path(&args.recipe)), lock: lock_text() };
    let secrets = super::build::secrets(&args.reuse.secrets, settings)?;
    let agents = super::build::agents(&args.ssh, settings)?;
    let engine = Opener::new(settings, None, Arc::new(Silent), &interrupt.cancel);
    let engine = engine.knowing(secrets, agents);
    let asked = super::build::request(&args.recipe, &args.reuse, settings, &engine)?;
    follow(&asked.request.plan, changes)?;
    let steps = engine.get()?.plan_blocking(&asked.request, &interrupt.cancel)?.steps;
    drop(engine);
    let cached = steps.iter().all(|step| step.status == StepStatus::Cached);
    if cached && built.as_ref() == Some(&now) {
        return Ok(false);
    }
    *built = None;
    let plan = super::plan::text(&steps);
    match args.progress {
        // The lines of JSON have standard output to themselves.
        Progress::Json => output::complain(&plan),
        _ => output::line(&plan)?,
    }
    super::build::once(args, settings, interrupt)?;
    *built = Some(Texts { lock: lock_text(), ..now });
    Ok(true)
}

/// Watches what the plan takes from this host.
fn follow(plan: &Plan, changes: &mut Changes) -> Result<(), CliError> {
    for vertex in plan.vertices() {
        if let Op::Source(
            Source::Local { path, .. } | Source::Rootfs { path } | Source::Oci { path, .. },
        ) = &vertex.op
        {
            if path.is_dir() {
                changes.follow_all_below(path)?;
            } else {
                changes.follow_file(path)?;
            }
        }
    }
    Ok(())
}

/// What the build itself writes.
fn written(args: &BuildArgs, settings: &Settings) -> Result<Vec<PathBuf>, CliError> {
    let outputs = args.outputs.iter().map(|output| &output.dest);
    let named = outputs.chain(&args.metadata_file).chain(&args.iidfile);
    let mut all: Vec<_> = named.cloned().collect();
    all.push(settings.store()?);
    Ok(all)
}
