//! Brings an image to a registry.
//!
//! In: an image of the store. Out: the same bytes at the registry, so the same
//! digest. Only what is missing is sent, the manifest last: whoever sees the
//! name finds all that it names.

use std::io::Read;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::stream;
use oci_client::errors::OciDistributionError;
use reqwest::StatusCode;
use reqwest::header::{ACCEPT, HeaderValue};
use tokio::sync::mpsc;

use super::parallel::{self, Stop};
use super::{Reference, RegistryError, Repository};
use crate::digest::BlobDigest;
use crate::image::{
    BASE_NAME, DOCKER_LIST, DOCKER_MANIFEST, ImageManifest, MAX_DOCUMENT, MediaType, blob_digest,
    parse_json, validate_manifest,
};
use crate::store::Store;

/// How much is read and sent at once.
const CHUNK: usize = 64 << 10;
/// How many of those may wait for the network.
const WAITING: usize = 16;
/// How often progress is told.
const TICK: Duration = Duration::from_millis(100);

/// What becomes of a blob of an image that is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sending {
    /// The registry has it.
    Known,
    /// It is sent.
    Began,
    /// So many bytes of it went.
    Went(u64),
    /// The registry has it now.
    Done,
}

/// An image of the store as it is sent.
#[derive(Debug, Clone, PartialEq)]
pub struct Outgoing {
    bytes: Vec<u8>,
    manifest: ImageManifest,
    digest: BlobDigest,
    /// Config and layers, each once, with what they are called and their sizes.
    pub blobs: Vec<(String, BlobDigest, u64)>,
}

impl Outgoing {
    /// Reads an image's manifest.
    ///
    /// # Errors
    /// [`RegistryError`] where it is not there, or not an image's.
    pub fn read(store: &Store, digest: &BlobDigest) -> Result<Self, RegistryError> {
        let bytes = store.read_blob(digest, MAX_DOCUMENT)?;
        let manifest: ImageManifest = parse_json("image manifest", &bytes)?;
        validate_manifest(&manifest)?;
        let mut blobs: Vec<(String, BlobDigest, u64)> = Vec::new();
        let config = ("config".to_owned(), manifest.config());
        let layers = manifest.layers().iter().enumerate();
        let layers = layers.map(|(at, layer)| (format!("layer {}", at + 1), layer));
        for (what, descriptor) in layers.chain([config]) {
            let digest = blob_digest(descriptor)?;
            if blobs.iter().all(|(_, known, _)| *known != digest) {
                blobs.push((what, digest, descriptor.size()));
            }
        }
        Ok(Self { bytes, manifest, digest: *digest, blobs })
    }

    fn media_type(&self) -> String {
        self.manifest.media_type().as_ref().unwrap_or(&MediaType::ImageManifest).to_string()
    }

    /// Where the registry may have layers of it already: the base's repository.
    fn base(&self, to: &Reference) -> Option<Reference> {
        let annotations = self.manifest.annotations().as_ref()?;
        let base: Reference = annotations.get(BASE_NAME)?.parse().ok()?;
        let near = base.registry() == to.registry() && base.repository() != to.repository();
        near.then_some(base)
    }
}

