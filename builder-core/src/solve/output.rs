//! What a process writes, kept while it runs.

use std::io::{Read as _, Seek as _, SeekFrom, Write as _};

/// Longest output of a step that is kept in memory; the rest goes to a file.
pub(super) const OUTPUT_IN_MEMORY: usize = 1 << 20;

/// All that a step writes to its standard streams, whole.
#[derive(Default)]
pub(super) struct Output {
    kept: Option<tempfile::SpooledTempFile>,
}

impl Output {
    /// Keeps more. A full disk loses the rest; the sink has had it.
    pub(super) fn push(&mut self, bytes: &[u8]) {
        let kept = self.kept.get_or_insert_with(|| tempfile::spooled_tempfile(OUTPUT_IN_MEMORY));
        let _ = kept.write_all(bytes);
    }

    pub(super) fn finish(&mut self) -> Vec<u8> {
        let mut all = Vec::new();
        if let Some(mut kept) = self.kept.take() {
            let _ = kept.seek(SeekFrom::Start(0)).and_then(|_| kept.read_to_end(&mut all));
        }
        all
    }
}
