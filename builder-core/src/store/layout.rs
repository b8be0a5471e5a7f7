//! Where things are, and the first opening of a directory.

use std::fs;
use std::path::{Path, PathBuf};

use super::{StoreError, durable};
use crate::digest::{BlobDigest, DiffId};

/// The layout of `phoenix/`, raised when an older version could not read it.
const VERSION: u32 = 1;

const OCI_LAYOUT: &str = r#"{"imageLayoutVersion":"1.0.0"}"#;
const EMPTY_INDEX: &str =
    r#"{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[]}"#;

/// Paths of a store.
#[derive(Debug, Clone)]
pub(super) struct Layout {
    pub root: PathBuf,
}

impl Layout {
    /// Makes or checks the directory.
    pub(super) fn open(root: &Path) -> Result<Self, StoreError> {
        let make = |path: &Path| fs::create_dir_all(path).map_err(StoreError::io("making", path));
        make(root)?;
        let root = root.canonicalize().map_err(StoreError::io("opening", root))?;
        let layout = Self { root };
        let fresh = !layout.root.join("oci-layout").exists();
        if fresh && !layout.private("version").exists() && layout.is_foreign()? {
            return Err(StoreError::NotAStore { path: layout.root });
        }
        for directory in
            ["work", "tables", "data", "records", "downloads", "captured", "cache-mounts"]
        {
            make(&layout.private(directory))?;
        }
        make(&layout.root.join("blobs/sha256"))?;
        layout.check_version()?;
        let scratch = layout.private("work");
        for (name, text) in [("index.json", EMPTY_INDEX), ("oci-layout", OCI_LAYOUT)] {
            let path = layout.root.join(name);
            if !path.exists() {
                durable::write(&path, text.as_bytes(), &scratch)?;
            }
        }
        Ok(layout)
    }

    fn is_foreign(&self) -> Result<bool, StoreError> {
        let entries = fs::read_dir(&self.root).map_err(StoreError::io("reading", &self.root))?;
        let known = ["phoenix", "blobs", "index.json"];
        Ok(entries.flatten().any(|e| known.iter().all(|name| e.file_name() != *name)))
    }

    fn check_version(&self) -> Result<(), StoreError> {
        let path = self.private("version");
        match fs::read_to_string(&path) {
            Ok(text) => match text.trim().parse::<u32>() {
                Ok(found) if found <= VERSION => Ok(()),
                _ => {
                    let found = text.trim().to_owned();
                    Err(StoreError::Version { path: self.root.clone(), found, known: VERSION })
                }
            },
            Err(_) => {
                let text = format!("{VERSION}\n");
                durable::write(&path, text.as_bytes(), &self.private("work"))
            }
        }
    }

    /// A path in the part that only Phoenix reads.
    pub(super) fn private(&self, name: &str) -> PathBuf {
        self.root.join("phoenix").join(name)
    }

    pub(super) fn blob(&self, digest: &BlobDigest) -> PathBuf {
        self.root.join("blobs/sha256").join(digest.hex())
    }

    pub(super) fn table(&self, blob: &BlobDigest) -> PathBuf {
        self.private("tables").join(blob.hex())
    }

    pub(super) fn data(&self, diff_id: &DiffId) -> PathBuf {
        self.private("data").join(diff_id.hex())
    }
}
