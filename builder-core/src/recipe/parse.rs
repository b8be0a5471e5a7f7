//! A tree becomes a recipe: stages, bases and parameters' declarations.
//!
//! In: the [`Node`] of a file and a [`Decoder`] with the values of parameters.
//! Out: a [`Recipe`], or `None` once everything wrong has been reported.

use std::collections::BTreeMap;

use super::decode::{Decoder, Entries, optional};
use super::model::{From, Recipe, Stage};
use super::node::{Kind, Node};
use super::{Params, config, context, keys, step, substitute};
use crate::frontend::{Diagnostic, Spanned};
use crate::plan::op::{Debian, Source};

/// The name of a recipe's only stage.
pub(super) const ONLY_STAGE: &str = "main";

/// The values of the parameters that a recipe declares.
pub(super) fn params(
    decoder: &Decoder<'_>,
    root: &Node,
    given: &Params,
) -> BTreeMap<String, String> {
    let declared = match &root.kind {
        Kind::Map(entries) => entries.iter().find(|(key, _)| key.text() == Some("params")),
        _ => None,
    };
    let entries = declared.and_then(|(_, node)| decoder.named(node)).unwrap_or_default();
    let mut values = BTreeMap::new();
    let mut variables = BTreeMap::new();
    for (key, node) in entries {
        let name = key.text().unwrap_or_default();
        if !substitute::is_name(name) {
            let diagnostic =
                decoder.source.diagnostic(key.span, format!("`{name}` is not a parameter's name"));
            decoder
                .report::<()>(diagnostic.help("letters, digits and _, not beginning with a digit"));
            continue;
        }
        let variable = format!("PHOENIX_PARAM_{}", name.to_ascii_uppercase());
        if let Some(other) = variables.insert(variable.clone(), name) {
            decoder.wrong::<()>(key.span, format!("`{name}` and `{other}` would share {variable}"));
        }
        let default = default(decoder, node);
        let outside = given.set.get(name).or_else(|| given.env.get(&variable)).cloned();
        match outside.or(default) {
            Some(value) => {
                values.insert(name.to_owned(), value);
            }
            None => {
                let diagnostic =
                    decoder.source.diagnostic(key.span, format!("parameter `{name}` is not set"));
                let help = format!("give it a default, `--set {name}=...` or {variable}");
                decoder.report::<()>(diagnostic.help(help));
                values.insert(name.to_owned(), String::new());
            }
        }
    }
    let names: Vec<_> = entries.iter().filter_map(|(key, _)| key.text()).collect();
    for name in given.set.keys().filter(|name| !names.contains(&name.as_str())) {
        let diagnostic =
            Diagnostic::unplaced(format!("`--set {name}`: the recipe has no such parameter"));
        decoder.report::<()>(diagnostic.suggest(name, names.iter().copied()));
    }
    values
}

fn default(decoder: &Decoder<'_>, node: &Node) -> Option<String> {
    if node.is_null() {
        return None;
    }
    if !matches!(node.kind, Kind::Map(_)) {
        return decoder.as_written(node);
    }
    let map = decoder.map(node, "a parameter", keys::PARAM)?;
    optional(&map, "description", |node| decoder.text(node));
    optional(&map, "default", |node| decoder.as_written(node))
}

/// The whole recipe.
pub(super) fn recipe(decoder: &Decoder<'_>, root: &Node) -> Option<Recipe> {
    let map = decoder.map(root, "a recipe", keys::TOP)?;
    let mtime = optional(&map, "mtime", |node| decoder.integer(node));
    let ignore = optional(&map, "ignore", |node| step::patterns(decoder, node)).unwrap_or_default();
    if let Some(shell) = optional(&map, "shell", |node| decoder.words(node)) {
        decoder.shell.get_or_init(|| shell);
    }
    let contexts = optional(&map, "contexts", |node| context::contexts(decoder, node));
    let contexts = contexts.unwrap_or_default();
    let Some((stages_key, stages)) = map.entry("stages") else {
        let stage = stage(decoder, ONLY_STAGE.to_owned(), root, &map)?;
        return Some(Recipe { mtime, ignore, contexts, stages: vec![stage] });
    };
    for (name, key, _) in map.present(keys::STAGE_KEYS) {
        let line = decoder.source.location(stages_key.span).line;
        let message = format!("`{name}` stands beside `stages`");
        let diagnostic = decoder.source.diagnostic(key.span, message);
        let help = format!("move it into a stage, or drop `stages` (line {line})");
        decoder.report::<()>(diagnostic.help(help));
    }
    let entries = decoder.named(stages)?;
    if entries.is_empty() {
        return decoder.wrong(stages.span, "`stages` has no stage");
    }
    let read = |(key, node): &(Node, Node)| {
        let name = key.text().unwrap_or_default();
        if !is_stage_name(name) {
            let diagnostic =
                decoder.source.diagnostic(key.span, format!("`{name}` is not a stage's name"));
            decoder.report::<()>(diagnostic.help("small letters and digits, with . _ - between"));
        }
        let mut map = decoder.map(node, "a stage", keys::STAGE)?;
        map.span = key.span;
        let mut stage = stage(decoder, name.to_owned(), key, &map)?;
        stage.name.span = key.span;
        Some(stage)
    };
    let stages: Vec<Stage> = entries.iter().filter_map(read).collect();
    for (name, _) in &contexts {
        if stages.iter().any(|stage| stage.name.value == name.value) {
            let message = format!("`{}` is a stage too", name.value);
            decoder.wrong::<()>(name.span, message);
        }
    }
    Some(Recipe { mtime, ignore, contexts, stages })
}

