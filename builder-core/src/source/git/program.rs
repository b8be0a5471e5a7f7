//! The `git` program with nothing of its surroundings.

use std::io::{self, Read as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread::JoinHandle;
use std::time::Duration;

use super::auth::{self, Setting};
use super::{GitError, Settings};
use crate::cancel::Cancel;
use crate::plan::op::Git;
use crate::source::http::shown_url;
use crate::store::{Store, WorkDir};

/// How a shell runs ssh: it asks nobody anything. A host that the user knows must be the
/// one it was; another one is taken as it is, as BuildKit does, and forgotten afterwards.
const SSH: &str = "ssh -o BatchMode=yes -o StrictHostKeyChecking=accept-new \
    -o \"UserKnownHostsFile=\\\"$HOME/known_hosts\\\" ~/.ssh/known_hosts\"";
/// Where programs are looked for.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// What it always adds where a connection fails, and what tells nobody why.
const ADVICE: [&str; 3] = [
    "fatal: Could not read from remote repository.",
    "Please make sure you have the correct access rights",
    "and the repository exists.",
];
/// The most bytes that are kept of what it says.
const MAX_SAID: u64 = 16 << 20;
/// How often it is looked whether it has ended.
const PAUSE: Duration = Duration::from_millis(5);

pub(super) struct Program<'a> {
    work: WorkDir,
    remote: String,
    is_local: bool,
    auth: Option<Setting>,
    settings: Settings<'a>,
    cancel: Cancel,
}

impl<'a> Program<'a> {
    pub(super) fn new(store: &Store, git: &Git, settings: Settings<'a>) -> Result<Self, GitError> {
        let is_local = git.remote.starts_with("file://") || git.remote.starts_with('/');
        let remote = shown_url(&git.remote);
        let auth = auth::setting(&git.remote, settings.secrets);
        let (work, cancel) = (store.work_dir()?, store.cancel().clone());
        Ok(Self { work, remote, is_local, auth, settings, cancel })
    }

    /// A directory of its own.
    pub(super) fn home(&self) -> &Path {
        self.work.path()
    }

    /// Runs it in `at`, and gives what it says on standard output.
    pub(super) fn run(
        &self,
        at: Option<&Path>,
        what: &str,
        arguments: &[&str],
    ) -> Result<String, GitError> {
        let mut command = self.command(at.unwrap_or_else(|| self.home()));
        command.arg(what).args(arguments);
        let mut child = command.spawn().map_err(GitError::NoProgram)?;
        let out = child.stdout.take().map(collected);
        let err = child.stderr.take().map(collected);
        let status = self.wait(&mut child);
        let said = |thread: Option<JoinHandle<Vec<u8>>>| {
            let bytes = thread.and_then(|thread| thread.join().ok()).unwrap_or_default();
            String::from_utf8_lossy(&bytes).into_owned()
        };
        let (out, err) = (said(out), said(err));
        match status? {
            true => Ok(out),
            false => {
                let remote = self.remote.clone();
                let said = last_words(&err, &remote);
                Err(GitError::Failed { what: what.to_owned(), remote, said })
            }
        }
    }

    fn wait(&self, child: &mut Child) -> Result<bool, GitError> {
        let failed = |source| GitError::Io { path: "git".into(), source };
        loop {
            if let Some(status) = child.try_wait().map_err(failed)? {
                return Ok(status.success());
            }
            if self.cancel.wait(PAUSE) {
                let _ = child.kill();
                let _ = child.wait();
                return Err(GitError::Canceled);
            }
        }
    }

    fn command(&self, at: &Path) -> Command {
        let mut command = Command::new("git");
        command.current_dir(at).env_clear();
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let fixed = [
            ("PATH", PATH),
            ("LC_ALL", "C"),
            ("GIT_CONFIG_NOSYSTEM", "1"),
            ("GIT_CONFIG_GLOBAL", "/dev/null"),
            ("GIT_TERMINAL_PROMPT", "0"),
            ("GIT_ASKPASS", "/bin/false"),
            ("GIT_SSH_COMMAND", SSH),
            ("GIT_ADVICE", "0"),
            // A submodule of a foreign repository must not name files of this host.
            (
                "GIT_ALLOW_PROTOCOL",
                if self.is_local { "https:http:ssh:git:file" } else { "https:http:ssh:git" },
            ),
        ];
        command.envs(fixed).env("HOME", self.home());
        command.envs(self.settings.proxies.iter().map(|(name, value)| (name, value)));
        if let Some(agent) = self.settings.agent {
            command.env("SSH_AUTH_SOCK", agent);
        }
        if let Some(Setting { key, value }) = &self.auth {
            command.env("GIT_CONFIG_COUNT", "1");
            command.env("GIT_CONFIG_KEY_0", key).env("GIT_CONFIG_VALUE_0", value);
        }
        for setting in [
            "core.hooksPath=/dev/null",
            "core.fsmonitor=false",
            "core.logAllRefUpdates=false",
            "core.autocrlf=false",
            "core.symlinks=true",
            "gc.auto=0",
            "maintenance.auto=false",
            "fetch.writeCommitGraph=false",
        ] {
            command.args(["-c", setting]);
        }
        command
    }
}

/// Reads all of a stream on a thread of its own.
fn collected(stream: impl io::Read + Send + 'static) -> JoinHandle<Vec<u8>> {
    std::thread::spawn(move || {
        let (mut stream, mut bytes) = (stream, Vec::new());
        let _ = stream.by_ref().take(MAX_SAID).read_to_end(&mut bytes);
        // What is beyond that must not make it wait.
        let _ = io::copy(&mut stream, &mut io::sink());
        bytes
    })
}

/// The last lines of what it said, without the credentials of a URL.
fn last_words(said: &str, remote: &str) -> String {
    let tells = |line: &&str| {
        let line = line.trim();
        !line.is_empty() && !ADVICE.contains(&line)
    };
    let lines: Vec<&str> = said.lines().filter(tells).collect();
    let from = lines.len().saturating_sub(3);
    let text = lines[from..].join("; ");
    let shown = text.split(' ').map(|word| match word.contains("://") {
        true => {
            let quote = if word.starts_with('\'') { "'" } else { "" };
            let inner = word.trim_matches(|c| "':;.,".contains(c));
            format!("{quote}{}{quote}", shown_url(inner))
        }
        false => word.to_owned(),
    });
    let text = shown.collect::<Vec<_>>().join(" ");
    if text.is_empty() { format!("it said nothing about {remote}") } else { text }
}
