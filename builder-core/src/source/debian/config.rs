//! What the caller knows of this host.

use std::path::PathBuf;

/// Proxies for downloads; where one is not given, that of the host's apt is
/// used (`Acquire::http::Proxy`). They enter neither lock nor layer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Proxies {
    /// For `http:` URLs.
    pub http: Option<String>,
    /// For `https:` URLs.
    pub https: Option<String>,
    /// Comma-separated hosts that are reached directly.
    pub none_for: Option<String>,
}

impl Proxies {
    /// Whether a host, or a domain that it is in, is reached directly.
    pub(super) fn is_direct(&self, host: &str) -> bool {
        let entries = self.none_for.as_deref().unwrap_or_default().split(',').map(str::trim);
        entries.filter(|entry| !entry.is_empty()).any(|entry| {
            let domain = entry.trim_start_matches(['*', '.']);
            let below = host.strip_suffix(domain).is_some_and(|rest| rest.ends_with('.'));
            entry == "*" || host == domain || (below && !domain.is_empty())
        })
    }
}

/// What the host gives: where apt's configuration is, how to reach mirrors.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// apt's configuration directory: sources, keyrings, credentials.
    pub apt_dir: PathBuf,
    /// Where keyrings of packages are.
    pub keyrings_dir: PathBuf,
    /// Proxies.
    pub proxies: Proxies,
    /// Debian architecture where the recipe names none.
    pub arch: String,
    /// Downloads at the same time.
    pub concurrency: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            apt_dir: "/etc/apt".into(),
            keyrings_dir: "/usr/share/keyrings".into(),
            proxies: Proxies::default(),
            arch: native_arch().to_owned(),
            concurrency: 8,
        }
    }
}

/// Debian's name of the architecture that this program was built for.
fn native_arch() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        "x86" => "i386",
        "arm" => "armhf",
        "powerpc64" => "ppc64el",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_and_domains_without_a_proxy_are_told_apart() {
        let direct = |list: &str, host: &str| {
            Proxies { none_for: Some(list.into()), ..Proxies::default() }.is_direct(host)
        };
        for list in ["a.example", " x, .example ", "*.example", "*", "example"] {
            assert!(direct(list, "a.example"), "{list}");
        }
        for list in ["", ",", "b.example", "xample", ".", "a.example.org"] {
            assert!(!direct(list, "a.example"), "{list}");
        }
    }
}
