//! `RUN`: a process, what it is given and what history says of it.

use std::collections::HashMap;

use super::Lowering;
use super::config::in_shell;
use super::place::Place;
use super::stage::State;
use crate::digest::VertexId;
use crate::dockerfile::ast::{CommandLine, Heredoc, Run, RunNetwork, Security};
use crate::frontend::{Class, Diagnostic};
use crate::plan::op::{
    self, Command, Exec, ExecKind, FileOp, HistoryLine, Mount, MountKind, Network, Op, Source,
};

/// The argument that says how the host of commands is called.
const HOSTNAME: &str = "BUILDKIT_SANDBOX_HOSTNAME";

/// Where scripts with a `#!` line of their own are mounted, as BuildKit does.
const SCRIPTS: &str = "/dev/pipes";

/// What is executed, and a script that it needs.
struct Words {
    argv: Vec<String>,
    /// As history tells it.
    said: Vec<String>,
    /// A file's name and content.
    script: Option<(String, String)>,
    /// The first line of a script, for the step's name.
    summary: Option<String>,
}

impl Lowering<'_, '_> {
    pub(super) fn run(
        &mut self,
        at: usize,
        place: &Place<'_>,
        run: &Run,
        state: &mut State,
    ) -> Result<(), Box<Diagnostic>> {
        let words = words(run, state);
        let mut inputs = vec![state.vertex];
        let mut exec = Exec::new(Command::Argv(words.argv), ExecKind::Step);
        exec.env = state.process_env();
        exec.network = match run.network {
            RunNetwork::Default => self.options.network,
            RunNetwork::None => Network::None,
            RunNetwork::Host => Network::Host,
        };
        exec.security = match run.security {
            Security::Sandbox => op::Security::Sandbox,
            Security::Insecure if self.options.insecure => op::Security::Insecure,
            Security::Insecure => {
                let message = "RUN --security=insecure is not allowed";
                let mut wrong = place.wrong(place.instruction.span, message);
                wrong.help = Some("--allow security.insecure allows it".to_owned());
                wrong.class = Class::Unsupported;
                return Err(wrong);
            }
        };
        exec.hosts.clone_from(&self.options.hosts);
        exec.hostname = self.options.build_args.get(HOSTNAME).cloned();
        exec.shm_size = self.options.shm_size;
        exec.ulimits.clone_from(&self.options.ulimits);
        if let Some((name, content)) = words.script {
            let script = self.script(at, place, name, content);
            inputs.push(script);
            let (input, source) = (inputs.len() - 1, String::new());
            let kind = MountKind::Bind { input, source, writable: false };
            exec.mounts.push(Mount { target: SCRIPTS.to_owned(), kind });
        }
        self.mounts(at, place, run, state, &mut exec, &mut inputs)?;
        let said = format!("RUN {} # buildkit", self.said(&words.said, state));
        let mut meta = self.told(at, place, said);
        if let Some(summary) = words.summary {
            meta.name = format!("{} ({summary})", meta.name);
        }
        state.vertex = self.builder.add(Op::Exec(exec), &inputs, meta);
        Ok(())
    }

    /// The command with the arguments that are declared above it.
    fn said(&self, command: &[String], state: &State) -> String {
        let (mut seen, mut places) = (Vec::<(&str, &str)>::new(), HashMap::<&str, usize>::new());
        for (name, value) in &state.args {
            let value = state.env.value(name).or(value.as_deref()).unwrap_or_default();
            match places.get(name.as_str()) {
                Some(&at) => seen[at].1 = value,
                None => {
                    places.insert(name, seen.len());
                    seen.push((name, value));
                }
            }
        }
        let mut words = Vec::new();
        if !seen.is_empty() {
            words.push(format!("|{}", seen.len()));
            words.extend(seen.into_iter().map(|(name, value)| format!("{name}={value}")));
        }
        words.extend(command.iter().cloned());
        words.join(" ")
    }

    /// A root that holds one executable file.
    fn script(&mut self, at: usize, place: &Place<'_>, path: String, content: String) -> VertexId {
        let mut meta = self.told(at, place, String::new());
        meta.history = HistoryLine::Nothing;
        meta.name = format!("script of {}", meta.name);
        let scratch = self.builder.add(Op::Source(Source::Scratch), &[], meta.clone());
        let (content, mode) = (content.into_bytes(), Some(0o755));
        let write = FileOp::Write { path: format!("/{path}"), content, owner: None, mode };
        self.builder.add(Op::File(write), &[scratch], meta)
    }
}

fn words(run: &Run, state: &State) -> Words {
    let text = match &run.command {
        CommandLine::Exec(argv) => {
            let argv = argv.clone();
            return Words { said: argv.clone(), argv, script: None, summary: None };
        }
        CommandLine::Shell(text) => text,
    };
    let shell = |text: &str, summary| {
        let argv = in_shell(text, state);
        Words { said: argv.clone(), argv, script: None, summary }
    };
    match &run.heredocs[..] {
        [] => shell(text, None),
        // All that there is to the command is the text.
        [heredoc, ..] if is_heredoc(text) => {
            let content = heredoc.chomped();
            let summary = Some(summary(&heredoc.content));
            if !content.starts_with("#!") {
                return shell(&content, summary);
            }
            let path = format!("{SCRIPTS}/{}", heredoc.name);
            // BuildKit gives the path to the shell.
            let argv = in_shell(&path, state);
            let script = Some((heredoc.name.clone(), content));
            Words { said: argv.clone(), argv, script, summary }
        }
        heredocs => shell(&whole(text, heredocs), None),
    }
}

/// Whether a command is one `<<NAME` and nothing else.
fn is_heredoc(text: &str) -> bool {
    let rest = text.trim().trim_start_matches(|c: char| c.is_ascii_digit());
    let Some(name) = rest.strip_prefix("<<") else { return false };
    let name = name.strip_prefix('-').unwrap_or(name);
    let mut quote = None;
    let one_word = name.chars().all(|c| match (quote, c) {
        (None, '"' | '\'') => {
            quote = Some(c);
            true
        }
        (Some(open), c) if open == c => {
            quote = None;
            true
        }
        (None, c) => !c.is_whitespace() && c != '<',
        (Some(_), c) => c != '<',
    });
    one_word && quote.is_none() && !name.is_empty()
}

/// The command and its texts again, as a shell reads them.
fn whole(text: &str, heredocs: &[Heredoc]) -> String {
    let mut whole = text.to_owned();
    for heredoc in heredocs {
        whole.push('\n');
        whole.push_str(&heredoc.content);
        whole.push_str(&heredoc.name);
    }
    whole
}

fn summary(content: &str) -> String {
    let mut lines = content.trim().lines();
    let first = lines.next().unwrap_or_default().to_owned();
    if lines.next().is_some() { format!("{first}...") } else { first }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_that_is_one_heredoc_is_told_from_one_that_reads_some() {
        for text in ["<<EOF", "<<-EOF", " <<EOF ", "3<<EOF", "<<\"E O F\"", "<<'EOF'"] {
            assert!(is_heredoc(text), "{text}");
        }
        for text in ["cat <<EOF", "<<EOF cat", "<<A <<B", "<<", "<<EOF > x", "<<'EOF"] {
            assert!(!is_heredoc(text), "{text}");
        }
    }

    #[test]
    fn a_summary_is_the_first_line() {
        assert_eq!(summary("\n  one\ntwo\n"), "one...");
        assert_eq!(summary("one\n"), "one");
        assert_eq!(summary(""), "");
    }
}
