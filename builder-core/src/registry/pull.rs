//! What a registry has: manifests, configs, layers.
//!
//! In: a tag or a digest. Out: documents whose digests were checked, and
//! streams of layers. Nothing is fetched that the store has.

use bytes::Bytes;
use reqwest::header::CONTENT_TYPE;

use super::body::Body;
use super::{RegistryError, Repository};
use crate::digest::BlobDigest;
use crate::image::{
    DOCKER_LIST, DOCKER_MANIFEST, Descriptor, ImageConfig, ImageError, ImageIndex, ImageManifest,
    MAX_DOCUMENT, MediaType, Platform, blob_digest, choose, is_index, is_manifest, parse_json,
    validate_index, validate_manifest,
};
use crate::store::Store;

/// How deep an index may lie in an index.
const MAX_NESTING: u32 = 4;

/// What a name means for one platform. Manifest and config are in the store by
/// then, layers need not be.
#[derive(Debug, Clone, PartialEq)]
pub struct Resolved {
    /// Digest of the manifest.
    pub digest: BlobDigest,
    /// The manifest.
    pub manifest: ImageManifest,
    /// Size of the manifest's bytes.
    pub size: u64,
    /// The config.
    pub config: ImageConfig,
}

/// Which images count as one of a platform.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fit {
    /// Those whose config says so.
    Exact,
    /// One that is not one of several, too, whatever it is for: so Dockerfiles
    /// have it.
    Lone,
}

/// A document with what the registry says it is.
struct Document {
    bytes: Vec<u8>,
    digest: BlobDigest,
    content_type: Option<String>,
}

