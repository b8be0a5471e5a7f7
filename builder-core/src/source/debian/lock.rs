//! The lock: every package of a base, pinned.
//!
//! In: a resolved set, or the text of `recipe.lock`. Out: the same the other
//! way round. The text is JSON with one package per line, sorted, so that a
//! changed version is a changed line. It holds nothing of this machine: no
//! credentials, no proxies, no paths.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::DebianError;
use crate::digest::BlobDigest;
use crate::plan::op;

/// The version of the format that is written.
pub(super) const LOCK_VERSION: u32 = 1;

/// The largest lock file that is read, in bytes.
const LIMIT: usize = 16 << 20;

/// A suite that packages are taken from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LockedSource {
    /// Base URL of the archive, without credentials: the image's apt sources say the same.
    pub mirror: String,
    /// Suite as apt's sources name it.
    pub suite: String,
    /// Its components.
    pub components: Vec<String>,
    /// The release's own `Date`: which state of the archive this is.
    pub date: String,
    /// SHA-256 of the signed release's text.
    pub release: BlobDigest,
    /// Fingerprints of the keys that signed it, in upper-case hex.
    pub signed_by: Vec<String>,
}

/// One package.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LockedPackage {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Its architecture: the base's, or `all`.
    pub arch: String,
    /// Index into the lock's sources.
    pub source: usize,
    /// Path of the archive below the mirror.
    pub filename: String,
    /// Its size in bytes.
    pub size: u64,
    /// Its digest.
    pub sha256: BlobDigest,
}

/// A base, pinned.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lock {
    /// The suite that was asked for.
    pub suite: String,
    /// The architecture.
    pub arch: String,
    /// The components that were asked for.
    pub components: Vec<String>,
    /// What was to be included, as the recipe says it.
    pub include: Vec<String>,
    /// Where packages come from.
    pub sources: Vec<LockedSource>,
    /// The packages, sorted by name.
    pub packages: Vec<LockedPackage>,
}

/// All of a recipe's locks: the content of `recipe.lock`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LockFile {
    /// The version of this format.
    pub version: u32,
    /// Debian bases by the stage that starts from them.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub debian: BTreeMap<String, Lock>,
    /// Images of registries: by name in full, then by platform, the digest of
    /// the manifest.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub images: BTreeMap<String, BTreeMap<String, BlobDigest>>,
}

impl Default for LockFile {
    fn default() -> Self {
        Self { version: LOCK_VERSION, debian: BTreeMap::new(), images: BTreeMap::new() }
    }
}

impl Lock {
    /// Whether this lock answers `request`; if not, the recipe was changed
    /// after it was made. A mirror that the recipe names must be the locked
    /// one; one that the host's configuration gave may differ.
    #[must_use]
    pub fn answers(&self, request: &op::Debian) -> bool {
        let op::Debian { suite, mirror, keyring: _, components, include, arch } = request;
        self.suite == *suite
            && self.include == *include
            && self.components == components_of(components)
            && arch.as_ref().is_none_or(|arch| self.arch == *arch)
            && mirror.as_ref().is_none_or(|mirror| {
                let (mirror, _) = super::apt::split_credentials(mirror);
                self.sources.iter().all(|source| source.mirror == mirror)
            })
    }

    /// Names what the layer made from this lock holds: equal locks give equal
    /// layers. The date, release and key of a source are left out: they say
    /// how the packages were found, not what they are.
    #[must_use]
    pub fn identity(&self) -> BlobDigest {
        let mut text = format!("phoenix debian lock 1\n{}\n{}\n", self.suite, self.arch);
        for LockedSource { mirror, suite, components, date: _, release: _, signed_by: _ } in
            &self.sources
        {
            text += &format!("{mirror} {suite} {}\n", components.join(" "));
        }
        for LockedPackage { name, version, arch, sha256, size: _, source: _, filename: _ } in
            &self.packages
        {
            text += &format!("{name} {version} {arch} {sha256}\n");
        }
        BlobDigest::of(text.as_bytes())
    }
}

/// The components that are meant.
pub(super) fn components_of(components: &[String]) -> Vec<String> {
    if components.is_empty() { vec!["main".to_owned()] } else { components.to_vec() }
}

impl LockFile {
    /// Reads the text of `recipe.lock`.
    ///
    /// # Errors
    /// [`DebianError::Lock`] if it is malformed, [`DebianError::LockVersion`]
    /// if a newer Phoenix wrote it.
    pub fn parse(text: &str) -> Result<Self, DebianError> {
        #[derive(Deserialize)]
        struct Version {
            version: u32,
        }
        if text.len() > LIMIT {
            return Err(DebianError::TooLarge {
                what: "the lock file".into(),
                limit: LIMIT as u64,
            });
        }
        let Version { version } =
            serde_json::from_str(text).map_err(|source| DebianError::Lock { source })?;
        if version != LOCK_VERSION {
            return Err(DebianError::LockVersion { found: version, known: LOCK_VERSION });
        }
        let file: Self =
            serde_json::from_str(text).map_err(|source| DebianError::Lock { source })?;
        for lock in file.debian.values() {
            if let Some(bad) = lock.packages.iter().find(|p| p.source >= lock.sources.len()) {
                return Err(DebianError::LockSource { package: bad.name.clone() });
            }
        }
        Ok(file)
    }

