//! Instructions that change the config only, and the arguments and variables
//! of a stage.

use super::Lowering;
use super::golang::{duration, list, quoted_list};
use super::place::Place;
use super::stage::State;
use crate::dockerfile::ast::{Arg, CommandLine, Healthcheck, InstructionKind, Pair, Word};
use crate::dockerfile::expose::ports;
use crate::frontend::Diagnostic;
pub(super) use crate::pattern::absolute;
use crate::plan::is_signal;
use crate::plan::op::{self, Applies, ConfigPatch, FileOp, HistoryLine, Op};

/// What a shell form runs in where nothing else is said.
const SHELL: [&str; 2] = ["/bin/sh", "-c"];

/// Arguments that never become variables of commands: settings of the builder.
const SETTINGS: [&str; 2] = ["BUILDKIT_SBOM_SCAN_CONTEXT", "BUILDKIT_SBOM_SCAN_STAGE"];

/// How many ports a whole file may name: each of TCP's, UDP's and SCTP's some
/// times over.
const MAX_PORTS: usize = 1_000_000;

type Lowered = Result<(), Box<Diagnostic>>;

impl Lowering<'_, '_> {
    pub(super) fn config(
        &mut self,
        at: usize,
        place: &Place<'_>,
        kind: &InstructionKind,
        state: &mut State,
    ) -> Lowered {
        let (patch, said) = match kind {
            InstructionKind::Cmd(command) => {
                self.checks.command(place.checked(), "CMD", command, state.shell.is_none());
                let argv = argv(command, state);
                state.cmd = Some(argv.clone());
                let said = format!("CMD {}", quoted_list(&argv));
                (ConfigPatch { cmd: Some(argv), ..ConfigPatch::default() }, said)
            }
            InstructionKind::Entrypoint(command) => {
                self.checks.command(place.checked(), "ENTRYPOINT", command, state.shell.is_none());
                let argv = argv(command, state);
                let said = format!("ENTRYPOINT {}", quoted_list(&argv));
                let (entrypoint, cmd) = (Some(argv), state.cmd.clone());
                (ConfigPatch { entrypoint, cmd, ..ConfigPatch::default() }, said)
            }
            InstructionKind::Expose(words) => self.expose(place, words, state)?,
            InstructionKind::Healthcheck(check) => healthcheck(check),
            InstructionKind::Maintainer(author) => {
                let author = author.value.clone();
                let said = format!("MAINTAINER {author}");
                (ConfigPatch { author: Some(author), ..ConfigPatch::default() }, said)
            }
            InstructionKind::Onbuild(trigger) => {
                state.onbuild.push(trigger.value.clone());
                self.onbuild(at, place, state);
                return Ok(());
            }
            InstructionKind::Shell(shell) => {
                state.shell = Some(shell.clone()).filter(|shell| !shell.is_empty());
                let said = format!("SHELL {}", list(shell));
                (ConfigPatch { shell: Some(shell.clone()), ..ConfigPatch::default() }, said)
            }
            InstructionKind::Stopsignal(word) => {
                let signal = self.word(place, word, state)?;
                if !is_signal(&signal) {
                    return Err(place.wrong(word.span, format!("invalid signal: {signal}")));
                }
                let said = format!("STOPSIGNAL {signal}");
                (ConfigPatch { stop_signal: Some(signal), ..ConfigPatch::default() }, said)
            }
            InstructionKind::User(word) => {
                let user = self.word(place, word, state)?;
                state.user = Some(user.clone()).filter(|user| !user.is_empty());
                let said = format!("USER {user}");
                (ConfigPatch { user: Some(user), ..ConfigPatch::default() }, said)
            }
            InstructionKind::Volume(words) => {
                let mut volumes = Vec::with_capacity(words.len());
                for word in words {
                    let volume = self.word(place, word, state)?;
                    if volume.is_empty() {
                        let message = "VOLUME specified can not be an empty string";
                        return Err(place.wrong(word.span, message));
                    }
                    volumes.push(volume);
                }
                let said = format!("VOLUME {}", list(&volumes));
                (ConfigPatch { volumes, ..ConfigPatch::default() }, said)
            }
            InstructionKind::Run(_)
            | InstructionKind::Copy(_)
            | InstructionKind::Add(_)
            | InstructionKind::Workdir(_)
            | InstructionKind::Arg(_)
            | InstructionKind::Env(_)
            | InstructionKind::Label(_) => return Ok(()), // carried out elsewhere
        };
        self.patch(at, place, patch, said, state);
        Ok(())
    }

