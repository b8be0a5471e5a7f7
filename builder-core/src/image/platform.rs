//! Platforms: what an image runs on.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Operating system, architecture and variant, by their Go names.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Platform {
    /// `linux`.
    pub os: String,
    /// `amd64`, `arm64`.
    pub architecture: String,
    /// `v8`, `v7`; most have none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub variant: Option<String>,
}

impl Platform {
    /// Linux on the architecture that this program was compiled for.
    #[must_use]
    pub fn host() -> Self {
        Self { os: "linux".to_owned(), architecture: go_arch(), variant: None }.normalised()
    }

    /// The same platform in the one form that is compared: `arm64/v8` is
    /// `arm64`, `arm` is `arm/v7`, `x86_64` is `amd64`, as containerd has it.
    #[must_use]
    pub fn normalised(mut self) -> Self {
        self.os.make_ascii_lowercase();
        self.architecture.make_ascii_lowercase();
        let (architecture, default) = match self.architecture.as_str() {
            "x86_64" | "x86-64" | "amd64" => ("amd64", Some("v1")),
            "i386" | "i686" | "386" => ("386", None),
            "aarch64" | "arm64" => ("arm64", Some("v8")),
            "armhf" => ("arm", Some("v7")),
            other => (other, None),
        };
        let architecture = architecture.to_owned();
        let variant = self.variant.take().filter(|variant| !variant.is_empty());
        self.variant = match (architecture.as_str(), variant) {
            ("arm", None) => Some("v7".to_owned()),
            (_, variant) => variant.filter(|variant| Some(variant.as_str()) != default),
        };
        if architecture == "arm" && self.variant.is_none() {
            self.variant = Some("v7".to_owned());
        }
        self.architecture = architecture;
        self
    }

    /// Whether an image of this platform is what `wanted` asks for.
    #[must_use]
    pub fn matches(&self, wanted: &Self) -> bool {
        self.clone().normalised() == wanted.clone().normalised()
    }
}

impl From<Platform> for oci_spec::image::Platform {
    fn from(platform: Platform) -> Self {
        let mut spec = Self::default();
        spec.set_os(platform.os.as_str().into());
        spec.set_architecture(platform.architecture.as_str().into());
        spec.set_variant(platform.variant);
        spec
    }
}

impl From<&oci_spec::image::Platform> for Platform {
    fn from(spec: &oci_spec::image::Platform) -> Self {
        Self {
            os: spec.os().to_string(),
            architecture: spec.architecture().to_string(),
            variant: spec.variant().clone(),
        }
        .normalised()
    }
}

fn go_arch() -> String {
    let arch = std::env::consts::ARCH;
    let little = cfg!(target_endian = "little");
    match (arch, little) {
        ("x86_64", _) => "amd64",
        ("aarch64", _) => "arm64",
        ("x86", _) => "386",
        ("powerpc64", true) => "ppc64le",
        ("powerpc64", false) => "ppc64",
        ("loongarch64", _) => "loong64",
        (other, _) => other,
    }
    .to_owned()
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.os, self.architecture)?;
        self.variant.as_ref().map_or(Ok(()), |variant| write!(f, "/{variant}"))
    }
}

/// A text that is no platform.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a platform: expected `os/arch` or `os/arch/variant`, as `linux/arm64`")]
pub struct ParsePlatformError(
    /// What was given.
    pub String,
);

impl FromStr for Platform {
    type Err = ParsePlatformError;

    fn from_str(text: &str) -> Result<Self, ParsePlatformError> {
        let parts: Vec<_> = text.split('/').collect();
        let good = |part: &str| {
            let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_');
            !part.is_empty() && part.bytes().all(plain)
        };
        let (os, architecture, variant) = match parts[..] {
            [os, arch] if good(os) && good(arch) => (os, arch, None),
            [os, arch, variant] if good(os) && good(arch) && good(variant) => {
                (os, arch, Some(variant.to_owned()))
            }
            _ => return Err(ParsePlatformError(text.to_owned())),
        };
        let platform = Self { os: os.to_owned(), architecture: architecture.to_owned(), variant };
        Ok(platform.normalised())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_platform_has_one_form() {
        for (text, expected) in [
            ("linux/amd64", "linux/amd64"),
            ("linux/x86_64", "linux/amd64"),
            ("Linux/aarch64", "linux/arm64"),
            ("linux/arm64/v8", "linux/arm64"),
            ("linux/arm64/v9", "linux/arm64/v9"),
            ("linux/arm", "linux/arm/v7"),
            ("linux/armhf", "linux/arm/v7"),
            ("linux/arm/v6", "linux/arm/v6"),
        ] {
            assert_eq!(text.parse::<Platform>().expect(text).to_string(), expected);
        }
        for bad in ["", "linux", "linux/", "/amd64", "linux/amd64/", "a/b/c/d", "linux/a b"] {
            assert!(bad.parse::<Platform>().is_err(), "{bad}");
        }
    }
}
