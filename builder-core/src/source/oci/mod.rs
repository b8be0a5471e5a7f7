//! Images on this host's disk: OCI layouts, OCI archives, docker-archives.
//!
//! In: a path and, where there are several images, a name. Out: the image's
//! layers and documents in the store. Archives (plain, or compressed by gzip,
//! xz or zstd) are indexed and read in place; a compressed one is first
//! inflated into the store's work directory. What an engine streams is read as
//! it comes (`stream`).
//!
//! Invariant: no byte counts that was not verified. Manifests, configs and
//! layers against the digests that lead to them, each layer's content against
//! its diffID in the config.
//!
//! Limitations: `docker save` of many images keeps layers of all, only those
//! of the chosen one are taken; archives of more than [`MAX_MEMBERS`] members
//! are refused; sparse members are, too.

mod archive;
mod docker;
mod error;
mod files;
mod headers;
mod layout;
#[cfg(test)]
mod mutated;
mod select;
pub(in crate::source) mod stream;
#[cfg(test)]
mod streamed;

use std::path::{Path, PathBuf};

pub use archive::{MAX_INFLATED, MAX_MEMBERS};
pub use error::OciError;
use files::Files;

use super::{Fetched, Source};
use crate::digest::{BlobDigest, DiffId};
use crate::image::Platform;
use crate::layer::{self, Compression, LayerDesc};
use crate::store::Store;

/// The area of records that keep what an imported blob was found to be.
pub const IMPORTS: &str = "imports";

/// An image in a layout or an archive.
#[derive(Debug, Clone)]
pub struct Oci {
    /// Where it goes.
    pub store: Store,
    /// A directory or a file.
    pub path: PathBuf,
    /// Its tag, whole name or digest; may be left out where there is one only.
    pub tag: Option<String>,
    /// Chosen from an index of several.
    pub platform: Platform,
}

impl Source for Oci {
    type Error = OciError;

    fn pin(&self) -> Result<String, OciError> {
        let files = Files::open(&self.store, &self.path)?;
        Ok(match self.find(&files)? {
            Found::Layout(found) => format!("manifest {}", found.digest),
            Found::Docker(found) => format!("config {}", BlobDigest::of(&found.config)),
        })
    }

    fn fetch(&self) -> Result<Fetched, OciError> {
        let files = Files::open(&self.store, &self.path)?;
        match self.find(&files)? {
            Found::Layout(found) => layout::fetch(&self.store, &files, &found),
            Found::Docker(found) => docker::fetch(&self.store, &files, &found),
        }
    }
}

/// An image that was asked for with what belongs to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WithArtifact {
    /// Digest of its manifest.
    pub image: BlobDigest,
    /// What belongs to it; where nothing does, it was not brought in.
    pub payload: Option<Vec<u8>>,
}

enum Found {
    Layout(layout::Found),
    Docker(docker::Found),
}

