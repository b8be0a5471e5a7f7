//! A `BuildKit` daemon that runs somewhere, through `buildctl`: what
//! expectations are recorded from. Flags of `docker build` become its options.

use std::path::Path;
use std::process::Command;

use crate::base::Bases;
use crate::case::Call;
use crate::peer::{Outcome, Peer, Said, outcome, said};
use crate::site::Site;

/// A daemon.
pub(crate) struct Buildctl {
    address: String,
    version: String,
}

impl Buildctl {
    /// The daemon at an address like `unix:///run/buildkit/buildkitd.sock`.
    pub(crate) fn at(address: &str) -> Self {
        let mut info = Command::new("buildctl");
        info.args(["--addr", address, "debug", "info"]);
        let info = crate::support::tools::success(&mut info);
        let version = info.lines().find_map(|line| line.strip_prefix("BuildKit:"));
        let version = version.and_then(|line| line.split_whitespace().nth(1));
        let version = format!("buildkit {}", version.expect("it tells its version"));
        Self { address: address.to_owned(), version }
    }

    fn command(&self, site: &Site<'_>, bases: &Bases) -> Command {
        let mut command = Command::new("buildctl");
        command.args(["--addr", &self.address, "build", "--progress=plain"]);
        command.args(["--frontend=dockerfile.v0", "--local=context=ctx"]);
        let mut option = |text: String| {
            command.arg("--opt").arg(text);
        };
        for base in &bases.all {
            option(format!("context:{0}=oci-layout://{0}@{1}", base.name, base.digest));
        }
        // A syntax directive would be fetched: this is how a frontend knows that it is the one.
        option("cmdline=dockerfile.v0".to_owned());
        let mut dockerfile = ("ctx".to_owned(), "Dockerfile".to_owned());
        let mut plain = Vec::new();
        for (flag, value) in &site.case.flags {
            let value = site.named(value);
            match flag.as_str() {
                "--build-arg" => option(format!("build-arg:{}", with_value(site, &value))),
                "--label" => option(format!("label:{value}")),
                "--target" => option(format!("target={value}")),
                "--platform" => option(format!("platform={value}")),
                "--add-host" => option(format!("add-hosts={}", value.replacen(':', "=", 1))),
                "--shm-size" => option(format!("shm-size={value}")),
                "--ulimit" => option(format!("ulimit={value}")),
                "--network" => option(format!("force-network-mode={value}")),
                "--no-cache-filter" => option(format!("no-cache={value}")),
                "--build-context" => {
                    let (name, dir) = value.split_once('=').expect("NAME=DIR");
                    option(format!("context:{name}=local:{name}"));
                    plain.push(format!("--local={name}={dir}"));
                }
                "-f" => {
                    let (dir, file) = value.rsplit_once('/').unwrap_or((".", &value));
                    dockerfile = (dir.to_owned(), file.to_owned());
                }
                "--no-cache" => plain.push(flag.clone()),
                "--secret" | "--ssh" => plain.push(format!("{flag}={value}")),
                _ => panic!("{}: {flag} has no counterpart", site.case.name),
            }
        }
        option(format!("filename={}", dockerfile.1));
        plain.push(format!("--local=dockerfile={}", dockerfile.0));
        for base in &bases.all {
            plain.push(format!("--oci-layout={}={}", base.name, base.layout.display()));
        }
        command.args(plain);
        command
    }
}

/// `NAME=VALUE`, the value from the environment where only a name is given.
fn with_value(site: &Site<'_>, text: &str) -> String {
    let given = site.case.env.iter().find(|(name, _)| name == text);
    given.map_or_else(|| text.to_owned(), |(name, value)| format!("{name}={value}"))
}

impl Peer for Buildctl {
    fn version(&self) -> String {
        self.version.clone()
    }

    fn build(&self, site: &Site<'_>, bases: &Bases) -> Outcome {
        let mut command = self.command(site, bases);
        let archive = site.path("image.tar");
        if let Some(call) = site.case.call {
            let request = if call == Call::Check { "lint" } else { call.name() };
            command.args(["--opt", &format!("requestid=frontend.{request}")]);
            let said = said(&mut command, site);
            return answer(call, &said, site, bases);
        }
        command.arg(format!("--output=type=oci,dest={}", archive.display()));
        let said = said(&mut command, site);
        outcome(&said, &archive, site, bases, error)
    }
}

fn answer(call: Call, said: &Said, site: &Site<'_>, bases: &Bases) -> Outcome {
    if !said.success {
        return outcome(said, Path::new(""), site, bases, error);
    }
    let text = site.unnamed(&said.stdout);
    let text = if call == Call::Check { findings(&text) } else { text };
    Outcome::from([(call.name().to_owned(), text)])
}

/// The findings of a check in one line each: rule, line, what is said.
pub(crate) fn findings(text: &str) -> String {
    let mut found = Vec::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        let Some(rule) = line.strip_prefix("WARNING: ") else { continue };
        let rule = rule.split(" - ").next().unwrap_or(rule);
        let detail = lines.next().unwrap_or_default();
        let place = lines.next().unwrap_or_default();
        let at = place.rsplit_once(':').map_or("", |(_, line)| line);
        found.push(format!("{at} {rule}: {detail}\n"));
    }
    found.concat()
}

/// `line N` where the peer points into the Dockerfile, then what it says.
pub(crate) fn error(said: &Said) -> String {
    let lines: Vec<&str> = said.stderr.lines().collect();
    let at = lines.iter().find_map(|line| {
        let (number, rest) = line.trim_start().split_once(" | ")?;
        rest.starts_with(">>>").then(|| number.trim().to_owned())
    });
    let says = lines.iter().rposition(|line| line.contains("failed to solve"));
    let says = says.map_or(lines.as_slice(), |at| &lines[at..]).join("\n");
    let (_, says) = says.split_once("failed to solve: ").unwrap_or(("", &says));
    let says = says.trim_start_matches("rpc error: code = Unknown desc = ");
    let says = says.split(' ').map(lasting).collect::<Vec<_>>().join(" ");
    let at = at.map(|at| format!("line {at}\n")).unwrap_or_default();
    format!("{at}{says}\n")
}

/// A word of an error without what is of one run: ids, and where a daemon mounts.
fn lasting(word: &str) -> String {
    if let Some((_, path)) = word.split_once("/cachemounts/buildkit") {
        return format!("{{{{MOUNT}}}}{}", path.trim_start_matches(|c: char| c.is_ascii_digit()));
    }
    if word.contains("::") && word.ends_with(':') {
        return "{{REF}}:".to_owned();
    }
    // A server of names.
    if word.ends_with(":53:") { "{{DNS}}:".to_owned() } else { word.to_owned() }
}
