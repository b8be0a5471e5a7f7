//! What to do about an error. Every hint that Phoenix gives is in this file,
//! but for what an error must say itself.
//!
//! In: an error, and what the failed step said. Out: sentences. What a step
//! said is matched with what common programs write, in lower case: a guess, so
//! a hint says what was seen.

use std::io::ErrorKind;
use std::path::Path;

use builder_core::cache::CacheError;
use builder_core::daemon::{DaemonError, Tried};
use builder_core::error::Error as EngineError;
use builder_core::exec::{ExecError, ExitStatus, IdMap, MORE_IDS};
use builder_core::explain::ExplainError;
use builder_core::image::ImageError;
use builder_core::layer::LayerError;
use builder_core::output::OutputError;
use builder_core::registry::{self, RegistryError};
use builder_core::solve::{StepCause, StepError};
use builder_core::source::engine::EngineError as SourceError;
use builder_core::source::oci::OciError;
use builder_core::source::rootfs::RootfsError;
use builder_core::store::StoreError;

use crate::diagnostic;
use crate::error::CliError;

/// How much of a step's output is looked at, from its end.
const LOOKED_AT: usize = 64 << 10;

/// A disk with less room than this many bytes is full.
const LITTLE: u64 = 1 << 20;

/// What to do about an error; `store` is where the store is.
pub(crate) fn hints(error: &CliError, store: Option<&Path>) -> Vec<String> {
    if is_full(error) || store.is_some_and(|store| failed_on_full(error, store)) {
        let place = store.map_or_else(String::new, |store| format!(" ({})", store.display()));
        return vec![
            format!("a disk is full; what steps write and all results lie in the store{place}"),
            "`phoenix prune` frees what nothing needs, `--all` more; --store DIR takes another disk"
                .to_owned(),
        ];
    }
    if let Some(hint) = of_store(error).and_then(store_hint) {
        return vec![hint];
    }
    let one = |hint: &str| vec![hint.to_owned()];
    match error {
        CliError::NoRecipe { .. } | CliError::NothingToBuild { .. } => {
            one("`phoenix init` writes a first recipe; `-f FILE` names another file")
        }
        CliError::RecipeExists { .. } => one("--force replaces it"),
        CliError::NoStore => one("set PHOENIX_STORE or give --store DIR"),
        CliError::SecretUnset { id, .. } => {
            vec![format!("--secret id={id},src=FILE takes it from a file")]
        }
        CliError::NoImage { .. } => one("`phoenix images` lists what there is"),
        CliError::Ambiguous { .. } => one("give more digits of the digest"),
        CliError::NoStep { similar: Some(name), .. } => vec![format!("did you mean `{name}`?")],
        CliError::NoStep { .. } => {
            one("a stage has its name by `FROM ... AS NAME`, a step of a recipe by `name:`")
        }
        CliError::Explain(error) => explain(error).into_iter().collect(),
        CliError::ManyNames { .. } => one("give the name that is to go"),
        CliError::NotStarted { source } => hints(source, store),
        CliError::Engine(error) => match &**error {
            EngineError::Step { error, .. } => step(error, &IdMap::detect()),
            EngineError::Exec(ExecError::NotFound { program }) => {
                vec![format!("`{program}` is not in the image, or not on its PATH")]
            }
            EngineError::Exec(error) => exec(error).into_iter().collect(),
            EngineError::Output(OutputError::Daemon(error)) => {
                let kept = "the image is in the store: the same again sends it, and builds nothing";
                daemon(error).into_iter().chain([kept.to_owned()]).collect()
            }
            EngineError::Registry(error) => registry(error).into_iter().collect(),
            EngineError::NoSteps { .. } => one(
                "`phoenix build` writes it into the store; `-o type=oci,dest=DIR,records=true` takes it elsewhere",
            ),
            _ => Vec::new(),
        },
        _ => Vec::new(),
    }
}

fn explain(error: &ExplainError) -> Option<String> {
    Some(match error {
        ExplainError::NoHistory => "`phoenix build` it first; what it then does is kept".to_owned(),
        ExplainError::NoStep { similar: Some(name), .. } => format!("did you mean `{name}`?"),
        ExplainError::NoStep { .. }
        | ExplainError::SeveralSteps { .. }
        | ExplainError::NoBuild { .. }
        | ExplainError::NotInBuild { .. } => {
            "`phoenix explain DIR` lists builds and steps".to_owned()
        }
        ExplainError::NotBuiltHere { .. } => {
            "what its steps looked at is known where it was built, for the last builds only"
                .to_owned()
        }
        _ => return None,
    })
}

