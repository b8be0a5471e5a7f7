//! The host's apt configuration: mirrors, keyrings, credentials, proxies.
//!
//! In: apt's configuration directory. Out: [`HostApt`]. Both forms of sources
//! are read (one line, deb822); what cannot be read is skipped, as it may have
//! nothing to do with the suite that is wanted. Credentials are taken out of
//! URLs at once and kept apart.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use super::{apt_conf, control};

/// Which keys may sign a source.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct SignedBy {
    pub(super) files: Vec<PathBuf>,
    /// Armored keys written into the sources themselves.
    pub(super) embedded: Option<String>,
    /// Where not empty, only these keys count.
    pub(super) fingerprints: Vec<String>,
}

/// One suite of one archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct AptSource {
    /// Base URL without credentials and without a slash at the end.
    pub(super) mirror: String,
    pub(super) suite: String,
    pub(super) components: Vec<String>,
    pub(super) signed_by: SignedBy,
}

/// Name and password for the URLs that start with something.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Credential {
    /// URL prefix without scheme: `host/path`.
    pub(super) prefix: String,
    pub(super) user: String,
    pub(super) password: String,
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credential").field("prefix", &self.prefix).finish_non_exhaustive()
    }
}

/// What a host's apt knows.
#[derive(Debug, Clone, Default)]
pub(super) struct HostApt {
    pub(super) sources: Vec<AptSource>,
    pub(super) keyrings: Vec<PathBuf>,
    pub(super) credentials: Vec<Credential>,
    /// Whether the host's apt minds an expired release.
    pub(super) ignore_valid_until: bool,
    pub(super) proxies: AptProxies,
}

/// How the host's apt reaches mirrors. The URLs may hold credentials.
#[derive(Clone, Default, PartialEq, Eq)]
pub(super) struct AptProxies {
    http: Option<String>,
    https: Option<String>,
    /// Scheme and host that have a proxy of their own, or `DIRECT`.
    hosts: Vec<(String, String, String)>,
}

impl AptProxies {
    /// The proxy for a URL, by the rules of apt-transport-http(1): one of the
    /// host's own first; `https` takes that of `http` where it has none.
    pub(super) fn of(&self, scheme: &str, host: &str) -> Option<&str> {
        let own = |scheme: &str| {
            let known = self.hosts.iter().rev().find(|(s, h, _)| s == scheme && h == host);
            known.map(|(_, _, proxy)| proxy)
        };
        let found = match scheme {
            "https" => own("https").or(own("http")).or(self.https.as_ref()).or(self.http.as_ref()),
            _ => own("http").or(self.http.as_ref()),
        };
        found.map(String::as_str).filter(|proxy| !proxy.is_empty() && *proxy != "DIRECT")
    }

    fn set(&mut self, name: &str, value: &str) {
        let Some(name) = name.strip_prefix("acquire::") else { return };
        let Some((scheme, option)) = name.split_once("::proxy") else { return };
        let value = value.to_owned();
        match (scheme, option.strip_prefix("::")) {
            ("http", None) if option.is_empty() => self.http = Some(value),
            ("https", None) if option.is_empty() => self.https = Some(value),
            ("http" | "https", Some(host)) => {
                self.hosts.push((scheme.to_owned(), host.to_owned(), value));
            }
            _ => {}
        }
    }
}

impl fmt::Debug for AptProxies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AptProxies").finish_non_exhaustive()
    }
}

/// Reads the configuration below `dir`. Absent files are no error.
pub(super) fn read(dir: &Path) -> HostApt {
    let mut host = HostApt::default();
    for path in files(dir, "sources.list", "sources.list.d", &["list", "sources"]) {
        let Ok(text) = fs::read_to_string(&path) else { continue };
        if path.extension().is_some_and(|e| e == "sources") {
            deb822(&text, &mut host);
        } else {
            text.lines().for_each(|line| one_line(line, &mut host));
        }
    }
    host.keyrings = files(dir, "trusted.gpg", "trusted.gpg.d", &["gpg", "asc"]);
    for path in files(dir, "auth.conf", "auth.conf.d", &["conf"]) {
        netrc(&fs::read_to_string(path).unwrap_or_default(), &mut host.credentials);
    }
    // Here the parts come first, and of two values the last counts.
    let mut configuration = files(dir, "apt.conf", "apt.conf.d", &["conf", ""]);
    configuration.sort_by_key(|path| path.ends_with("apt.conf"));
    for path in configuration {
        for (name, value) in apt_conf::options(&fs::read_to_string(path).unwrap_or_default()) {
            if name == "acquire::check-valid-until" {
                let value = value.to_ascii_lowercase();
                host.ignore_valid_until = matches!(value.as_str(), "false" | "no" | "0" | "off");
            }
            host.proxies.set(&name, &value);
        }
    }
    host
}

