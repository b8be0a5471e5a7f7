//! Tar bytes in, blob out: hashed, cut into frames, compressed on all cores.
//!
//! The calling thread hashes the tar (SHA-256) and cuts; workers compress and
//! hash frames; the calling thread writes what is finished, in order. At most
//! two frames a worker are in flight, so memory is bounded. A layer of one
//! frame starts no thread.

use std::collections::VecDeque;
use std::io::Write;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use sha2::{Digest as _, Sha256};

use super::compress::{self, FRAME_LEN};
use super::table::{Facts, Frame};
use super::{Compression, LayerError};
use crate::digest::DiffId;
use crate::store::{BlobWriter, Store};

type Compressed = Result<([u8; 32], Vec<u8>), LayerError>;
type Job = (Vec<u8>, Sender<Compressed>);

/// See the module.
pub(super) struct Pipeline {
    compression: Compression,
    blob: BlobWriter,
    tar: Sha256,
    tar_size: u64,
    buffer: Vec<u8>,
    workers: Option<Sender<Job>>,
    width: usize,
    flying: VecDeque<Receiver<Compressed>>,
    frames: Vec<Frame>,
    blob_size: u64,
}

fn compressed(bytes: &[u8], compression: Compression) -> Compressed {
    Ok((*blake3::hash(bytes).as_bytes(), compress::frame(bytes, compression)?))
}

impl Pipeline {
    pub(super) fn new(
        store: &Store,
        compression: Compression,
        width: usize,
    ) -> Result<Self, LayerError> {
        Ok(Self {
            compression,
            blob: store.blob_writer()?,
            tar: Sha256::new(),
            tar_size: 0,
            buffer: Vec::new(),
            workers: None,
            width,
            flying: VecDeque::new(),
            frames: Vec::new(),
            blob_size: 0,
        })
    }

    /// How many bytes of tar there are so far.
    pub(super) fn position(&self) -> u64 {
        self.tar_size
    }

    pub(super) fn write(&mut self, mut bytes: &[u8]) -> Result<(), LayerError> {
        self.tar.update(bytes);
        self.tar_size += bytes.len() as u64;
        while !bytes.is_empty() {
            let (now, later) = bytes.split_at(bytes.len().min(FRAME_LEN - self.buffer.len()));
            self.buffer.extend_from_slice(now);
            bytes = later;
            if self.buffer.len() == FRAME_LEN {
                self.launch()?;
            }
        }
        Ok(())
    }

    fn launch(&mut self) -> Result<(), LayerError> {
        let frame = std::mem::replace(&mut self.buffer, Vec::with_capacity(FRAME_LEN));
        while self.flying.len() >= self.width * 2 {
            self.land()?;
        }
        let (sender, receiver) = channel();
        let workers = self.workers.get_or_insert_with(|| start(self.width, self.compression));
        let sent = workers.send((frame, sender));
        sent.expect("workers live as long as their queue");
        self.flying.push_back(receiver);
        Ok(())
    }

    fn land(&mut self) -> Result<(), LayerError> {
        let Some(receiver) = self.flying.pop_front() else { return Ok(()) };
        let (hash, bytes) = receiver.recv().expect("a worker answers every frame")?;
        self.put(hash, &bytes)
    }

    fn put(&mut self, hash: [u8; 32], bytes: &[u8]) -> Result<(), LayerError> {
        let len = bytes.len() as u64;
        self.frames.push(Frame { offset: self.blob_size, len, hash });
        self.blob_size += len;
        self.blob.write_all(bytes).map_err(LayerError::io("writing the blob"))
    }

    /// Completes the blob, durably, and says what it is.
    pub(super) fn finish(mut self) -> Result<(Facts, Vec<Frame>), LayerError> {
        while !self.flying.is_empty() {
            self.land()?;
        }
        if !self.buffer.is_empty() {
            let (hash, bytes) = compressed(&self.buffer, self.compression)?;
            self.put(hash, &bytes)?;
        }
        let (blob, blob_size) = self.blob.commit()?;
        let facts = Facts {
            blob,
            diff_id: DiffId::from_bytes(self.tar.finalize().into()),
            blob_size,
            tar_size: self.tar_size,
            compression: self.compression,
            seekable: true,
        };
        Ok((facts, self.frames))
    }
}

/// Starts threads that end when the queue is dropped.
fn start(width: usize, compression: Compression) -> Sender<Job> {
    let (sender, receiver) = channel::<Job>();
    let receiver = Arc::new(Mutex::new(receiver));
    for _ in 0..width {
        let receiver = Arc::clone(&receiver);
        thread::spawn(move || {
            loop {
                let job = receiver.lock().unwrap_or_else(PoisonError::into_inner).recv();
                let Ok((bytes, answer)) = job else { return };
                // Nobody listens where the layer was given up.
                let _ = answer.send(compressed(&bytes, compression));
            }
        });
    }
    sender
}
