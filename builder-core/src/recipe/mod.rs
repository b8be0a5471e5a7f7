//! The recipe: a YAML file becomes a [`Plan`].
//!
//! In: the text of a recipe, its name, the directory that is its build context,
//! and values for its parameters. Out: a plan, or every mistake that was found,
//! each at its line and column.
//!
//! The order of work: `node` (YAML to a tree in which each key and value knows
//! its place), `parse`, `context`, `step`, `copy`, `run`, `config` (tree to `model`, strict, with
//! `decode`, `substitute`, `scalar`, `when`), `lower` (model to plan). `keys` is the one list
//! of keys: the parser and the JSON Schema are both made from it. `write` goes the other
//! way: from a plan to a recipe.
//!
//! Nothing is read or written: paths are only joined to the context's.
//! Anything that parses is bounded, aliases and substitutions included.
//!
//! Limitations: one document per file; no merge keys (`<<`), no tags; `env`
//! values are literal (`$PATH` is not expanded).

mod config;
mod context;
mod copy;
mod debian;
mod decode;
mod keys;
mod lower;
mod model;
mod node;
mod packages;
mod parse;
mod run;
mod scalar;
mod step;
mod substitute;
mod when;
pub mod write;

use std::collections::BTreeMap;
use std::path::Path;

use self::decode::Decoder;
use crate::frontend::{Diagnostic, SourceFile};
use crate::plan::Plan;

/// Values for a recipe's parameters, from outside the file.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Params {
    /// `--set name=value`: each must be declared by the recipe.
    pub set: BTreeMap<String, String>,
    /// The environment, or the part of it named `PHOENIX_PARAM_*`: where `set`
    /// says nothing, parameter `name` takes `PHOENIX_PARAM_NAME`. What no
    /// parameter asks for is ignored.
    pub env: BTreeMap<String, String>,
}

/// A recipe that was read and found right.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Loaded {
    /// What it asks for.
    pub plan: Plan,
    /// Which recipe it is, whatever its content: two builds of the same file
    /// have the same id.
    pub recipe_id: String,
    /// The parameters' values that were used.
    pub params: BTreeMap<String, String>,
    /// The secrets that some step mounts, in order of first mention.
    pub secrets: Vec<String>,
}

/// Reads a recipe.
///
/// `file` is named in messages, `base` is the build context, to which relative
/// paths are joined; it should be absolute.
///
/// # Errors
/// All mistakes that were found, in order of their place; never empty.
pub fn load(
    text: &str,
    file: &Path,
    base: &Path,
    params: &Params,
) -> Result<Loaded, Vec<Diagnostic>> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let source = SourceFile::new(file, text);
    let root = node::read(&source).map_err(|diagnostic| vec![diagnostic])?;
    let none = BTreeMap::new();
    let declarations = Decoder::new(&source, base, &none);
    let values = parse::params(&declarations, &root, params);
    let mut found = declarations.finish();
    let decoder = Decoder::new(&source, base, &values);
    let recipe = parse::recipe(&decoder, &root);
    let plan = recipe.and_then(|recipe| lower::lower(&decoder, &recipe));
    found.extend(decoder.finish());
    match plan {
        Some(plan) if found.is_empty() => {
            let secrets = plan.secrets();
            Ok(Loaded { plan, recipe_id: recipe_id(file, base), params: values, secrets })
        }
        _ => Err(found),
    }
}

/// Which recipe a file is, whatever its content: a hash of its place, that is of
/// its path if that is absolute, else of its context's and its name, so that the
/// directory one stands in does not matter.
#[must_use]
pub fn recipe_id(file: &Path, base: &Path) -> String {
    let named = if file.is_absolute() { Some(file.as_os_str()) } else { file.file_name() };
    let path = base.join(named.unwrap_or_default());
    blake3::hash(path.as_os_str().as_encoded_bytes()).to_hex().to_string()
}

/// The JSON Schema of a recipe, for editors.
#[must_use]
pub fn schema() -> serde_json::Value {
    keys::recipe()
}

/// A good first recipe, with comments.
#[must_use]
pub fn init_template() -> &'static str {
    include_str!("template.yaml")
}
