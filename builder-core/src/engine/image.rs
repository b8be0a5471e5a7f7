//! From a state to an image: manifest, tags, outputs.

use std::collections::BTreeMap;

use oci_spec::image::{ANNOTATION_CREATED, ANNOTATION_REF_NAME, Descriptor};

use super::Inner;
use super::request::{OutputKind, OutputSpec};
use crate::chain;
use crate::daemon::Daemon;
use crate::error::{Error, Result};
use crate::event::Event;
use crate::image::{BASE_DIGEST, BASE_NAME, NewImage, WrittenImage, write_image};
use crate::output::{self, Docker, Export, Form, Local, Oci, Output, OutputError, Owners, Tar};
use crate::solve::State;

/// `annotations` are those that the recipe asks for.
pub(super) fn write(
    inner: &Inner,
    mut annotations: BTreeMap<String, String>,
    created: Option<i64>,
    state: &State,
) -> Result<WrittenImage> {
    if let Some(base) = &state.base {
        annotations.entry(BASE_NAME.to_owned()).or_insert_with(|| base.name.clone());
        if let Some(digest) = base.digest {
            annotations.entry(BASE_DIGEST.to_owned()).or_insert_with(|| digest.to_string());
        }
    }
    let layers: Vec<_> = state.layers.iter().map(|layer| layer.desc.clone()).collect();
    let history = state.history.to_vec();
    let image = NewImage {
        config: state.config.whole(),
        layers: &layers,
        history: &history,
        annotations: &annotations,
        created,
    };
    Ok(write_image(&inner.store, &image)?)
}

/// Writes the tags, all of which name the same manifest. Without a tag the
/// image is in the store's index all the same, named by its digest alone.
pub(super) fn publish(
    inner: &Inner,
    of_build: &BTreeMap<String, String>,
    written: &WrittenImage,
    tags: &[String],
) -> Result<()> {
    let mut descriptor = written.manifest.clone();
    let mut annotations = descriptor.annotations().clone().unwrap_or_default();
    annotations.extend(of_build.clone());
    descriptor.set_annotations((!annotations.is_empty()).then_some(annotations));
    if tags.is_empty() {
        inner.store.add_image(descriptor.clone())?;
    }
    for tag in tags {
        let old = inner.store.get_ref(tag)?;
        if !old.is_some_and(|old| same_but_time(&old, &descriptor)) {
            inner.store.set_ref(tag, descriptor.clone())?;
        }
    }
    Ok(())
}

/// Whether only the time of the build differs: then the name keeps the time
/// when it first meant this image, and the index need not be written.
fn same_but_time(old: &Descriptor, new: &Descriptor) -> bool {
    let rest = |image: &Descriptor| {
        let mut annotations = image.annotations().clone().unwrap_or_default();
        annotations.retain(|key, _| key != ANNOTATION_CREATED && key != ANNOTATION_REF_NAME);
        (image.digest().clone(), annotations)
    };
    rest(old) == rest(new)
}

pub(super) fn export(
    inner: &Inner,
    (outputs, annotations): (&[OutputSpec], &BTreeMap<String, String>),
    written: &WrittenImage,
    names: &[String],
) -> Result<()> {
    for spec in outputs {
        let output = output(spec);
        inner.sink.event(Event::Exporting { what: output.describe() });
        let export = Export { store: &inner.store, image: written, names, annotations };
        for message in output.write(&export)?.warnings {
            inner.sink.event(Event::Warning { vertex: None, message });
        }
    }
    Ok(())
}

/// Brings the image into the container engine that the settings mean.
pub(super) fn load(inner: &Inner, written: &WrittenImage, names: &[String]) -> Result<()> {
    let none = BTreeMap::new();
    let export = Export { store: &inner.store, image: written, names, annotations: &none };
    let loaded = Daemon::connect(&inner.daemon, &inner.store).map_err(OutputError::from);
    let loaded = loaded.and_then(|daemon| {
        let output = output::Engine { daemon: &daemon };
        inner.sink.event(Event::Exporting { what: output.describe() });
        output.write(&export)
    });
    match loaded {
        // Whatever the end of a stream that was stopped looked like.
        Err(_) if inner.store.cancel().is_canceled() => Err(Error::Canceled),
        loaded => Ok(loaded.map(drop)?),
    }
}

fn output(spec: &OutputSpec) -> Box<dyn Output> {
    let OutputSpec { kind, dest, records } = spec.clone();
    let records = records.then_some(chain::KIND);
    match kind {
        OutputKind::Oci => Box::new(Oci { dest, form: Form::Archive, records }),
        OutputKind::OciDir => Box::new(Oci { dest, form: Form::Directory, records }),
        OutputKind::Docker => Box::new(Docker { dest }),
        OutputKind::Tar => Box::new(Tar { dest }),
        OutputKind::Local => Box::new(Local { dest, owners: owners() }),
    }
}

/// Only root can give files to others.
fn owners() -> Owners {
    if rustix::process::geteuid().is_root() { Owners::Image } else { Owners::Caller }
}
