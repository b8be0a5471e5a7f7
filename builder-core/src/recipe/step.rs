//! `steps` and `tests`: each entry becomes a [`Step`] with one action.

use super::decode::{Decoder, Entries, brief, optional};
use super::model::{Action, Input, Step};
use super::node::{Kind, Node};
use super::{keys, packages, run, scalar};
use crate::frontend::{Span, Spanned};
use crate::plan::op::{Applies, ConfigPatch, Copy, CopySource, FileOp, Mode};

/// What an action needs beside itself.
pub(super) struct Made {
    pub(super) title: String,
    pub(super) inputs: Vec<Input>,
    pub(super) action: Action,
}

/// One entry of `steps`.
pub(super) fn step(decoder: &Decoder<'_>, node: &Node) -> Option<Step> {
    let map = decoder.map(node, "a step", keys::STEP)?;
    let present = map.present(keys::VERBS);
    let made = match present[..] {
        [(verb, _, value)] => action(decoder, verb, value),
        [] if map.unknown => None,
        [] => {
            let diagnostic = decoder.source.diagnostic(node.span, "the step does nothing");
            decoder.report(diagnostic.help(format!("it needs one of {}", keys::VERBS.join(", "))))
        }
        [(first, ..), (second, key, _), ..] => {
            let message = format!("a step does one thing, this one has `{first}` and `{second}`");
            let help = match (first, second) {
                ("run", "env" | "user" | "workdir") | ("env" | "user" | "workdir", "run") => {
                    "for this command only: `run: {script: ..., env: ...}`; else make it two steps"
                }
                _ => "make it two steps",
            };
            decoder.report(decoder.source.diagnostic(key.span, message).help(help))
        }
    };
    finish(decoder, node.span, &map, made)
}

/// One entry of `tests`.
pub(super) fn test(decoder: &Decoder<'_>, node: &Node) -> Option<Step> {
    if !matches!(node.kind, Kind::Map(_)) {
        let Made { title, inputs, action } = run::run(decoder, node, true)?;
        let step = Step {
            span: node.span,
            name: None,
            active: true,
            max_age: None,
            title,
            inputs,
            action,
        };
        return Some(step);
    }
    let map = decoder.map(node, "a test", keys::TEST)?;
    let made = decoder.required(&map, "run").and_then(|node| run::run(decoder, node, true));
    finish(decoder, node.span, &map, made)
}

fn finish(
    decoder: &Decoder<'_>,
    span: Span,
    map: &Entries<'_>,
    made: Option<Made>,
) -> Option<Step> {
    let name = optional(map, "name", |node| decoder.filled(node));
    let active = map.get("when").map_or(Some(true), |node| decoder.condition(node));
    let max_age = optional(map, "max_age", |node| decoder.duration(node));
    let Made { title, inputs, action } = made?;
    Some(Step { span, name, active: active?, max_age, title, inputs, action })
}

fn action(decoder: &Decoder<'_>, verb: &str, node: &Node) -> Option<Made> {
    let alone = |title: String, action| Some(Made { title, inputs: Vec::new(), action });
    let config = |title: String, patch| alone(title, Action::Config(patch));
    match verb {
        "run" => run::run(decoder, node, false),
        "copy" => copy(decoder, node),
        "packages" => {
            let names = packages(decoder, node)?;
            let title = brief(&format!("packages {}", names.join(" ")));
            alone(title, Action::Exec(packages::install(&names)))
        }
        "user" => {
            let user = decoder.owner(node)?;
            config(format!("user {user}"), ConfigPatch { user: Some(user), ..Default::default() })
        }
        "env" => {
            let env = decoder.env(node)?;
            let names: Vec<_> = env.iter().map(|(name, _)| name.as_str()).collect();
            let title = brief(&format!("env {}", names.join(" ")));
            config(title, ConfigPatch { env, ..Default::default() })
        }
        "workdir" => {
            let path = decoder.filled(node)?;
            alone(format!("workdir {path}"), Action::Workdir(path))
        }
        _ => {
            let (title, ops) = files(decoder, verb, node)?;
            alone(brief(&format!("{verb} {title}")), Action::Files(ops))
        }
    }
}

