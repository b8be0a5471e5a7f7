//! The way of a tar into a blob, in one pass over all cores.
//!
//! In: the tar's bytes. Out: the blob in the store, diffID, frames. The caller's
//! thread hashes the tar and writes; workers compress. Frames are cut at fixed
//! offsets and written in order, so the bytes do not depend on how many workers
//! there are. At most a few frames are in flight: memory stays small. A tar of
//! one frame starts no thread.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::num::NonZero;
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::sync::{Arc, Mutex};
use std::thread;

use sha2::{Digest as _, Sha256};

use super::compress::{FRAME_LEN, Packer};
use super::table::Frame;
use super::{Compression, LayerError};
use crate::digest::{BlobDigest, DiffId};
use crate::store::{BlobWriter, Store};

/// How many threads may compress.
pub(super) fn cores() -> usize {
    thread::available_parallelism().map_or(1, NonZero::get)
}

/// What came of a tar.
pub(super) struct Written {
    pub(super) blob: BlobDigest,
    pub(super) blob_size: u64,
    pub(super) diff_id: DiffId,
    pub(super) tar_size: u64,
    pub(super) frames: Vec<Frame>,
}

/// See the module.
pub(super) struct Pipeline {
    compression: Compression,
    out: Out,
    /// Always of [`FRAME_LEN`] bytes, of which `filled` are there.
    frame: Vec<u8>,
    filled: usize,
    tar_size: u64,
    diff_id: Sha256,
    threads: usize,
    workers: Option<Workers>,
}

struct Out {
    blob: BlobWriter,
    at: u64,
    frames: Vec<Frame>,
}

impl Out {
    fn put(&mut self, packed: &[u8], hash: [u8; 32]) -> Result<(), LayerError> {
        self.blob.write_all(packed).map_err(LayerError::io("writing the blob"))?;
        let len = packed.len() as u64;
        self.frames.push(Frame { offset: self.at, len, hash });
        self.at += len;
        Ok(())
    }
}

impl Pipeline {
    pub(super) fn new(
        store: &Store,
        compression: Compression,
        threads: usize,
    ) -> Result<Self, LayerError> {
        Ok(Self {
            compression,
            out: Out { blob: store.blob_writer()?, at: 0, frames: vec![] },
            frame: vec![0; FRAME_LEN],
            filled: 0,
            tar_size: 0,
            diff_id: Sha256::new(),
            threads,
            workers: None,
        })
    }

    /// Bytes taken so far: the offset of what comes next.
    pub(super) fn at(&self) -> u64 {
        self.tar_size + self.filled as u64
    }

    pub(super) fn write(&mut self, mut bytes: &[u8]) -> Result<(), LayerError> {
        while !bytes.is_empty() {
            let len = bytes.len().min(FRAME_LEN - self.filled);
            self.frame[self.filled..self.filled + len].copy_from_slice(&bytes[..len]);
            bytes = &bytes[len..];
            self.advance(len)?;
        }
        Ok(())
    }

