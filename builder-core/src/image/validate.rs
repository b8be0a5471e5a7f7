//! Rules of the OCI image spec that the types alone do not hold.

use jiff::Timestamp;
use oci_spec::image::{Descriptor, ImageIndex, ImageManifest};

use super::media::{DOCKER_CONFIG, blob_digest, is_index, is_manifest, layer_compression};
use super::{ImageConfig, ImageError, MediaType};

fn check(what: &'static str, good: bool, rule: impl FnOnce() -> String) -> Result<(), ImageError> {
    if good { Ok(()) } else { Err(ImageError::Invalid { what, rule: rule() }) }
}

/// Checks a config.
///
/// # Errors
/// [`ImageError::Invalid`] with the first rule that is broken.
pub fn validate_config(config: &ImageConfig) -> Result<(), ImageError> {
    let check = |good: bool, rule: &dyn Fn() -> String| check("image config", good, rule);
    check(!config.os.is_empty(), &|| "`os` is required".into())?;
    check(!config.architecture.is_empty(), &|| "`architecture` is required".into())?;
    let kind = &config.rootfs.kind;
    check(kind == "layers", &|| format!("`rootfs.type` must be `layers`, not `{kind}`"))?;
    let times = config.history.iter().map(|line| &line.created).chain([&config.created]);
    for time in times.flatten() {
        let good = time.parse::<Timestamp>().is_ok();
        check(good, &|| format!("`{time}` is not a time as RFC 3339 has it"))?;
    }
    for env in &config.config.env {
        let good = env.find('=').is_none_or(|at| at > 0) && !env.is_empty();
        check(good, &|| format!("`{env}` in `config.Env` is not NAME=value"))?;
    }
    let lines = config.history.iter().filter(|line| !line.empty_layer).count();
    let layers = config.rootfs.diff_ids.len();
    check(config.history.is_empty() || lines <= layers, &|| {
        format!("`history` tells of {lines} layers, but `rootfs` has {layers}")
    })
}

/// Checks a manifest, for itself. Docker's schema 2 passes too.
///
/// # Errors
/// [`ImageError::Invalid`], [`ImageError::MediaType`], [`ImageError::Digest`].
pub fn validate_manifest(manifest: &ImageManifest) -> Result<(), ImageError> {
    let what = "image manifest";
    check(what, manifest.schema_version() == 2, || {
        format!("`schemaVersion` must be 2, not {}", manifest.schema_version())
    })?;
    if let Some(media_type) = manifest.media_type() {
        check(what, is_manifest(media_type), || format!("`mediaType` is `{media_type}`"))?;
    }
    let config = manifest.config().media_type();
    if !matches!(config, MediaType::ImageConfig) && config.as_ref() != DOCKER_CONFIG {
        let media_type = config.to_string();
        return Err(ImageError::MediaType { what: "config".into(), media_type });
    }
    validate_descriptor(what, manifest.config())?;
    for (at, layer) in manifest.layers().iter().enumerate() {
        layer_compression(&format!("layer {}", at + 1), layer.media_type())?;
        validate_descriptor(what, layer)?;
    }
    Ok(())
}

/// Checks an index, for itself.
///
/// # Errors
/// [`ImageError::Invalid`] and [`ImageError::Digest`].
pub fn validate_index(index: &ImageIndex) -> Result<(), ImageError> {
    let what = "image index";
    check(what, index.schema_version() == 2, || {
        format!("`schemaVersion` must be 2, not {}", index.schema_version())
    })?;
    if let Some(media_type) = index.media_type() {
        check(what, is_index(media_type), || format!("`mediaType` is `{media_type}`"))?;
    }
    index.manifests().iter().try_for_each(|manifest| validate_descriptor(what, manifest))
}

fn validate_descriptor(what: &'static str, descriptor: &Descriptor) -> Result<(), ImageError> {
    blob_digest(descriptor)?;
    check(what, i64::try_from(descriptor.size()).is_ok(), || {
        format!("a size of {} is no 64-bit signed number", descriptor.size())
    })?;
    let media_type = descriptor.media_type().to_string();
    check(what, media_type.contains('/'), || format!("`{media_type}` is no media type"))
}