/// Whether the system said that there is no more room, in whatever layer of the
/// error or to the step itself.
fn is_full(error: &CliError) -> bool {
    const SAID: [&str; 2] = ["No space left on device", "Disk quota exceeded"];
    let output = String::from_utf8_lossy(diagnostic::output(error));
    let chain = diagnostic::chain(error);
    let mut texts = chain.iter().map(String::as_str).chain([&*output]);
    texts.any(|text| SAID.iter().any(|said| text.contains(said)))
}

/// Whether a step failed and the store's disk has no room: not every program
/// says why it could not write.
fn failed_on_full(error: &CliError, store: &Path) -> bool {
    let CliError::Engine(error) = error else { return false };
    let EngineError::Step { error, .. } = &**error else { return false };
    let room = rustix::fs::statvfs(store).map(|disk| disk.f_bavail * disk.f_frsize);
    matches!(error.cause, StepCause::Exit(_)) && room.is_ok_and(|room| room < LITTLE)
}

/// The error of the store at the bottom of an error, if one is there.
fn of_store(error: &CliError) -> Option<&StoreError> {
    match error {
        CliError::Store(error)
        | CliError::Layer(LayerError::Store(error))
        | CliError::Image(ImageError::Store(error)) => Some(error),
        CliError::Engine(error) => match &**error {
            EngineError::Store(error)
            | EngineError::Cache(CacheError::Store(error))
            | EngineError::Image(ImageError::Store(error))
            | EngineError::Layer(LayerError::Store(error))
            | EngineError::Output(OutputError::Store(error)) => Some(error),
            EngineError::Step { error, .. } => match &error.cause {
                StepCause::Store(error)
                | StepCause::Cache(CacheError::Store(error))
                | StepCause::Layer(LayerError::Store(error)) => Some(error),
                _ => None,
            },
            _ => None,
        },
        _ => None,
    }
}

fn store_hint(error: &StoreError) -> Option<String> {
    match error {
        StoreError::NotAStore { .. } => Some("choose an empty directory with --store".to_owned()),
        StoreError::Index { path, .. } => Some(format!(
            "it holds the names of images only: remove {} and build again to name them anew",
            path.display()
        )),
        StoreError::Corrupt { .. } | StoreError::NoBlob { .. } => {
            Some("build the image again: what is damaged or missing is made anew".to_owned())
        }
        _ => None,
    }
}

/// About a step that failed on a host that maps `ids`.
fn step(error: &StepError, ids: &IdMap) -> Vec<String> {
    match &error.cause {
        StepCause::Exit(status) => exit(*status, error, ids),
        StepCause::Exec(error) => exec(error).into_iter().collect(),
        StepCause::ContextChanged { .. } => {
            vec!["build again when nothing writes to the context".to_owned()]
        }
        StepCause::Rootfs(RootfsError::Io { .. }) | StepCause::Oci(OciError::Io { .. }) => {
            vec!["paths in a recipe are relative to the directory that is built".to_owned()]
        }
        StepCause::Registry(error) => registry(error).into_iter().collect(),
        StepCause::Engine(SourceError::Daemon(error)) => daemon(error).into_iter().collect(),
        _ => Vec::new(),
    }
}

/// About a registry.
fn registry(error: &RegistryError) -> Option<String> {
    match error {
        RegistryError::Denied { registry, .. } => Some(format!(
            "`docker login {registry}` or `podman login {registry}` keeps a name and a password, which Phoenix reads"
        )),
        RegistryError::Transport { registry, .. } if !is_this_machine(registry) => Some(format!(
            "Phoenix speaks TLS to it, unless it is this machine: --insecure-registry {registry} goes without"
        )),
        _ => None,
    }
}

fn is_this_machine(registry: &str) -> bool {
    let name = format!("{registry}/x").parse();
    name.is_ok_and(|name| registry::Settings::default().is_plain(&name))
}

