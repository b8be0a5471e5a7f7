//! Indexes: several images under one digest.

use std::collections::BTreeMap;

use oci_spec::image::{Descriptor, ImageIndex, ImageIndexBuilder, MediaType};

use super::media::{canonical_json, descriptor, is_index, is_manifest};
use super::{ImageError, Platform, validate_index};
use crate::store::Store;

/// The image of `platform`: the first manifest that matches; one that tells no
/// platform is taken if it is the only image there is.
///
/// # Errors
/// [`ImageError::Platform`] with what there is instead.
pub fn choose<'a>(
    index: &'a ImageIndex,
    platform: &Platform,
) -> Result<&'a Descriptor, ImageError> {
    let images: Vec<_> = index.manifests().iter().filter(|d| is_image(d)).collect();
    let of = |descriptor: &Descriptor| descriptor.platform().as_ref().map(Platform::from);
    let matching = images.iter().find(|d| of(d).is_some_and(|p| p.matches(platform)));
    match (matching, &images[..]) {
        (Some(found), _) => Ok(found),
        (None, [only]) if of(only).is_none() => Ok(only),
        _ => Err(ImageError::Platform {
            wanted: platform.clone(),
            available: images
                .iter()
                .map(|d| of(d).map_or_else(|| "one without platform".into(), |p| p.to_string()))
                .collect(),
        }),
    }
}

/// BuildKit's attestations stand among the images, of platform `unknown/unknown`.
fn is_image(descriptor: &Descriptor) -> bool {
    let media_type = descriptor.media_type();
    let attestation = descriptor
        .annotations()
        .as_ref()
        .is_some_and(|a| a.contains_key("vnd.docker.reference.type"));
    (is_manifest(media_type) || is_index(media_type)) && !attestation
}

/// Writes an index and returns its descriptor.
///
/// # Errors
/// [`ImageError`].
///
/// # Panics
/// Never: all required fields are given.
pub fn write_index(
    store: &Store,
    manifests: &[Descriptor],
    annotations: &BTreeMap<String, String>,
) -> Result<Descriptor, ImageError> {
    let mut index = ImageIndexBuilder::default()
        .schema_version(2_u32)
        .media_type(MediaType::ImageIndex)
        .manifests(manifests.to_vec())
        .build()
        .expect("all required fields are given");
    if !annotations.is_empty() {
        index.set_annotations(Some(annotations.clone().into_iter().collect()));
    }
    validate_index(&index)?;
    let bytes = canonical_json(&index);
    let digest = store.put_blob(&bytes)?;
    Ok(descriptor(MediaType::ImageIndex, &digest, bytes.len() as u64))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::digest::BlobDigest;

    fn index(platforms: &[Option<&str>]) -> ImageIndex {
        let manifests: Vec<_> = platforms
            .iter()
            .enumerate()
            .map(|(at, platform)| {
                let digest = BlobDigest::of(&[u8::try_from(at).expect("few")]);
                let mut one = descriptor(MediaType::ImageManifest, &digest, 1);
                let platform = platform.map(|p| p.parse::<Platform>().expect("good").into());
                one.set_platform(platform);
                one
            })
            .collect();
        let builder = ImageIndexBuilder::default().schema_version(2_u32);
        builder.manifests(manifests).build().expect("complete")
    }

    #[test]
    fn the_platforms_own_image_is_chosen_or_what_there_is_is_named() {
        let both = index(&[Some("linux/amd64"), Some("linux/arm64")]);
        let arm: Platform = "linux/aarch64".parse().expect("good");
        assert_eq!(choose(&both, &arm).expect("there"), &both.manifests()[1]);
        let error = choose(&both, &"linux/s390x".parse().expect("good")).expect_err("none");
        let text = "no image for platform linux/s390x; there is linux/amd64, linux/arm64";
        assert_eq!(error.to_string(), text);
        assert!(choose(&index(&[None]), &arm).is_ok());
        assert!(choose(&index(&[None, None]), &arm).is_err());
    }
}
