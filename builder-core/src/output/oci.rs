//! An OCI layout: one tar archive, or a directory.
//!
//! Layers of the base stay the blobs that they were, also uncompressed ones of
//! a docker-archive: their digests are what registries and engines may have
//! already, and what the annotated digest of the base holds together.

use std::fs;
use std::io;
use std::path::Path;

use super::layout::{OCI_LAYOUT, Parts, blob_name, index};
use super::place::{write_file, write_to};
use super::tarball::Tarball;
use super::{Dest, Export, Output, OutputError, Written};
use crate::image::{ImageIndex, parse_json, validate_index};

/// The form that a layout has at its destination.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// A tar archive, as `buildx` makes unless told otherwise.
    Archive,
    /// A directory. One that holds a layout already keeps its other images.
    Directory,
}

/// Writes an OCI layout.
#[derive(Debug, Clone)]
pub struct Oci {
    /// Where to.
    pub dest: Dest,
    /// As what.
    pub form: Form,
    /// The kind of artifacts of the image that go with it, if any do.
    pub records: Option<&'static str>,
}

impl Output for Oci {
    fn describe(&self) -> String {
        format!("oci {}", self.dest)
    }

    fn write(&self, export: &Export<'_>) -> Result<Written, OutputError> {
        let mut parts = Parts::of(export)?;
        if let Some(kind) = self.records {
            parts.with_artifact(export, kind)?;
        }
        match (self.form, &self.dest) {
            (Form::Archive, dest) => write_to(dest, |out| {
                let mut tarball = Tarball::new(out);
                let index = index(None, &parts.descriptors);
                tarball.layout(export.store, &parts, &index)?;
                tarball.finish()
            })?,
            (Form::Directory, Dest::Path(path)) => directory(path, export, &parts)?,
            (Form::Directory, Dest::Stdout) => return Err(OutputError::DirectoryToStream),
        }
        Ok(Written::default())
    }
}

/// Blobs first, then the index that names them: at no moment does the layout
/// name what it lacks.
fn directory(path: &Path, export: &Export<'_>, parts: &Parts) -> Result<(), OutputError> {
    let blobs = path.join("blobs/sha256");
    fs::create_dir_all(&blobs).map_err(OutputError::io("making", blobs.display()))?;
    for (digest, size) in &parts.blobs {
        let to = path.join(blob_name(digest));
        let there = fs::symlink_metadata(&to).is_ok_and(|m| m.is_file() && m.len() == *size);
        if there {
            continue;
        }
        let mut reader = export.store.blob_reader(digest)?;
        write_file(&to, |out| {
            let copied = io::copy(&mut reader, out);
            copied.map(drop).map_err(OutputError::io("writing", to.display()))
        })?;
    }
    let document = |name: &str, bytes: &[u8]| {
        let to = path.join(name);
        write_file(&to, |out| {
            out.write_all(bytes).map_err(OutputError::io("writing", to.display()))
        })
    };
    document("oci-layout", OCI_LAYOUT)?;
    document("index.json", &index(existing(path)?, &parts.descriptors))
}

fn existing(path: &Path) -> Result<Option<ImageIndex>, OutputError> {
    let path = path.join("index.json");
    let bytes = match fs::read(&path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(OutputError::io("reading", path.display())(error)),
    };
    let index: ImageIndex = parse_json("image index", &bytes)?;
    validate_index(&index)?;
    Ok(Some(index))
}
