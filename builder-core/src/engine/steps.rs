//! What lies beside an image so that its steps can be taken to another base:
//! an artifact whose subject is the image.

use super::Inner;
use crate::chain::{self, Chain};
use crate::digest::BlobDigest;
use crate::error::{Error, Result};
use crate::event::Event;
use crate::image::{
    Image, WrittenImage, keep_artifact, kept_artifact, read_artifact, write_artifact,
};
use crate::layer::LayerDesc;

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
    if kept_artifact(&inner.store, written.digest, chain::KIND)?.is_some() {
        return Ok(());
    }
    let Some(chain) = chain()? else { return Ok(()) };
    let payload = chain::encode(&chain);
    let artifact = write_artifact(&inner.store, chain::KIND, &written.manifest, &payload)?;
    Ok(keep_artifact(&inner.store, written.digest, &artifact)?)
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
