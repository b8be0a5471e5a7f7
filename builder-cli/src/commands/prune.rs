//! `phoenix prune`: what nothing needs goes from the store.

use std::io::{self, BufRead, IsTerminal};
use std::sync::Arc;

use builder_core::engine::{PruneRequest, Pruned};
use builder_core::event::Event;
use builder_core::store::Kind;
use serde_json::{Value, json};

use crate::args::{Format, PruneArgs};
use crate::error::CliError;
use crate::exit::Exit;
use crate::settings::Settings;
use crate::{interrupt, output};

/// Asks, where there is someone to ask, and removes.
pub(crate) fn run(args: &PruneArgs, settings: &Settings) -> Result<Exit, CliError> {
    let request = PruneRequest { all: args.all, keep: args.keep_storage, dry_run: args.dry_run };
    let ask = !args.force && !args.dry_run && io::stdin().is_terminal();
    if ask && !agreed(args)? {
        output::complain("nothing was removed");
        return Ok(Exit::Done);
    }
    let pruned = interrupt::stoppable(|cancel| {
        let warn = |event: Event| {
            if let Event::Warning { message, .. } = event {
                output::complain(&message);
            }
        };
        let engine = super::engine::open(settings, None, Arc::new(warn))?;
        Ok(engine.prune_blocking(&request, cancel)?)
    })?;
    match args.format.format {
        Format::Json => output::json(&as_json(&pruned, args.dry_run))?,
        Format::Text => output::line(&text(&pruned, args.dry_run))?,
    }
    Ok(Exit::Done)
}

fn agreed(args: &PruneArgs) -> Result<bool, CliError> {
    let what = match (args.keep_storage, args.all) {
        (Some(size), _) => {
            format!("the results of steps used longest ago, until {} stay", output::size(size))
        }
        (None, true) => {
            "all results of steps, downloads and cache mounts that no image needs".to_owned()
        }
        (None, false) => "what no image with a name and no result of a step needs".to_owned(),
    };
    output::complain(&format!("This removes {what}. Go on? [y/N]"));
    let mut answer = String::new();
    let read = io::stdin().lock().read_line(&mut answer);
    read.map_err(|source| CliError::Stdin { source })?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}

/// What people and programs call a kind.
fn word(kind: Kind) -> &'static str {
    match kind {
        Kind::Images => "images",
        Kind::Records => "records",
        Kind::Blobs => "blobs",
        Kind::Tables => "tables",
        Kind::Data => "data",
        Kind::Captured => "captured",
        Kind::Downloads => "downloads",
        Kind::CacheMounts => "cache-mounts",
    }
}

fn as_json(pruned: &Pruned, dry_run: bool) -> Value {
    let kinds = pruned.kinds.iter().map(|(kind, collected)| {
        json!({ "kind": word(*kind), "files": collected.files, "bytes": collected.bytes })
    });
    let total = pruned.total();
    json!({
        "dry_run": dry_run,
        "removed": kinds.collect::<Vec<_>>(),
        "files": total.files,
        "bytes": total.bytes,
    })
}

fn text(pruned: &Pruned, dry_run: bool) -> String {
    let head = ["KIND", "FILES", "SIZE"].map(str::to_owned).to_vec();
    let row = |kind: &str, files: u64, bytes: u64| {
        vec![kind.to_owned(), files.to_string(), output::size(bytes)]
    };
    let rows = pruned.kinds.iter().map(|(kind, one)| row(word(*kind), one.files, one.bytes));
    let total = pruned.total();
    let last = if dry_run { "would be freed" } else { "freed" };
    let rows: Vec<_> =
        std::iter::once(head).chain(rows).chain([row(last, total.files, total.bytes)]).collect();
    output::columns(&rows)
}
