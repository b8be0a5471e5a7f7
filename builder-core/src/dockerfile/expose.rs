//! What `EXPOSE` takes, once expanded: `[ip:][host:]port[-port][/protocol]`.

/// Why a word is no port.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct PortError(pub String);

/// What an `EXPOSE` word says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ports {
    /// Each port as an image's config names it: `80/tcp`.
    pub ports: Vec<String>,
    /// Whether the protocol has capitals, which a check warns of.
    pub capitals: bool,
    /// Whether an address or a port of the host was given, which means
    /// nothing and which a check warns of.
    pub mapped: bool,
}

/// Reads one expanded word.
///
/// # Errors
/// What is wrong with it, as `BuildKit` says it.
pub fn ports(word: &str) -> Result<Ports, PortError> {
    Err(PortError(format!("ports are not read yet: {word}")))
}