/// The file operations that take from nowhere.
fn files(decoder: &Decoder<'_>, verb: &str, node: &Node) -> Option<(String, Vec<FileOp>)> {
    let mapping = matches!(node.kind, Kind::Map(_));
    match verb {
        "write" => {
            let map = decoder.map(node, "`write`", keys::WRITE)?;
            let path = decoder.required(&map, "path").and_then(|node| decoder.filled(node));
            let content = decoder.required(&map, "content").and_then(|node| decoder.text(node));
            let (owner, mode) = permissions(decoder, &map);
            let (path, content) = (path?, content?.into_bytes());
            Some((path.clone(), vec![FileOp::Write { path, content, owner, mode }]))
        }
        "mkdir" => {
            let map = if mapping { Some(decoder.map(node, "`mkdir`", keys::MKDIR)?) } else { None };
            let at = map.as_ref().map_or(Some(node), |map| decoder.required(map, "path"))?;
            let (owner, mode) = map.map_or((None, None), |map| permissions(decoder, &map));
            let paths = decoder.texts(at)?;
            let make = |path: &String| FileOp::Mkdir {
                path: path.clone(),
                owner: owner.clone(),
                mode,
                applies: Applies::Last,
            };
            Some((paths.join(" "), paths.iter().map(make).collect()))
        }
        "symlink" => {
            let map = decoder.map(node, "`symlink`", keys::SYMLINK)?;
            let target = decoder.required(&map, "target").and_then(|node| decoder.filled(node));
            let path = decoder.required(&map, "path").and_then(|node| decoder.filled(node));
            let (target, path) = (target?, path?);
            Some((format!("{path} -> {target}"), vec![FileOp::Symlink { target, path }]))
        }
        _ => {
            let map =
                if mapping { Some(decoder.map(node, "`remove`", keys::REMOVE)?) } else { None };
            let at = map.as_ref().map_or(Some(node), |map| decoder.required(map, "paths"))?;
            let required =
                map.and_then(|map| optional(&map, "required", |node| decoder.boolean(node)));
            let paths = decoder.texts(at)?;
            let title = paths.join(" ");
            Some((title, vec![FileOp::Remove { paths, required: required.unwrap_or(true) }]))
        }
    }
}

fn permissions(decoder: &Decoder<'_>, map: &Entries<'_>) -> (Option<String>, Option<u32>) {
    let owner = optional(map, "owner", |node| decoder.owner(node));
    (owner, optional(map, "mode", |node| decoder.mode(node)))
}

fn copy(decoder: &Decoder<'_>, node: &Node) -> Option<Made> {
    if let Kind::Seq(nodes) = &node.kind {
        let texts = decoder.one_or_more(node)?;
        if nodes.len() < 2 {
            return decoder.wrong(node.span, "a list for `copy` is sources and a destination");
        }
        let mut sources = within(decoder, texts)?;
        let dest = sources.pop()?;
        return Some(copied(Input::Context, Copy::new(sources, dest)));
    }
    let map = decoder.map(node, "`copy`", keys::COPY)?;
    let sources = decoder.required(&map, "src").and_then(|node| decoder.one_or_more(node));
    let dest = decoder.required(&map, "dest").and_then(|node| decoder.filled(node));
    let from = map.get("from").map_or(Some(Input::Context), |node| stage(decoder, node));
    let (owner, mode) = permissions(decoder, &map);
    let exclude = optional(&map, "exclude", |node| decoder.texts(node)).unwrap_or_default();
    let keep_mtime = optional(&map, "keep_mtime", |node| decoder.boolean(node)).unwrap_or(false);
    let sources = within(decoder, sources?)?;
    let mode = mode.map(Mode::octal);
    let copy = Copy { exclude, owner, mode, keep_mtime, ..Copy::new(sources, dest?) };
    Some(copied(from?, copy))
}

fn copied(from: Input, copy: Copy) -> Made {
    let stage = match &from {
        Input::Context => String::new(),
        Input::Stage(stage) => format!("{}:", stage.value),
    };
    let name = |source: &CopySource| match source {
        CopySource::Path { path, .. } => path.clone(),
        CopySource::Inline { name, .. } => name.clone(),
    };
    let sources: Vec<String> = copy.sources.iter().map(name).collect();
    let title = brief(&format!("copy {stage}{} -> {}", sources.join(" "), copy.dest));
    Made { title, inputs: vec![from], action: Action::Files(vec![FileOp::Copy(copy)]) }
}

/// A reference to a stage; whether there is one is seen when all are known.
pub(super) fn stage(decoder: &Decoder<'_>, node: &Node) -> Option<Input> {
    Some(Input::Stage(Spanned { value: decoder.filled(node)?, span: node.span }))
}

/// Sources that do not climb out of what they are in.
fn within(decoder: &Decoder<'_>, sources: Vec<Spanned<String>>) -> Option<Vec<String>> {
    let checked = sources.into_iter().map(|source| {
        if source.value.split('/').any(|part| part == "..") {
            let diagnostic = decoder.source.diagnostic(source.span, "a path to copy holds `..`");
            return decoder.report(diagnostic.help("a copy cannot leave the context or stage"));
        }
        Some(source.value)
    });
    checked.collect()
}

/// Names of packages, sorted: their order means nothing to apt.
pub(super) fn packages(decoder: &Decoder<'_>, node: &Node) -> Option<Vec<String>> {
    let listed = decoder.one_or_more(node)?;
    let checked = listed.into_iter().map(|package| {
        if scalar::is_package(&package.value) {
            return Some(package.value);
        }
        let message = format!("`{}` is not a package", brief(&package.value));
        let diagnostic = decoder.source.diagnostic(package.span, message);
        decoder.report(diagnostic.help("a name, or name=version, one entry each"))
    });
    let mut names = checked.collect::<Option<Vec<_>>>()?;
    names.sort();
    names.dedup();
    Some(names)
}
