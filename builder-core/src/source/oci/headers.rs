//! The headers of a tar's members, within bounds.
//!
//! In: an archive that the `tar` crate reads. Out: its members, one after the
//! other; an error where what stands before a member is too long. That crate
//! takes long names (GNU's `L` and `K`, records of PAX) into memory whole,
//! whatever length an archive tells; so what it reads on its way to the next
//! member is counted.
//!
//! Invariant: what a member holds is read, or seeked over, before the next one
//! is asked for; it is not counted. The bounds are those of layers
//! (`layer::untar`).

use std::cell::Cell;
use std::io::{self, Read, Seek, SeekFrom};

use crate::layer::{MAX_EXTENDED, MAX_EXTENSION};

/// How much of headers may still be read.
#[derive(Debug)]
pub(super) struct Headers {
    /// While a member is looked for: how much on the way to it.
    now: Cell<Option<u64>>,
    together: Cell<u64>,
}

impl Headers {
    pub(super) fn new() -> Self {
        Self { now: Cell::new(None), together: Cell::new(MAX_EXTENDED) }
    }

    /// The archive's bytes, which are to be read through this only.
    pub(super) fn of<R>(&self, archive: R) -> Bounded<'_, R> {
        Bounded { archive, headers: self }
    }

    /// The next member.
    pub(super) fn next<T>(&self, members: &mut impl Iterator<Item = T>) -> Option<T> {
        let allowed = MAX_EXTENSION.min(self.together.get());
        self.now.set(Some(allowed));
        let member = members.next();
        let left = self.now.take().unwrap_or_default();
        self.together.set(self.together.get() - (allowed - left));
        member
    }
}

/// An archive that is read within bounds.
pub(super) struct Bounded<'a, R> {
    archive: R,
    headers: &'a Headers,
}

impl<R: Read> Read for Bounded<'_, R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let Some(left) = self.headers.now.get() else { return self.archive.read(buf) };
        if left == 0 && !buf.is_empty() {
            let error = "the headers of its members are too long";
            return Err(io::Error::new(io::ErrorKind::InvalidData, error));
        }
        let length = usize::try_from(left).unwrap_or(usize::MAX).min(buf.len());
        let read = self.archive.read(&mut buf[..length])?;
        self.headers.now.set(Some(left - read as u64));
        Ok(read)
    }
}

impl<R: Seek> Seek for Bounded<'_, R> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.archive.seek(to)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use tar::EntryType;

    use super::*;

    /// The header of a member of so many bytes.
    pub(in super::super) fn header(kind: EntryType, size: u64) -> Vec<u8> {
        let mut header = tar::Header::new_gnu();
        header.set_path("a").expect("it is short");
        header.set_entry_type(kind);
        header.set_size(size);
        header.set_mode(0o644);
        header.set_cksum();
        header.as_bytes().to_vec()
    }

    /// What is read of an archive, and what it ends with.
    fn read(archive: impl Read) -> (u64, Vec<Result<String, String>>) {
        let headers = Headers::new();
        let mut counted = Counted(archive, 0);
        let mut found = Vec::new();
        let mut archive = tar::Archive::new(headers.of(&mut counted));
        let mut members = archive.entries().expect("it is at its start");
        while let Some(member) = headers.next(&mut members) {
            let name = member.map_err(|error| error.to_string()).and_then(|mut member| {
                io::copy(&mut member, &mut io::sink()).map_err(|error| error.to_string())?;
                Ok(String::from_utf8_lossy(&member.path_bytes()).into_owned())
            });
            let over = name.is_err();
            found.push(name);
            if over {
                break;
            }
        }
        (counted.1, found)
    }

    struct Counted<R>(R, u64);

    impl<R: Read> Read for Counted<R> {
        fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
            let read = self.0.read(buf)?;
            self.1 += read as u64;
            Ok(read)
        }
    }

    #[test]
    fn names_are_read_up_to_a_bound_whatever_length_they_are_said_to_have() {
        for kind in [EntryType::GNULongName, EntryType::GNULongLink, EntryType::XHeader] {
            let start = io::Cursor::new(header(kind, 1 << 30));
            let (went, found) = read(start.chain(io::repeat(b'x').take(1 << 30)));
            let [Err(error)] = &found[..] else { panic!("{found:?}") };
            assert!(error.contains("too long"), "{kind:?}: {error}");
            assert!(went <= MAX_EXTENSION, "{kind:?}: {went}");
        }
    }

    #[test]
    fn all_names_together_are_bounded_too() {
        let size = MAX_EXTENSION / 2;
        let one = || {
            let start = io::Cursor::new(header(EntryType::GNULongName, size));
            let name = start.chain(io::repeat(b'x').take(size));
            name.chain(io::Cursor::new(header(EntryType::Regular, 0)))
        };
        let mut archive: Box<dyn Read> = Box::new(io::empty());
        for _ in 0..200 {
            archive = Box::new(archive.chain(one()));
        }
        let (went, found) = read(archive);
        assert!(went <= MAX_EXTENDED && found.len() < 200, "{went}");
        assert!(found.last().is_some_and(Result::is_err));
    }

    #[test]
    fn long_names_and_members_longer_than_any_header_are_read() {
        let mut builder = tar::Builder::new(Vec::new());
        let long = "dir/".repeat(100) + "file";
        let size = 3 * MAX_EXTENSION;
        let mut about = tar::Header::new_gnu();
        about.set_size(size);
        for name in ["a", &long] {
            let data = io::repeat(b'x').take(size);
            builder.append_data(&mut about, name, data).expect("in memory");
        }
        let bytes = builder.into_inner().expect("in memory");
        let (_, found) = read(&bytes[..]);
        assert_eq!(found, [Ok("a".to_owned()), Ok(long)]);
    }
}
