//! `phoenix init`: a first recipe.

use crate::args::InitArgs;
use crate::error::CliError;
use crate::exit::Exit;
use crate::{files, output};

/// Writes it; one that is there stays.
pub(crate) fn run(args: &InitArgs) -> Result<Exit, CliError> {
    let path = args.dir.join(super::recipe::FILE_NAME);
    if path.exists() && !args.force {
        return Err(CliError::RecipeExists { path });
    }
    let fail = |source| CliError::File { action: "making", path: args.dir.clone(), source };
    std::fs::create_dir_all(&args.dir).map_err(fail)?;
    files::write(&path, builder_core::recipe::init_template().as_bytes())?;
    output::line(&format!(
        "wrote {}; build it with: phoenix build {} -t NAME",
        path.display(),
        args.dir.display()
    ))?;
    Ok(Exit::Done)
}
