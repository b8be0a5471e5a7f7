//! A layer's uncompressed bytes, as far as anybody reads them.
//!
//! In: an offset in the tar. Out: bytes that were checked. A frame that is used
//! for the first time in this process is read from the sparse data file and
//! hashed; if it is not what the table says (a hole, a crash, damage), it is
//! inflated from the blob, checked and written there. A blob that cannot be
//! read by frames is streamed once and fills the whole file. A plain tar is its
//! own data.

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::FileExt;
use std::sync::{Mutex, PoisonError};

use super::compress::{self, FRAME_LEN};
use super::table::{Frame, Table};
use super::{Compression, LayerDesc, LayerError};
use crate::store::Store;

/// See the module.
#[derive(Debug)]
pub(super) struct Data {
    store: Store,
    desc: LayerDesc,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    file: Option<File>,
    blob: Option<File>,
    checked: Vec<u64>,
    streamed: bool,
}

impl Data {
    pub(super) fn new(store: &Store, desc: &LayerDesc) -> Self {
        Self { store: store.clone(), desc: desc.clone(), state: Mutex::default() }
    }

    /// Short only at the end of the tar.
    pub(super) fn read_at(
        &self,
        table: &Table,
        offset: u64,
        buf: &mut [u8],
    ) -> Result<usize, LayerError> {
        let size = table.header().facts.tar_size;
        let end = size.min(offset.saturating_add(buf.len() as u64));
        if offset >= end {
            return Ok(0);
        }
        let len = usize::try_from(end - offset).expect("no longer than the buffer");
        let frame_len = FRAME_LEN as u64;
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        for index in offset / frame_len..=(end - 1) / frame_len {
            self.ensure(&mut state, table, index)?;
        }
        let file = state.file.as_ref().expect("a checked frame is in the file");
        let read = file.read_exact_at(&mut buf[..len], offset);
        read.map_err(LayerError::io("reading a layer's data"))?;
        Ok(len)
    }

    fn damaged(&self) -> LayerError {
        LayerError::Damaged { what: "data", layer: self.desc.blob.short() }
    }

    fn ensure(&self, state: &mut State, table: &Table, index: u64) -> Result<(), LayerError> {
        let (word, bit) = (usize::try_from(index / 64).unwrap_or(usize::MAX), 1 << (index % 64));
        if state.checked.get(word).is_some_and(|bits| bits & bit != 0) {
            return Ok(());
        }
        let frame = table.frame(index).map_err(|_| self.damaged())?;
        let start = index * FRAME_LEN as u64;
        let len = (table.header().facts.tar_size - start).min(FRAME_LEN as u64);
        let mut bytes = vec![0; usize::try_from(len).expect("a frame is small")];
        self.open(state)?;
        let file = state.file.as_ref().expect("opened above");
        let there = file.read_exact_at(&mut bytes, start).is_ok() && is(&frame, &bytes);
        if !there {
            self.fill(state, table, &frame, start, bytes)?;
        }
        if state.checked.len() <= word {
            state.checked.resize(word + 1, 0);
        }
        state.checked[word] |= bit;
        Ok(())
    }

    fn open(&self, state: &mut State) -> Result<(), LayerError> {
        if state.file.is_some() {
            return Ok(());
        }
        state.file = Some(if self.desc.compression == Compression::None {
            self.store.blob_file(&self.desc.blob)?
        } else {
            let path = self.store.data_path(&self.desc.diff_id);
            let file =
                File::options().create(true).truncate(false).read(true).write(true).open(path);
            file.map_err(LayerError::io("opening a layer's data"))?
        });
        Ok(())
    }

    fn fill(
        &self,
        state: &mut State,
        table: &Table,
        frame: &Frame,
        start: u64,
        mut bytes: Vec<u8>,
    ) -> Result<(), LayerError> {
        let header = &table.header().facts;
        if self.desc.compression == Compression::None {
            return Err(self.damaged());
        }
        if !header.seekable {
            return self.stream(state, table, frame, start, &mut bytes);
        }
        if state.blob.is_none() {
            state.blob = Some(self.store.blob_file(&self.desc.blob)?);
        }
        let blob = state.blob.as_ref().expect("opened above");
        let bound = usize::try_from(frame.len).ok().filter(|len| *len <= FRAME_LEN * 2);
        let mut compressed = vec![0; bound.ok_or_else(|| self.damaged())?];
        let read = blob.read_exact_at(&mut compressed, frame.offset);
        read.map_err(LayerError::io("reading a layer's blob"))?;
        let inflated = compress::inflate(&compressed, header.compression, bytes.len())?;
        if !is(frame, &inflated) {
            return Err(self.damaged());
        }
        let file = state.file.as_ref().expect("opened before");
        file.write_all_at(&inflated, start).map_err(LayerError::io("writing a layer's data"))
    }

    /// Fills all of the file in one pass over the blob, which is verified.
    fn stream(
        &self,
        state: &mut State,
        table: &Table,
        frame: &Frame,
        start: u64,
        bytes: &mut [u8],
    ) -> Result<(), LayerError> {
        if state.streamed {
            return Err(self.damaged());
        }
        let blob = self.store.blob_reader(&self.desc.blob)?;
        let mut tar = compress::decoder(blob, self.desc.compression)?;
        let file = state.file.as_ref().expect("opened before");
        let mut buffer = vec![0; FRAME_LEN];
        let mut at = 0;
        while at < table.header().facts.tar_size {
            let read = tar.read(&mut buffer).map_err(|source| LayerError::Decompress { source })?;
            if read == 0 {
                return Err(LayerError::Truncated { at });
            }
            let written = file.write_all_at(&buffer[..read], at);
            written.map_err(LayerError::io("writing a layer's data"))?;
            at += read as u64;
        }
        state.streamed = true;
        let again = file.read_exact_at(bytes, start);
        again.map_err(LayerError::io("reading a layer's data"))?;
        if is(frame, bytes) { Ok(()) } else { Err(self.damaged()) }
    }
}

fn is(frame: &Frame, bytes: &[u8]) -> bool {
    *blake3::hash(bytes).as_bytes() == frame.hash
}
