//! From a request to a lock.
//!
//! In: what the recipe asks for, what the host knows. Out: the pinned set.
//! Where the recipe names a mirror, its suite alone is used; else those of the
//! host's sources that are for the suite, its updates and its security
//! updates. A host that has sources for another suite only lends its mirrors.

use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use pgp::composed::SignedPublicKey;
use pgp::types::KeyDetails;

use super::apt::{self, AptSource, HostApt, SignedBy};
use super::download::{self, Client, Wanted};
use super::index::Universe;
use super::lock::components_of;
use super::release::{self, Release};
use super::{
    DebianError, Lock, LockedPackage, LockedSource, Report, Settings, solve, unpack, verify,
};
use crate::cancel::Cancel;
use crate::digest::BlobDigest;
use crate::plan::op;

/// The largest release and the largest unpacked index that are read, in bytes.
const RELEASE_LIMIT: u64 = 16 << 20;
const INDEX_LIMIT: u64 = 1 << 30;

/// An index that is needed.
struct Index {
    source: usize,
    url: String,
    wanted: Wanted,
    packing: &'static str,
}

pub(super) fn resolve(
    request: &op::Debian,
    settings: &Settings,
    downloads: &Path,
    cancel: &Cancel,
    report: Report<'_>,
) -> Result<Lock, DebianError> {
    let host = apt::read(&settings.apt_dir);
    let arch = request.arch.clone().unwrap_or_else(|| settings.arch.clone());
    let (sources, credential) = sources(request, &host, settings)?;
    let credentials = host.credentials.iter().cloned().chain(credential).collect();
    let client = Client::new(settings, credentials, host.proxies.clone(), cancel)?;

    let releases = releases(&client, request, &sources, &host, settings)?;
    let kept = same_origin(releases, &request.suite);
    let mut indices = Vec::new();
    let mut locked = Vec::new();
    for (source, found) in kept {
        for component in &source.components {
            indices.push(index(source, &found.release, component, &arch, locked.len())?);
        }
        locked.push(LockedSource {
            mirror: source.mirror.clone(),
            suite: source.suite.clone(),
            components: source.components.clone(),
            date: found.release.date.clone(),
            release: found.digest,
            signed_by: found.signed_by,
        });
    }
    client.files(indices.iter().map(|i| i.wanted.clone()).collect(), downloads, report)?;
    let texts = texts(&indices, downloads)?;
    let mut universe = Universe::default();
    for (index, text) in indices.iter().zip(&texts) {
        universe.add(text, &index.url, &arch, index.source)?;
    }
    let packages = solve::solve(&universe, &request.include)?
        .into_iter()
        .map(|at| {
            let p = &universe.packages[at];
            LockedPackage {
                name: p.name.into(),
                version: p.version.into(),
                arch: p.arch.into(),
                source: p.source,
                filename: p.filename.into(),
                size: p.size,
                sha256: p.sha256,
            }
        })
        .collect();
    Ok(Lock {
        suite: request.suite.clone(),
        arch,
        components: components_of(&request.components),
        include: request.include.clone(),
        sources: locked,
        packages,
    })
}

/// Brings the packages of a lock: from this host's mirror for the suite where
/// there is one, else from the one that the lock names.
pub(super) fn fetch(
    lock: &Lock,
    settings: &Settings,
    downloads: &Path,
    cancel: &Cancel,
    report: Report<'_>,
) -> Result<(), DebianError> {
    let host = apt::read(&settings.apt_dir);
    let mut wanted = Vec::new();
    for package in &lock.packages {
        let source = lock.sources.get(package.source);
        let source =
            source.ok_or_else(|| DebianError::LockSource { package: package.name.clone() })?;
        check_url(&source.mirror)?;
        let own = host.sources.iter().filter(|s| s.suite == source.suite).map(|s| &s.mirror);
        let mut urls: Vec<String> = own
            .chain([&source.mirror])
            .map(|m| format!("{}/{}", m.trim_end_matches('/'), package.filename))
            .collect();
        urls.dedup();
        wanted.push(Wanted { urls, sha256: package.sha256, size: package.size });
    }
    Client::new(settings, host.credentials, host.proxies, cancel)?.files(wanted, downloads, report)
}

