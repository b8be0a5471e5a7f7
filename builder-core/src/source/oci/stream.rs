//! A docker-archive that comes as a stream: each layer goes into the store as
//! it passes, and the documents say afterwards which were meant.
//!
//! In: what `docker save` of Docker or Podman writes, in any order. Out: config
//! and layers in the store.
//!
//! Invariant: nothing counts until the digest that was asked for leads to the
//! config, and the config to the content of each layer. Memory: documents only,
//! and no more than [`MAX_DOCUMENTS`] bytes of them.

use std::collections::HashMap;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use super::archive::{MAX_LINKS, MAX_MEMBERS, normal, parent};
use super::docker::{Item, digest_in};
use super::files::verify;
use super::headers::Headers;
use super::{OciError, check_diff_id};
use crate::digest::BlobDigest;
use crate::image::{ImageConfig, ImageError, ImageManifest, MAX_DOCUMENT, blob_digest, parse_json};
use crate::layer::{self, Compression, LayerDesc};
use crate::source::inflate::Packing;
use crate::source::{Base, Fetched};
use crate::store::Store;

/// The most bytes of documents that are kept.
const MAX_DOCUMENTS: usize = 32 << 20;
/// The size of a block of a tar.
const BLOCK: usize = 512;

/// Takes the image of the id `id` out of a stream. `what` says in errors what
/// the stream is, `name` is what the image is called.
///
/// # Errors
/// [`OciError`]; then no more than blobs that nothing names is left.
pub(in crate::source) fn take_in(
    store: &Store,
    what: &str,
    (name, id): (&str, &BlobDigest),
    stream: &mut dyn Read,
) -> Result<Fetched, OciError> {
    let mut members = Members::new(what);
    members.read(store, stream)?;
    members.image(store, name, id)
}

/// What has passed.
struct Members {
    what: PathBuf,
    documents: HashMap<String, Vec<u8>>,
    layers: HashMap<String, LayerDesc>,
    links: HashMap<String, String>,
    kept: usize,
}

impl Members {
    fn new(what: &str) -> Self {
        Self {
            what: what.into(),
            documents: HashMap::new(),
            layers: HashMap::new(),
            links: HashMap::new(),
            kept: 0,
        }
    }

    fn refuse(&self, reason: String) -> OciError {
        OciError::Archive { path: self.what.clone(), reason }
    }

    fn read(&mut self, store: &Store, stream: &mut dyn Read) -> Result<(), OciError> {
        let io = |path: &Path| {
            let path = path.to_owned();
            |source| OciError::Io { path, source }
        };
        let headers = Headers::new();
        let mut archive = tar::Archive::new(headers.of(&mut *stream));
        let mut entries = archive.entries().map_err(io(&self.what))?;
        let mut count = 0;
        while let Some(entry) = headers.next(&mut entries) {
            let mut entry = entry.map_err(io(&self.what))?;
            count += 1;
            if count > MAX_MEMBERS {
                return Err(self.refuse(format!("it has more than {MAX_MEMBERS} members")));
            }
            let raw = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
            let Some(name) = normal(&raw) else {
                return Err(self.refuse(format!("the member `{raw}` leads out of it")));
            };
            match entry.header().entry_type() {
                tar::EntryType::Regular | tar::EntryType::Continuous => {
                    let size = entry.size();
                    self.file(store, name, size, &mut entry)?;
                }
                kind @ (tar::EntryType::Symlink | tar::EntryType::Link) => {
                    let target = entry.link_name_bytes().unwrap_or_default();
                    let target = String::from_utf8_lossy(&target).into_owned();
                    let base = if kind == tar::EntryType::Symlink { parent(&name) } else { "" };
                    let Some(target) = normal(&format!("{base}/{target}")) else {
                        return Err(self.refuse(format!("the link `{name}` leads out of it")));
                    };
                    self.links.insert(name, target);
                }
                tar::EntryType::Directory => {}
                kind => {
                    return Err(self.refuse(format!("the member `{name}` is of type {kind:?}")));
                }
            }
            // What nobody wanted of it is none of the next one's headers.
            io::copy(&mut entry, &mut io::sink()).map_err(io(&self.what))?;
        }
        // What follows the archive's end ends the connection in good order.
        io::copy(stream, &mut io::sink()).map_err(io(&self.what))?;
        Ok(())
    }

    /// A layer or a document, whatever its name.
    fn file(
        &mut self,
        store: &Store,
        name: String,
        size: u64,
        content: &mut dyn Read,
    ) -> Result<(), OciError> {
        let failed = |path: PathBuf| |source| OciError::Io { path, source };
        let mut start = Vec::with_capacity(BLOCK);
        content
            .take(BLOCK as u64)
            .read_to_end(&mut start)
            .map_err(failed(self.what.join(&name)))?;
        if let Some(compression) = compression(&start) {
            let mut whole = start.chain(content);
            let desc = layer::import(store, &mut whole, compression, None)
                .map_err(|source| OciError::Layer { what: name.clone(), source })?;
            self.layers.insert(name, desc);
            return Ok(());
        }
        if size > MAX_DOCUMENT {
            return Err(OciError::TooLarge { what: name, size, limit: MAX_DOCUMENT });
        }
        self.kept = self.kept.saturating_add(usize::try_from(size).unwrap_or(usize::MAX));
        if self.kept > MAX_DOCUMENTS {
            return Err(self.refuse(format!("it has more than {MAX_DOCUMENTS} bytes of documents")));
        }
        content.read_to_end(&mut start).map_err(failed(self.what.join(&name)))?;
        self.documents.insert(name, start);
        Ok(())
    }

