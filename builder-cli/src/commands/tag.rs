//! `phoenix tag`: another name for an image.

use builder_core::image::normalise_tag;

use crate::args::TagArgs;
use crate::error::CliError;
use crate::exit::Exit;
use crate::settings::Settings;

/// Gives it; a name that pointed elsewhere now points here.
pub(crate) fn run(args: &TagArgs, settings: &Settings) -> Result<Exit, CliError> {
    let name = normalise_tag(&args.name)?;
    let store = super::image::store(settings)?;
    // Else pruning could come between finding the image and naming it.
    let _lease = store.lease()?;
    let named = super::image::find(&store, &args.image.image)?;
    store.set_ref(&name, named.descriptor)?;
    Ok(Exit::Done)
}
