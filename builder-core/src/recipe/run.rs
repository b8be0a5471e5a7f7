//! `run`: a command and what is mounted while it runs.

use super::decode::{Decoder, Entries, brief, optional};
use super::model::{Action, Input};
use super::node::{Kind, Node};
use super::step::{Made, stage};
use super::{keys, scalar};
use crate::plan::op::{
    CacheInitial, Command, Exec, ExecKind, Mount, MountKind, Network, Security, Sharing, Trace,
    ULIMITS, Ulimit,
};

/// Text, a list, or a mapping.
pub(super) fn run(decoder: &Decoder<'_>, node: &Node, test: bool) -> Option<Made> {
    let kind = if test { ExecKind::Test } else { ExecKind::Step };
    let verb = if test { "test" } else { "run" };
    let mut inputs = Vec::new();
    let exec = match &node.kind {
        Kind::Map(_) => mapping(decoder, node, kind, &mut inputs)?,
        Kind::Seq(_) => plain(Command::Argv(decoder.words(node)?), kind),
        Kind::Scalar { .. } => plain(script(decoder, decoder.filled(node)?, None), kind),
    };
    let text = match &exec.command {
        Command::Shell(script) => script.trim().to_owned(),
        Command::Argv(argv) if is_argv(node) => argv.join(" "),
        Command::Argv(argv) => argv.last().map_or("", |script| script.trim()).to_owned(),
    };
    Some(Made { title: format!("{verb} {}", brief(&text)), inputs, action: Action::Exec(exec) })
}

/// Whether a command stands there word by word, and is no script for a shell.
fn is_argv(node: &Node) -> bool {
    match &node.kind {
        Kind::Map(entries) => entries.iter().any(|(key, _)| key.text() == Some("argv")),
        Kind::Seq(_) => true,
        Kind::Scalar { .. } => false,
    }
}

/// A script, for its own shell, else for that of the recipe, else for the usual one.
fn script(decoder: &Decoder<'_>, text: String, shell: Option<Vec<String>>) -> Command {
    match shell.or_else(|| decoder.shell.get().cloned()) {
        Some(mut argv) => {
            argv.push(text);
            Command::Argv(argv)
        }
        None => Command::Shell(text),
    }
}

/// A command with no options.
pub(super) fn plain(command: Command, kind: ExecKind) -> Exec {
    Exec::new(command, kind)
}

fn mapping(
    decoder: &Decoder<'_>,
    node: &Node,
    kind: ExecKind,
    inputs: &mut Vec<Input>,
) -> Option<Exec> {
    let map = decoder.map(node, "`run`", keys::RUN)?;
    let shell = optional(&map, "shell", |node| decoder.words(node));
    let command = match map.present(&["script", "argv"])[..] {
        [("script", _, node)] => decoder.filled(node).map(|text| script(decoder, text, shell)),
        [..] if shell.is_some() => {
            return decoder.wrong(map.entry("shell")?.0.span, "`shell` goes with `script`");
        }
        [(_, _, node)] => decoder.words(node).map(Command::Argv),
        [] => decoder.wrong(node.span, "`run` needs `script` or `argv`"),
        [_, (_, key, _), ..] => decoder.wrong(key.span, "`run` has either `script` or `argv`"),
    };
    let networks = [("host", Network::Host), ("none", Network::None)];
    let traces = [("on", Trace::On), ("off", Trace::Off)];
    let nodes = optional(&map, "mounts", |node| decoder.list(node).map(<[Node]>::to_vec));
    let mounts = nodes.unwrap_or_default();
    let mut mounts: Vec<Mount> =
        mounts.iter().filter_map(|node| mount(decoder, node, inputs)).collect();
    let agents = mounts.iter_mut().filter(|m| matches!(m.kind, MountKind::Ssh { .. }));
    for (at, agent) in agents.enumerate().filter(|(_, agent)| agent.target.is_empty()) {
        agent.target = format!("/run/buildkit/ssh_agent.{at}");
    }
    let securities = [("sandbox", Security::Sandbox), ("insecure", Security::Insecure)];
    Some(Exec {
        env: optional(&map, "env", |node| decoder.env(node)).unwrap_or_default(),
        workdir: optional(&map, "workdir", |node| decoder.filled(node)),
        user: optional(&map, "user", |node| decoder.owner(node)),
        network: optional(&map, "network", |node| decoder.choice(node, &networks))
            .unwrap_or_default(),
        security: optional(&map, "security", |node| decoder.choice(node, &securities))
            .unwrap_or_default(),
        hosts: optional(&map, "hosts", |node| decoder.pairs(node)).unwrap_or_default(),
        hostname: optional(&map, "hostname", |node| decoder.filled(node)),
        shm_size: optional(&map, "shm_size", |node| decoder.size(node)),
        ulimits: optional(&map, "ulimits", |node| ulimits(decoder, node)).unwrap_or_default(),
        timeout: optional(&map, "timeout", |node| decoder.duration(node)),
        trace: optional(&map, "trace", |node| decoder.choice(node, &traces)).unwrap_or_default(),
        mounts,
        ..plain(command?, kind)
    })
}

