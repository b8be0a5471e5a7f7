//! `config` of a stage: what its instructions set that no step need see.

use std::collections::BTreeMap;

use super::fold::fold;
use super::stage::owner;
use super::yaml::{Entry, Notes, Yaml, entry};
use crate::plan::op::{ConfigPatch, Healthcheck};

/// Changes of a config, one after the other.
#[derive(Default)]
pub(super) struct Config {
    patch: ConfigPatch,
    /// By the key that they stand at.
    notes: BTreeMap<&'static str, Notes>,
}

impl Config {
    pub(super) fn add(&mut self, patch: &ConfigPatch, notes: Notes) {
        self.patch = fold(&self.patch, patch);
        let key = keys(patch).into_iter().next();
        if let Some(key) = key {
            self.notes.entry(key).or_default().join(notes);
        }
    }

    /// A step sets another one.
    pub(super) fn unset_workdir(&mut self) {
        self.patch.workdir = None;
    }

    /// The entries of `config`; none where nothing is set.
    pub(super) fn entries(mut self) -> Result<Vec<Entry>, String> {
        let mut entries = Vec::new();
        let patch = &self.patch;
        for key in keys(patch) {
            let value = match key {
                "entrypoint" => list(patch.entrypoint.as_ref()),
                "cmd" => list(patch.cmd.as_ref()),
                "env" => Yaml::pairs(patch.env.iter().map(|(name, value)| (name, value))),
                "labels" => Yaml::pairs(&patch.labels),
                "expose" => Yaml::one_or_more(&patch.expose),
                "volumes" => Yaml::one_or_more(&patch.volumes),
                "user" => owner(patch.user.as_deref().unwrap_or_default()),
                "workdir" => text(patch.workdir.as_ref()),
                "stop_signal" => owner(patch.stop_signal.as_deref().unwrap_or_default()),
                "healthcheck" => match &patch.healthcheck {
                    Some(check) => healthcheck(check)?,
                    None => continue,
                },
                "shell" => list(patch.shell.as_ref()),
                "onbuild" => list(patch.onbuild.as_ref()),
                "author" => text(patch.author.as_ref()),
                _ => text(patch.platform.as_ref().map(ToString::to_string).as_ref()),
            };
            let notes = self.notes.remove(key).unwrap_or_default();
            entries.push(Entry { notes, ..entry(key, value) });
        }
        Ok(entries)
    }
}

/// The keys of what is set, in the order in which they are written.
fn keys(patch: &ConfigPatch) -> Vec<&'static str> {
    let ConfigPatch {
        entrypoint,
        cmd,
        env,
        labels,
        expose,
        volumes,
        user,
        workdir,
        stop_signal,
        healthcheck,
        shell,
        onbuild,
        author,
        platform,
    } = patch;
    let all = [
        ("entrypoint", entrypoint.is_some()),
        ("cmd", cmd.is_some()),
        ("env", !env.is_empty()),
        ("labels", !labels.is_empty()),
        ("expose", !expose.is_empty()),
        ("volumes", !volumes.is_empty()),
        ("user", user.is_some()),
        ("workdir", workdir.is_some()),
        ("stop_signal", stop_signal.is_some()),
        ("healthcheck", healthcheck.is_some()),
        ("shell", shell.is_some()),
        ("onbuild", onbuild.is_some()),
        ("author", author.is_some()),
        ("platform", platform.is_some()),
    ];
    all.into_iter().filter(|(_, is_set)| *is_set).map(|(key, _)| key).collect()
}

fn list(list: Option<&Vec<String>>) -> Yaml {
    Yaml::texts(list.into_iter().flatten())
}

fn text(text: Option<&String>) -> Yaml {
    Yaml::text(text.map_or("", String::as_str))
}

fn healthcheck(check: &Healthcheck) -> Result<Yaml, String> {
    let Healthcheck { test, interval, timeout, start_period, start_interval, retries } = check;
    let test = match &test[..] {
        [none] if none == "NONE" => return Ok(Yaml::Plain("false".to_owned())),
        [shell, script] if shell == "CMD-SHELL" => Yaml::text(script),
        [cmd, argv @ ..] if cmd == "CMD" => Yaml::texts(argv),
        _ => return Err("a recipe cannot say this health check".to_owned()),
    };
    let mut entries = vec![entry("test", test)];
    let times = [
        ("interval", interval),
        ("timeout", timeout),
        ("start_period", start_period),
        ("start_interval", start_interval),
    ];
    for (key, nanos) in times {
        if let Some(nanos) = nanos {
            entries.push(entry(key, Yaml::Plain(duration(*nanos))));
        }
    }
    entries.extend(retries.map(|retries| entry("retries", Yaml::number(retries))));
    let alone = entries.len() == 1;
    let first = entries.first().map(|entry| entry.value.clone());
    Ok(first.filter(|_| alone).unwrap_or(Yaml::Map(entries)))
}

/// `1h30m`.
fn duration(nanos: u64) -> String {
    let units = [
        ("h", 3_600_000_000_000),
        ("m", 60_000_000_000),
        ("s", 1_000_000_000),
        ("ms", 1_000_000),
        ("us", 1_000),
        ("ns", 1),
    ];
    let mut rest = nanos;
    let mut text = String::new();
    for (unit, length) in units {
        if rest >= length {
            text.push_str(&format!("{}{unit}", rest / length));
            rest %= length;
        }
    }
    if text.is_empty() { "0s".to_owned() } else { text }
}