    /// Triggers have no line of history.
    fn onbuild(&mut self, at: usize, place: &Place<'_>, state: &mut State) {
        let mut meta = self.told(at, place, String::new());
        meta.history = HistoryLine::Nothing;
        let onbuild = Some(state.onbuild.clone());
        let patch = ConfigPatch { onbuild, ..ConfigPatch::default() };
        state.vertex = self.builder.add(Op::Config(patch), &[state.vertex], meta);
    }

    fn expose(
        &mut self,
        place: &Place<'_>,
        words: &[Word],
        state: &State,
    ) -> Result<(ConfigPatch, String), Box<Diagnostic>> {
        let mut expose = Vec::new();
        for word in words {
            let split = self.expander().words(&word.value, &state.env).map(|split| split.words);
            for text in split.map_err(|error| place.expand(word.span, &error))? {
                let found = ports(&text);
                let found = found.map_err(|error| place.wrong(word.span, error.to_string()))?;
                self.checks.port(place.checked(), &text, &found);
                self.ports += usize::from(found.last - found.first) + 1;
                if self.ports > MAX_PORTS {
                    let message = format!("more than {MAX_PORTS} ports are exposed");
                    return Err(place.wrong(word.span, message));
                }
                expose.extend(found.names());
            }
        }
        let said = format!("EXPOSE {}", list(&expose));
        Ok((ConfigPatch { expose, ..ConfigPatch::default() }, said))
    }

    pub(super) fn env(
        &mut self,
        at: usize,
        place: &Place<'_>,
        pairs: &[Pair],
        state: &mut State,
    ) -> Lowered {
        // All are expanded by what was set before the instruction.
        let env = self.pairs(place, "ENV", pairs, state)?;
        for (name, value) in &env {
            self.checks.secret_name(place.checked(), "ENV", name);
            state.env.set(name, value);
            state.config_env.set(name, value);
        }
        let said = joined("ENV", &env);
        self.patch(at, place, ConfigPatch { env, ..ConfigPatch::default() }, said, state);
        Ok(())
    }

    pub(super) fn label(
        &mut self,
        at: usize,
        place: &Place<'_>,
        pairs: &[Pair],
        state: &mut State,
    ) -> Lowered {
        let labels = self.pairs(place, "LABEL", pairs, state)?;
        let said = joined("LABEL", &labels);
        let labels = labels.into_iter().collect();
        self.patch(at, place, ConfigPatch { labels, ..ConfigPatch::default() }, said, state);
        Ok(())
    }

    fn pairs(
        &mut self,
        place: &Place<'_>,
        keyword: &str,
        pairs: &[Pair],
        state: &State,
    ) -> Result<Vec<(String, String)>, Box<Diagnostic>> {
        let mut all = Vec::with_capacity(pairs.len());
        for Pair { key, value, legacy } in pairs {
            if *legacy {
                self.checks.legacy_pair(place.checked(), keyword);
            }
            let name = self.word(place, key, state)?;
            all.push((name, self.word(place, value, state)?));
        }
        Ok(all)
    }

    pub(super) fn arg(
        &mut self,
        at: usize,
        place: &Place<'_>,
        args: &[Arg],
        state: &mut State,
    ) -> Lowered {
        let mut said = Vec::with_capacity(args.len());
        for Arg { name, value: default, description: _ } in args {
            let name = &name.value;
            self.checks.secret_name(place.checked(), "ARG", name);
            let given = self.options.build_args.get(name).cloned();
            let value = match (given, default) {
                (Some(given), _) => Some(given),
                (None, Some(default)) => Some(self.word(place, default, state)?),
                (None, None) => self.globals.value(name).map(str::to_owned),
            };
            if let Some(value) = &value
                && !SETTINGS.contains(&name.as_str())
            {
                state.env.set(name, value);
            }
            said.push(match &value {
                Some(value) => format!("{name}={value}"),
                None => name.clone(),
            });
            state.args.push((name.clone(), value));
        }
        let said = format!("ARG {}", said.join(" "));
        self.patch(at, place, ConfigPatch::default(), said, state);
        Ok(())
    }