/// Limits by name.
fn ulimits(decoder: &Decoder<'_>, node: &Node) -> Option<Vec<Ulimit>> {
    let mut limits = Vec::new();
    for (key, node) in decoder.named(node)? {
        let name = key.text().unwrap_or_default();
        if !ULIMITS.contains(&name) {
            let diagnostic = decoder.source.diagnostic(key.span, format!("unknown limit `{name}`"));
            decoder.report::<()>(diagnostic.suggest(name, ULIMITS));
            continue;
        }
        let text = decoder.as_written(node)?;
        let Some((soft, hard)) = scalar::ulimit(&text) else {
            let diagnostic =
                decoder.source.diagnostic(node.span, format!("`{}` is not a limit", brief(&text)));
            return decoder.report(diagnostic.help("SOFT or SOFT:HARD, -1 for none"));
        };
        limits.push(Ulimit { name: name.to_owned(), soft, hard });
    }
    Some(limits)
}

/// Keys that go with each kind of mount.
fn allowed(kind: &str) -> &'static [&'static str] {
    match kind {
        "bind" => &["bind", "from", "writable", "target"],
        "cache" => {
            &["cache", "sharing", "target", "mode", "uid", "gid", "initial", "from", "readonly"]
        }
        "tmpfs" => &["tmpfs", "size", "target"],
        "ssh" => &["ssh", "required", "target", "mode", "uid", "gid"],
        _ => &["secret", "env", "file", "required", "target", "mode", "uid", "gid"],
    }
}

