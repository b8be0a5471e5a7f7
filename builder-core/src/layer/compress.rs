//! Compresses and inflates single frames.
//!
//! In: at most [`FRAME_LEN`] bytes. Out: one gzip member or one Zstandard
//! frame, the same bytes on any machine and number of cores. Levels are fixed,
//! because a layer's digest depends on them: gzip 6 of libdeflate, which packs
//! better than zlib's 6 and takes two thirds of its time, and Zstandard 3.

use std::io;

use libdeflater::{CompressionLvl, Compressor, Decompressor};

use super::Compression;

/// Uncompressed length of every frame but the last.
pub(super) const FRAME_LEN: usize = 1 << 20;
const GZIP_LEVEL: i32 = 6;
const ZSTD_LEVEL: i32 = 3;

/// Compresses frame after frame, reusing its state.
pub(super) enum Packer {
    None,
    Gzip(Compressor),
    Zstd(zstd::bulk::Compressor<'static>),
}

impl Packer {
    pub(super) fn new(compression: Compression) -> io::Result<Self> {
        Ok(match compression {
            Compression::None => Self::None,
            Compression::Gzip => Self::Gzip(Compressor::new(
                CompressionLvl::new(GZIP_LEVEL).expect("libdeflate has levels 0 to 12"),
            )),
            Compression::Zstd => Self::Zstd(zstd::bulk::Compressor::new(ZSTD_LEVEL)?),
        })
    }

    pub(super) fn pack(&mut self, frame: &[u8]) -> io::Result<Vec<u8>> {
        match self {
            Self::None => Ok(frame.to_vec()),
            Self::Gzip(compressor) => {
                let mut packed = vec![0; compressor.gzip_compress_bound(frame.len())];
                let len = compressor.gzip_compress(frame, &mut packed).map_err(io::Error::other)?;
                packed.truncate(len);
                Ok(packed)
            }
            Self::Zstd(compressor) => compressor.compress(frame),
        }
    }
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