/// About a container engine.
fn daemon(error: &DaemonError) -> Option<String> {
    match error {
        DaemonError::NoEngine { tried } => {
            let refused = tried.iter().find(|t| t.kind == Some(ErrorKind::PermissionDenied));
            let told = |whence: &str| whence == "DOCKER_HOST" || whence.starts_with("the context");
            let tls = |t: &Tried| {
                ["certificate", "Certificate", "HTTPS"].iter().any(|w| t.why.contains(w))
            };
            if tried.iter().any(tls) {
                return Some(
                    "with DOCKER_TLS_VERIFY=1, DOCKER_CERT_PATH is the directory of ca.pem, \
                     cert.pem and key.pem"
                        .to_owned(),
                );
            }
            Some(match (refused, tried.iter().any(|t| told(&t.whence))) {
                (Some(Tried { address, .. }), _) => format!(
                    "{address} is for root and the group `docker`: `sudo usermod -aG docker $USER` \
                     and a new login, or Podman: `systemctl --user start podman.socket`"
                ),
                (None, true) => {
                    "is it running there? Without DOCKER_HOST and DOCKER_CONTEXT=default, Docker \
                     and Podman are looked for on this host"
                        .to_owned()
                }
                (None, false) => "start one (`systemctl start docker`, or `systemctl --user start \
                     podman.socket`), or say where it is: DOCKER_HOST=unix:///PATH"
                    .to_owned(),
            })
        }
        DaemonError::Context { .. } => Some(
            "`docker context ls` lists what there is; DOCKER_CONTEXT=default is this host"
                .to_owned(),
        ),
        DaemonError::NoImage { name, .. } => {
            Some(format!("`docker pull {name}` brings it there (or `podman pull`)"))
        }
        _ => None,
    }
}

fn exec(error: &ExecError) -> Option<String> {
    match error {
        ExecError::NotFound { program } => Some(match program.as_str() {
            "/bin/sh" => {
                "the image has no shell: start from another base, or write the command as a list"
                    .to_owned()
            }
            program => not_there(program),
        }),
        ExecError::NotExecutable { source, .. } => match source.raw_os_error() {
            Some(errno) if errno == rustix::io::Errno::NOEXEC.raw_os_error() => {
                Some("is it of this machine's architecture, and does a script begin with `#!`?")
            }
            Some(errno) if errno == rustix::io::Errno::ACCESS.raw_os_error() => {
                Some("is it a file whose mode has the x bits? `copy` takes `mode: 0755`")
            }
            _ => None,
        }
        .map(str::to_owned),
        ExecError::UserNamespaces { .. }
        | ExecError::Fuse { .. }
        | ExecError::Overlay { .. }
        | ExecError::IdMapping { .. } => {
            Some("`phoenix doctor` says what this host lacks".to_owned())
        }
        _ => None,
    }
}

fn not_there(program: &str) -> String {
    format!(
        "`{program}` is not in the image, or not on its PATH: \
         a step before this one can install it (in a recipe, `packages: [...]`)"
    )
}

/// About a command that ran and failed.
fn exit(status: ExitStatus, error: &StepError, ids: &IdMap) -> Vec<String> {
    let from = error.output.len().saturating_sub(LOOKED_AT);
    let said = String::from_utf8_lossy(&error.output[from..]).to_lowercase();
    let mut hints = Vec::new();
    match status {
        ExitStatus::TimedOut => {
            hints.push("the step's `timeout` is all the time that it has: raise it".to_owned());
        }
        ExitStatus::Code(127) => {
            let exact = String::from_utf8_lossy(&error.output[from..]);
            hints.extend(missing_program(&exact).map(not_there));
        }
        ExitStatus::Signal(9) | ExitStatus::Code(137) => {
            hints.push("killed from outside: the host may have run out of memory".to_owned());
        }
        ExitStatus::Code(_) | ExitStatus::Signal(_) => {}
    }
    if status != ExitStatus::TimedOut && NO_NAME.iter().any(|words| said.contains(words)) {
        hints.push(if error.no_network {
            "it looked up a host, and the step has `network: none`".to_owned()
        } else {
            "it could not reach the network: steps use this host's /etc/resolv.conf and proxies"
                .to_owned()
        });
    }
    if *ids == IdMap::Single && said.lines().any(refused_owner) {
        hints.push(format!(
            "a file or process was to get another owner, and this host maps no user id but \
             yours: {MORE_IDS}; or build as root"
        ));
    }
    hints
}

