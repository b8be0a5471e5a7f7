//! Why an image could not be had by its name, or not be brought to a registry.

use std::path::PathBuf;

use oci_client::errors::OciDistributionError;

use crate::digest::BlobDigest;
use crate::image::{ImageError, ParsePlatformError, TagError};
use crate::layer::LayerError;
use crate::store::StoreError;

/// Longest text of a registry that is repeated.
const SHOWN: usize = 300;

/// Why an image could not be had by its name, or not be brought to a registry.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    /// Stopping was asked.
    #[error("canceled")]
    Canceled,
    /// What was given names no image.
    #[error(transparent)]
    Name(#[from] TagError),
    /// What was given is no platform.
    #[error(transparent)]
    Platform(#[from] ParsePlatformError),
    /// A document of the image is bad, or asks for what is not supported.
    #[error(transparent)]
    Image(#[from] ImageError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The registry has no such image.
    #[error("the registry {registry} has no {what}")]
    NotFound {
        /// Which registry.
        registry: String,
        /// `image debian:nonsense`, `layer 2`.
        what: String,
    },
    /// The registry does not let this user do that.
    #[error("the registry {registry} denies access to {repository}{}", and(message))]
    Denied {
        /// Which registry.
        registry: String,
        /// What was wanted.
        repository: String,
        /// What it said, if anything.
        message: String,
    },
    /// The registry answered with an error.
    #[error("the registry {registry} answers {status}{}", and(message))]
    Status {
        /// Which registry.
        registry: String,
        /// Of HTTP.
        status: u16,
        /// What it said, if anything.
        message: String,
    },
    /// The registry could not be reached, or the connection broke.
    #[error("the registry {registry} cannot be reached: {}", chain(error))]
    Transport {
        /// Which registry.
        registry: String,
        /// Why; without the URL, which may hold a token.
        error: reqwest::Error,
    },
    /// It took too long.
    #[error("the registry {registry} does not answer")]
    TimedOut {
        /// Which registry.
        registry: String,
    },
    /// The registry does not keep to the protocol.
    #[error("the registry {registry} is not understood: {reason}")]
    Protocol {
        /// Which registry.
        registry: String,
        /// What it did.
        reason: String,
    },
    /// An image of the first kind that Docker had.
    #[error(
        "the image {name} has a manifest of schema 1, which is not supported: \
         push it again with a Docker of this decade"
    )]
    SchemaOne {
        /// Its name.
        name: String,
    },
    /// A document is larger than any that is read.
    #[error("the {what} has more than {limit} bytes")]
    TooLarge {
        /// `manifest`, `config`.
        what: String,
        /// The bound.
        limit: u64,
    },
    /// What came has another size than its descriptor says.
    #[error("the {what} has {actual} bytes instead of {expected}")]
    Size {
        /// `layer 2`.
        what: String,
        /// As described.
        expected: u64,
        /// As the registry says.
        actual: u64,
    },
    /// More came than the descriptor says.
    #[error("the {what} has more than its {expected} bytes")]
    TooLong {
        /// `layer 2`.
        what: String,
        /// As described.
        expected: u64,
    },
    /// What came ended early.
    #[error("the {what} ends after {actual} of {expected} bytes")]
    Cut {
        /// `layer 2`.
        what: String,
        /// As described.
        expected: u64,
        /// How many came.
        actual: u64,
    },
    /// What came is not what was asked for.
    #[error("the {what} that the registry sent is {actual} instead of {expected}")]
    Digest {
        /// `manifest`.
        what: String,
        /// What was asked for.
        expected: BlobDigest,
        /// What came.
        actual: BlobDigest,
    },
    /// A layer cannot be read.
    #[error("{what}: {source}")]
    Layer {
        /// `layer 2`.
        what: String,
        /// Why.
        source: LayerError,
    },
    /// A layer's content is not what the config says.
    #[error("the content of {what} is {actual}, but the config says {expected}")]
    DiffId {
        /// `layer 2`.
        what: String,
        /// As the config says.
        expected: String,
        /// As it is.
        actual: String,
    },
    /// A file with credentials cannot be used.
    #[error("the credentials in {} cannot be used: {reason}", path.display())]
    Credentials {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// No client could be made: a defect, or a proxy that is none.
    #[error("no connection to a registry can be made: {}", chain(error))]
    Client {
        /// Why.
        error: reqwest::Error,
    },
    /// No runtime could be started.
    #[error("no thread for the network could be started: {source}")]
    Runtime {
        /// Why.
        source: std::io::Error,
    },
}

impl RegistryError {
    /// Whether it may go better a moment later.
    #[must_use]
    pub fn is_temporary(&self) -> bool {
        match self {
            Self::Transport { error, .. } => !error.is_builder() && !error.is_redirect(),
            Self::Status { status, .. } => matches!(status, 408 | 429 | 500..=599),
            Self::Cut { .. } | Self::TimedOut { .. } => true,
            _ => false,
        }
    }

    /// Whether the registry was not reached at all.
    #[must_use]
    pub fn is_network(&self) -> bool {
        matches!(self, Self::Transport { .. } | Self::TimedOut { .. })
    }

    /// What `oci-client` says, without URLs and at no length.
    pub(super) fn of_client(registry: &str, repository: &str, error: OciDistributionError) -> Self {
        let (registry, repository) = (registry.to_owned(), repository.to_owned());
        match error {
            OciDistributionError::RequestError(error) => {
                Self::Transport { registry, error: error.without_url() }
            }
            OciDistributionError::AuthenticationFailure(message) => {
                let message = said(message.as_bytes());
                Self::Denied { registry, repository, message }
            }
            OciDistributionError::UnauthorizedError { url: _ } => {
                Self::Denied { registry, repository, message: String::new() }
            }
            OciDistributionError::ServerError { code, url: _, message } => {
                Self::of_status(&registry, &repository, code, said(message.as_bytes()))
            }
            OciDistributionError::RegistryError { envelope, url: _ } => {
                Self::Protocol { registry, reason: shown(&envelope.to_string()) }
            }
            other => Self::Protocol { registry, reason: shown(&other.to_string()) },
        }
    }

    /// What a status that is no success means.
    pub(super) fn of_status(
        registry: &str,
        repository: &str,
        status: u16,
        message: String,
    ) -> Self {
        let (registry, repository) = (registry.to_owned(), repository.to_owned());
        match status {
            401 | 403 => Self::Denied { registry, repository, message },
            _ => Self::Status { registry, status, message },
        }
    }
}

/// What the body of an error says: the messages that the distribution spec has
/// in it, else its first line.
pub(super) fn said(body: &[u8]) -> String {
    #[derive(serde::Deserialize)]
    struct Envelope {
        errors: Vec<One>,
    }
    #[derive(serde::Deserialize)]
    struct One {
        #[serde(default)]
        code: String,
        #[serde(default)]
        message: String,
    }
    let text = match serde_json::from_slice::<Envelope>(body) {
        Ok(Envelope { errors }) => {
            let each = errors.into_iter().map(|One { code, message }| match message.as_str() {
                "" => code.to_lowercase().replace('_', " "),
                _ => message,
            });
            each.collect::<Vec<_>>().join("; ")
        }
        Err(_) => String::from_utf8_lossy(body).lines().next().unwrap_or_default().to_owned(),
    };
    // A page for browsers tells nobody anything.
    if text.trim_start().starts_with('<') { String::new() } else { shown(&text) }
}

fn shown(text: &str) -> String {
    let harmless = |c: char| if c.is_control() { ' ' } else { c };
    text.trim().chars().map(harmless).take(SHOWN).collect()
}

fn and(message: &str) -> String {
    if message.is_empty() { String::new() } else { format!(": {message}") }
}

/// An error of the network says why in its sources.
fn chain(error: &reqwest::Error) -> String {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(error) = source {
        text = format!("{text}: {error}");
        source = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_registry_says_is_told_in_one_short_harmless_line() {
        let body = br#"{"errors":[{"code":"DENIED","message":"no\u001b[1m way"},{"code":"MANIFEST_UNKNOWN"}]}"#;
        assert_eq!(said(body), "no [1m way; manifest unknown");
        assert_eq!(said(b"unauthorized\nmore"), "unauthorized");
        assert_eq!(said(b"<html><body>"), "");
        assert_eq!(said(&[b'x'; 5000]).len(), SHOWN);
        assert_eq!(said(b""), "");
    }
}
