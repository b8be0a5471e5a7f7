//! `phoenix images`: what the store holds.

use builder_core::image::{blob_digest, read_image};
use serde_json::{Value, json};

use crate::args::{Format, ImagesArgs};
use crate::error::CliError;
use crate::exit::Exit;
use crate::output;
use crate::settings::Settings;

struct Row {
    name: Option<String>,
    digest: String,
    short: String,
    config_digest: Option<String>,
    created: Option<String>,
    platform: Option<String>,
    size: Option<u64>,
}

/// Prints the images. One that cannot be read is listed all the same, so that
/// it can be removed.
pub(crate) fn run(args: &ImagesArgs, settings: &Settings) -> Result<Exit, CliError> {
    let store = super::image::store(settings)?;
    let mut rows = Vec::new();
    for (name, descriptor) in store.images()? {
        if name.is_none() && !args.all {
            continue;
        }
        let digest = blob_digest(&descriptor)?;
        let image = read_image(&store, &digest).ok();
        let image = image.as_ref();
        rows.push(Row {
            name,
            digest: digest.to_string(),
            short: digest.short(),
            config_digest: image.map(|image| image.config_digest.to_string()),
            created: image.and_then(|image| image.config.created.clone()),
            platform: image.map(|image| image.config.platform().to_string()),
            size: image.map(|image| image.layers.iter().map(|layer| layer.size).sum()),
        });
    }
    if args.quiet {
        let mut digests: Vec<&str> = rows.iter().map(|row| row.digest.as_str()).collect();
        digests.dedup();
        return match digests.as_slice() {
            [] => Ok(Exit::Done),
            digests => output::line(&digests.join("\n")).map(|()| Exit::Done),
        };
    }
    match args.format.format {
        Format::Json => output::json(&rows.iter().map(as_json).collect::<Vec<_>>())?,
        Format::Text => output::line(&text(rows))?,
    }
    Ok(Exit::Done)
}

fn as_json(row: &Row) -> Value {
    let Row { name, digest, short: _, config_digest, created, platform, size } = row;
    json!({
        "name": name, "digest": digest, "config_digest": config_digest, "created": created,
        "platform": platform, "size": size,
    })
}

fn text(rows: Vec<Row>) -> String {
    let head = ["NAME", "DIGEST", "PLATFORM", "SIZE", "CREATED"].map(str::to_owned).to_vec();
    let broken = || "unreadable".to_owned();
    let row = |row: Row| {
        vec![
            row.name.unwrap_or_else(|| "<none>".to_owned()),
            row.short,
            row.platform.unwrap_or_else(broken),
            row.size.map(output::size).unwrap_or_default(),
            row.created.unwrap_or_default(),
        ]
    };
    output::columns(&std::iter::once(head).chain(rows.into_iter().map(row)).collect::<Vec<_>>())
}