fn mount(decoder: &Decoder<'_>, node: &Node, inputs: &mut Vec<Input>) -> Option<Mount> {
    let map = decoder.map(node, "a mount", keys::MOUNT)?;
    let present = map.present(keys::MOUNT_KINDS);
    let [(kind, _, value)] = present[..] else {
        let at = present.get(1).map_or(node.span, |(_, key, _)| key.span);
        return decoder.wrong(at, "a mount is exactly one of bind, cache, tmpfs, secret, ssh");
    };
    let names: Vec<_> = keys::MOUNT.iter().map(|field| field.name).collect();
    for (name, key, _) in map.present(&names) {
        if !allowed(kind).contains(&name) {
            decoder.wrong::<()>(key.span, format!("`{name}` does not go with `{kind}`"));
        }
    }
    let id = |key: &str| optional(&map, key, |node| decoder.integer(node)).unwrap_or(0);
    let mode = |absent| optional(&map, "mode", |node| decoder.mode(node)).unwrap_or(absent);
    let kind = match kind {
        "bind" => bind(decoder, &map, value, inputs)?,
        "cache" => {
            let words = [
                ("shared", Sharing::Shared),
                ("locked", Sharing::Locked),
                ("private", Sharing::Private),
            ];
            let sharing = optional(&map, "sharing", |node| decoder.choice(node, &words));
            MountKind::Cache {
                id: decoder.filled(value)?,
                sharing: sharing.unwrap_or_default(),
                mode: mode(0o755),
                uid: id("uid"),
                gid: id("gid"),
                initial: optional(&map, "initial", |node| initial(decoder, &map, node, inputs)),
                readonly: optional(&map, "readonly", |node| decoder.boolean(node)).unwrap_or(false),
            }
        }
        "tmpfs" => match decoder.boolean(value)? {
            true => MountKind::Tmpfs { size: optional(&map, "size", |node| decoder.size(node)) },
            false => return decoder.wrong(value.span, "`tmpfs` can only be true"),
        },
        "ssh" => MountKind::Ssh {
            id: decoder.filled(value)?,
            mode: mode(0o600),
            uid: id("uid"),
            gid: id("gid"),
            required: optional(&map, "required", |node| decoder.boolean(node)).unwrap_or(true),
        },
        _ => MountKind::Secret {
            id: secret(decoder, value)?,
            env: optional(&map, "env", |node| decoder.filled(node)),
            file: optional(&map, "file", |node| decoder.boolean(node))
                .unwrap_or(map.get("env").is_none()),
            mode: mode(0o400),
            uid: id("uid"),
            gid: id("gid"),
            required: optional(&map, "required", |node| decoder.boolean(node)).unwrap_or(true),
        },
    };
    let target = match (&kind, map.get("target")) {
        (MountKind::Secret { id, .. }, None) => format!("/run/secrets/{id}"),
        // It is numbered when all are known.
        (MountKind::Ssh { .. }, None) => String::new(),
        _ => decoder.required(&map, "target").and_then(|node| decoder.filled(node))?,
    };
    Some(Mount { target, kind })
}

fn bind(
    decoder: &Decoder<'_>,
    map: &Entries<'_>,
    value: &Node,
    inputs: &mut Vec<Input>,
) -> Option<MountKind> {
    let (input, source) = part(decoder, map, value, inputs)?;
    let writable = optional(map, "writable", |node| decoder.boolean(node)).unwrap_or(false);
    Some(MountKind::Bind { input, source, writable })
}

fn initial(
    decoder: &Decoder<'_>,
    map: &Entries<'_>,
    value: &Node,
    inputs: &mut Vec<Input>,
) -> Option<CacheInitial> {
    let (input, source) = part(decoder, map, value, inputs)?;
    Some(CacheInitial { input, source })
}

/// A path of the context, or of the stage that `from` names.
fn part(
    decoder: &Decoder<'_>,
    map: &Entries<'_>,
    value: &Node,
    inputs: &mut Vec<Input>,
) -> Option<(usize, String)> {
    let from = map.get("from").map_or(Some(Input::Context), |node| stage(decoder, node))?;
    let source = decoder.filled(value)?;
    if source.split('/').any(|part| part == "..") {
        return decoder.wrong(value.span, "a path to mount holds `..`");
    }
    let source = if source == "." { String::new() } else { source };
    let same = |input: &Input| match (input, &from) {
        (Input::Context, Input::Context) => true,
        (Input::Stage(one), Input::Stage(other)) => one.value == other.value,
        _ => false,
    };
    let at = inputs.iter().position(same).unwrap_or_else(|| {
        inputs.push(from);
        inputs.len() - 1
    });
    Some((at + 1, source))
}

/// A secret's id is part of a path.
fn secret(decoder: &Decoder<'_>, node: &Node) -> Option<String> {
    let id = decoder.filled(node)?;
    let fits = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    match id.chars().all(fits) && !id.starts_with('.') {
        true => Some(id),
        false => decoder.wrong(node.span, format!("`{}` is not a secret's id", brief(&id))),
    }
}
