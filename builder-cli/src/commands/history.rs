//! `phoenix history`: what each layer of an image came from.

use builder_core::image::Image;
use serde_json::{Value, json};

use crate::args::{Format, ImageFormatArgs};
use crate::error::CliError;
use crate::exit::Exit;
use crate::output;
use crate::settings::Settings;

/// Prints it, newest first.
pub(crate) fn run(args: &ImageFormatArgs, settings: &Settings) -> Result<Exit, CliError> {
    let store = super::image::store(settings)?;
    let (_, image) = super::image::read(&store, &args.image.image)?;
    let lines = lines(&image);
    match args.format.format {
        Format::Json => output::json(&lines)?,
        Format::Text => output::line(&text(&lines))?,
    }
    Ok(Exit::Done)
}

/// Each line of the history with its layer, if it made one.
fn lines(image: &Image) -> Vec<Value> {
    let mut layers = image.layers.iter();
    let mut lines: Vec<Value> = image
        .config
        .history
        .iter()
        .map(|line| {
            let layer = if line.empty_layer { None } else { layers.next() };
            json!({
                "created": line.created,
                "created_by": line.created_by,
                "comment": line.comment,
                "size": layer.map_or(0, |layer| layer.size),
                "layer": layer.map(|layer| layer.diff_id),
            })
        })
        .collect();
    lines.reverse();
    lines
}

fn text(lines: &[Value]) -> String {
    let word = |value: &Value| value.as_str().unwrap_or_default().replace('\n', " ");
    let row = |line: &Value| {
        let layer = word(&line["layer"]);
        let short = layer.strip_prefix("sha256:").map_or("-", |hex| &hex[..12]).to_owned();
        let size = line["size"].as_u64().map(output::size).unwrap_or_default();
        vec![short, size, word(&line["created_by"])]
    };
    let head = ["LAYER", "SIZE", "CREATED BY"].map(str::to_owned).to_vec();
    output::columns(&std::iter::once(head).chain(lines.iter().map(row)).collect::<Vec<_>>())
}
