//! What the caller knows of this host and of its user.

use std::path::PathBuf;

use super::Reference;

/// Proxies for registries.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Proxies {
    /// For `http:` URLs.
    pub http: Option<String>,
    /// For `https:` URLs.
    pub https: Option<String>,
    /// Comma-separated hosts that are reached directly.
    pub none_for: Option<String>,
}

/// How registries are reached, and as whom.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Files with credentials (Docker's `config.json`, Podman's `auth.json`),
    /// best first. One that is not there is passed over.
    pub auth_files: Vec<PathBuf>,
    /// Registries, `HOST` or `HOST:PORT`, that are spoken to without TLS, as
    /// this machine itself is.
    pub insecure: Vec<String>,
    /// Proxies.
    pub proxies: Proxies,
    /// Layers that are brought in or sent at the same time; at least 1.
    pub concurrency: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            auth_files: Vec::new(),
            insecure: Vec::new(),
            proxies: Proxies::default(),
            concurrency: 4,
        }
    }
}

impl Settings {
    /// Whether the registry of `reference` is spoken to without TLS.
    #[must_use]
    pub fn is_plain(&self, reference: &Reference) -> bool {
        let registry = reference.registry();
        let host = match registry.strip_prefix('[') {
            Some(rest) => rest.split(']').next().unwrap_or_default(),
            None => registry.split(':').next().unwrap_or_default(),
        };
        let own = match host.parse::<std::net::IpAddr>() {
            Ok(address) => address.is_loopback(),
            Err(_) => host == "localhost",
        };
        let named = |known: &String| {
            let known = known.to_ascii_lowercase();
            known == registry || known == host || known == format!("[{host}]")
        };
        own || self.insecure.iter().any(named)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_and_what_is_listed_is_spoken_to_without_tls() {
        let insecure = vec!["reg.example".to_owned(), "other.example:5000".to_owned()];
        let settings = Settings { insecure, ..Settings::default() };
        let plain = |name: &str| settings.is_plain(&name.parse().expect(name));
        for name in [
            "localhost/a",
            "localhost:5000/a",
            "127.0.0.1:5000/a",
            "127.1.2.3/a",
            "[::1]:5000/a",
            "reg.example/a",
            "reg.example:81/a",
            "other.example:5000/a",
        ] {
            assert!(plain(name), "{name}");
        }
        for name in [
            "debian",
            "other.example/a",
            "other.example:5001/a",
            "localhost.example/a",
            "128.0.0.1/a",
            "[::2]/a",
        ] {
            assert!(!plain(name), "{name}");
        }
    }
}
