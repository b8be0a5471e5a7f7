//! `phoenix push`: an image of the store goes to a registry.

use std::sync::Arc;

use builder_core::engine::PushRequest;
use builder_core::image::read_image;

use super::pull::{close, progress, tell};
use crate::args::PushArgs;
use crate::error::CliError;
use crate::exit::Exit;
use crate::settings::Settings;
use crate::{interrupt, ui};

/// Sends what the registry lacks of it.
pub(crate) fn run(args: &PushArgs, settings: &Settings) -> Result<Exit, CliError> {
    let PushArgs { image, to, transfer } = args;
    let store = super::image::store(settings)?;
    let named = super::image::find(&store, image)?;
    let digest = builder_core::image::blob_digest(&named.descriptor)?;
    // Of an index, the image of this machine.
    let digest = read_image(&store, &digest)?.digest;
    let to = match to.clone().or(named.called) {
        Some(to) => to,
        None => return Err(CliError::PushWhere { image: image.clone() }),
    };
    let request = PushRequest { image: digest, to };
    let view = ui::view(progress(transfer), settings.terminal, false);
    let pushed = interrupt::stoppable(|cancel| {
        let engine = super::engine::open(settings, None, Arc::clone(&view) as _)?;
        Ok(engine.push_blocking(&request, cancel)?)
    });
    close(&*view, "pushed", &pushed, settings);
    tell(transfer, &pushed?)?;
    Ok(Exit::Done)
}