impl Repository<'_> {
    /// The image of `platform` that the repository's reference means; what it
    /// may be where there is none, `fit` says.
    ///
    /// # Errors
    /// [`RegistryError`]; then nothing but documents that nothing names is left
    /// in the store.
    pub fn resolve(
        &self,
        store: &Store,
        platform: &Platform,
        fit: Fit,
    ) -> Result<Resolved, RegistryError> {
        let mut document = match self.reference.digest() {
            Some(digest) => self.by_digest(store, &digest, None)?,
            None => self.manifest(self.reference.tag().unwrap_or("latest"), None)?,
        };
        for nesting in 0..MAX_NESTING {
            if !self.is_index(&document)? {
                let any = fit == Fit::Lone && nesting == 0;
                return self.image(store, document, Some(platform).filter(|_| !any));
            }
            let index: ImageIndex = parse_json("image index", &document.bytes)?;
            validate_index(&index)?;
            // So that the digest of the index is enough another time.
            store.put_blob(&document.bytes)?;
            let chosen = choose(&index, platform)?;
            document = self.by_digest(store, &blob_digest(chosen)?, Some(chosen.size()))?;
        }
        let rule = format!("it nests more than {MAX_NESTING} deep");
        Err(ImageError::Invalid { what: "image index", rule }.into())
    }

    fn image(
        &self,
        store: &Store,
        document: Document,
        platform: Option<&Platform>,
    ) -> Result<Resolved, RegistryError> {
        let manifest: ImageManifest = parse_json("image manifest", &document.bytes)?;
        validate_manifest(&manifest)?;
        let bytes = self.config(store, manifest.config())?;
        let config = ImageConfig::parse(&bytes)?;
        if let Some(platform) = platform
            && !config.platform().matches(platform)
        {
            let (wanted, available) = (platform.clone(), vec![config.platform().to_string()]);
            return Err(ImageError::Platform { wanted, available }.into());
        }
        if manifest.layers().len() != config.rootfs.diff_ids.len() {
            let (layers, ids) = (manifest.layers().len(), config.rootfs.diff_ids.len());
            let rule = format!("{layers} layers, but the config has {ids}");
            return Err(ImageError::Invalid { what: "image manifest", rule }.into());
        }
        store.put_blob(&bytes)?;
        store.put_blob(&document.bytes)?;
        let size = document.bytes.len() as u64;
        Ok(Resolved { digest: document.digest, manifest, size, config })
    }

    fn config(&self, store: &Store, descriptor: &Descriptor) -> Result<Vec<u8>, RegistryError> {
        let (digest, size) = (blob_digest(descriptor)?, descriptor.size());
        if let Ok(known) = store.read_blob(&digest, MAX_DOCUMENT) {
            return Ok(known);
        }
        if size > MAX_DOCUMENT {
            return Err(RegistryError::TooLarge { what: "config".into(), limit: MAX_DOCUMENT });
        }
        let mut body = self.blob("config", &digest, size)?;
        let mut bytes = Vec::new();
        if let Err(error) = std::io::Read::read_to_end(&mut body, &mut bytes) {
            let registry = self.reference.registry().to_owned();
            let protocol = RegistryError::Protocol { registry, reason: error.to_string() };
            return Err(body.failure().unwrap_or(protocol));
        }
        verified("config", digest, &bytes)?;
        Ok(bytes)
    }

    /// A document of the store, else of the registry.
    fn by_digest(
        &self,
        store: &Store,
        digest: &BlobDigest,
        size: Option<u64>,
    ) -> Result<Document, RegistryError> {
        let document = match store.read_blob(digest, MAX_DOCUMENT) {
            Ok(bytes) => Document { bytes, digest: *digest, content_type: None },
            Err(_) => self.manifest(&digest.to_string(), Some(*digest))?,
        };
        let actual = document.bytes.len() as u64;
        match size {
            Some(expected) if expected != actual => {
                Err(RegistryError::Size { what: "manifest".into(), expected, actual })
            }
            _ => Ok(document),
        }
    }

    fn manifest(&self, tag: &str, expected: Option<BlobDigest>) -> Result<Document, RegistryError> {
        let accept = [
            MediaType::ImageManifest.to_string(),
            MediaType::ImageIndex.to_string(),
            DOCKER_MANIFEST.to_owned(),
            DOCKER_LIST.to_owned(),
        ]
        .join(", ");
        let what = format!("image {}", self.reference);
        let registry = self.reference.registry();
        self.registry.wait(async {
            let mut response = self.get(&format!("manifests/{tag}"), &what, &accept).await?;
            let header = |name| response.headers().get(name)?.to_str().ok().map(str::to_owned);
            let content_type = header(CONTENT_TYPE.as_str());
            let told = header("docker-content-digest");
            let too_large =
                || RegistryError::TooLarge { what: "manifest".into(), limit: MAX_DOCUMENT };
            if response.content_length().is_some_and(|length| length > MAX_DOCUMENT) {
                return Err(too_large());
            }
            let mut bytes = Vec::new();
            loop {
                let chunk = response.chunk().await.map_err(|error| RegistryError::Transport {
                    registry: registry.to_owned(),
                    error: error.without_url(),
                })?;
                let Some(chunk) = chunk else { break };
                if (bytes.len() + chunk.len()) as u64 > MAX_DOCUMENT {
                    return Err(too_large());
                }
                bytes.extend_from_slice(&chunk);
            }
            // What it says of a tag's manifest holds too; other algorithms are not known.
            let told = told.and_then(|told| told.parse::<BlobDigest>().ok());
            let digest = BlobDigest::of(&bytes);
            if let Some(expected) = expected.or(told) {
                verified("manifest", expected, &bytes)?;
            }
            Ok(Document { bytes, digest, content_type })
        })
    }

    /// What a document is, by itself, else by what the registry says of it.
    fn is_index(&self, document: &Document) -> Result<bool, RegistryError> {
        #[derive(serde::Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Probe {
            schema_version: Option<u64>,
            media_type: Option<MediaType>,
            manifests: Option<serde::de::IgnoredAny>,
        }
        let probe: Probe = parse_json("image manifest", &document.bytes)?;
        if probe.schema_version == Some(1) {
            return Err(RegistryError::SchemaOne { name: self.reference.to_string() });
        }
        let told = document.content_type.as_deref().and_then(|told| told.split(';').next());
        let told = told.map(|told| MediaType::from(told.trim()));
        Ok(match probe.media_type.or(told) {
            Some(media_type) if is_index(&media_type) => true,
            Some(media_type) if is_manifest(&media_type) => false,
            _ => probe.manifests.is_some(),
        })
    }

    /// A blob as a stream.
    ///
    /// # Errors
    /// [`RegistryError`] where the registry has it not, or not of that size.
    pub fn blob(
        &self,
        what: &str,
        digest: &BlobDigest,
        size: u64,
    ) -> Result<Body<'_>, RegistryError> {
        let path = format!("blobs/{digest}");
        let response = self.registry.wait(self.get(&path, what, "*/*"))?;
        if let Some(actual) = response.content_length().filter(|actual| *actual != size) {
            return Err(RegistryError::Size { what: what.to_owned(), expected: size, actual });
        }
        Ok(Body {
            registry: self.registry,
            host: self.reference.registry().to_owned(),
            response,
            what: what.to_owned(),
            size,
            chunk: Bytes::new(),
            done: 0,
            failure: None,
        })
    }
}

fn verified(what: &str, expected: BlobDigest, bytes: &[u8]) -> Result<(), RegistryError> {
    let actual = BlobDigest::of(bytes);
    if actual == expected {
        return Ok(());
    }
    Err(RegistryError::Digest { what: what.to_owned(), expected, actual })
}