impl Repository<'_> {
    /// Sends what the registry lacks of an image, and gives the image the name
    /// of this repository's reference. `report` is told of blobs by their places
    /// in [`Outgoing::blobs`], from many threads.
    ///
    /// # Errors
    /// [`RegistryError`]; then the name means what it meant before.
    pub fn push(
        &self,
        store: &Store,
        image: &Outgoing,
        report: &(dyn Fn(usize, Sending) + Sync),
    ) -> Result<(), RegistryError> {
        let whole = image.digest.to_string();
        let name = self.reference.tag().map_or(whole, str::to_owned);
        if self.names(&name, &image.digest)? {
            (0..image.blobs.len()).for_each(|at| report(at, Sending::Known));
            return Ok(());
        }
        let base = image.base(&self.reference);
        parallel::each(image.blobs.len(), self.concurrency(), store.cancel(), &|at, stop| {
            self.blob_to(store, &image.blobs[at], base.as_ref(), stop, &|what| report(at, what))
        })?;
        let to = oci_client::Reference::with_tag(
            self.host.clone(),
            self.reference.repository().to_owned(),
            name,
        );
        let kind = HeaderValue::from_str(&image.media_type()).map_err(|_| {
            let (registry, reason) = (self.reference.registry().to_owned(), "a media type".into());
            RegistryError::Protocol { registry, reason }
        })?;
        self.registry.wait(async {
            self.token(false).await?;
            let sent = self.api.push_manifest_raw(&to, image.bytes.clone(), kind).await;
            sent.map(drop).map_err(|error| self.of_client(error))
        })
    }

    /// Whether the registry has this manifest under this name.
    fn names(&self, name: &str, digest: &BlobDigest) -> Result<bool, RegistryError> {
        let accept = [
            MediaType::ImageManifest.as_ref(),
            DOCKER_MANIFEST,
            MediaType::ImageIndex.as_ref(),
            DOCKER_LIST,
        ]
        .join(", ");
        let response = self.registry.wait(self.head(&format!("manifests/{name}"), &accept))?;
        let told = response.headers().get("docker-content-digest");
        let told = told.and_then(|told| told.to_str().ok()?.parse::<BlobDigest>().ok());
        Ok(response.status() == StatusCode::OK && told == Some(*digest))
    }

    fn has(&self, digest: &BlobDigest) -> Result<bool, RegistryError> {
        let response = self.registry.wait(self.head(&format!("blobs/{digest}"), "*/*"))?;
        Ok(response.status() == StatusCode::OK)
    }

    async fn head(&self, path: &str, accept: &str) -> Result<reqwest::Response, RegistryError> {
        let url = self.url(path);
        let mut anew = false;
        loop {
            let request = self.registry.http.head(&url).header(ACCEPT, accept);
            let response = self.authorised(request, anew).await?.send().await;
            let response = response.map_err(|error| self.transport(error))?;
            match response.status() {
                StatusCode::OK | StatusCode::NOT_FOUND => return Ok(response),
                StatusCode::UNAUTHORIZED if !anew => anew = true,
                status => return Err(self.refused(status, response).await),
            }
        }
    }

    fn blob_to(
        &self,
        store: &Store,
        (what, digest, size): &(String, BlobDigest, u64),
        base: Option<&Reference>,
        stop: Stop<'_>,
        report: &(dyn Fn(Sending) + Sync),
    ) -> Result<(), RegistryError> {
        if self.has(digest)? || self.mounted(base, digest)? {
            report(Sending::Known);
            return Ok(());
        }
        report(Sending::Began);
        if store.blob_size(digest)? != Some(*size) {
            let error = crate::image::ImageError::Missing { what: what.clone(), digest: *digest };
            return Err(error.into());
        }
        self.send(store, digest, *size, stop, report)?;
        report(Sending::Done);
        Ok(())
    }

    /// Whether the registry took the blob over from the base's repository. That
    /// it did not is no error: it may be refused for many a reason.
    fn mounted(
        &self,
        base: Option<&Reference>,
        digest: &BlobDigest,
    ) -> Result<bool, RegistryError> {
        let Some(base) = base else { return Ok(false) };
        let from = oci_client::Reference::with_tag(
            self.host.clone(),
            base.repository().to_owned(),
            base.tag().unwrap_or("latest").to_owned(),
        );
        self.registry.wait(async {
            self.token(false).await?;
            let mounted = self.api.mount_blob(&self.remote, &from, &digest.to_string()).await;
            Ok(mounted.is_ok())
        })
    }

    /// Sends a blob, verified as it is read.
    fn send(
        &self,
        store: &Store,
        digest: &BlobDigest,
        size: u64,
        stop: Stop<'_>,
        report: &(dyn Fn(Sending) + Sync),
    ) -> Result<(), RegistryError> {
        let mut reader = store.blob_reader(digest)?;
        let (sender, receiver) = mpsc::channel::<Result<Bytes, OciDistributionError>>(WAITING);
        let unread: Mutex<Option<std::io::Error>> = Mutex::default();
        let read = || {
            if let Err(error) = feed(&mut *reader, &sender, report) {
                // The registry must not get the end of what is not whole.
                let told = std::io::Error::from(error.kind());
                let _ = sender.blocking_send(Err(OciDistributionError::IoError(told)));
                *unread.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
            }
            drop(sender);
        };
        let sent = std::thread::scope(|scope| {
            scope.spawn(read);
            let chunks = stream::unfold(receiver, |mut receiver| async {
                receiver.recv().await.map(|chunk| (chunk, receiver))
            });
            self.registry.wait(async {
                self.token(false).await?;
                let whole = digest.to_string();
                let sent = self.api.push_blob_stream(&self.remote, chunks, &whole, Some(size));
                let stopped = async {
                    while !stop() {
                        tokio::time::sleep(TICK).await;
                    }
                };
                tokio::select! {
                    sent = sent => sent.map(drop).map_err(|error| self.of_client(error)),
                    () = stopped => Err(RegistryError::Canceled),
                }
            })
        });
        match unread.into_inner().unwrap_or_else(PoisonError::into_inner) {
            Some(source) => Err(crate::store::StoreError::Io {
                action: "reading",
                path: store.blob_path(digest),
                source,
            }
            .into()),
            None => sent,
        }
    }
}

/// Hands on what is read until there is no more, or nobody who takes it.
fn feed(
    reader: &mut dyn Read,
    sender: &mpsc::Sender<Result<Bytes, OciDistributionError>>,
    report: &(dyn Fn(Sending) + Sync),
) -> std::io::Result<()> {
    let (mut went, mut told) = (0, Instant::now());
    loop {
        let mut chunk = vec![0; CHUNK];
        let length = reader.read(&mut chunk)?;
        if length == 0 {
            return Ok(());
        }
        chunk.truncate(length);
        if sender.blocking_send(Ok(chunk.into())).is_err() {
            return Ok(());
        }
        went += length as u64;
        if told.elapsed() >= TICK {
            told = Instant::now();
            report(Sending::Went(went));
        }
    }
}
