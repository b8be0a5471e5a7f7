//! `run`: a process.

use std::collections::BTreeMap;

use super::Unsaid;
use super::stage::{Steps, Writer, octal, owner};
use super::yaml::{Entry, Item, Notes, Yaml, entry};
use crate::plan::op::{
    CacheInitial, Command, Exec, ExecKind, Mount, MountKind, Network, Op, Security, Sharing, Trace,
    Ulimit,
};
use crate::plan::{Plan, Vertex};

/// What most scripts of a plan are given to.
pub(super) fn usual_shell(plan: &Plan) -> Option<Vec<String>> {
    let mut counts: BTreeMap<Vec<String>, usize> = BTreeMap::new();
    for vertex in plan.vertices() {
        if let Op::Exec(Exec { command: Command::Argv(argv), .. }) = &vertex.op
            && let Some((shell, _)) = script(argv)
        {
            *counts.entry(shell.to_vec()).or_default() += 1;
        }
    }
    let most = counts.into_iter().max_by_key(|(_, count)| *count);
    most.map(|(shell, _)| shell)
}

/// A shell, up to its `-c`, and a script for it.
fn script(argv: &[String]) -> Option<(&[String], &String)> {
    let (script, shell) = argv.split_last()?;
    let option = shell.get(1..)?.last()?;
    let letters = option.strip_prefix('-')?;
    let fits = letters.ends_with('c') && letters.bytes().all(|b| b.is_ascii_lowercase());
    (fits && !script.is_empty()).then_some((shell, script))
}

impl Writer<'_> {
    /// A `run`, behind the `arg` that it needs.
    pub(super) fn run(
        &mut self,
        vertex: &Vertex,
        exec: &Exec,
        steps: &mut Steps,
    ) -> Result<(), Unsaid> {
        if exec.kind != ExecKind::Step {
            return Err(self.unsaid(vertex, "this is no step of a recipe"));
        }
        let notes = self.notes_of(vertex);
        let own = arguments(&exec.env, steps, notes.line);
        let mut entries = Vec::new();
        let mut alone = None;
        match &exec.command {
            Command::Shell(_) => return Err(self.unsaid(vertex, "the shell is not said")),
            Command::Argv(argv) => match script(argv) {
                Some((shell, script)) => {
                    if self.shell.as_deref() == Some(shell) {
                        alone = Some(Yaml::text(script));
                    } else {
                        entries.push(entry("shell", Yaml::texts(shell)));
                    }
                    entries.push(entry("script", Yaml::text(script)));
                }
                None => {
                    alone = Some(Yaml::texts(argv));
                    entries.push(entry("argv", Yaml::texts(argv)));
                }
            },
        }
        let words = entries.len();
        if !own.is_empty() {
            entries.push(entry("env", Yaml::pairs(own.iter().map(|(name, value)| (name, value)))));
        }
        options(exec, &mut entries);
        if !exec.mounts.is_empty() {
            let mut mounts = Vec::new();
            for mount in &exec.mounts {
                let value = Yaml::Map(self.mount(vertex, mount)?);
                mounts.push(Item { notes: Notes::default(), value });
            }
            entries.push(entry("mounts", Yaml::List(mounts)));
        }
        // A script stands last: it is the longest.
        if entries.len() > words && words == 1 && entries[0].key == "script" {
            entries.rotate_left(1);
        }
        let value = alone.filter(|_| entries.len() == words).unwrap_or(Yaml::Map(entries));
        steps.push("run", value, notes);
        Ok(())
    }

    fn mount(&mut self, vertex: &Vertex, mount: &Mount) -> Result<Vec<Entry>, Unsaid> {
        let Mount { target, kind } = mount;
        let mut entries = Vec::new();
        let yes = || Yaml::Plain("true".to_owned());
        match kind {
            MountKind::Bind { input, source, writable } => {
                entries.push(entry("bind", place(source)));
                let from = self.named(vertex.inputs[*input], vertex)?;
                entries.extend(from.map(|from| entry("from", Yaml::text(from))));
                entries.extend(writable.then(|| entry("writable", yes())));
            }
            MountKind::Cache { id, sharing, mode, uid, gid, initial, readonly } => {
                entries.push(entry("cache", Yaml::text(id)));
                let word = match sharing {
                    Sharing::Shared => None,
                    Sharing::Locked => Some("locked"),
                    Sharing::Private => Some("private"),
                };
                entries.extend(word.map(|word| entry("sharing", Yaml::text(word))));
                if let Some(CacheInitial { input, source }) = initial {
                    entries.push(entry("initial", place(source)));
                    let from = self.named(vertex.inputs[*input], vertex)?;
                    entries.extend(from.map(|from| entry("from", Yaml::text(from))));
                }
                entries.extend(readonly.then(|| entry("readonly", yes())));
                permissions((*mode, 0o755), (*uid, *gid), &mut entries);
            }
            MountKind::Tmpfs { size } => {
                entries.push(entry("tmpfs", yes()));
                entries.extend(size.map(|size| entry("size", Yaml::number(size))));
            }
            MountKind::Secret { id, env, file, mode, uid, gid, required } => {
                entries.push(entry("secret", Yaml::text(id)));
                entries.extend(env.as_ref().map(|env| entry("env", Yaml::text(env))));
                if *file != env.is_none() {
                    entries.push(entry("file", Yaml::Plain(file.to_string())));
                }
                entries.extend((!required).then(|| entry("required", Yaml::Plain("false".into()))));
                permissions((*mode, 0o400), (*uid, *gid), &mut entries);
                if *target == format!("/run/secrets/{id}") {
                    return Ok(entries);
                }
            }
            MountKind::Ssh { id, mode, uid, gid, required } => {
                entries.push(entry("ssh", Yaml::text(id)));
                entries.extend((!required).then(|| entry("required", Yaml::Plain("false".into()))));
                permissions((*mode, 0o600), (*uid, *gid), &mut entries);
            }
        }
        // Behind what it is.
        entries.insert(1, entry("target", Yaml::text(target)));
        Ok(entries)
    }
}