pub(super) fn is_stage_name(name: &str) -> bool {
    let inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let all = name.chars().all(|c| inner(c) || "._-".contains(c));
    all && name.starts_with(inner) && name.ends_with(inner)
}

fn stage(decoder: &Decoder<'_>, name: String, at: &Node, map: &Entries<'_>) -> Option<Stage> {
    let from = decoder.required(map, "from").and_then(|node| from(decoder, node));
    let list = |key: &str, read: fn(&Decoder<'_>, &Node) -> Option<super::model::Step>| {
        let nodes = optional(map, key, |node| decoder.list(node).map(<[Node]>::to_vec));
        nodes.unwrap_or_default().iter().filter_map(|node| read(decoder, node)).collect()
    };
    let steps = list("steps", step::step);
    let tests = list("tests", step::test);
    let config = map.entry("config").and_then(|(key, node)| {
        let value = config::config(decoder, node)?;
        Some(Spanned { value, span: key.span })
    });
    let name = Spanned { value: name, span: at.span };
    Some(Stage { name, from: from?, steps, config, tests })
}

fn from(decoder: &Decoder<'_>, node: &Node) -> Option<Spanned<From>> {
    let map = decoder.map(node, "`from`", keys::FROM)?;
    let names: Vec<_> = keys::FROM.iter().map(|field| field.name).collect();
    let present = map.present(&names);
    let [(kind, key, value)] = present[..] else {
        let message = match present.get(1) {
            Some((_, key, _)) => return decoder.wrong(key.span, "`from` has exactly one base"),
            None if map.unknown => return None,
            None => "`from` names no base",
        };
        let diagnostic = decoder.source.diagnostic(node.span, message);
        return decoder.report(diagnostic.help(format!("one of {}", names.join(", "))));
    };
    let value = match kind {
        "debian" => {
            let debian = debian(decoder, value)?;
            let base = Some(format!("debian:{}", debian.suite));
            From::Source { source: Source::Debian(debian), base }
        }
        "rootfs" => {
            let base = Some(decoder.filled(value)?);
            From::Source { source: Source::Rootfs { path: decoder.host_path(value)? }, base }
        }
        "oci" => {
            let written = decoder.filled(value)?;
            let (path, tag) = match written.rsplit_once(':') {
                Some((path, tag)) if !tag.contains('/') && !tag.is_empty() && !path.is_empty() => {
                    (path, Some(tag.to_owned()))
                }
                _ => (written.as_str(), None),
            };
            let path = decoder.base.join(path);
            let source = Source::Oci { path, tag, platform: None };
            From::Source { source, base: Some(written) }
        }
        "engine" => {
            let name = decoder.filled(value)?;
            From::Source { source: Source::Engine { name: name.clone() }, base: Some(name) }
        }
        "image" => image(decoder, value)?,
        "stage" => From::Stage(decoder.filled(value)?),
        _ => match decoder.boolean(value)? {
            true => From::Source { source: Source::Scratch, base: None },
            false => return decoder.wrong(value.span, "`scratch` can only be true"),
        },
    };
    let span = if matches!(value, From::Stage(_)) { map.get("stage")?.span } else { key.span };
    Some(Spanned { value, span })
}

fn image(decoder: &Decoder<'_>, node: &Node) -> Option<From> {
    let map = match node.kind {
        Kind::Map(_) => Some(decoder.map(node, "`image`", keys::IMAGE)?),
        _ => None,
    };
    let name = match &map {
        Some(map) => decoder.required(map, "name"),
        None => Some(node),
    };
    let reference = name.and_then(|node| decoder.filled(node))?;
    let platform = map.and_then(|map| map.get("platform")).and_then(|node| decoder.filled(node));
    let base = Some(reference.clone());
    Some(From::Source { source: Source::Image { reference, digest: None, platform }, base })
}

fn debian(decoder: &Decoder<'_>, node: &Node) -> Option<Debian> {
    let map = match node.kind {
        Kind::Map(_) => Some(decoder.map(node, "`debian`", keys::DEBIAN)?),
        _ => None,
    };
    let suite_node = match &map {
        Some(map) => decoder.required(map, "suite"),
        None => Some(node),
    };
    let suite = suite_node.and_then(|node| {
        let suite = decoder.filled(node)?;
        let fits = |c: char| c.is_ascii_alphanumeric() || "-._/".contains(c);
        if suite.chars().all(fits) && !suite.contains("..") && !suite.starts_with('/') {
            return Some(suite);
        }
        decoder.wrong(node.span, format!("`{suite}` is not a suite's name"))
    });
    let get = |key: &str| map.as_ref().and_then(|map| map.get(key));
    let texts = |key: &str| get(key).map_or(Some(Vec::new()), |node| decoder.texts(node));
    let include = match get("include") {
        Some(node) => step::packages(decoder, node),
        None => Some(Vec::new()),
    };
    Some(Debian {
        mirror: get("mirror").and_then(|node| decoder.filled(node)),
        keyring: get("keyring").and_then(|node| decoder.host_path(node)),
        components: texts("components")?,
        arch: get("arch").and_then(|node| decoder.filled(node)),
        include: include?,
        suite: suite?,
    })
}