/// A file and the files of a directory that have one of the extensions, in apt's order.
fn files(dir: &Path, single: &str, parts: &str, extensions: &[&str]) -> Vec<PathBuf> {
    let mut all: Vec<PathBuf> = fs::read_dir(dir.join(parts))
        .into_iter()
        .flatten()
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| {
            let extension = path.extension().map_or("", |e| e.to_str().unwrap_or("?"));
            extensions.contains(&extension)
        })
        .collect();
    all.sort();
    all.insert(0, dir.join(single));
    all.retain(|path| path.is_file());
    all
}

/// Takes name and password out of a URL.
pub(super) fn split_credentials(url: &str) -> (String, Option<Credential>) {
    let url = url.trim_end_matches('/');
    let Some((scheme, rest)) = url.split_once("://") else { return (url.to_owned(), None) };
    let authority_end = rest.find('/').unwrap_or(rest.len());
    let Some(at) = rest[..authority_end].rfind('@') else { return (url.to_owned(), None) };
    let (user, password) = rest[..at].split_once(':').unwrap_or((&rest[..at], ""));
    let prefix = rest[at + 1..].to_owned();
    let credential =
        Credential { prefix: prefix.clone(), user: decode(user), password: decode(password) };
    (format!("{scheme}://{prefix}"), Some(credential))
}

