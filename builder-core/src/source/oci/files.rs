//! The files of a layout directory or the members of an archive, by name.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags, ResolveFlags, openat2};

use super::OciError;
use super::archive::Archive;
use crate::digest::BlobDigest;
use crate::image::MAX_DOCUMENT;
use crate::layer::Compression;
use crate::source::inflate::Packing;
use crate::store::Store;

/// An open layout or archive.
#[derive(Debug)]
pub(super) struct Files {
    path: PathBuf,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    Directory(File),
    Archive(Archive),
}

/// One file, read from its start.
#[derive(Debug)]
pub(super) struct Opened {
    file: File,
    start: u64,
    at: u64,
    pub(super) size: u64,
    path: PathBuf,
}

impl Files {
    pub(super) fn open(store: &Store, path: &Path) -> Result<Self, OciError> {
        let io = |source| OciError::Io { path: path.to_owned(), source };
        let file = crate::source::open_input(path).map_err(io)?;
        let kind = match file.metadata().map_err(io)?.is_dir() {
            true => Kind::Directory(file),
            false => Kind::Archive(Archive::open(store, path, file)?),
        };
        Ok(Self { path: path.to_owned(), kind })
    }

    /// The file of that name; `None` if there is none.
    pub(super) fn get(&self, name: &str) -> Result<Option<Opened>, OciError> {
        let io = |source| OciError::Io { path: self.path.join(name), source };
        match &self.kind {
            Kind::Directory(root) => {
                let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK;
                let beneath = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
                let file = match openat2(root, name, flags, Mode::empty(), beneath) {
                    Ok(file) => File::from(file),
                    Err(rustix::io::Errno::NOENT | rustix::io::Errno::NOTDIR) => return Ok(None),
                    Err(error) => return Err(io(error.into())),
                };
                let stat = file.metadata().map_err(io)?;
                if !stat.is_file() {
                    return Err(io(io::Error::other("it is not a regular file")));
                }
                let path = self.path.join(name);
                Ok(Some(Opened { file, start: 0, at: 0, size: stat.len(), path }))
            }
            Kind::Archive(archive) => {
                let Some(place) = archive.find(name) else { return Ok(None) };
                let file = archive.file.try_clone().map_err(io)?;
                let path = self.path.join(name);
                Ok(Some(Opened { file, start: place.offset, at: 0, size: place.size, path }))
            }
        }
    }

    pub(super) fn exists(&self, name: &str) -> Result<bool, OciError> {
        Ok(self.get(name)?.is_some())
    }

    /// The file of that name, which must be there.
    pub(super) fn require(&self, what: &str, name: &str) -> Result<Opened, OciError> {
        let missing = || OciError::Missing { what: what.to_owned(), name: name.to_owned() };
        self.get(name)?.ok_or_else(missing)
    }

    /// The whole of a small file.
    pub(super) fn document(&self, what: &str, name: &str) -> Result<Vec<u8>, OciError> {
        self.whole(what, name, MAX_DOCUMENT)
    }

    fn whole(&self, what: &str, name: &str, limit: u64) -> Result<Vec<u8>, OciError> {
        let mut file = self.require(what, name)?;
        if file.size > limit {
            let (what, size) = (what.to_owned(), file.size);
            return Err(OciError::TooLarge { what, size, limit });
        }
        let mut bytes = Vec::new();
        let path = file.path.clone();
        file.read_to_end(&mut bytes).map_err(|source| OciError::Io { path, source })?;
        Ok(bytes)
    }

    /// A document by its digest, verified.
    pub(super) fn blob(&self, what: &str, digest: &BlobDigest) -> Result<Vec<u8>, OciError> {
        self.blob_within(what, digest, MAX_DOCUMENT)
    }

    /// Bytes by their digest, verified, and no more than `limit` of them.
    pub(super) fn blob_within(
        &self,
        what: &str,
        digest: &BlobDigest,
        limit: u64,
    ) -> Result<Vec<u8>, OciError> {
        let bytes = self.whole(what, &blob_name(digest), limit)?;
        verify(what, digest, &bytes)?;
        Ok(bytes)
    }
}

/// Where a layout keeps a blob.
pub(super) fn blob_name(digest: &BlobDigest) -> String {
    format!("blobs/sha256/{}", digest.hex())
}

pub(super) fn verify(what: &str, expected: &BlobDigest, bytes: &[u8]) -> Result<(), OciError> {
    let actual = BlobDigest::of(bytes);
    if actual == *expected {
        return Ok(());
    }
    Err(OciError::Digest { what: what.to_owned(), expected: *expected, actual })
}

impl Opened {
    /// The compression that the first bytes tell.
    pub(super) fn sniff(&self) -> Result<Compression, OciError> {
        let io = |source| OciError::Io { path: self.path.clone(), source };
        let mut start = [0; 6];
        let length = start.len().min(usize::try_from(self.size).unwrap_or(usize::MAX));
        self.file.read_exact_at(&mut start[..length], self.start).map_err(io)?;
        match Packing::of_bytes(&start[..length]) {
            Packing::None => Ok(Compression::None),
            Packing::Gzip => Ok(Compression::Gzip),
            Packing::Zstd => Ok(Compression::Zstd),
            Packing::Xz => Err(io(io::Error::other("a layer compressed by xz is not supported"))),
            Packing::Bzip2 => {
                Err(io(io::Error::other("a layer compressed by bzip2 is not supported")))
            }
        }
    }
}

impl Read for Opened {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let left = usize::try_from(self.size - self.at).unwrap_or(usize::MAX);
        let length = buf.len().min(left);
        let read = self.file.read_at(&mut buf[..length], self.start + self.at)?;
        if read == 0 && length > 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.at += read as u64;
        Ok(read)
    }
}
