//! `steps` and `tests`: each entry becomes a [`Step`] with one action.

use super::decode::{Decoder, Entries, brief, optional};
use super::model::{Action, Input, Step};
use super::node::{Kind, Node};
use super::{copy, keys, packages, run, scalar};
use crate::frontend::{Span, Spanned};
use crate::pattern::Patterns;
use crate::plan::op::{Applies, ConfigPatch, FileOp};

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
        "copy" => copy::copy(decoder, node),
        "add" => copy::add(decoder, node),
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
        "arg" => {
            let args = decoder.env(node)?;
            let names: Vec<_> = args.iter().map(|(name, _)| name.as_str()).collect();
            alone(brief(&format!("arg {}", names.join(" "))), Action::Args(args))
        }
        "workdir" => {
            let map = match node.kind {
                Kind::Map(_) => Some(decoder.map(node, "`workdir`", keys::WORKDIR)?),
                _ => None,
            };
            let at = map.as_ref().map_or(Some(node), |map| decoder.required(map, "path"))?;
            let owner = map.and_then(|map| optional(&map, "owner", |node| decoder.owner(node)));
            let path = decoder.filled(at)?;
            alone(format!("workdir {path}"), Action::Workdir { path, owner })
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
            let words = [("last", Applies::Last), ("made", Applies::Made)];
            let applies = map
                .as_ref()
                .and_then(|map| optional(map, "applies", |node| decoder.choice(node, &words)));
            let applies = applies.unwrap_or_default();
            let (owner, mode) = map.map_or((None, None), |map| permissions(decoder, &map));
            let paths = decoder.texts(at)?;
            let make = |path: &String| FileOp::Mkdir {
                path: path.clone(),
                owner: owner.clone(),
                mode,
                applies,
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

/// A reference to a stage; whether there is one is seen when all are known.
pub(super) fn stage(decoder: &Decoder<'_>, node: &Node) -> Option<Input> {
    Some(Input::Stage(Spanned { value: decoder.filled(node)?, span: node.span }))
}

/// Patterns by the rules of `.dockerignore`.
pub(super) fn patterns(decoder: &Decoder<'_>, node: &Node) -> Option<Vec<String>> {
    let texts = decoder.texts(node)?;
    match Patterns::new(&texts) {
        Ok(_) => Some(texts),
        Err(error) => decoder.wrong(node.span, error.to_string()),
    }
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
