//! Each case once more, as the recipe that `phoenix convert` makes of it: built in
//! the same store as its Dockerfile, it must give the same layers and the same
//! config. Only history is told in other words.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::base::Bases;
use crate::layers;
use crate::peer::said;
use crate::phoenix::Phoenix;
use crate::site::Site;

/// Options that say what is built, and so become part of the recipe.
const CONVERTED: [&str; 9] = [
    "-f",
    "--add-host",
    "--build-arg",
    "--build-context",
    "--label",
    "--platform",
    "--shm-size",
    "--target",
    "--ulimit",
];

/// Options that are given to both.
const BOTH: [&str; 1] = ["--allow"];

/// The argument that says when an image was made, of whatever it is built.
const EPOCH: &str = "SOURCE_DATE_EPOCH=";

/// How many steps of a recipe stood by what its Dockerfile had made, and how
/// many ran again.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Steps {
    pub(crate) stood: usize,
    pub(crate) ran: usize,
}

/// Converts a case whose image was just written, builds what comes of it,
/// and compares.
pub(crate) fn converted(
    phoenix: &Phoenix,
    site: &Site<'_>,
    bases: &Bases,
) -> Result<Steps, String> {
    let mut convert = phoenix.start("convert");
    Phoenix::bases(bases, &mut convert);
    options(site, &mut convert, |flag, _| CONVERTED.contains(&flag) || BOTH.contains(&flag));
    let told = said(convert.args(["ctx", "-o", "recipe.yaml"]), site);
    if !told.success {
        return Err(format!("it is not converted: {}", told.stderr));
    }
    let recipe = std::fs::read_to_string(site.path("recipe.yaml")).expect("it was written");
    let mut build = phoenix.start("build");
    options(site, &mut build, |flag, value| !CONVERTED.contains(&flag) || value.starts_with(EPOCH));
    let again = site.path("converted.tar");
    build.arg(format!("--output=type=oci,dest={}", again.display()));
    build.args(["-q", "--metadata-file=converted.json", "ctx", "-f", "recipe.yaml"]);
    let told = said(&mut build, site);
    if !told.success {
        return Err(format!("the recipe does not build: {}\n{recipe}", told.stderr));
    }
    let (one, other) = (config(&Phoenix::archive(site)), config(&again));
    if one != other {
        let diff = similar::TextDiff::from_lines(&one, &other);
        let diff = diff.unified_diff().context_radius(0).to_string();
        return Err(format!("the images differ:\n{diff}\n{recipe}"));
    }
    Ok(steps(&site.path("converted.json")))
}

fn options(site: &Site<'_>, command: &mut Command, wanted: impl Fn(&str, &str) -> bool) {
    for (flag, value) in site.case.flags.iter().filter(|(flag, value)| wanted(flag, value)) {
        command.arg(flag);
        if !value.is_empty() {
            command.arg(site.named(value));
        }
    }
}

/// All of a config but the history, with the digests of the layers.
fn config(archive: &Path) -> String {
    let mut config = layers::read(archive).config;
    config.as_object_mut().expect("a config is an object").remove("history");
    let sorted: BTreeMap<String, Value> =
        serde_json::from_value(config).expect("it is a map of values");
    serde_json::to_string_pretty(&sorted).expect("it was JSON")
}

fn steps(metadata: &Path) -> Steps {
    let text = std::fs::read(metadata).expect("the build wrote it");
    let metadata: Value = serde_json::from_slice(&text).expect("metadata is JSON");
    let mut steps = Steps::default();
    for step in metadata["steps"].as_array().into_iter().flatten() {
        match step["status"].as_str() {
            Some("ran") => steps.ran += 1,
            _ => steps.stood += 1,
        }
    }
    steps
}
