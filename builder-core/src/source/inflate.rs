//! Compressed streams, told by their first bytes.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek as _, SeekFrom};
use std::os::unix::fs::FileExt as _;

/// The most memory that decoding xz may take, in bytes.
const XZ_MEMORY: u64 = 256 << 20;

/// How a file is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Packing {
    None,
    Gzip,
    Bzip2,
    Xz,
    Zstd,
}

impl Packing {
    /// Tells by the magic number.
    pub(super) fn of_bytes(start: &[u8]) -> Self {
        match start {
            [0x1f, 0x8b, ..] => Self::Gzip,
            [b'B', b'Z', b'h', ..] => Self::Bzip2,
            [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => Self::Xz,
            // A skippable frame may come first.
            [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => Self::Zstd,
            _ => Self::None,
        }
    }

    /// Tells by a file's first bytes; its position stays.
    pub(super) fn of(file: &File) -> io::Result<Self> {
        let mut start = [0; 6];
        let read = file.read_at(&mut start, 0)?;
        Ok(Self::of_bytes(&start[..read]))
    }

    /// The uncompressed bytes of `file`, from its start; many members or
    /// frames are one stream.
    pub(super) fn reader(self, mut file: File) -> io::Result<Box<dyn Read + Send>> {
        file.seek(SeekFrom::Start(0))?;
        self.reader_of(BufReader::with_capacity(1 << 18, file))
    }

    /// The uncompressed bytes of a stream.
    pub(super) fn reader_of(
        self,
        file: impl BufRead + Send + 'static,
    ) -> io::Result<Box<dyn Read + Send>> {
        Ok(match self {
            Self::None => Box::new(file),
            Self::Gzip => Box::new(flate2::bufread::MultiGzDecoder::new(file)),
            Self::Bzip2 => Box::new(bzip2::bufread::MultiBzDecoder::new(file)),
            Self::Xz => {
                let flags = liblzma::stream::CONCATENATED;
                let stream = liblzma::stream::Stream::new_stream_decoder(XZ_MEMORY, flags)?;
                Box::new(liblzma::bufread::XzDecoder::new_stream(file, stream))
            }
            Self::Zstd => Box::new(zstd::Decoder::with_buffer(file)?),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    #[test]
    fn every_packing_is_told_and_read_to_its_end() {
        let text = b"some text".repeat(1000);
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzip.write_all(&text).expect("in memory");
        let mut xz = liblzma::write::XzEncoder::new(Vec::new(), 1);
        xz.write_all(&text).expect("in memory");
        let mut bzip2 = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::fast());
        bzip2.write_all(&text).expect("in memory");
        for (packing, once) in [
            (Packing::None, text.clone()),
            (Packing::Bzip2, bzip2.finish().expect("in memory")),
            (Packing::Gzip, gzip.finish().expect("in memory")),
            (Packing::Xz, xz.finish().expect("in memory")),
            (Packing::Zstd, zstd::encode_all(&text[..], 1).expect("in memory")),
        ] {
            let mut file = tempfile::tempfile().expect("a temporary file");
            file.write_all(&once.repeat(2)).expect("written");
            assert_eq!(Packing::of(&file).expect("read"), packing);
            let mut back = Vec::new();
            packing.reader(file).expect("good").read_to_end(&mut back).expect("good");
            assert!(back == text.repeat(2), "{packing:?}");
        }
    }
}
