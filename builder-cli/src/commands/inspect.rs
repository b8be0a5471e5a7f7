//! `phoenix inspect`: all that an image says of itself, as JSON.

use serde_json::{Value, json};

use crate::args::ImageArgs;
use crate::error::CliError;
use crate::exit::Exit;
use crate::output;
use crate::settings::Settings;

/// Prints it.
pub(crate) fn run(args: &ImageArgs, settings: &Settings) -> Result<Exit, CliError> {
    let store = super::image::store(settings)?;
    let (named, image) = super::image::read(&store, &args.image)?;
    let layers: Vec<Value> = image
        .layers
        .iter()
        .map(|layer| {
            json!({
                "digest": layer.blob, "diff_id": layer.diff_id, "size": layer.size,
                "compression": layer.compression,
            })
        })
        .collect();
    output::json(&json!({
        "names": named.names,
        "digest": image.digest,
        "config_digest": image.config_digest,
        "platform": image.config.platform().to_string(),
        "created": image.config.created,
        "annotations": image.manifest.annotations(),
        "layers": layers,
        "config": image.config.config,
    }))?;
    Ok(Exit::Done)
}
