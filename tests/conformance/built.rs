//! An image, told as the sections of an expectation.

use std::fmt::Write as _;
use std::path::Path;

use serde_json::Value;

use crate::base::Bases;
use crate::layers;
use crate::peer::Outcome;
use crate::site::Site;
use crate::tree::Tree;

/// What `BuildKit`'s frontend says of itself in every entry of a history.
const COMMENT: &str = "buildkit.dockerfile.v0";

/// What differs in the tree of an archived image from the base below it, its
/// config and its history since then.
pub(crate) fn sections(archive: &Path, site: &Site<'_>, bases: &Bases) -> Outcome {
    let image = layers::read(archive);
    let (name, base) = bases.below(&image.config);
    let empty = Tree::default();
    let below = base.map_or(&empty, |base| &base.tree);
    let inherited = base.map_or(0, |base| base.config["history"].as_array().map_or(0, Vec::len));
    let tree = format!("# on {name}\n{}", image.tree.changes(below));
    Outcome::from([
        ("tree".to_owned(), tree),
        ("config".to_owned(), site.unnamed(&config(&image.config))),
        ("history".to_owned(), site.unnamed(&history(&image.config, inherited))),
    ])
}

/// One line for each field of the inner config that says anything, then who
/// the image says made it.
fn config(config: &Value) -> String {
    let mut text = String::new();
    let inner = config["config"].as_object().cloned().unwrap_or_default();
    let mut fields: Vec<_> = inner.into_iter().filter(|(_, value)| says(value)).collect();
    fields.sort_by(|a, b| a.0.cmp(&b.0));
    for (field, value) in fields {
        writeln!(text, "{field} {}", sorted(&value)).expect("a string takes all");
    }
    for field in ["author", "architecture", "variant", "os"] {
        if says(&config[field]) {
            writeln!(text, "{field}: {}", config[field]).expect("a string takes all");
        }
    }
    text
}

/// Absent, null and empty are the same.
fn says(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => false,
        Value::String(text) => !text.is_empty(),
        Value::Array(items) => !items.is_empty(),
        Value::Object(fields) => !fields.is_empty(),
        _ => true,
    }
}

fn sorted(value: &Value) -> Value {
    match value {
        Value::Object(fields) => {
            let mut fields: Vec<_> = fields.iter().filter(|(_, value)| !value.is_null()).collect();
            fields.sort_by(|a, b| a.0.cmp(b.0));
            fields.into_iter().map(|(key, value)| (key.clone(), sorted(value))).collect()
        }
        other => other.clone(),
    }
}

/// `layer` or `empty` and the instruction, for each entry behind the base's.
fn history(config: &Value, inherited: usize) -> String {
    let mut text = String::new();
    for entry in config["history"].as_array().into_iter().flatten().skip(inherited) {
        let kind = if entry["empty_layer"] == true { "empty" } else { "layer" };
        write!(text, "{kind} {}", entry["created_by"]).expect("a string takes all");
        if entry["comment"] != COMMENT {
            write!(text, " comment {}", entry["comment"]).expect("a string takes all");
        }
        if says(&entry["author"]) {
            write!(text, " author {}", entry["author"]).expect("a string takes all");
        }
        text.push('\n');
    }
    text
}
