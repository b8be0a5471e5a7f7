//! Images from registries and to them, without a build.
//!
//! In: a name. Out: the image in the store under that name; or at the registry,
//! with the digest that it has here. Each layer is told of like a step.

use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use super::Inner;
use super::resolve_image::platform_of;
use crate::digest::{BlobDigest, VertexId};
use crate::error::{Error, Result};
use crate::event::{Event, PlannedVertex, Status, Unit};
use crate::exec::Cancel;
use crate::image::{MediaType, descriptor, normalise_tag};
use crate::registry::{Access, Fit, Outgoing, Reference, Registry, Sending};
use crate::source::named::{self, Fetching, PULLED};

/// An image to be brought in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PullRequest {
    /// As a user writes it.
    pub reference: String,
    /// `os/arch[/variant]`; this machine's where absent.
    pub platform: Option<String>,
    /// Names for it in the store; its own where there is none.
    pub tags: Vec<String>,
}

/// An image to be brought to a registry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PushRequest {
    /// Its manifest in the store.
    pub image: BlobDigest,
    /// The name that it gets there.
    pub to: String,
}

/// An image that was brought in or away.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transferred {
    /// Its name in full, at the registry.
    pub name: String,
    /// Digest of its manifest, here and there.
    pub digest: BlobDigest,
    /// Its names in the store, where it was brought in.
    pub tags: Vec<String>,
    /// How many of its layers, or blobs, were on their way.
    pub moved: usize,
    /// How many there are.
    pub in_all: usize,
}

pub(super) fn pull(inner: &Inner, request: &PullRequest, cancel: &Cancel) -> Result<Transferred> {
    let PullRequest { reference, platform, tags } = request;
    let reference: Reference = reference.parse()?;
    let platform = platform_of(inner, platform.as_deref())?;
    let mut tags: Vec<String> = tags.iter().map(|t| normalise_tag(t)).collect::<Result<_, _>>()?;
    // What is pinned may be another image than the tag means.
    if tags.is_empty() && reference.digest().is_none() {
        tags.push(reference.familiar());
    }
    let inner = &inner.until(cancel);
    let _lease = inner.store.lease()?;
    let registry = Registry::new(&inner.registry, cancel)?;
    let repository = registry.repository(&reference, Access::Pull)?;
    let resolved = repository.resolve(&inner.store, &platform, Fit::Exact)?;
    let blobs = named::described(&resolved)?.into_iter().enumerate();
    let blobs = blobs.map(|(at, layer)| (format!("layer {}", at + 1), layer.blob, layer.size));
    let told = Told::new(inner, "the store", blobs.collect());
    told.ending(named::layers(&inner.store, &repository, &resolved, &|at, what| match what {
        Fetching::Known => told.known(at),
        Fetching::Began(_) => told.began(at),
        Fetching::Came(bytes) => told.moves(at, "downloading", bytes),
        Fetching::Done => told.done(at),
    }))?;
    if cancel.is_canceled() {
        return Err(Error::Canceled);
    }
    let media_type = resolved.manifest.media_type().clone().unwrap_or(MediaType::ImageManifest);
    let mut image = descriptor(media_type, &resolved.digest, resolved.size);
    image.set_platform(Some(resolved.config.platform().into()));
    if tags.is_empty() {
        inner.store.add_image(image.clone())?;
    }
    image.set_annotations(Some([(PULLED.to_owned(), reference.name())].into()));
    tags.iter().try_for_each(|tag| inner.store.set_ref(tag, image.clone()))?;
    Ok(told.transferred(reference.name(), resolved.digest, tags))
}

pub(super) fn push(inner: &Inner, request: &PushRequest, cancel: &Cancel) -> Result<Transferred> {
    let to: Reference = request.to.parse()?;
    let inner = &inner.until(cancel);
    let _lease = inner.store.lease()?;
    let image = Outgoing::read(&inner.store, &request.image)?;
    let registry = Registry::new(&inner.registry, cancel)?;
    let repository = registry.repository(&to, Access::Push)?;
    let told = Told::new(inner, "the registry", image.blobs.clone());
    told.ending(repository.push(&inner.store, &image, &|at, what| match what {
        Sending::Known => told.known(at),
        Sending::Began => told.began(at),
        Sending::Went(bytes) => told.moves(at, "sending", bytes),
        Sending::Done => told.done(at),
    }))?;
    Ok(told.transferred(to.name(), request.image, Vec::new()))
}

