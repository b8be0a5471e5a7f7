//! The command line resolved against environment and terminal.
//!
//! In: environment, terminal, `--store`. Out: plain values. This is the only
//! module that reads variables or asks for the home directory, so what a
//! build can depend on is listed here:
//!
//! | variable | what for |
//! |---|---|
//! | `PHOENIX_STORE` | the store, where `--store` is not given |
//! | `XDG_DATA_HOME`, `HOME` | the default store |
//! | `NO_COLOR`, `TERM` | whether colours are used, and the redrawn view |
//! | `SOURCE_DATE_EPOCH` | the image's `created` |
//! | `http_proxy`, `https_proxy`, `no_proxy`, and in capitals | downloads; also given to steps, in no key and no image |
//! | `DOCKER_CONFIG`, `HOME` | Docker's credentials for registries |
//! | `REGISTRY_AUTH_FILE`, `XDG_RUNTIME_DIR`, `XDG_CONFIG_HOME` | Podman's |
//! | `PATH` | where `doctor` looks for tools |
//! | `PHOENIX_PARAM_*` | values of a recipe's params |
//! | `DOCKER_*`, `XDG_RUNTIME_DIR` | the container engine, see `daemon` |
//! | any | `--secret id=..,env=NAME`, `run -e NAME` |

#![expect(clippy::disallowed_methods, reason = "this is the module that reads the environment")]

mod daemon;

use std::collections::BTreeMap;
use std::env;
use std::ffi::OsString;
use std::io::IsTerminal;
use std::path::PathBuf;

use crate::error::CliError;

const PROXIES: [&str; 10] = [
    "http_proxy",
    "https_proxy",
    "ftp_proxy",
    "no_proxy",
    "all_proxy",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "FTP_PROXY",
    "NO_PROXY",
    "ALL_PROXY",
];

/// What a person sees things on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Terminal {
    /// Standard error is a terminal that can be redrawn.
    pub(crate) redraw: bool,
    /// Colours may be used on standard error.
    pub(crate) colour: bool,
}

/// Everything that came from outside the command line.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    /// The terminal.
    pub(crate) terminal: Terminal,
    /// Where programs are found.
    pub(crate) search_path: Vec<PathBuf>,
    /// Registries that are spoken to without TLS.
    pub(crate) insecure_registries: Vec<String>,
    store: Option<PathBuf>,
    /// Proxies that the command line gives, over those of the environment.
    given_proxies: Vec<(String, String)>,
}

impl Settings {
    /// Reads them.
    pub(crate) fn read(store: Option<PathBuf>, insecure_registries: Vec<String>) -> Self {
        let dumb = env::var_os("TERM").is_some_and(|term| term == "dumb");
        let on_terminal = std::io::stderr().is_terminal() && !dumb;
        let no_color = set("NO_COLOR").is_some();
        Self {
            terminal: Terminal { redraw: on_terminal, colour: on_terminal && !no_color },
            search_path: set("PATH").map(|p| env::split_paths(&p).collect()).unwrap_or_default(),
            insecure_registries,
            store: store.or_else(default_store),
            given_proxies: Vec::new(),
        }
    }

    /// These, with the proxies that `NAME=VALUE` arguments of a Dockerfile's build
    /// give, whatever the case of their names.
    pub(crate) fn with_proxies(&self, build_args: &[String]) -> Self {
        let mut settings = self.clone();
        for (name, value) in build_args.iter().filter_map(|arg| arg.split_once('=')) {
            if PROXIES.iter().any(|proxy| proxy.eq_ignore_ascii_case(name)) {
                for name in [name.to_ascii_lowercase(), name.to_ascii_uppercase()] {
                    settings.given_proxies.push((name, value.to_owned()));
                }
            }
        }
        settings
    }

    /// The directory of the store.
    pub(crate) fn store(&self) -> Result<PathBuf, CliError> {
        self.store.clone().ok_or(CliError::NoStore)
    }

    /// Where Docker and Podman keep credentials for registries, best first.
    pub(crate) fn auth_files(&self) -> Vec<PathBuf> {
        if let Some(file) = set("REGISTRY_AUTH_FILE") {
            return vec![file.into()];
        }
        let home = set("HOME").map(PathBuf::from);
        let in_home = |name: &str| home.as_ref().map(|home| home.join(name));
        let docker = set("DOCKER_CONFIG").map(PathBuf::from).or_else(|| in_home(".docker"));
        let config = set("XDG_CONFIG_HOME").map(PathBuf::from).or_else(|| in_home(".config"));
        let podman = "containers/auth.json";
        let files = [
            docker.map(|dir| dir.join("config.json")),
            set("XDG_RUNTIME_DIR").map(|dir| PathBuf::from(dir).join(podman)),
            config.map(|dir| dir.join(podman)),
        ];
        files.into_iter().flatten().collect()
    }

    /// The variables that give values to a recipe's params: `PHOENIX_PARAM_*`.
    pub(crate) fn params(&self) -> BTreeMap<String, String> {
        let text = |(name, value): (OsString, OsString)| {
            Some((name.into_string().ok()?, value.into_string().ok()?))
        };
        env::vars_os().filter_map(text).filter(|(n, _)| n.starts_with("PHOENIX_PARAM_")).collect()
    }

    /// The environment variable `name`, as bytes.
    pub(crate) fn variable_bytes(&self, name: &str) -> Option<Vec<u8>> {
        use std::os::unix::ffi::OsStringExt;
        env::var_os(name).map(OsString::into_vec)
    }

    /// The environment variable `name`, where it is set and text.
    pub(crate) fn variable(&self, name: &str) -> Option<String> {
        env::var(name).ok()
    }

    /// Where a container engine is.
    pub(crate) fn daemon(&self) -> builder_core::daemon::Settings {
        daemon::read()
    }

    /// The proxy variables that are set.
    pub(crate) fn proxies(&self) -> Vec<(String, String)> {
        let given = |name: &str| self.given_proxies.iter().rfind(|(known, _)| known == name);
        let value = |name| given(name).map(|(_, value)| value.clone()).or_else(|| text(name));
        PROXIES.iter().filter_map(|name| Some(((*name).to_owned(), value(name)?))).collect()
    }

    /// `SOURCE_DATE_EPOCH`, in seconds.
    pub(crate) fn source_date_epoch(&self) -> Result<Option<i64>, CliError> {
        text("SOURCE_DATE_EPOCH")
            .map(|value| value.trim().parse().map_err(|_| CliError::SourceDateEpoch { value }))
            .transpose()
    }
}

/// A variable that is set and not empty.
fn set(name: &str) -> Option<OsString> {
    env::var_os(name).filter(|value| !value.is_empty())
}

fn text(name: &str) -> Option<String> {
    set(name).and_then(|value| value.into_string().ok())
}

/// By the XDG Base Directory Specification, relative values are ignored.
fn default_store() -> Option<PathBuf> {
    if let Some(store) = set("PHOENIX_STORE") {
        return Some(store.into());
    }
    let absolute = |name| set(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let data = absolute("XDG_DATA_HOME")
        .or_else(|| absolute("HOME").map(|home| home.join(".local/share")));
    Some(data?.join("phoenix"))
}
