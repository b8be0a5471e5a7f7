//! The uncompressed tar of a layer, and the layer in another compression.
//!
//! In: a layer of the store. Out: its tar as a stream, or a second blob with a
//! table of its own. Guards: the tar has the layer's diffID, or reading fails.

use std::io::{self, BufReader, Read};

use sha2::{Digest as _, Sha256};

use super::compress::FRAME_LEN;
use super::pipeline::{Pipeline, Written, cores};
use super::table::Facts;
use super::{Compression, Layer, LayerDesc, LayerError};
use crate::digest::DiffId;
use crate::store::Store;

/// The layer as another compression has it: the same diffID.
///
/// # Errors
/// If the layer is damaged or the store cannot be written.
pub fn recompress(
    store: &Store,
    desc: &LayerDesc,
    to: Compression,
) -> Result<LayerDesc, LayerError> {
    if desc.compression == to {
        return Ok(desc.clone());
    }
    let layer = Layer::open(store, desc)?;
    let mut tar = layer.tar()?;
    let mut pipeline = Pipeline::new(store, to, cores())?;
    let reading = LayerError::io("reading the layer");
    loop {
        match pipeline.read_from(&mut tar, FRAME_LEN as u64, &mut |_| {})? {
            Ok(0) => break,
            Ok(_) => {}
            Err(error) => return Err(reading(error)),
        }
    }
    let written = pipeline.finish()?;
    let facts = Facts {
        blob: written.blob,
        diff_id: written.diff_id,
        blob_size: written.blob_size,
        tar_size: written.tar_size,
        compression: to,
        seekable: true,
    };
    // The tar is the same, so all but header and frames is.
    layer.copy_table(facts, &written.frames)?;
    let Written { blob, diff_id, blob_size: size, .. } = written;
    Ok(LayerDesc { blob, diff_id, size, compression: to })
}

/// The uncompressed tar of a layer, compared with the diffID at its end.
pub(super) fn tar_of(store: &Store, desc: &LayerDesc) -> Result<Box<dyn Read + Send>, LayerError> {
    let blob = BufReader::with_capacity(128 * 1024, store.blob_reader(&desc.blob)?);
    let inner: Box<dyn Read + Send> = match desc.compression {
        Compression::None => Box::new(blob),
        Compression::Gzip => Box::new(flate2::bufread::MultiGzDecoder::new(blob)),
        Compression::Zstd => Box::new(
            zstd::stream::read::Decoder::with_buffer(blob)
                .map_err(|source| LayerError::Decompress { source })?,
        ),
    };
    Ok(Box::new(VerifiedTar { inner, hasher: Sha256::new(), expected: desc.diff_id }))
}

struct VerifiedTar {
    inner: Box<dyn Read + Send>,
    hasher: Sha256,
    expected: DiffId,
}

impl Read for VerifiedTar {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let len = self.inner.read(buf)?;
        self.hasher.update(&buf[..len]);
        if len == 0 && !buf.is_empty() {
            let actual = DiffId::from_bytes(self.hasher.clone().finalize().into());
            if actual != self.expected {
                let text = format!("the diffID is {actual} instead of {}", self.expected);
                return Err(io::Error::new(io::ErrorKind::InvalidData, text));
            }
        }
        Ok(len)
    }
}
