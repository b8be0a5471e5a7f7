//! Names that rules judge: of images, of platforms, of secrets.

use std::sync::LazyLock;

use regex::Regex;

/// An image's name as the distribution's reference grammar has it, with
/// Docker's short forms: the rest after a domain is in lower case.
static IMAGE: LazyLock<Regex> = LazyLock::new(|| {
    let domain = r"(?:(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9])(?:\.(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9]))*|\[[a-fA-F0-9:]+\])(?::[0-9]+)?";
    let part = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*";
    let tag = r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}";
    let digest = r"[A-Za-z][A-Za-z0-9]*(?:[-_+.][A-Za-z][A-Za-z0-9]*)*:[0-9a-fA-F]{32,}";
    let pattern = format!("^(?:{domain}/)?{part}(?:/{part})*(?::{tag})?(?:@{digest})?$");
    Regex::new(&pattern).expect("it is a constant")
});

/// Whether a text may name an image.
pub(super) fn is_image(text: &str) -> bool {
    // An id is no name.
    let id = text.len() == 64 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    !id && IMAGE.is_match(text)
}

const SYSTEMS: [&str; 15] = [
    "aix",
    "android",
    "darwin",
    "dragonfly",
    "freebsd",
    "illumos",
    "ios",
    "js",
    "linux",
    "netbsd",
    "openbsd",
    "plan9",
    "solaris",
    "wasip1",
    "windows",
];

const ARCHITECTURES: [&str; 15] = [
    "386", "amd64", "arm", "arm64", "loong64", "mips", "mips64", "mips64le", "mipsle", "ppc64",
    "ppc64le", "riscv64", "s390x", "sparc64", "wasm",
];

/// System and architecture of `os/arch[/variant]`, or of one of both alone,
/// by Go's names for them.
pub(super) fn platform(text: &str) -> Option<(String, String)> {
    let lower = text.to_lowercase();
    let arch = |name: &str| {
        match name {
            "x86_64" | "x86-64" => "amd64",
            "aarch64" => "arm64",
            "armhf" | "armel" => "arm",
            "i386" => "386",
            other => other,
        }
        .to_owned()
    };
    let good = |part: &&str| {
        !part.is_empty()
            && part.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-'))
    };
    let parts: Vec<&str> = lower.split('/').collect();
    if !parts.iter().all(good) {
        return None;
    }
    match parts.as_slice() {
        [one] if SYSTEMS.contains(one) => Some(((*one).to_owned(), arch(std::env::consts::ARCH))),
        [one] if ARCHITECTURES.contains(&arch(one).as_str()) => {
            Some(("linux".to_owned(), arch(one)))
        }
        [os, name] | [os, name, _] => Some(((*os).to_owned(), arch(name))),
        _ => None,
    }
}

/// A platform in the form that is compared.
pub(super) fn platform_shown(text: &str) -> String {
    let Some((os, arch)) = platform(text) else { return text.to_owned() };
    let default = if arch == "arm64" { "v8" } else { "v1" };
    match text.split('/').nth(2).filter(|variant| *variant != default) {
        Some(variant) => format!("{os}/{arch}/{variant}"),
        None => format!("{os}/{arch}"),
    }
}

const SECRET: [&str; 10] = [
    "apikey",
    "auth",
    "credential",
    "credentials",
    "key",
    "password",
    "pword",
    "passwd",
    "secret",
    "token",
];

/// Whether a variable's name is one of a secret: a part of it between `_` says
/// so, and none says that it is not.
pub(super) fn is_secret(name: &str) -> bool {
    let has = |words: &[&str]| {
        name.split('_').any(|part| words.iter().any(|word| part.eq_ignore_ascii_case(word)))
    };
    has(&SECRET) && !has(&["public", "file", "version"])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn image_names_are_told_from_others() {
        let digest = format!("a@sha256:{}", "0".repeat(64));
        for name in [
            "a",
            "scratch",
            "a/b",
            "a:1.2-B",
            "localhost/a",
            "localhost:5000/a/b:c",
            "Example.com/a__b/c--d",
            "[::1]:5000/a",
            "DOMAIN/a",
            &digest,
        ] {
            assert!(is_image(name), "{name}");
        }
        for name in [
            "",
            ":",
            "a:",
            "A",
            "a/B",
            "a b",
            "a//b",
            "-a",
            "a@b",
            "a_/b",
            "a:1:2",
            &"0".repeat(64),
        ] {
            assert!(!is_image(name), "{name}");
        }
    }

    #[test]
    fn platforms_are_read() {
        let pair = |os: &str, arch: &str| Some((os.to_owned(), arch.to_owned()));
        assert_eq!(platform("linux/amd64"), pair("linux", "amd64"));
        assert_eq!(platform("Linux/x86_64"), pair("linux", "amd64"));
        assert_eq!(platform("linux/arm/v7"), pair("linux", "arm"));
        assert_eq!(platform("arm64"), pair("linux", "arm64"));
        assert!(platform("windows").is_some_and(|(os, _)| os == "windows"));
        for text in ["", "what", "a/", "a/b/c/d", "a b/c"] {
            assert_eq!(platform(text), None, "{text}");
        }
    }

    #[test]
    fn names_of_secrets_are_known_by_a_part() {
        for name in ["TOKEN", "api_key", "DB_PASSWORD", "secret_MESSAGE", "GITHUB_TOKEN_2", "AUTH"]
        {
            assert!(is_secret(name), "{name}");
        }
        for name in ["KEYBOARD", "PUBLIC_KEY", "TOKEN_FILE", "AUTH_VERSION", "AUTHOR", ""] {
            assert!(!is_secret(name), "{name}");
        }
    }
}