    pub(super) fn workdir(
        &mut self,
        at: usize,
        place: &Place<'_>,
        word: &Word,
        state: &mut State,
    ) -> Lowered {
        let path = self.word(place, word, state)?;
        self.checks.workdir(place.checked(), &path, state.workdir_is_set);
        state.workdir_is_set = true;
        // History tells an absolute path as it was typed.
        let said =
            if path.starts_with('/') { path.clone() } else { absolute(state.workdir(), &path) };
        let said = format!("WORKDIR {said}");
        let path = absolute(state.workdir(), &path);
        let patch = ConfigPatch { workdir: Some(path.clone()), ..ConfigPatch::default() };
        state.workdir = Some(path.clone());
        if said == "WORKDIR /" {
            self.patch(at, place, patch, said, state);
            return Ok(());
        }
        let (owner, mode) = (state.user.clone(), Some(0o755));
        let mkdir = FileOp::Mkdir { path, owner, mode, applies: Applies::Made };
        let meta = self.told(at, place, said);
        let mut quiet = meta.clone();
        quiet.history = HistoryLine::Nothing;
        let made = self.builder.add(Op::File(mkdir), &[state.vertex], meta);
        state.vertex = self.builder.add(Op::Config(patch), &[made], quiet);
        Ok(())
    }
}

/// The words of a command, in the stage's shell where it is for one.
pub(super) fn argv(command: &CommandLine, state: &State) -> Vec<String> {
    match command {
        CommandLine::Exec(argv) => argv.clone(),
        CommandLine::Shell(text) => in_shell(text, state),
    }
}

pub(super) fn in_shell(text: &str, state: &State) -> Vec<String> {
    let mut argv = state.shell.clone().unwrap_or_else(|| SHELL.map(str::to_owned).to_vec());
    argv.push(text.to_owned());
    argv
}

fn joined(keyword: &str, pairs: &[(String, String)]) -> String {
    let pairs = pairs.iter().map(|(name, value)| format!(" {name}={value}"));
    format!("{keyword}{}", pairs.collect::<String>())
}

fn healthcheck(check: &Healthcheck) -> (ConfigPatch, String) {
    let nanos = |duration: &Option<std::time::Duration>| {
        duration.map(|duration| u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX))
    };
    let check = match check {
        Healthcheck::None => op::Healthcheck {
            test: vec!["NONE".to_owned()],
            interval: None,
            timeout: None,
            start_period: None,
            start_interval: None,
            retries: None,
        },
        Healthcheck::Check {
            command,
            interval,
            timeout,
            start_period,
            start_interval,
            retries,
        } => op::Healthcheck {
            test: match command {
                CommandLine::Shell(text) => vec!["CMD-SHELL".to_owned(), text.clone()],
                CommandLine::Exec(argv) => {
                    std::iter::once("CMD".to_owned()).chain(argv.iter().cloned()).collect()
                }
            },
            interval: nanos(interval),
            timeout: nanos(timeout),
            start_period: nanos(start_period),
            start_interval: nanos(start_interval),
            retries: *retries,
        },
    };
    let said = format!(
        "HEALTHCHECK {{Test:{} Interval:{} Timeout:{} StartPeriod:{} StartInterval:{} Retries:{}}}",
        list(&check.test),
        duration(check.interval.unwrap_or(0)),
        duration(check.timeout.unwrap_or(0)),
        duration(check.start_period.unwrap_or(0)),
        duration(check.start_interval.unwrap_or(0)),
        check.retries.unwrap_or(0),
    );
    (ConfigPatch { healthcheck: Some(check), ..ConfigPatch::default() }, said)
}