/// Undoes percent encoding.
fn decode(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        let hex = tail.get(..2).and_then(|pair| std::str::from_utf8(pair).ok());
        match hex.and_then(|pair| u8::from_str_radix(pair, 16).ok()) {
            Some(byte) if *first == b'%' => {
                bytes.push(byte);
                rest = &tail[2..];
            }
            _ => {
                bytes.push(*first);
                rest = tail;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

impl HostApt {
    fn push(&mut self, url: &str, suite: &str, components: &[&str], signed_by: &SignedBy) {
        let (mirror, credential) = split_credentials(url);
        self.credentials.extend(credential);
        self.sources.push(AptSource {
            mirror,
            suite: suite.trim_end_matches('/').to_owned(),
            components: components.iter().map(|c| (*c).to_owned()).collect(),
            signed_by: signed_by.clone(),
        });
    }
}

/// The value of `Signed-By`.
fn signed_by(value: &str) -> SignedBy {
    let mut result = SignedBy::default();
    if value.contains("-----BEGIN") {
        let lines = value.lines().map(str::trim).map(|line| if line == "." { "" } else { line });
        result.embedded = Some(lines.collect::<Vec<_>>().join("\n") + "\n");
        return result;
    }
    for word in value.split([' ', ',', '\n', '\t']).filter(|word| !word.is_empty()) {
        if word.starts_with('/') {
            result.files.push(word.into());
        } else {
            result.fingerprints.push(word.trim_end_matches('!').to_ascii_uppercase());
        }
    }
    result
}

fn one_line(line: &str, host: &mut HostApt) {
    let line = line.split('#').next().unwrap_or("").trim();
    let Some(mut rest) = line.strip_prefix("deb").filter(|r| r.starts_with([' ', '\t', '[']))
    else {
        return;
    };
    let mut keys = SignedBy::default();
    rest = rest.trim_start();
    if let Some((options, after)) = rest.strip_prefix('[').and_then(|r| r.split_once(']')) {
        for option in options.split_whitespace() {
            if let Some(value) = option.strip_prefix("signed-by=") {
                keys = signed_by(value);
            }
        }
        rest = after;
    }
    let words: Vec<&str> = rest.split_whitespace().collect();
    if let [url, suite, components @ ..] = &words[..] {
        host.push(url, suite, components, &keys);
    }
}

fn deb822(text: &str, host: &mut HostApt) {
    for paragraph in control::paragraphs(text, "apt sources").unwrap_or_default() {
        let words =
            |field| paragraph.get(field).unwrap_or("").split_whitespace().collect::<Vec<_>>();
        let enabled = !matches!(paragraph.get("Enabled"), Some("no" | "false" | "0"));
        if !enabled || !words("Types").contains(&"deb") {
            continue;
        }
        let keys = signed_by(paragraph.get("Signed-By").unwrap_or(""));
        for url in words("URIs") {
            for suite in words("Suites") {
                host.push(url, suite, &words("Components"), &keys);
            }
        }
    }
}

/// apt_auth.conf(5): `machine HOST[/PATH] login NAME password WORD`.
fn netrc(text: &str, credentials: &mut Vec<Credential>) {
    let mut words =
        text.lines().filter(|l| !l.trim_start().starts_with('#')).flat_map(str::split_whitespace);
    while let Some(word) = words.next() {
        let Some(value) = words.next() else { return };
        match word {
            "machine" => {
                let prefix = value.split_once("://").map_or(value, |(_, rest)| rest).to_owned();
                credentials.push(Credential {
                    prefix,
                    user: String::new(),
                    password: String::new(),
                });
            }
            "login" => credentials.last_mut().into_iter().for_each(|c| c.user = value.to_owned()),
            "password" => {
                credentials.last_mut().into_iter().for_each(|c| c.password = value.to_owned());
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_of_sources_are_read_and_credentials_kept_apart() {
        let dir = tempfile::tempdir().expect("temp dir");
        let write = |name: &str, text: &str| {
            let path = dir.path().join(name);
            fs::create_dir_all(path.parent().expect("has one")).expect("mkdir");
            fs::write(path, text).expect("write");
        };
        write(
            "sources.list",
            "# x\ndeb [arch=amd64 signed-by=/k.gpg] http://u:p%40@m.example/debian/ bookworm main contrib # c\ndeb-src http://m/ x main\n",
        );
        write(
            "sources.list.d/a.sources",
            "Types: deb deb-src\nURIs: http://a.example/d\nSuites: s s-updates\nComponents: main\nSigned-By:\n -----BEGIN PGP PUBLIC KEY BLOCK-----\n .\n abc\n\nTypes: deb\nEnabled: no\nURIs: http://off\nSuites: s\nComponents: main\n",
        );
        write("sources.list.d/ignored.disabled", "deb http://no s main\n");
        write("auth.conf.d/x.conf", "machine a.example/d login me password secret\n");
        write("apt.conf.d/99x", "Acquire::Check-Valid-Until \"false\";\n");
        write(
            "apt.conf.d/proxy",
            "Acquire { http::Proxy \"http://user:secret@proxy:3128\";\n\
             http::Proxy::near.example \"DIRECT\"; https::Proxy::far \"http://other:1\"; };\n",
        );
        let host = read(dir.path());
        let shown: Vec<String> = host
            .sources
            .iter()
            .map(|s| format!("{} {} {}", s.mirror, s.suite, s.components.join(",")))
            .collect();
        assert_eq!(
            shown,
            [
                "http://m.example/debian bookworm main,contrib",
                "http://a.example/d s main",
                "http://a.example/d s-updates main"
            ]
        );
        assert_eq!(host.sources[0].signed_by.files, [PathBuf::from("/k.gpg")]);
        assert!(
            host.sources[1].signed_by.embedded.as_ref().is_some_and(|k| k.contains("\n\nabc\n"))
        );
        let users: Vec<_> =
            host.credentials.iter().map(|c| (&*c.prefix, &*c.user, &*c.password)).collect();
        assert_eq!(users, [("m.example/debian", "u", "p@"), ("a.example/d", "me", "secret")]);
        assert!(!format!("{:?}", host.credentials).contains("secret"));
        assert!(host.ignore_valid_until);
        let proxy = |scheme, of| host.proxies.of(scheme, of);
        assert_eq!(proxy("http", "m.example"), Some("http://user:secret@proxy:3128"));
        assert_eq!(proxy("https", "m.example"), Some("http://user:secret@proxy:3128"));
        assert_eq!(proxy("http", "near.example"), None);
        assert_eq!(proxy("https", "far"), Some("http://other:1"));
        assert!(!format!("{host:?}").contains("secret"));
        assert_eq!(AptProxies::default().of("http", "m.example"), None);
    }
}