/// The root of a tree is `.`.
fn place(source: &str) -> Yaml {
    Yaml::text(if source.is_empty() { "." } else { source })
}

fn permissions((mode, usual): (u32, u32), (uid, gid): (u32, u32), entries: &mut Vec<Entry>) {
    if mode != usual {
        entries.push(entry("mode", octal(mode)));
    }
    for (key, id) in [("uid", uid), ("gid", gid)] {
        entries.extend((id != 0).then(|| entry(key, Yaml::number(id))));
    }
}

/// What a command says beside its words, its variables and its mounts.
fn options(exec: &Exec, entries: &mut Vec<Entry>) {
    entries.extend(exec.workdir.as_ref().map(|path| entry("workdir", Yaml::text(path))));
    entries.extend(exec.user.as_ref().map(|user| entry("user", owner(user))));
    if exec.network == Network::None {
        entries.push(entry("network", Yaml::text("none")));
    }
    if exec.security == Security::Insecure {
        entries.push(entry("security", Yaml::text("insecure")));
    }
    if !exec.hosts.is_empty() {
        let hosts = exec.hosts.iter().map(|(name, address)| (name, address));
        entries.push(entry("hosts", Yaml::pairs(hosts)));
    }
    entries.extend(exec.hostname.as_ref().map(|name| entry("hostname", Yaml::text(name))));
    entries.extend(exec.shm_size.map(|size| entry("shm_size", Yaml::number(size))));
    if !exec.ulimits.is_empty() {
        let limit = |limit: &Ulimit| {
            let one = |limit: Option<u64>| limit.map_or("-1".to_owned(), |limit| limit.to_string());
            let (soft, hard) = (one(limit.soft), one(limit.hard));
            let text = if soft == hard { soft } else { format!("{soft}:{hard}") };
            entry(&limit.name, Yaml::text(text))
        };
        entries.push(entry("ulimits", Yaml::Map(exec.ulimits.iter().map(limit).collect())));
    }
    if exec.trace == Trace::Off {
        entries.push(entry("trace", Yaml::text("off")));
    }
}

/// Sets arguments for a command and those after it; what cannot be had in that
/// way is given back, for the command itself to say.
fn arguments(
    wanted: &[(String, String)],
    steps: &mut Steps,
    line: Option<u32>,
) -> Vec<(String, String)> {
    let mut after = steps.args.clone();
    let mut changed = Vec::new();
    for (name, value) in wanted {
        match after.iter_mut().find(|(known, _)| known == name) {
            Some(known) if known.1 == *value => continue,
            Some(known) => known.1.clone_from(value),
            None => after.push((name.clone(), value.clone())),
        }
        changed.push((name, value));
    }
    if after != wanted {
        return wanted.to_vec();
    }
    if !changed.is_empty() {
        steps.push("arg", Yaml::pairs(changed), Notes { line, ..Notes::default() });
    }
    steps.args = after;
    Vec::new()
}
