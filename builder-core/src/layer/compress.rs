//! Compresses and inflates single frames.
//!
//! In: at most [`FRAME_LEN`] bytes. Out: one gzip member or one Zstandard
//! frame, the same bytes on any machine and number of cores. Levels are fixed,
//! because a layer's digest depends on them: gzip 1 of libdeflate, which gives
//! about a tenth more bytes than its 6 and takes less than half of the time, and
//! Zstandard 3. What gzip does not shrink is stored.

use std::io;

use libdeflater::{CompressionLvl, Compressor, Decompressor};

use super::Compression;

/// Uncompressed length of every frame but the last.
pub(super) const FRAME_LEN: usize = 1 << 20;
const GZIP_LEVEL: i32 = 1;
const ZSTD_LEVEL: i32 = 3;
/// How much of a frame tells whether it can be compressed.
const SAMPLES: usize = 16;
const SAMPLE_LEN: usize = 1 << 10;

/// Compresses frame after frame, reusing its state.
pub(super) enum Packer {
    None,
    Gzip { normal: Compressor, stored: Compressor },
    Zstd(zstd::bulk::Compressor<'static>),
}

impl Packer {
    pub(super) fn new(compression: Compression) -> io::Result<Self> {
        Ok(match compression {
            Compression::None => Self::None,
            Compression::Gzip => Self::Gzip { normal: deflate(GZIP_LEVEL), stored: deflate(0) },
            Compression::Zstd => Self::Zstd(zstd::bulk::Compressor::new(ZSTD_LEVEL)?),
        })
    }

    pub(super) fn pack(&mut self, frame: &[u8]) -> io::Result<Vec<u8>> {
        match self {
            Self::None => Ok(frame.to_vec()),
            Self::Gzip { normal, stored } => {
                if is_noise(normal, frame)? {
                    gzip(stored, frame)
                } else {
                    gzip(normal, frame)
                }
            }
            Self::Zstd(compressor) => compressor.compress(frame),
        }
    }
}

fn deflate(level: i32) -> Compressor {
    Compressor::new(CompressionLvl::new(level).expect("libdeflate has levels 0 to 12"))
}

fn gzip(compressor: &mut Compressor, bytes: &[u8]) -> io::Result<Vec<u8>> {
    let mut packed = vec![0; compressor.gzip_compress_bound(bytes.len())];
    let len = compressor.gzip_compress(bytes, &mut packed).map_err(io::Error::other)?;
    packed.truncate(len);
    Ok(packed)
}

/// Whether samples of a frame do not shrink: media, archives, keys. Deflate
/// spends more time on those than on text, and gains nothing.
fn is_noise(compressor: &mut Compressor, frame: &[u8]) -> io::Result<bool> {
    if frame.len() < SAMPLES * SAMPLE_LEN * 4 {
        return Ok(false);
    }
    let mut sample = Vec::with_capacity(SAMPLES * SAMPLE_LEN);
    for at in 0..SAMPLES {
        let start = (frame.len() - SAMPLE_LEN) / (SAMPLES - 1) * at;
        sample.extend_from_slice(&frame[start..start + SAMPLE_LEN]);
    }
    let packed = gzip(compressor, &sample)?;
    Ok(packed.len() > sample.len() - sample.len() / 64)
}

/// The most bytes that a frame of ours can take in a blob.
pub(super) const MAX_PACKED: u64 = FRAME_LEN as u64 + (FRAME_LEN as u64 >> 4);

/// Inflates one frame of exactly `len` bytes.
pub(super) fn unpack(compression: Compression, packed: &[u8], len: usize) -> io::Result<Vec<u8>> {
    match compression {
        Compression::None => Ok(packed.to_vec()),
        Compression::Gzip => {
            let mut frame = vec![0; len];
            let actual = Decompressor::new()
                .gzip_decompress(packed, &mut frame)
                .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
            frame.truncate(actual);
            Ok(frame)
        }
        Compression::Zstd => zstd::bulk::decompress(packed, len),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noise(len: usize) -> Vec<u8> {
        let mut bytes = vec![0; len];
        blake3::Hasher::new().finalize_xof().fill(&mut bytes);
        bytes
    }

    fn packed(frame: &[u8]) -> usize {
        let mut packer = Packer::new(Compression::Gzip).expect("made");
        let packed = packer.pack(frame).expect("packed");
        assert!(packed.len() as u64 <= MAX_PACKED);
        assert!(unpack(Compression::Gzip, &packed, frame.len()).expect("unpacked") == frame);
        packed.len()
    }

    #[test]
    fn noise_is_stored_and_what_shrinks_is_packed() {
        let noise = noise(FRAME_LEN);
        assert!((FRAME_LEN..FRAME_LEN + FRAME_LEN / 1000).contains(&packed(&noise)));
        let text = b"a phoenix rises from its ashes; ".repeat(FRAME_LEN / 32);
        assert!(packed(&text) < FRAME_LEN / 20);
        let half = [&noise[..FRAME_LEN / 2], &text[..FRAME_LEN / 2]].concat();
        assert!(packed(&half) < FRAME_LEN * 11 / 20);
        for len in [0, 1, 1000, 70_000] {
            packed(&noise[..len]);
        }
    }
}