impl Oci {
    /// Whether there is an image of any kind at the path.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn is_image(&self) -> Result<bool, OciError> {
        match Files::open(&self.store, &self.path) {
            Ok(files) => Ok(files.exists("index.json")? || files.exists("manifest.json")?),
            Err(OciError::Archive { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Brings the image in, with the payload of the artifact of the kind `kind`
    /// that belongs to it, of at most `limit` bytes. `None` for what has no
    /// manifest that could have artifacts.
    ///
    /// # Errors
    /// As [`Source::fetch`].
    pub fn fetch_with(&self, kind: &str, limit: u64) -> Result<Option<WithArtifact>, OciError> {
        let files = Files::open(&self.store, &self.path)?;
        let Found::Layout(found) = self.find(&files)? else { return Ok(None) };
        // What is of no use need not be brought in.
        let payload = layout::artifact(&files, &found, kind, limit)?;
        if payload.is_some() {
            layout::fetch(&self.store, &files, &found)?;
        }
        Ok(Some(WithArtifact { image: found.digest, payload }))
    }

    fn find(&self, files: &Files) -> Result<Found, OciError> {
        let tag = self.tag.as_deref();
        if files.exists("index.json")? {
            return layout::find(files, &self.path, tag, &self.platform).map(Found::Layout);
        }
        if files.exists("manifest.json")? {
            return docker::find(files, &self.path, tag).map(Found::Docker);
        }
        Err(OciError::NotAnImage { path: self.path.clone() })
    }
}

/// Splits `path[:tag]`. What exists as it stands is a path; else the tag is
/// what follows the last colon after the last slash, or `@sha256:...`.
#[must_use]
pub fn split_tag(text: &str) -> (PathBuf, Option<String>) {
    if Path::new(text).exists() {
        return (text.into(), None);
    }
    if let Some((path, digest)) = text.split_once("@sha256:") {
        return (path.into(), Some(format!("sha256:{digest}")));
    }
    // A tag may be a whole name that holds slashes itself: the shortest path
    // that exists wins, and without one the last colon divides.
    let colons = text.match_indices(':').map(|(at, _)| at);
    let at = colons
        .filter(|&at| at > 0)
        .find(|&at| Path::new(&text[..at]).exists())
        .or_else(|| text.rfind(':').filter(|&at| at > 0 && !text[at..].contains('/')));
    match at {
        Some(at) => (text[..at].into(), Some(text[at + 1..].to_owned())),
        None => (text.into(), None),
    }
}

/// A layer that is to be taken in.
struct Wanted<'a> {
    /// `layer 2`.
    what: String,
    /// The member that holds it.
    name: &'a str,
    blob: Option<BlobDigest>,
    size: Option<u64>,
    diff_id: DiffId,
    /// Sniffed where not told.
    compression: Option<Compression>,
}

/// Takes a layer into the store, unless it is known to be there.
fn take(store: &Store, files: &Files, wanted: &Wanted<'_>) -> Result<LayerDesc, OciError> {
    let Wanted { what, name, blob, size, diff_id, compression } = wanted;
    if let Some(known) = blob.map(|blob| known(store, what, &blob)).transpose()?.flatten() {
        return check_diff_id(what, diff_id, known);
    }
    let mut file = files.require(what, name)?;
    if let Some(expected) = size.filter(|size| *size != file.size) {
        let (what, actual) = (what.clone(), file.size);
        return Err(OciError::Size { what, expected, actual });
    }
    let compression = match compression {
        Some(compression) => *compression,
        None => file.sniff()?,
    };
    // What is not compressed has the diffID as its digest.
    let same = BlobDigest::from_bytes(*diff_id.as_bytes());
    let expected = blob.or((compression == Compression::None).then_some(same));
    let desc = layer::import(store, &mut file, compression, expected.as_ref())
        .map_err(|source| OciError::Layer { what: what.clone(), source })?;
    let record = serde_json::to_vec(&desc).expect("a descriptor can be written");
    store.put_record(IMPORTS, &desc.blob.hex(), &record)?;
    check_diff_id(what, diff_id, desc)
}

/// What an earlier import found a blob to be, if the store still has it.
fn known(store: &Store, what: &str, blob: &BlobDigest) -> Result<Option<LayerDesc>, OciError> {
    let Some(record) = store.get_record(IMPORTS, &blob.hex())? else { return Ok(None) };
    let Ok(desc) = serde_json::from_slice::<LayerDesc>(&record) else { return Ok(None) };
    let failed = |source| OciError::Layer { what: what.to_owned(), source };
    let there = desc.blob == *blob && layer::is_whole(store, &desc).map_err(failed)?;
    Ok(there.then_some(desc))
}

fn check_diff_id(what: &str, expected: &DiffId, desc: LayerDesc) -> Result<LayerDesc, OciError> {
    if desc.diff_id == *expected {
        return Ok(desc);
    }
    let (what, expected, actual) = (what.to_owned(), *expected, desc.diff_id);
    Err(OciError::DiffId { what, expected, actual })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_and_its_tag_are_told_apart_by_what_exists() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let path = |name: &str| dir.path().join(name).to_str().expect("UTF-8").to_owned();
        std::fs::write(path("a:b"), "").expect("written");
        std::fs::write(path("x"), "").expect("written");
        for (text, expected, tag) in [
            ("a:b", "a:b", None),
            ("a:b:c", "a:b", Some("c")),
            ("x:1", "x", Some("1")),
            ("x:host/n:1", "x", Some("host/n:1")),
            ("x@sha256:0a", "x", Some("sha256:0a")),
            ("none:1", "none", Some("1")),
            ("none", "none", None),
        ] {
            let (found, found_tag) = split_tag(&path(text));
            assert_eq!(found.to_str(), Some(&*path(expected)), "{text}");
            assert_eq!(found_tag.as_deref(), tag, "{text}");
        }
    }
}