/// What programs write when a name could not be resolved or no network is there.
const NO_NAME: [&str; 9] = [
    "temporary failure in name resolution",
    "temporary failure resolving",
    "could not resolve",
    "name or service not known",
    "bad address",
    "unable to resolve",
    "no such host",
    "network is unreachable",
    "nodename nor servname",
];

/// The program that a shell did not find, from what shells write: `sh: 1: make:
/// not found`, `bash: make: command not found`.
fn missing_program(said: &str) -> Option<&str> {
    said.lines().rev().find_map(|line| {
        let before = line.strip_suffix(": not found").or(line.strip_suffix(": command not found"));
        let name = before?.rsplit(": ").next()?.trim();
        (!name.is_empty() && !name.contains(char::is_whitespace)).then_some(name)
    })
}

/// Whether a line (in lower case) tells of an owner, or of groups, refused.
fn refused_owner(line: &str) -> bool {
    let what = ["chown", "chgrp", "owner", "set groups", "setgroups", "seteuid", "setegid"];
    let more = ["setresuid", "setresgid", "setuid", "setgid", "fchown", "lchown"];
    let how = ["invalid argument", "operation not permitted", "einval", "eperm"];
    let has = |words: &[&str]| words.iter().any(|word| line.contains(word));
    (has(&what) || has(&more)) && has(&how)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failed(status: ExitStatus, output: &str, no_network: bool) -> StepError {
        StepError {
            step: "run x".to_owned(),
            stage: "main".to_owned(),
            location: None,
            no_network,
            output: output.into(),
            cause: StepCause::Exit(status),
        }
    }

    fn of(code: i32, output: &str, no_network: bool, ids: &IdMap) -> Vec<String> {
        step(&failed(ExitStatus::Code(code), output, no_network), ids)
    }

    #[test]
    fn an_ordinary_failure_gets_no_advice() {
        for output in ["", "error: no ;\n", "chown: done\n", "file not found\n"] {
            assert_eq!(of(1, output, true, &IdMap::Single), [""; 0], "{output}");
        }
    }

    #[test]
    fn refused_owners_name_what_gives_a_user_more_ids() {
        let said = [
            "chown: changing ownership of '/f': Invalid argument",
            "chown: /f: Invalid argument",
            "tar: f: Cannot change ownership to uid 33, gid 33: Invalid argument",
            "E: setgroups 65534 failed - setgroups (1: Operation not permitted)",
            "E: seteuid 100 failed - seteuid (22: Invalid argument)",
            "su: cannot set groups: Operation not permitted",
            "install: cannot change owner of 'x': Invalid argument",
            "os.chown: OSError: [Errno 22] Invalid argument: '/f'",
        ];
        for line in said {
            let hints = of(1, line, false, &IdMap::Single);
            let [hint] = hints.as_slice() else { panic!("{line}: {hints:?}") };
            assert!(hint.contains("uidmap") && hint.contains("/etc/subuid"), "{hint}");
            let full = IdMap::Full { uids: (1, 9), gids: (1, 9) };
            assert_eq!(of(1, line, false, &full), [""; 0], "there the cause is another");
        }
    }

    #[test]
    fn a_missing_program_is_named() {
        for output in ["x\n/bin/sh: 1: gcc: not found\n", "sh: gcc: command not found"] {
            let hints = of(127, output, false, &IdMap::Root);
            assert!(hints[0].starts_with("`gcc` is not in the image"), "{hints:?}");
        }
        assert_eq!(of(127, "nothing", false, &IdMap::Root), [""; 0]);
        let shell = ExecError::NotFound { program: "/bin/sh".to_owned() };
        assert!(exec(&shell).expect("a hint").contains("no shell"));
    }

    #[test]
    fn a_failed_look_up_says_whether_there_is_a_network() {
        let said = "curl: (6) Could not resolve host: deb.debian.org";
        assert!(of(6, said, true, &IdMap::Root)[0].contains("`network: none`"));
        assert!(of(6, said, false, &IdMap::Root)[0].contains("/etc/resolv.conf"));
    }

    #[test]
    fn a_time_limit_and_a_kill_are_explained() {
        let timed_out = step(&failed(ExitStatus::TimedOut, "", false), &IdMap::Root);
        assert!(timed_out[0].contains("`timeout`"));
        assert!(of(137, "", false, &IdMap::Root)[0].contains("memory"));
    }
}