    /// The member of a name, links followed.
    fn find<'a, T>(&self, among: &'a HashMap<String, T>, name: &str) -> Option<&'a T> {
        let mut name = normal(name)?;
        for _ in 0..MAX_LINKS {
            if let Some(found) = among.get(&name) {
                return Some(found);
            }
            name.clone_from(self.links.get(&name)?);
        }
        None
    }

    fn document(&self, what: &str, name: &str) -> Result<&[u8], OciError> {
        let missing = || OciError::Missing { what: what.to_owned(), name: name.to_owned() };
        self.find(&self.documents, name).map(Vec::as_slice).ok_or_else(missing)
    }

    fn image(&self, store: &Store, name: &str, id: &BlobDigest) -> Result<Fetched, OciError> {
        let bytes = self.document("docker-archive manifest", "manifest.json")?;
        let items: Vec<Item> = parse_json("docker-archive manifest", bytes)?;
        let [item] = &items[..] else {
            return Err(self.refuse(format!("it has {} images instead of one", items.len())));
        };
        let document = self.document("config", &item.config)?;
        if let Some(digest) = digest_in(&item.config) {
            verify("config", &digest, document)?;
        }
        self.is_of(id, document)?;
        let config = ImageConfig::parse(document)?;
        let (names, diff_ids) = (&item.layers, &config.rootfs.diff_ids);
        if names.len() != diff_ids.len() {
            let rule = format!("{} layers, but the config has {}", names.len(), diff_ids.len());
            return Err(ImageError::Invalid { what: "docker-archive manifest", rule }.into());
        }
        let mut layers = Vec::with_capacity(names.len());
        for (at, (name, diff_id)) in names.iter().zip(diff_ids).enumerate() {
            let what = format!("layer {}", at + 1);
            let desc = self.find(&self.layers, name);
            let missing = || OciError::Missing { what: what.clone(), name: name.clone() };
            layers.push(check_diff_id(&what, diff_id, desc.ok_or_else(missing)?.clone())?);
        }
        store.put_blob(document)?;
        let base = Some(Base { name: Some(name.to_owned()), digest: None });
        Ok(Fetched { config: config.into_base(), layers, base })
    }

    /// Whether the id that was asked for leads to this config: it is its digest,
    /// or that of its manifest in an engine that keeps images as containerd does,
    /// or of an index of that manifest.
    fn is_of(&self, id: &BlobDigest, config: &[u8]) -> Result<(), OciError> {
        let actual = BlobDigest::of(config);
        let mut wanted = actual;
        // From the config upwards: manifest, index.
        for _ in 0..3 {
            if wanted == *id {
                return Ok(());
            }
            let names = |document: &&Vec<u8>| self.names(document, &wanted);
            match self.documents.values().find(names) {
                Some(document) => wanted = BlobDigest::of(document),
                None => break,
            }
        }
        Err(OciError::Digest { what: "image".to_owned(), expected: *id, actual })
    }

    /// Whether a manifest has that config, or an index that manifest.
    fn names(&self, document: &[u8], wanted: &BlobDigest) -> bool {
        #[derive(serde::Deserialize)]
        struct Index {
            manifests: Vec<crate::image::Descriptor>,
        }
        let is = |descriptor: &crate::image::Descriptor| {
            blob_digest(descriptor).is_ok_and(|digest| digest == *wanted)
        };
        if let Ok(manifest) = serde_json::from_slice::<ImageManifest>(document) {
            return is(manifest.config());
        }
        serde_json::from_slice::<Index>(document).is_ok_and(|index| index.manifests.iter().any(is))
    }
}

/// The compression of what begins so, if it is a layer.
fn compression(start: &[u8]) -> Option<Compression> {
    match Packing::of_bytes(&start[..start.len().min(6)]) {
        Packing::Gzip => Some(Compression::Gzip),
        Packing::Zstd => Some(Compression::Zstd),
        Packing::Bzip2 | Packing::Xz => None,
        Packing::None => is_tar(start).then_some(Compression::None),
    }
}

/// Whether a block is the head of a tar: the sum of its bytes is written in it,
/// or it is the end of an empty one.
fn is_tar(block: &[u8]) -> bool {
    const SUM: std::ops::Range<usize> = 148..156;
    if block.len() < BLOCK {
        return false;
    }
    if block.iter().all(|byte| *byte == 0) {
        return true;
    }
    let sum = |at: usize, byte: u8| u32::from(if SUM.contains(&at) { b' ' } else { byte });
    let actual: u32 = block.iter().enumerate().map(|(at, byte)| sum(at, *byte)).sum();
    let mut header = tar::Header::new_old();
    header.as_mut_bytes().copy_from_slice(&block[..BLOCK]);
    header.cksum().is_ok_and(|written| written == actual)
}