/// Brings a finished image to the registries of its names.
pub(super) fn push_built(
    inner: &Inner,
    image: &BlobDigest,
    names: &[String],
    cancel: &Cancel,
) -> Result<()> {
    if names.is_empty() {
        return Ok(());
    }
    let outgoing = Outgoing::read(&inner.store, image)?;
    let registry = Registry::new(&inner.registry, cancel)?;
    for name in names {
        let to: Reference = name.parse()?;
        inner.sink.event(Event::Exporting { what: format!("to the registry: {}", to.name()) });
        let repository = registry.repository(&to, Access::Push)?;
        repository.push(&inner.store, &outgoing, &|_, _| {})?;
    }
    Ok(())
}

/// Tells of blobs as a build tells of its steps.
struct Told<'a> {
    inner: &'a Inner,
    /// Where a blob is that need not be moved.
    place: &'static str,
    blobs: Vec<(String, BlobDigest, u64)>,
    began: Mutex<Vec<Option<Instant>>>,
    moved: Mutex<Vec<bool>>,
}

impl<'a> Told<'a> {
    fn new(inner: &'a Inner, place: &'static str, blobs: Vec<(String, BlobDigest, u64)>) -> Self {
        let name = |(at, (what, digest, _)): (usize, &(String, BlobDigest, u64))| PlannedVertex {
            id: id(at, digest),
            name: format!("{what} {}", digest.short()),
            stage: String::new(),
        };
        let vertices = blobs.iter().enumerate().map(name).collect();
        inner.sink.event(Event::Planned { vertices });
        let (began, moved) = (vec![None; blobs.len()], vec![false; blobs.len()]);
        Self { inner, place, blobs, began: Mutex::new(began), moved: Mutex::new(moved) }
    }

    fn vertex(&self, at: usize) -> VertexId {
        id(at, &self.blobs[at].1)
    }

    fn known(&self, at: usize) {
        self.finished(at, Status::Cached, format!("{} has it", self.place));
    }

    fn began(&self, at: usize) {
        let mut began = self.began.lock().unwrap_or_else(PoisonError::into_inner);
        // What is tried again began when it was tried first.
        if began[at].is_none() {
            began[at] = Some(Instant::now());
            let (vertex, reason) = (self.vertex(at), format!("{} lacks it", self.place));
            self.inner.sink.event(Event::Started { vertex, reason });
        }
    }

    fn moves(&self, at: usize, what: &str, done: u64) {
        self.inner.sink.event(Event::Progress {
            vertex: self.vertex(at),
            what: what.to_owned(),
            done,
            total: Some(self.blobs[at].2),
            unit: Unit::Bytes,
        });
    }

    fn done(&self, at: usize) {
        self.moved.lock().unwrap_or_else(PoisonError::into_inner)[at] = true;
        self.finished(at, Status::Ran, format!("{} lacked it", self.place));
    }

    fn finished(&self, at: usize, status: Status, reason: String) {
        let began = self.began.lock().unwrap_or_else(PoisonError::into_inner)[at];
        let duration = began.map(|began| began.elapsed()).unwrap_or_default();
        let vertex = self.vertex(at);
        self.inner.sink.event(Event::Finished { vertex, status, reason, duration, layer: None });
    }

    /// The same error; a wish to stop is one whatever it broke.
    fn ending<T, E: Into<Error>>(&self, result: std::result::Result<T, E>) -> Result<T> {
        result.map_err(|error| match self.inner.store.cancel().is_canceled() {
            true => Error::Canceled,
            false => error.into(),
        })
    }

    fn transferred(&self, name: String, digest: BlobDigest, tags: Vec<String>) -> Transferred {
        let moved = self.moved.lock().unwrap_or_else(PoisonError::into_inner);
        let moved = moved.iter().filter(|moved| **moved).count();
        Transferred { name, digest, tags, moved, in_all: self.blobs.len() }
    }
}

/// A layer may stand in an image twice, and is told of twice.
fn id(at: usize, digest: &BlobDigest) -> VertexId {
    let mut bytes = *digest.as_bytes();
    for (byte, of_place) in bytes.iter_mut().zip((at as u64).to_le_bytes()) {
        *byte ^= of_place;
    }
    VertexId::from_bytes(bytes)
}