    /// Takes at most `limit` bytes from `content` and shows them to `seen`;
    /// how many it took. 0 means that the content has ended.
    pub(super) fn read_from(
        &mut self,
        content: &mut dyn Read,
        limit: u64,
        seen: &mut dyn FnMut(&[u8]),
    ) -> Result<io::Result<usize>, LayerError> {
        let room = (FRAME_LEN - self.filled).min(usize::try_from(limit).unwrap_or(FRAME_LEN));
        let space = &mut self.frame[self.filled..self.filled + room];
        match content.read(space) {
            Ok(len) => {
                seen(&space[..len]);
                self.advance(len)?;
                Ok(Ok(len))
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {
                self.read_from(content, limit, seen)
            }
            Err(error) => Ok(Err(error)),
        }
    }

    fn advance(&mut self, len: usize) -> Result<(), LayerError> {
        self.filled += len;
        if self.filled == FRAME_LEN { self.emit() } else { Ok(()) }
    }

    fn emit(&mut self) -> Result<(), LayerError> {
        let frame = &self.frame[..self.filled];
        if self.compression == Compression::None {
            // The blob is the tar: its digest is the diffID.
            self.out.put(frame, *blake3::hash(frame).as_bytes())?;
        } else {
            self.diff_id.update(frame);
            if self.threads < 2 || (self.tar_size == 0 && self.filled < FRAME_LEN) {
                let done = Packer::new(self.compression).and_then(|mut packer| packer.pack(frame));
                let packed = done.map_err(LayerError::io("compressing"))?;
                self.out.put(&packed, *blake3::hash(frame).as_bytes())?;
            } else {
                let (compression, threads) = (self.compression, self.threads);
                let workers =
                    self.workers.get_or_insert_with(|| Workers::start(compression, threads));
                let spare = workers.spare.pop().unwrap_or_else(|| vec![0; FRAME_LEN]);
                let full = std::mem::replace(&mut self.frame, spare);
                workers.give(full, self.filled, &mut self.out)?;
            }
        }
        self.tar_size += self.filled as u64;
        self.filled = 0;
        Ok(())
    }

    /// Completes the blob, durably.
    pub(super) fn finish(mut self) -> Result<Written, LayerError> {
        if self.filled > 0 {
            self.emit()?;
        }
        if let Some(mut workers) = self.workers.take() {
            while workers.given > workers.written {
                workers.take(&mut self.out)?;
            }
        }
        let Out { blob, frames, .. } = self.out;
        let (blob, blob_size) = blob.commit()?;
        let diff_id = match self.compression {
            Compression::None => *blob.as_bytes(),
            _ => self.diff_id.finalize().into(),
        };
        let diff_id = DiffId::from_bytes(diff_id);
        Ok(Written { blob, blob_size, diff_id, tar_size: self.tar_size, frames })
    }
}

struct Job {
    index: u64,
    frame: Vec<u8>,
    len: usize,
}

struct Done {
    index: u64,
    frame: Vec<u8>,
    hash: [u8; 32],
    packed: io::Result<Vec<u8>>,
}

struct Workers {
    jobs: SyncSender<Job>,
    done: Receiver<Done>,
    early: BTreeMap<u64, Done>,
    spare: Vec<Vec<u8>>,
    given: u64,
    written: u64,
    limit: u64,
}

impl Workers {
    fn start(compression: Compression, threads: usize) -> Self {
        let limit = 2 * threads + 1;
        let (jobs, inbox) = sync_channel(limit);
        let (outbox, done) = channel();
        let inbox = Arc::new(Mutex::new(inbox));
        for _ in 0..threads {
            let (inbox, outbox) = (inbox.clone(), outbox.clone());
            thread::spawn(move || work(compression, &inbox, &outbox));
        }
        let limit = limit as u64;
        Self { jobs, done, early: BTreeMap::new(), spare: vec![], given: 0, written: 0, limit }
    }

    fn give(&mut self, frame: Vec<u8>, len: usize, out: &mut Out) -> Result<(), LayerError> {
        while self.given - self.written >= self.limit {
            self.take(out)?;
        }
        let job = Job { index: self.given, frame, len };
        self.jobs.send(job).map_err(|_| stopped())?;
        self.given += 1;
        Ok(())
    }

    /// Waits for one frame and writes what is in order.
    fn take(&mut self, out: &mut Out) -> Result<(), LayerError> {
        let done = self.done.recv().map_err(|_| stopped())?;
        self.early.insert(done.index, done);
        while let Some(done) = self.early.remove(&self.written) {
            out.put(&done.packed.map_err(LayerError::io("compressing"))?, done.hash)?;
            self.spare.push(done.frame);
            self.written += 1;
        }
        Ok(())
    }
}

fn stopped() -> LayerError {
    let source = io::Error::other("the worker threads ended early");
    LayerError::Io { action: "compressing", source }
}

/// Ends when the pipeline is dropped: either channel then fails.
fn work(compression: Compression, inbox: &Mutex<Receiver<Job>>, outbox: &Sender<Done>) {
    let mut packer = Packer::new(compression);
    loop {
        let Ok(Ok(Job { index, frame, len })) = inbox.lock().map(|inbox| inbox.recv()) else {
            return;
        };
        let bytes = &frame[..len];
        let packed = match &mut packer {
            Ok(packer) => packer.pack(bytes),
            Err(error) => Err(io::Error::new(error.kind(), error.to_string())),
        };
        let hash = *blake3::hash(bytes).as_bytes();
        if outbox.send(Done { index, frame, hash, packed }).is_err() {
            return;
        }
    }
}
