//! The identity of a file: the digest of its bytes, remembered by its stat.

use std::fs::{File, Metadata};
use std::io::Read;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use super::RootfsError;
use crate::store::Store;

/// The area of records that remember digests.
pub const AREA: &str = "rootfs-pins";

/// A file changed less than this long ago is not remembered: another change
/// within the clock's grain would leave its stat as it is.
const RACY: Duration = Duration::from_secs(2);

/// What a file's stat must be for its digest to stand.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Stat {
    dev: u64,
    ino: u64,
    size: u64,
    mtime: (i64, i64),
    ctime: (i64, i64),
}

#[derive(Debug, Serialize, Deserialize)]
struct Record {
    stat: Stat,
    digest: String,
}

impl Stat {
    fn of(metadata: &Metadata) -> Self {
        Self {
            dev: metadata.dev(),
            ino: metadata.ino(),
            size: metadata.len(),
            mtime: (metadata.mtime(), metadata.mtime_nsec()),
            ctime: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }

    /// Whether `now` is long enough after the last change.
    fn settled(&self, now: Duration) -> bool {
        let latest = self.mtime.0.max(self.ctime.0);
        u64::try_from(latest).map_or(true, |s| Duration::from_secs(s) + RACY < now)
    }
}

/// The identity of a file's content.
pub(super) fn pin(store: &Store, path: &Path, file: &File) -> Result<String, RootfsError> {
    let io = |source| RootfsError::Io { path: path.to_owned(), source };
    let stat = Stat::of(&file.metadata().map_err(io)?);
    let name = blake3::hash(path.as_os_str().as_encoded_bytes()).to_hex();
    if let Some(bytes) = store.get_record(AREA, &name)?
        && let Ok(record) = serde_json::from_slice::<Record>(&bytes)
        && record.stat == stat
    {
        store.touch_record(AREA, &name);
        return Ok(record.digest);
    }
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let digest = hash(&mut store.cancel().guard(file)).map_err(io)?;
    let after = Stat::of(&file.metadata().map_err(io)?);
    if after == stat && stat.settled(now) {
        let record = Record { stat, digest: digest.clone() };
        let bytes = serde_json::to_vec(&record).expect("a record can be written");
        store.put_record(AREA, &name, &bytes)?;
    }
    Ok(digest)
}

fn hash(file: &mut dyn Read) -> std::io::Result<String> {
    let mut hasher = blake3::Hasher::new();
    let mut buf = vec![0; 1 << 18];
    loop {
        match file.read(&mut buf)? {
            0 => return Ok(format!("file blake3:{}", hasher.finalize().to_hex())),
            read => hasher.update(&buf[..read]),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_file_that_has_settled_is_remembered() {
        let time = (1_000, 0);
        let stat = Stat { dev: 1, ino: 1, size: 1, mtime: (0, 0), ctime: time };
        assert!(!stat.settled(Duration::from_secs(1_001)));
        assert!(!stat.settled(Duration::from_secs(1_002)));
        assert!(stat.settled(Duration::from_secs(1_003)));
        assert!(!stat.settled(Duration::from_secs(10)), "a time in the future never settles");
    }
}
