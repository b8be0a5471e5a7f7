//! Decompresses a blob as it streams by, member by member.
//!
//! In: compressed bytes, which are shown to a tee (digest, store). Out: the tar,
//! and where each gzip member or Zstandard frame stands, for blobs that were
//! written in frames of ours. Guards: what expands beyond its limit is refused.
//! Limitation: bytes after the last member must be zeros.

use std::io::{self, BufRead, Read};

use flate2::bufread::GzDecoder;

use super::Compression;
use super::compress::{FRAME_LEN, MAX_PACKED};

/// Reads through a buffer and shows each byte once to `seen`.
pub(super) struct Tee<'a> {
    input: &'a mut dyn Read,
    seen: &'a mut dyn FnMut(&[u8]) -> io::Result<()>,
    buf: Vec<u8>,
    at: usize,
    end: usize,
    /// Bytes consumed so far.
    consumed: u64,
}

impl<'a> Tee<'a> {
    pub(super) fn new(
        input: &'a mut dyn Read,
        seen: &'a mut dyn FnMut(&[u8]) -> io::Result<()>,
    ) -> Self {
        Self { input, seen, buf: vec![0; 128 * 1024], at: 0, end: 0, consumed: 0 }
    }
}

impl BufRead for Tee<'_> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        while self.at == self.end {
            match self.input.read(&mut self.buf) {
                Ok(0) => break,
                Ok(len) => {
                    (self.seen)(&self.buf[..len])?;
                    (self.at, self.end) = (0, len);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(&self.buf[self.at..self.end])
    }

    fn consume(&mut self, len: usize) {
        self.at += len;
        self.consumed += len as u64;
    }
}

impl Read for Tee<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let bytes = self.fill_buf()?;
        let len = bytes.len().min(buf.len());
        buf[..len].copy_from_slice(&bytes[..len]);
        self.consume(len);
        Ok(len)
    }
}

#[expect(clippy::large_enum_variant, reason = "there is one per stream that is read")]
enum State<'a> {
    Between(Tee<'a>),
    Gzip(GzDecoder<Tee<'a>>),
    Zstd(zstd::stream::read::Decoder<'static, Tee<'a>>),
    Plain(Tee<'a>),
    Ended { consumed: u64 },
}

/// A stream of a blob's uncompressed bytes.
pub(super) struct Inflater<'a> {
    compression: Compression,
    state: State<'a>,
    began_at: u64,
    member_len: u64,
    members: Members,
}

/// Where the members stand, if they are frames of ours.
#[derive(Debug, Default)]
pub(super) struct Members {
    /// Offset and length in the blob.
    pub(super) places: Vec<(u64, u64)>,
    /// Whether each one but the last holds exactly [`FRAME_LEN`] bytes.
    pub(super) even: bool,
    short: bool,
}

impl Members {
    fn push(&mut self, began: u64, ended: u64, len: u64) {
        let fits = len <= FRAME_LEN as u64 && len > 0 && ended - began <= MAX_PACKED;
        if self.short || !fits {
            self.even = false;
            self.places = Vec::new();
        }
        self.short |= len != FRAME_LEN as u64;
        if self.even {
            self.places.push((began, ended - began));
        }
    }
}

impl<'a> Inflater<'a> {
    pub(super) fn new(tee: Tee<'a>, compression: Compression) -> Self {
        let members = Members { even: true, ..Members::default() };
        let state = match compression {
            Compression::None => State::Plain(tee),
            _ => State::Between(tee),
        };
        Self { compression, state, began_at: 0, member_len: 0, members }
    }

    /// Compressed bytes read so far, about.
    pub(super) fn consumed(&self) -> u64 {
        match &self.state {
            State::Between(tee) | State::Plain(tee) => tee.consumed,
            State::Gzip(decoder) => decoder.get_ref().consumed,
            State::Zstd(decoder) => decoder.get_ref().consumed,
            State::Ended { consumed } => *consumed,
        }
    }

    pub(super) fn into_members(self) -> Members {
        self.members
    }

    /// Begins the next member, or ends.
    fn begin(&mut self, mut tee: Tee<'a>) -> io::Result<State<'a>> {
        let first = self.members.places.is_empty() && self.began_at == 0 && tee.consumed == 0;
        let more = tee.fill_buf()?.first().copied();
        (self.began_at, self.member_len) = (tee.consumed, 0);
        match more {
            None if first => Err(io::ErrorKind::UnexpectedEof.into()),
            None => Ok(State::Ended { consumed: tee.consumed }),
            Some(0) if !first => {
                self.members.even = false;
                skip_zeros(&mut tee)?;
                Ok(State::Ended { consumed: tee.consumed })
            }
            Some(_) => Ok(match self.compression {
                Compression::None => State::Plain(tee),
                Compression::Gzip => State::Gzip(GzDecoder::new(tee)),
                Compression::Zstd => {
                    State::Zstd(zstd::stream::read::Decoder::with_buffer(tee)?.single_frame())
                }
            }),
        }
    }

    fn end_member(&mut self, tee: Tee<'a>) {
        self.members.push(self.began_at, tee.consumed, self.member_len);
        self.state = State::Between(tee);
    }
}

impl Read for Inflater<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if buf.is_empty() {
            return Ok(0);
        }
        loop {
            let consumed = self.consumed();
            let read = match &mut self.state {
                State::Between(_) => None,
                State::Gzip(decoder) => Some(decoder.read(buf)?),
                State::Zstd(decoder) => Some(decoder.read(buf)?),
                State::Plain(tee) => return tee.read(buf),
                State::Ended { .. } => return Ok(0),
            };
            if let Some(len @ 1..) = read {
                self.member_len += len as u64;
                return Ok(len);
            }
            match std::mem::replace(&mut self.state, State::Ended { consumed }) {
                State::Between(tee) => self.state = self.begin(tee)?,
                State::Gzip(decoder) => self.end_member(decoder.into_inner()),
                State::Zstd(decoder) => self.end_member(decoder.finish()),
                State::Plain(_) | State::Ended { .. } => {}
            }
        }
    }
}

fn skip_zeros(tee: &mut Tee<'_>) -> io::Result<()> {
    loop {
        let bytes = tee.fill_buf()?;
        if bytes.iter().any(|byte| *byte != 0) {
            let kind = io::ErrorKind::InvalidData;
            return Err(io::Error::new(kind, "there is something after the compressed data"));
        }
        let len = bytes.len();
        if len == 0 {
            return Ok(());
        }
        tee.consume(len);
    }
}
