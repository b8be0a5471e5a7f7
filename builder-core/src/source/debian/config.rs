//! What the caller knows of this host.

use std::path::PathBuf;

/// Proxies for downloads. They enter neither lock nor layer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Proxies {
    /// For `http:` URLs.
    pub http: Option<String>,
    /// For `https:` URLs.
    pub https: Option<String>,
    /// Comma-separated hosts that are reached directly.
    pub none_for: Option<String>,
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
