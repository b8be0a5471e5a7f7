//! Archives of a build: told by their content, and read as a layer.
//!
//! In: the bytes of a file, plain or compressed by gzip, bzip2, xz or zstd: what
//! BuildKit unpacks. Out: a sorted layer of the archive's files. Names that
//! climb, links to nothing and malformed headers are refused
//! ([`crate::layer::read_tar`]).
//!
//! Limitation: names that begin with `.wh.` are left out.

use std::io::{self, BufReader, Read};
use std::path::Path;

use super::inflate::Packing;
use super::rootfs::{self, RootfsError};
use crate::layer::{self, Compression, LayerDesc};
use crate::store::Store;

/// Bytes that tell how a file is compressed.
const MAGIC: u64 = 6;

/// Whether `stream` begins as a tar does, compressed or not. What cannot be
/// decompressed is none.
///
/// # Errors
/// If it cannot be read.
pub fn is_archive(stream: Box<dyn Read + Send>) -> io::Result<bool> {
    let (packing, whole) = told(stream)?;
    let Ok(mut tar) = packing.reader_of(BufReader::new(whole)) else { return Ok(false) };
    Ok(layer::begins_tar(&mut tar))
}

/// The layer of an archive; `name` is for errors.
///
/// # Errors
/// [`RootfsError`].
pub fn layer(
    store: &Store,
    name: &Path,
    stream: Box<dyn Read + Send>,
) -> Result<LayerDesc, RootfsError> {
    let io = |source| RootfsError::Io { path: name.to_owned(), source };
    let (packing, whole) = told(stream).map_err(io)?;
    let whole = store.cancel().guard(whole);
    let tar = packing.reader_of(BufReader::with_capacity(1 << 18, whole)).map_err(io)?;
    // It is copied from once, into a layer that is compressed.
    rootfs::layer_of(store, name, tar, Compression::None)
}

/// How a stream is compressed, and the whole of it.
fn told(mut stream: Box<dyn Read + Send>) -> io::Result<(Packing, impl Read + Send)> {
    let mut start = Vec::new();
    stream.by_ref().take(MAGIC).read_to_end(&mut start)?;
    Ok((Packing::of_bytes(&start), io::Cursor::new(start).chain(stream)))
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    fn tar() -> Vec<u8> {
        let mut tar = tar::Builder::new(Vec::new());
        let mut header = tar::Header::new_gnu();
        header.set_size(1);
        header.set_mode(0o600);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(1);
        header.set_cksum();
        tar.append_data(&mut header, "d/f", &b"x"[..]).expect("in memory");
        tar.into_inner().expect("in memory")
    }

    #[test]
    fn an_archive_is_told_by_its_content_and_read_whatever_compresses_it() {
        let place = tempfile::tempdir().expect("a directory");
        let store = Store::open(place.path()).expect("a store");
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzip.write_all(&tar()).expect("in memory");
        let mut xz = liblzma::write::XzEncoder::new(Vec::new(), 1);
        xz.write_all(&tar()).expect("in memory");
        let mut bzip2 = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::fast());
        bzip2.write_all(&tar()).expect("in memory");
        for packed in [
            tar(),
            gzip.finish().expect("in memory"),
            xz.finish().expect("in memory"),
            bzip2.finish().expect("in memory"),
            zstd::encode_all(&tar()[..], 1).expect("in memory"),
        ] {
            let stream = || Box::new(io::Cursor::new(packed.clone()));
            assert!(is_archive(stream()).expect("read"));
            let desc = layer(&store, Path::new("a.tar"), stream()).expect("a layer");
            let entries = layer::Layer::open(&store, &desc).expect("open").entries();
            let entries = entries.expect("read");
            assert_eq!(entries.len(), 1, "{entries:?}");
            assert_eq!(entries[0].path.display(), "/d/f");
        }
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzip.write_all(&[b'x'; 2000]).expect("in memory");
        for none in [
            b"".to_vec(),
            b"\x1f\x8bno gzip".to_vec(),
            b"BZh".to_vec(),
            vec![0; 1024],
            vec![b'x'; 1024],
            gzip.finish().expect("in memory"),
            tar()[..100].to_vec(),
        ] {
            let told = is_archive(Box::new(io::Cursor::new(none.clone()))).expect("read");
            assert!(!told, "{none:?}");
        }
        let cut = tar()[..512].to_vec();
        let cut = layer(&store, Path::new("a.tar"), Box::new(io::Cursor::new(cut)));
        assert!(cut.is_err());
    }
}
