//! `phoenix build`, with one store for all cases.

use std::path::PathBuf;
use std::process::Command;

use crate::base::Bases;
use crate::buildctl::findings;
use crate::case::Call;
use crate::peer::{Outcome, Peer, Said, outcome, said};
use crate::site::Site;

/// The program, and where it keeps its store.
pub(crate) struct Phoenix {
    home: tempfile::TempDir,
}

impl Phoenix {
    /// With a new store.
    pub(crate) fn new() -> Self {
        Self { home: tempfile::tempdir().expect("a temporary directory") }
    }

    /// One of its commands.
    pub(crate) fn start(&self, name: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_phoenix"));
        command.env_clear().env("HOME", self.home.path());
        command.env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command.arg("--store").arg(self.store()).arg(name);
        command
    }

    /// Gives a command the bases under their names.
    pub(crate) fn bases(bases: &Bases, command: &mut Command) {
        for base in &bases.all {
            let layout = base.layout.display();
            command.arg(format!("--build-context={}=oci-layout://{layout}", base.name));
        }
    }

    /// Where the image of a case is written to.
    pub(crate) fn archive(site: &Site<'_>) -> PathBuf {
        site.path("phoenix.tar")
    }

    fn command(&self, site: &Site<'_>, bases: &Bases) -> Command {
        let mut command = self.start("build");
        command.arg("--progress=plain");
        Self::bases(bases, &mut command);
        for (flag, value) in &site.case.flags {
            command.arg(flag);
            if !value.is_empty() {
                command.arg(site.named(value));
            }
        }
        command
    }

    fn store(&self) -> PathBuf {
        self.home.path().join("store")
    }
}

impl Peer for Phoenix {
    fn version(&self) -> String {
        "phoenix".to_owned()
    }

    fn build(&self, site: &Site<'_>, bases: &Bases) -> Outcome {
        let mut command = self.command(site, bases);
        if let Some(call) = site.case.call {
            let said = said(command.args(["--call", call.name(), "ctx"]), site);
            // What a check finds may make it fail; only an error has no answer.
            if !said.success && said.stdout.is_empty() {
                return outcome(&said, &site.path(""), site, bases, error);
            }
            let text = site.unnamed(&said.stdout);
            let text = if call == Call::Check { findings(&text) } else { text };
            return Outcome::from([(call.name().to_owned(), text)]);
        }
        let archive = Self::archive(site);
        command.arg(format!("--output=type=oci,dest={}", archive.display())).arg("ctx");
        let said = said(&mut command, site);
        outcome(&said, &archive, site, bases, error)
    }
}

/// All that was said; the place is looked for in it.
fn error(said: &Said) -> String {
    format!("{}{}", said.stdout, said.stderr)
}
