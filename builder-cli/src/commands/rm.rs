//! `phoenix rm`: names taken away.
//!
//! Limitations: blobs stay, as cache records may still name them; `prune`
//! removes those that nothing names.

use crate::args::RmArgs;
use crate::error::CliError;
use crate::exit::Exit;
use crate::settings::Settings;

/// Takes all of them away, or, if one is not there, none.
pub(crate) fn run(args: &RmArgs, settings: &Settings) -> Result<Exit, CliError> {
    let store = super::image::store(settings)?;
    let names: Vec<String> = args.images.iter().map(|n| super::image::full_name(n)).collect();
    for name in &names {
        if store.get_ref(name)?.is_none() {
            return Err(CliError::NoImage { name: name.clone() });
        }
    }
    for name in &names {
        store.remove_ref(name)?;
    }
    Ok(Exit::Done)
}
