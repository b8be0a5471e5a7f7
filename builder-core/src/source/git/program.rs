//! The `git` program with nothing of its surroundings.
//!
//! In: a remote, and what the caller knows of this host. Out: what git says. No
//! configuration counts, neither git's nor ssh's, no file of a key, and no agent but
//! the one that is given: who writes a Dockerfile must not ask with the keys of who
//! builds it.
//!
//! Limitation: git knows no patience for `git:` and `file:`; there only a cancel ends
//! the wait for a server that says nothing.

use std::path::Path;
use std::process::Command;

use super::auth::{self, Variable};
use super::running::{Ended, Running};
use super::{GitError, Settings};
use crate::cancel::Cancel;
use crate::plan::op::Git;
use crate::source::http::shown_url;
use crate::store::{Store, WorkDir};

/// How a shell runs ssh: it asks nobody anything, and does not wait for ever. It uses
/// the keys of the agent that it is told and no others. A host that the user knows must
/// be the one it was; another one is taken as it is, as BuildKit does, and forgotten
/// afterwards.
const SSH: &str = "ssh -F /dev/null -o BatchMode=yes -o IdentityFile=none -o IdentitiesOnly=no \
    -o ForwardAgent=no -o ConnectTimeout=30 -o ServerAliveInterval=15 -o ServerAliveCountMax=4 \
    -o StrictHostKeyChecking=accept-new \
    -o \"UserKnownHostsFile=\\\"$HOME/known_hosts\\\" ~/.ssh/known_hosts\"";
/// A server behind http has no more time than this, in seconds, to say not even one byte
/// a second. It says that it is still there every five seconds while it packs.
const LOW_SPEED_TIME: &str = "http.lowSpeedTime=120";
const LOW_SPEED_LIMIT: &str = "http.lowSpeedLimit=1";
/// Where programs are looked for.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// What it always adds where a connection fails, and what tells nobody why.
const ADVICE: [&str; 3] = [
    "fatal: Could not read from remote repository.",
    "Please make sure you have the correct access rights",
    "and the repository exists.",
];

pub(super) struct Program<'a> {
    work: WorkDir,
    remote: String,
    is_local: bool,
    url: String,
    auth: Vec<Variable>,
    settings: Settings<'a>,
    cancel: Cancel,
}

impl<'a> Program<'a> {
    pub(super) fn new(store: &Store, git: &Git, settings: Settings<'a>) -> Result<Self, GitError> {
        let is_local = git.remote.starts_with("file://") || git.remote.starts_with('/');
        let remote = shown_url(&git.remote);
        let url = auth::anonymous(&git.remote);
        let auth = auth::variables(&git.remote, settings.secrets)
            .ok_or_else(|| GitError::Remote { remote: remote.clone() })?;
        let (work, cancel) = (store.work_dir()?, store.cancel().clone());
        Ok(Self { work, remote, is_local, url, auth, settings, cancel })
    }

    /// A directory of its own.
    pub(super) fn home(&self) -> &Path {
        self.work.path()
    }

    /// The remote as it may be said where others can see it.
    pub(super) fn url(&self) -> &str {
        &self.url
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
        let running = Running::start(&mut command).map_err(GitError::NoProgram)?;
        let failed = |source| GitError::Io { path: "git".into(), source };
        match running.finish(&self.cancel).map_err(failed)? {
            None => Err(GitError::Canceled),
            Some(Ended { success: true, out, err: _ }) => Ok(out),
            Some(Ended { success: false, out: _, err }) => {
                let remote = self.remote.clone();
                let said = last_words(&err, &remote);
                Err(GitError::Failed { what: what.to_owned(), remote, said })
            }
        }
    }

    fn command(&self, at: &Path) -> Command {
        let mut command = Command::new("git");
        command.current_dir(at).env_clear();
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
        command.envs(self.auth.iter().map(|(name, value)| (name, value)));
        for setting in [
            "core.hooksPath=/dev/null",
            "core.fsmonitor=false",
            "core.logAllRefUpdates=false",
            "core.autocrlf=false",
            "core.symlinks=true",
            "gc.auto=0",
            "maintenance.auto=false",
            "fetch.writeCommitGraph=false",
            LOW_SPEED_LIMIT,
            LOW_SPEED_TIME,
        ] {
            command.args(["-c", setting]);
        }
        command
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    /// What `ssh` would do, as it tells itself; `None` where there is none.
    #[expect(clippy::disallowed_methods, reason = "tests are told what may be skipped")]
    fn told() -> Option<String> {
        let output = Command::new("sh").arg("-c").arg(format!("{SSH} -G some.host")).output();
        let output = output.expect("a shell");
        if !output.status.success() {
            eprintln!("SKIPPED: no ssh");
            assert!(std::env::var_os("PHOENIX_TESTS_STRICT").is_none(), "no ssh");
            return None;
        }
        Some(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    #[test]
    fn ssh_uses_no_configuration_and_no_key_file() {
        let Some(told) = told() else { return };
        let values = |name: &str| -> Vec<&str> {
            told.lines().filter_map(|l| l.strip_prefix(name)?.strip_prefix(' ')).collect()
        };
        assert_eq!(values("identityfile"), ["none"]);
        assert_eq!(values("identitiesonly"), ["no"]);
        assert_eq!(values("forwardagent"), ["no"]);
        assert_eq!(values("batchmode"), ["yes"]);
        assert_eq!(values("stricthostkeychecking"), ["accept-new"]);
        assert_eq!(values("connecttimeout"), ["30"]);
        assert_eq!(values("proxycommand"), [""; 0]);
        assert_eq!(values("userknownhostsfile").len(), 1, "{told}");
        assert!(values("userknownhostsfile")[0].ends_with("/.ssh/known_hosts"), "{told}");
    }
}
