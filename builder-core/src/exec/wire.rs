//! Messages between Phoenix and its runner, with descriptors.
//!
//! A frame is a kind byte, a length (4 bytes, little-endian) and the payload:
//! JSON of a message, or plain bytes of a file's content. Descriptors travel
//! with the first byte of a frame.

use std::io::{self, IoSlice, IoSliceMut, Read};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// The most bytes of a frame: specs hold secrets and environments, so some.
const MAX_FRAME: usize = 64 << 20;
/// The most bytes of content in one frame.
pub(super) const CONTENT: usize = 128 << 10;
/// The most descriptors in one frame.
const MAX_FDS: usize = 3;

const JSON: u8 = 0;
const BYTES: u8 = 1;

/// What a frame holds.
pub(super) enum Frame<T> {
    /// A message and the descriptors that came with it.
    Message(T, Vec<OwnedFd>),
    /// A part of a file's content.
    Content(Vec<u8>),
}

/// One end of the connection.
pub(super) struct Wire(OwnedFd);

impl Wire {
    pub(super) fn new(socket: OwnedFd) -> Self {
        Self(socket)
    }

    /// Sends a message, whole.
    pub(super) fn send(&self, message: &impl Serialize, fds: &[BorrowedFd<'_>]) -> io::Result<()> {
        let payload = serde_json::to_vec(message)?;
        self.send_frame(JSON, &payload, fds)
    }

    /// Sends content, at most [`CONTENT`] bytes.
    pub(super) fn send_content(&self, bytes: &[u8]) -> io::Result<()> {
        self.send_frame(BYTES, bytes, &[])
    }

    fn send_frame(&self, kind: u8, payload: &[u8], fds: &[BorrowedFd<'_>]) -> io::Result<()> {
        let len = u32::try_from(payload.len())
            .ok()
            .filter(|len| *len as usize <= MAX_FRAME)
            .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "message too large"))?;
        let mut header = [kind, 0, 0, 0, 0];
        header[1..].copy_from_slice(&len.to_le_bytes());
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_FDS))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        if !fds.is_empty() && !control.push(SendAncillaryMessage::ScmRights(fds)) {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "too many descriptors"));
        }
        let all = header.len() + payload.len();
        let mut sent = 0;
        while sent < all {
            let parts = [
                IoSlice::new(&header[sent.min(header.len())..]),
                IoSlice::new(&payload[sent.saturating_sub(header.len())..]),
            ];
            match sendmsg(&self.0, &parts, &mut control, SendFlags::NOSIGNAL) {
                Ok(n) => {
                    sent += n;
                    control.clear();
                }
                Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// Receives a frame; `None` where the other end has closed.
    pub(super) fn recv<T: DeserializeOwned>(&self) -> io::Result<Option<Frame<T>>> {
        let mut header = [0; 5];
        let mut fds = Vec::new();
        if !self.fill(&mut header, &mut fds)? {
            return Ok(None);
        }
        let len = u32::from_le_bytes([header[1], header[2], header[3], header[4]]) as usize;
        if len > MAX_FRAME {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "frame too large"));
        }
        let mut payload = vec![0; len];
        if !self.fill(&mut payload, &mut fds)? && len > 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        match header[0] {
            JSON => Ok(Some(Frame::Message(serde_json::from_slice(&payload)?, fds))),
            BYTES => Ok(Some(Frame::Content(payload))),
            _ => Err(io::Error::new(io::ErrorKind::InvalidData, "unknown frame")),
        }
    }

    /// Fills `buf`; `false` where nothing at all came before the end.
    fn fill(&self, buf: &mut [u8], fds: &mut Vec<OwnedFd>) -> io::Result<bool> {
        let mut filled = 0;
        while filled < buf.len() {
            let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_FDS))];
            let mut control = RecvAncillaryBuffer::new(&mut space);
            let mut parts = [IoSliceMut::new(&mut buf[filled..])];
            let n = match recvmsg(&self.0, &mut parts, &mut control, RecvFlags::CMSG_CLOEXEC) {
                Ok(got) => got.bytes,
                Err(rustix::io::Errno::INTR) => continue,
                Err(rustix::io::Errno::CONNRESET) => 0,
                Err(error) => return Err(error.into()),
            };
            for message in control.drain() {
                if let RecvAncillaryMessage::ScmRights(received) = message {
                    fds.extend(received);
                }
            }
            if n == 0 {
                return if filled == 0 {
                    Ok(false)
                } else {
                    Err(io::ErrorKind::UnexpectedEof.into())
                };
            }
            filled += n;
        }
        Ok(true)
    }
}

/// A file's content as it comes, part by part.
pub(super) struct Incoming<F> {
    /// Gets the next part.
    next: F,
    left: u64,
    part: Vec<u8>,
    at: usize,
    failed: bool,
}

impl<F: FnMut() -> io::Result<Vec<u8>>> Incoming<F> {
    /// `size` bytes, in the parts that `next` gets.
    pub(super) fn new(size: u64, next: F) -> Self {
        Self { next, left: size, part: Vec::new(), at: 0, failed: false }
    }

    /// Whether a part did not come.
    pub(super) fn failed(&self) -> bool {
        self.failed
    }
}

impl<F: FnMut() -> io::Result<Vec<u8>>> Read for Incoming<F> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if self.left == 0 || buf.is_empty() {
            return Ok(0);
        }
        if self.at == self.part.len() {
            self.at = 0;
            self.part = (self.next)().inspect_err(|_| self.failed = true)?;
            if self.part.is_empty() || self.part.len() as u64 > self.left {
                return Err(io::ErrorKind::InvalidData.into());
            }
        }
        let n = buf.len().min(self.part.len() - self.at);
        buf[..n].copy_from_slice(&self.part[self.at..self.at + n]);
        self.at += n;
        self.left -= n as u64;
        Ok(n)
    }
}

impl AsFd for Wire {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Seek, Write};
    use std::os::unix::net::UnixStream;

    use super::*;

    #[test]
    fn messages_content_and_descriptors_arrive_whole_and_in_order() {
        let (a, b) = UnixStream::pair().expect("a pair");
        let (a, b) = (Wire::new(a.into()), Wire::new(b.into()));
        let mut file = tempfile::tempfile().expect("a file");
        file.write_all(b"seen").expect("written");
        let big = "x".repeat(3 << 20);
        let sender = std::thread::spawn(move || {
            a.send(&big, &[]).expect("a large message");
            a.send_content(&[7; 100]).expect("content");
            a.send(&"fd", &[file.as_fd()]).expect("a descriptor");
        });
        let Ok(Some(Frame::Message(text, fds))) = b.recv::<String>() else { panic!("a message") };
        assert_eq!((text.len(), fds.len()), (3 << 20, 0));
        let Ok(Some(Frame::Content(bytes))) = b.recv::<String>() else { panic!("content") };
        assert_eq!(bytes, [7; 100]);
        let Ok(Some(Frame::Message(text, mut fds))) = b.recv::<String>() else { panic!("an fd") };
        assert_eq!((text.as_str(), fds.len()), ("fd", 1));
        let mut file = std::fs::File::from(fds.remove(0));
        let mut seen = String::new();
        file.rewind().expect("seekable");
        file.read_to_string(&mut seen).expect("readable");
        assert_eq!(seen, "seen");
        sender.join().expect("sent");
        assert!(b.recv::<String>().expect("an end").is_none());
    }
}