/// The suites to read, and the credential that the recipe's mirror held.
fn sources(
    request: &op::Debian,
    host: &HostApt,
    settings: &Settings,
) -> Result<(Vec<AptSource>, Option<apt::Credential>), DebianError> {
    let components = components_of(&request.components);
    let suite = &request.suite;
    if suite.is_empty()
        || suite.contains(|c: char| c.is_whitespace() || c.is_control())
        || suite.contains("..")
    {
        return Err(DebianError::Url { url: suite.clone(), reason: "not a suite".into() });
    }
    if let Some(mirror) = &request.mirror {
        let (mirror, credential) = apt::split_credentials(mirror);
        check_url(&mirror)?;
        let known = host.sources.iter().find(|s| s.mirror == mirror);
        let signed_by = known.map_or_else(SignedBy::default, |s| s.signed_by.clone());
        let source = AptSource { mirror, suite: suite.clone(), components, signed_by };
        return Ok((vec![source], credential));
    }
    let mut found = for_suite(&host.sources, suite, suite);
    if found.is_empty() {
        let shortest = host.sources.iter().filter(|s| role(&s.suite).1.is_empty());
        let lent = shortest.map(|s| s.suite.clone()).next();
        found = lent.map_or_else(Vec::new, |lent| for_suite(&host.sources, &lent, suite));
    }
    for source in &mut found {
        source.components.clone_from(&components);
        check_url(&source.mirror)?;
    }
    if found.is_empty() {
        return Err(DebianError::NoMirror {
            suite: suite.clone(),
            apt_dir: settings.apt_dir.clone(),
        });
    }
    Ok((found, None))
}

/// A suite without, and the part with what it adds to the plain one.
fn role(suite: &str) -> (&str, &str) {
    let ends = ["-updates", "-security", "/updates", "-backports", "-proposed-updates"];
    let end = ends.into_iter().rev().find(|end| suite.ends_with(end)).unwrap_or("");
    suite.split_at(suite.len() - end.len())
}

/// The host's sources for `from`, its updates and its security updates, renamed to `to`.
fn for_suite(all: &[AptSource], from: &str, to: &str) -> Vec<AptSource> {
    let mut found: Vec<AptSource> = Vec::new();
    for source in all {
        let (base, end) = role(&source.suite);
        if base != from || !matches!(end, "" | "-updates" | "-security" | "/updates") {
            continue;
        }
        let suite = format!("{to}{end}");
        if !found.iter().any(|s| s.suite == suite && s.mirror == source.mirror) {
            found.push(AptSource { suite, ..source.clone() });
        }
    }
    // The plain suite first: it says whose updates the others are.
    found.sort_by_key(|s| s.suite != to);
    found
}

fn check_url(url: &str) -> Result<(), DebianError> {
    let known = ["http://", "https://", "file:/", "copy:/"].iter().any(|s| url.starts_with(s));
    if known && !url.contains(|c: char| c.is_whitespace() || c.is_control()) {
        return Ok(());
    }
    Err(DebianError::Url { url: url.into(), reason: "expected http:, https: or file:".into() })
}

/// A verified release.
struct Found {
    release: Release,
    digest: BlobDigest,
    signed_by: Vec<String>,
}

fn releases<'s>(
    client: &Client,
    request: &op::Debian,
    sources: &'s [AptSource],
    host: &HostApt,
    settings: &Settings,
) -> Result<Vec<(&'s AptSource, Found)>, DebianError> {
    let url = |s: &AptSource| format!("{}/dists/{}/InRelease", s.mirror, s.suite);
    let urls: Vec<String> = sources.iter().map(url).collect();
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |t| t.as_secs());
    let mut all = Vec::new();
    for ((source, url), bytes) in sources.iter().zip(&urls).zip(client.small(&urls, RELEASE_LIMIT))
    {
        let keys = keys(request, source, host, settings)?;
        let (text, signed_by) = verify::signed_text(&bytes?, &keys, url, now)?;
        let release = release::parse(&text, url, &source.suite, now, host.ignore_valid_until)?;
        all.push((source, Found { release, digest: BlobDigest::of(text.as_bytes()), signed_by }));
    }
    Ok(all)
}

