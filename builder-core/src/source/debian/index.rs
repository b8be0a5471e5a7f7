//! Indices: what an archive offers.
//!
//! In: the text of `Packages` files, already verified. Out: [`Universe`], all
//! packages by name and by what they provide. Only the fields that choosing
//! and fetching needs are kept.

use std::collections::HashMap;

use super::DebianError;
use super::control::Reader;
use super::relation::{self, Relation};
use super::version;
use crate::digest::BlobDigest;

/// One version of a package, as its index says; borrowed from the index's text.
#[derive(Debug, Clone)]
pub(super) struct Package<'a> {
    pub(super) name: &'a str,
    pub(super) version: &'a str,
    pub(super) arch: &'a str,
    pub(super) priority: &'a str,
    pub(super) essential: bool,
    pub(super) pre_depends: &'a str,
    pub(super) depends: &'a str,
    pub(super) conflicts: &'a str,
    pub(super) breaks: &'a str,
    pub(super) provides: &'a str,
    pub(super) filename: &'a str,
    pub(super) size: u64,
    pub(super) sha256: BlobDigest,
    /// Index of the source that offers it.
    pub(super) source: usize,
}

/// All that can be installed.
#[derive(Debug, Default)]
pub(super) struct Universe<'a> {
    pub(super) packages: Vec<Package<'a>>,
    by_name: HashMap<&'a str, Vec<usize>>,
    providers: HashMap<&'a str, Vec<(usize, Option<&'a str>)>>,
}

impl<'a> Universe<'a> {
    /// Adds the packages of one index that fit `arch`.
    pub(super) fn add(
        &mut self,
        text: &'a str,
        what: &str,
        arch: &str,
        source: usize,
    ) -> Result<(), DebianError> {
        let mut reader = Reader::new(text);
        while let Some(paragraph) = reader.next(what)? {
            let get = |field| paragraph.get(field).unwrap_or("");
            let reason = |reason: String| DebianError::Release { url: what.to_owned(), reason };
            let name = get("Package");
            if !matches!(get("Architecture"), "all") && get("Architecture") != arch {
                continue;
            }
            let size = get("Size").parse();
            let (Ok(size), Ok(sha256)) = (size, BlobDigest::from_hex(get("SHA256"))) else {
                return Err(reason(format!("package `{name}` has no size or no sha-256")));
            };
            let filename = get("Filename");
            let escapes = filename.split('/').any(|part| matches!(part, "" | "." | ".."));
            if !relation::is_name(name) || escapes || get("Version").is_empty() {
                return Err(reason(format!("package `{name}` has a bad name, version or path")));
            }
            self.insert(Package {
                name,
                version: get("Version"),
                arch: get("Architecture"),
                priority: get("Priority"),
                essential: get("Essential").eq_ignore_ascii_case("yes"),
                pre_depends: get("Pre-Depends"),
                depends: get("Depends"),
                conflicts: get("Conflicts"),
                breaks: get("Breaks"),
                provides: get("Provides"),
                filename,
                size,
                sha256,
                source,
            });
        }
        Ok(())
    }

    fn insert(&mut self, package: Package<'a>) {
        let at = self.packages.len();
        self.by_name.entry(package.name).or_default().push(at);
        for provided in relation::groups(package.provides).unwrap_or_default().iter().flatten() {
            let entry = self.providers.entry(provided.name).or_default();
            entry.push((at, provided.provided_version()));
        }
        self.packages.push(package);
    }

    /// All versions of a package, in the order of the sources.
    pub(super) fn versions(&self, name: &str) -> &[usize] {
        self.by_name.get(name).map_or(&[], Vec::as_slice)
    }

    /// The version that would be installed: the highest; of equal ones, the first source's.
    pub(super) fn candidate(&self, name: &str) -> Option<usize> {
        self.versions(name).iter().copied().reduce(|best, other| {
            let newer = version::compare(self.packages[other].version, self.packages[best].version);
            if newer.is_gt() { other } else { best }
        })
    }

    /// Every package name once, sorted.
    pub(super) fn names(&self) -> Vec<&'a str> {
        let mut names: Vec<_> = self.by_name.keys().copied().collect();
        names.sort_unstable();
        names
    }

    /// Candidates that provide what `wanted` names, most important first.
    pub(super) fn providers(&self, wanted: &Relation<'_>) -> Vec<usize> {
        let offered = self.providers.get(wanted.name).map_or(&[][..], Vec::as_slice);
        let mut found: Vec<usize> = offered
            .iter()
            .filter(|(at, version)| {
                wanted.admits_provided(*version)
                    && self.candidate(self.packages[*at].name) == Some(*at)
            })
            .map(|(at, _)| *at)
            .collect();
        found.sort_by_key(|at| (rank(self.packages[*at].priority), self.packages[*at].name));
        found.dedup();
        found
    }

    /// Whether package `at` fulfils `wanted`, by itself or by what it provides.
    pub(super) fn fulfils(&self, at: usize, wanted: &Relation<'_>) -> bool {
        let package = &self.packages[at];
        let arch_fits = match wanted.arch {
            None | Some("any" | "native") => true,
            Some(arch) => package.arch == arch || package.arch == "all",
        };
        let itself = package.name == wanted.name && wanted.admits(package.version);
        arch_fits
            && (itself
                || relation::groups(package.provides)
                    .unwrap_or_default()
                    .iter()
                    .flatten()
                    .any(|p| p.name == wanted.name && wanted.admits_provided(p.provided_version())))
    }
}

/// The order of priorities.
fn rank(priority: &str) -> u8 {
    match priority {
        "required" => 0,
        "important" => 1,
        "standard" => 2,
        "optional" => 3,
        _ => 4,
    }
}
