//! `phoenix pull`: an image of a registry comes into the store.

use std::sync::Arc;

use builder_core::engine::{PullRequest, Transferred};
use serde_json::json;

use crate::args::{Format, Progress, PullArgs, TransferArgs};
use crate::error::CliError;
use crate::exit::Exit;
use crate::settings::Settings;
use crate::ui::{Ending, View};
use crate::{interrupt, output, ui};

/// Brings it in and names it.
pub(crate) fn run(args: &PullArgs, settings: &Settings) -> Result<Exit, CliError> {
    let PullArgs { name, tags, platform, transfer } = args;
    let (reference, tags, platform) = (name.clone(), tags.clone(), platform.clone());
    let request = PullRequest { reference, platform, tags };
    let view = ui::view(progress(transfer), settings.terminal, false);
    let pulled = interrupt::stoppable(|cancel| {
        let engine = super::engine::open(settings, None, Arc::clone(&view) as _)?;
        Ok(engine.pull_blocking(&request, cancel)?)
    });
    close(&*view, "pulled", &pulled, settings);
    tell(transfer, &pulled?)?;
    Ok(Exit::Done)
}

/// How progress is shown.
pub(crate) fn progress(args: &TransferArgs) -> Progress {
    if args.quiet { Progress::Quiet } else { args.progress }
}

/// Tells a view how it ended.
pub(crate) fn close(
    view: &dyn View,
    what: &'static str,
    done: &Result<Transferred, CliError>,
    settings: &Settings,
) {
    match done {
        Ok(Transferred { name, digest, tags, moved, in_all }) => {
            let digest = digest.to_string();
            let sentence = format!("{what} {name}@{digest}: {moved} of {in_all} were moved");
            let image = json!({ "name": name, "digest": digest, "tags": tags });
            view.close(&Ending::Transferred { what, sentence: &sentence, image: &image });
        }
        Err(error) => super::build::failed(view, error, settings),
    }
}

/// Prints what programs want to know.
pub(crate) fn tell(args: &TransferArgs, done: &Transferred) -> Result<(), CliError> {
    let Transferred { name, digest, tags, moved, in_all } = done;
    match args.format.format {
        _ if progress(args) == Progress::Json => Ok(()),
        Format::Json => output::json(&json!({
            "name": name,
            "digest": digest.to_string(),
            "tags": tags,
            "blobs": { "moved": moved, "in_all": in_all },
        })),
        Format::Text => output::line(&digest.to_string()),
    }
}
