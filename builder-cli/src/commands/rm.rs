//! `phoenix rm`: names taken away.
//!
//! Limitations: blobs stay, as cache records may still name them; `prune`
//! removes those that nothing names.

use super::image::Named;
use crate::args::RmArgs;
use crate::error::CliError;
use crate::exit::Exit;
use crate::settings::Settings;

/// Takes all of them away, or, if one is not there, none. A digest stands for
/// its image where that has one name or none.
pub(crate) fn run(args: &RmArgs, settings: &Settings) -> Result<Exit, CliError> {
    let store = super::image::store(settings)?;
    let mut gone = Vec::new();
    for wanted in &args.images {
        let Named { descriptor, names, called } = super::image::find(&store, wanted)?;
        let name = match (called, names.as_slice()) {
            (Some(called), _) => Some(called),
            (None, []) => None,
            (None, [name]) => Some(name.clone()),
            (None, _) => return Err(CliError::ManyNames { image: wanted.clone(), names }),
        };
        gone.push((name, descriptor));
    }
    for (name, descriptor) in gone {
        match name {
            Some(name) => store.remove_ref(&name)?,
            None => store.remove_image(&descriptor)?,
        };
    }
    Ok(Exit::Done)
}
