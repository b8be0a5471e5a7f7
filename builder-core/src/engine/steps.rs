//! What lies beside an image so that its steps can be taken to another base:
//! an artifact whose subject is the image.

use super::Inner;
use crate::chain::{self, Chain};
use crate::digest::BlobDigest;
use crate::error::{Error, Result};
use crate::event::Event;
use crate::image::{
    EMPTY_CONFIG, Image, MAX_DOCUMENT, PAYLOAD, WrittenImage, blob_digest, keep_artifact,
    kept_artifact, read_artifact, write_artifact,
};
use crate::layer::LayerDesc;
use crate::store::Store;

/// Writes down how an image was made, unless that is there. An image is no worse
/// without: what goes wrong is told, and is no error.
pub(super) fn keep(
    inner: &Inner,
    written: &WrittenImage,
    chain: impl FnOnce() -> Result<Option<Chain>>,
) {
    if let Err(error) = try_keep(inner, written, chain) {
        let why = crate::solve::chain(&error);
        let message = format!("what `phoenix rebase` needs is not kept: {why}");
        inner.sink.event(Event::Warning { vertex: None, message });
    }
}

fn try_keep(
    inner: &Inner,
    written: &WrittenImage,
    chain: impl FnOnce() -> Result<Option<Chain>>,
) -> Result<()> {
    if is_whole(&inner.store, written.digest) {
        return Ok(());
    }
    let Some(chain) = chain()? else { return Ok(()) };
    let payload = chain::encode(&chain);
    let artifact = write_artifact(&inner.store, chain::KIND, &written.manifest, &payload)?;
    Ok(keep_artifact(&inner.store, written.digest, &artifact)?)
}

/// Whether all that belongs to an artifact is there and undamaged. What is not
/// goes: what is written in its place may have other digests.
fn is_whole(store: &Store, image: BlobDigest) -> bool {
    let whole = |digest: &BlobDigest, limit| {
        let read = store.read_blob(digest, limit).ok();
        if read.is_none() {
            let _ = std::fs::remove_file(store.blob_path(digest));
        }
        read
    };
    let Ok(Some(artifact)) = kept_artifact(store, image, chain::KIND) else { return false };
    let manifest = blob_digest(&artifact).ok().and_then(|digest| whole(&digest, MAX_DOCUMENT));
    let payload = artifact.annotations().as_ref().and_then(|all| all.get(PAYLOAD));
    let payload = payload.and_then(|digest| digest.parse().ok());
    let payload = payload.and_then(|digest| match manifest.is_some() {
        true => whole(&digest, chain::MAX_BYTES),
        // Nothing would lead to it any more.
        false => {
            let _ = std::fs::remove_file(store.blob_path(&digest));
            None
        }
    });
    let config = whole(&BlobDigest::of(EMPTY_CONFIG), MAX_DOCUMENT);
    payload.is_some() && config.is_some()
}

/// What the store has written down of an image of its own.
pub(super) fn of_store(inner: &Inner, image: BlobDigest) -> Result<Vec<u8>> {
    let artifact = kept_artifact(&inner.store, image, chain::KIND)?;
    let artifact = artifact.ok_or(Error::NoSteps { image })?;
    Ok(read_artifact(&inner.store, &artifact, (chain::KIND, image), chain::MAX_BYTES)?)
}

/// How `image` was made, as `payload` tells it, and the layers that its steps
/// made: those that the image itself has.
pub(super) fn read<'i>(image: &'i Image, payload: &[u8]) -> Result<(Chain, &'i [LayerDesc])> {
    let digest = image.digest;
    let chain = chain::decode(payload).map_err(|source| Error::Steps { image: digest, source })?;
    let layers = image.layers.get(chain.base..).ok_or(Error::OtherSteps { image: digest })?;
    if chain.layers().eq(layers.iter().map(|layer| layer.diff_id)) {
        Ok((chain, layers))
    } else {
        Err(Error::OtherSteps { image: digest })
    }
}