    /// The text of `recipe.lock`: stable, sorted, one package per line.
    #[must_use]
    pub fn to_text(&self) -> String {
        let json = |value: &dyn erased::Json| value.json();
        let mut out = format!("{{\n  \"version\": {},\n  \"debian\": {{", self.version);
        for (at, (stage, lock)) in self.debian.iter().enumerate() {
            let Lock { suite, arch, components, include, sources, packages } = lock;
            out += if at == 0 { "\n" } else { ",\n" };
            out += &format!("    {}: {{\n", json(stage));
            out += &format!("      \"suite\": {},\n      \"arch\": {},\n", json(suite), json(arch));
            out += &format!("      \"components\": {},\n", json(components));
            out += &format!("      \"include\": {},\n", json(include));
            out += &format!("      \"sources\": [{}],\n", lines(sources));
            out += &format!("      \"packages\": [{}]\n    }}", lines(packages));
        }
        out += if self.debian.is_empty() { "}" } else { "\n  }" };
        for (at, (name, platforms)) in self.images.iter().enumerate() {
            out += if at == 0 { ",\n  \"images\": {\n" } else { ",\n" };
            out += &format!("    {}: {}", json(name), json(platforms));
        }
        out += if self.images.is_empty() { "\n}\n" } else { "\n  }\n}\n" };
        out
    }
}

/// Each item on a line of its own.
fn lines<T: Serialize>(items: &[T]) -> String {
    let lines: Vec<String> =
        items.iter().map(|item| format!("\n        {}", erased::Json::json(item))).collect();
    if lines.is_empty() { String::new() } else { lines.join(",") + "\n      " }
}

/// Serialisation that cannot fail: the values hold strings, numbers and lists only.
mod erased {
    pub(super) trait Json {
        fn json(&self) -> String;
    }
    impl<T: serde::Serialize> Json for T {
        fn json(&self) -> String {
            serde_json::to_string(self).expect("strings, numbers and lists always serialise")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> LockFile {
        let lock = Lock {
            suite: "bookworm".into(),
            arch: "amd64".into(),
            components: vec!["main".into()],
            include: vec![],
            sources: vec![LockedSource {
                mirror: "http://mirror.example/debian".into(),
                suite: "bookworm".into(),
                components: vec!["main".into()],
                date: "Sat, 17 May 2025 09:08:00 UTC".into(),
                release: BlobDigest::of(b"r"),
                signed_by: vec!["AB".into()],
            }],
            packages: vec![LockedPackage {
                name: "apt".into(),
                version: "2.6.1".into(),
                arch: "amd64".into(),
                source: 0,
                filename: "pool/main/a/apt/apt_2.6.1_amd64.deb".into(),
                size: 7,
                sha256: BlobDigest::of(b"apt"),
            }],
        };
        LockFile { debian: [("app".to_owned(), lock)].into(), ..LockFile::default() }
    }

    #[test]
    fn text_round_trips_and_has_one_line_per_package() {
        let file = sample();
        let text = file.to_text();
        assert_eq!(LockFile::parse(&text).expect("own text"), file);
        assert_eq!(text.lines().filter(|l| l.contains("\"apt\"")).count(), 1);
        let digest = BlobDigest::of(b"manifest");
        let platforms: BTreeMap<_, _> = [("linux/amd64".to_owned(), digest)].into();
        let images: BTreeMap<_, _> = ["docker.io/library/a:1", "b.example/b:2"]
            .map(|n| (n.to_owned(), platforms.clone()))
            .into();
        for debian in [BTreeMap::new(), file.debian] {
            let file = LockFile { images: images.clone(), debian, ..LockFile::default() };
            let text = file.to_text();
            assert_eq!(LockFile::parse(&text).expect("own text"), file);
            assert_eq!(text.lines().filter(|l| l.contains("linux/amd64")).count(), 2);
        }
        let empty = LockFile::default();
        assert_eq!(LockFile::parse(&empty.to_text()).expect("own text"), empty);
    }

    #[test]
    fn broken_newer_and_inconsistent_locks_are_refused() {
        let text = sample().to_text();
        for bad in [
            "",
            "{",
            "[]",
            &text.replace("\"version\": 1", "\"version\": 2"),
            &text.replace("\"source\":0", "\"source\":1"),
            &text.replace("sha256:", "sha1:"),
            &text.replace("\"suite\": \"bookworm\"", "\"suite\": \"bookworm\", \"x\": 1"),
        ] {
            assert!(LockFile::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_lock_answers_only_the_request_it_was_made_for() {
        let lock = sample().debian.remove("app").expect("sample has it");
        let request = op::Debian {
            suite: "bookworm".into(),
            mirror: None,
            keyring: None,
            components: vec![],
            include: vec![],
            arch: None,
        };
        assert!(lock.answers(&request));
        assert!(!lock.answers(&op::Debian { suite: "trixie".into(), ..request.clone() }));
        assert!(!lock.answers(&op::Debian { include: vec!["vim".into()], ..request.clone() }));
        assert!(!lock.answers(&op::Debian { arch: Some("arm64".into()), ..request.clone() }));
        let other = Some("http://other.example/debian".into());
        assert!(!lock.answers(&op::Debian { mirror: other, ..request }));
    }
}