/// The keys that may sign a source.
fn keys(
    request: &op::Debian,
    source: &AptSource,
    host: &HostApt,
    settings: &Settings,
) -> Result<Vec<SignedPublicKey>, DebianError> {
    if let Some(path) = &request.keyring {
        return verify::keys_of_file(path);
    }
    let signed_by = &source.signed_by;
    if let Some(text) = &signed_by.embedded {
        return verify::keys(text.as_bytes())
            .map_err(|reason| DebianError::Keyring { path: "apt's sources".into(), reason });
    }
    if !signed_by.files.is_empty() {
        let all: Result<Vec<_>, _> =
            signed_by.files.iter().map(|f| verify::keys_of_file(f)).collect();
        return Ok(all?.into_iter().flatten().collect());
    }
    let debian = settings.keyrings_dir.join("debian-archive-keyring.gpg");
    let files = host.keyrings.iter().chain(Some(&debian).filter(|path| path.is_file()));
    let mut keys: Vec<_> =
        files.filter_map(|path| verify::keys_of_file(path).ok()).flatten().collect();
    if !signed_by.fingerprints.is_empty() {
        keys.retain(|k| {
            signed_by.fingerprints.contains(&format!("{:X}", k.primary_key.fingerprint()))
        });
    }
    if keys.is_empty() {
        return Err(DebianError::NoKeyring { mirror: source.mirror.clone() });
    }
    Ok(keys)
}

/// Leaves out archives of others that happen to call a suite the same.
fn same_origin<'s>(found: Vec<(&'s AptSource, Found)>, suite: &str) -> Vec<(&'s AptSource, Found)> {
    let plain = found.iter().find(|(source, _)| source.suite == suite);
    let Some(origin) = plain.map(|(_, f)| f.release.origin.clone()) else { return found };
    found.into_iter().filter(|(_, f)| f.release.origin == origin).collect()
}

/// The smallest form of a component's index that the release lists.
fn index(
    source: &AptSource,
    release: &Release,
    component: &str,
    arch: &str,
    at: usize,
) -> Result<Index, DebianError> {
    let dir = format!("{component}/binary-{arch}");
    let base = format!("{}/dists/{}", source.mirror, source.suite);
    for packing in [".xz", ".gz", ""] {
        let path = format!("{dir}/Packages{packing}");
        let Some((sha256, size)) = release.file(&path) else { continue };
        let plain = format!("{base}/{path}");
        let mut urls = vec![plain.clone()];
        if release.by_hash {
            urls.insert(0, format!("{base}/{dir}/by-hash/SHA256/{}", sha256.hex()));
        }
        let wanted = Wanted { urls, sha256, size };
        return Ok(Index { source: at, url: plain, wanted, packing });
    }
    let reason = format!("it has no index of {component} for {arch}");
    Err(DebianError::Release { url: format!("{base}/InRelease"), reason })
}

/// The texts of downloaded indices, unpacked side by side.
fn texts(indices: &[Index], downloads: &Path) -> Result<Vec<String>, DebianError> {
    let read = |index: &Index| {
        let path = download::path_of(downloads, &index.wanted.sha256);
        let file = std::fs::File::open(&path).map_err(DebianError::io("reading", &path))?;
        unpack::text(file, index.packing, INDEX_LIMIT)
            .map_err(|reason| DebianError::Release { url: index.url.clone(), reason })
    };
    std::thread::scope(|scope| {
        let threads: Vec<_> = indices.iter().map(|i| scope.spawn(move || read(i))).collect();
        threads.into_iter().map(|t| t.join().expect("unpacking does not panic")).collect()
    })
}
