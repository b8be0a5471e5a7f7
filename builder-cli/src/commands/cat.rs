//! `phoenix cat`: a file of an image, without unpacking it.

use builder_core::view::{NodeKind, Tree, lookup};

use crate::args::CatArgs;
use crate::error::CliError;
use crate::exit::Exit;
use crate::output;
use crate::settings::Settings;

/// How much is held in memory.
const PIECE: usize = 256 * 1024;

/// Prints it.
pub(crate) fn run(args: &CatArgs, settings: &Settings) -> Result<Exit, CliError> {
    let store = super::image::store(settings)?;
    let view = super::image::view(&store, &args.image.image)?;
    let resolved = lookup::resolve(&view, &super::image::path(&args.path)?)?;
    match resolved.node.map(|node| node.kind) {
        None => return Err(CliError::NoFile { path: args.path.clone() }),
        Some(NodeKind::File { .. }) => {}
        Some(_) => return Err(CliError::NotAFile { path: args.path.clone() }),
    }
    let file = view.open(&resolved.path)?;
    let mut piece = vec![0; PIECE];
    let mut at = 0;
    loop {
        let fail = |source| CliError::ImageFile { path: args.path.clone(), source };
        let count = file.read_at(at, &mut piece).map_err(fail)?;
        if count == 0 {
            return Ok(Exit::Done);
        }
        output::raw(&piece[..count])?;
        at += count as u64;
    }
}
