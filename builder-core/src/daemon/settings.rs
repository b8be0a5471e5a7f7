//! Where a container engine is looked for, as the caller says.

use std::path::PathBuf;

/// The settings of Docker's own client, as far as they say where its engine is.
/// Nothing here is read from the environment.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Settings {
    /// An address, as `DOCKER_HOST` has it. Where it is given, nothing else is
    /// tried.
    pub host: Option<String>,
    /// Whether `tcp://` means TLS (`DOCKER_TLS_VERIFY`).
    pub tls: bool,
    /// The directory with `ca.pem`, `cert.pem` and `key.pem`
    /// (`DOCKER_CERT_PATH`); [`config`](Self::config) where absent.
    pub certificates: Option<PathBuf>,
    /// A context by name (`DOCKER_CONTEXT`), instead of the current one.
    pub context: Option<String>,
    /// The directory of Docker's configuration (`DOCKER_CONFIG`, `~/.docker`).
    pub config: Option<PathBuf>,
    /// Sockets to try, where nothing else is said, and what they are: the first
    /// that answers.
    pub sockets: Vec<(PathBuf, &'static str)>,
}
