//! Bytes between a thread that writes or reads them in the usual way and a
//! stream of an asynchronous client.
//!
//! Invariant: at most [`CHUNKS`] chunks of [`CHUNK`] bytes (or of what an HTTP
//! client reads at once) are under way, whatever the size of the whole; and a
//! stream that was cut off never looks like one that ended.

use std::io::{self, Read, Write};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;

use bytes::{Buf as _, Bytes, BytesMut};
use futures_util::{Stream, stream};
use tokio::sync::mpsc::{Receiver, Sender, channel};

/// How many bytes are sent at once.
const CHUNK: usize = 256 << 10;
/// How many chunks may wait for who takes them.
const CHUNKS: usize = 4;

/// A chunk, or the good end.
pub(super) type Part = Option<Bytes>;

/// Both ends of a pipe.
pub(super) fn pipe() -> (Sender<Part>, Receiver<Part>) {
    channel(CHUNKS)
}

/// The end that is written to.
pub(super) struct Outgoing {
    sender: Sender<Part>,
    buffer: BytesMut,
    /// Whether nobody takes any more.
    pub(super) refused: bool,
}

impl Outgoing {
    pub(super) fn new(sender: Sender<Part>) -> Self {
        Self { sender, buffer: BytesMut::with_capacity(CHUNK), refused: false }
    }

    fn send(&mut self, part: Part) -> io::Result<()> {
        self.sender.blocking_send(part).map_err(|_| {
            self.refused = true;
            io::ErrorKind::BrokenPipe.into()
        })
    }

    /// Says that this was all.
    pub(super) fn finish(&mut self) -> io::Result<()> {
        self.flush()?;
        self.send(None)
    }
}

impl Write for Outgoing {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let taken = bytes.len().min(CHUNK - self.buffer.len());
        self.buffer.extend_from_slice(&bytes[..taken]);
        if self.buffer.len() == CHUNK {
            self.flush()?;
        }
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        let full = std::mem::replace(&mut self.buffer, BytesMut::with_capacity(CHUNK));
        self.send(Some(full.freeze()))
    }
}

/// The end that a client takes a request's body from, and what ends it.
#[derive(Clone)]
pub(super) struct Body(Arc<Mutex<Receiver<Part>>>);

impl Body {
    pub(super) fn new(receiver: Receiver<Part>) -> Self {
        Self(Arc::new(Mutex::new(receiver)))
    }

    /// Its bytes. An end that nobody announced is an error, so that the request
    /// is broken off and not taken for a whole one.
    pub(super) fn stream(&self) -> impl Stream<Item = io::Result<Bytes>> + Send + 'static {
        let shared = Arc::clone(&self.0);
        let mut over = false;
        stream::poll_fn(move |context| {
            if over {
                return Poll::Ready(None);
            }
            let mut receiver = shared.lock().unwrap_or_else(PoisonError::into_inner);
            receiver.poll_recv(context).map(|received| {
                over = !matches!(received, Some(Some(_)));
                match received {
                    Some(Some(bytes)) => Some(Ok(bytes)),
                    Some(None) => None,
                    None => Some(Err(io::ErrorKind::UnexpectedEof.into())),
                }
            })
        })
    }

    /// Nothing more is taken; whoever is about to send is told so.
    pub(super) fn close(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).close();
    }
}

/// The end that is read from.
pub(super) struct Incoming {
    receiver: Receiver<Part>,
    chunk: Bytes,
    over: bool,
}

impl Incoming {
    pub(super) fn new(receiver: Receiver<Part>) -> Self {
        Self { receiver, chunk: Bytes::new(), over: false }
    }
}

impl Read for Incoming {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        while self.chunk.is_empty() && !self.over {
            match self.receiver.blocking_recv() {
                Some(Some(chunk)) => self.chunk = chunk,
                Some(None) => self.over = true,
                None => return Err(io::ErrorKind::UnexpectedEof.into()),
            }
        }
        let taken = buf.len().min(self.chunk.len());
        self.chunk.copy_to_slice(&mut buf[..taken]);
        Ok(taken)
    }
}

#[cfg(test)]
mod tests {
    use futures_util::StreamExt as _;

    use super::*;

    fn received(body: &Body) -> Result<Vec<u8>, io::Error> {
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        let chunks: Vec<_> = runtime.block_on(body.stream().collect());
        let chunks: Result<Vec<Bytes>, _> = chunks.into_iter().collect();
        Ok(chunks?.concat())
    }

    #[test]
    fn all_bytes_arrive_in_both_directions() {
        let content: Vec<u8> = (0..3 * CHUNK as u32 + 7).map(|n| (n % 251) as u8).collect();
        let (sender, receiver) = pipe();
        let write = |sender| {
            let mut out = Outgoing::new(sender);
            out.write_all(&content).and_then(|()| out.finish()).expect("taken");
        };
        std::thread::scope(|scope| {
            scope.spawn(|| write(sender));
            assert_eq!(received(&Body::new(receiver)).expect("whole"), content);
        });
        let (sender, receiver) = pipe();
        std::thread::scope(|scope| {
            scope.spawn(|| write(sender));
            let mut read = Vec::new();
            Incoming::new(receiver).read_to_end(&mut read).expect("whole");
            assert_eq!(read, content);
        });
    }

    #[test]
    fn what_is_cut_off_is_an_error_at_either_end() {
        let cut = || {
            let (sender, receiver) = pipe();
            let mut out = Outgoing::new(sender);
            out.write_all(b"half").and_then(|()| out.flush()).expect("taken");
            receiver
        };
        assert!(received(&Body::new(cut())).is_err());
        assert!(Incoming::new(cut()).read_to_end(&mut Vec::new()).is_err());
    }

    #[test]
    fn a_writer_that_waits_for_room_ends_when_the_body_is_closed() {
        let (sender, receiver) = pipe();
        let body = Body::new(receiver);
        std::thread::scope(|scope| {
            let writer = scope.spawn(|| {
                let mut out = Outgoing::new(sender);
                let written = io::copy(&mut io::repeat(1), &mut out);
                (written.map_err(|error| error.kind()), out.refused)
            });
            body.close();
            let ended = writer.join().expect("no panic");
            assert_eq!(ended, (Err(io::ErrorKind::BrokenPipe), true));
        });
    }
}
