//! A container engine, as `docker load` fills it.
//!
//! The archive is the one that [`Docker`](super::Docker) writes, made while it
//! is sent: there is no file of it. Engines know no layers of zstd in it; they
//! get those as plain tars, which changes the digest of the manifest and not
//! the id of the image.

use super::docker::archive;
use super::layout::Parts;
use super::{Export, Output, OutputError, Written, names};
use crate::daemon::{Daemon, DaemonError, Ended};
use crate::digest::BlobDigest;
use crate::image::blob_digest;

/// Brings an image into an engine.
#[derive(Debug)]
pub struct Engine<'a> {
    /// Which.
    pub daemon: &'a Daemon,
}

impl Output for Engine<'_> {
    fn describe(&self) -> String {
        self.daemon.name().to_owned()
    }

    /// Afterwards the engine has the image, by its names and as what it is: it
    /// was asked.
    fn write(&self, export: &Export<'_>) -> Result<Written, OutputError> {
        let parts = Parts::without_zstd(export)?;
        let loaded = self.daemon.load(|out| archive(export, &parts, names::whole, out));
        loaded.map_err(Ended::into_one)?;
        let manifest = parts.descriptors.first().map(blob_digest).transpose()?;
        // An engine that keeps images as containerd does calls it by its manifest.
        let ids: Vec<BlobDigest> = [Some(parts.config), manifest].into_iter().flatten().collect();
        let mut written = Written::default();
        for name in export.names {
            written.warnings.extend(self.check(name, &ids)?);
        }
        if export.names.is_empty() {
            self.check_unnamed(&ids)?;
        }
        Ok(written)
    }
}

impl Engine<'_> {
    /// That `name` means one of `ids`. A warning where its short form means
    /// something else: Podman looks for `localhost/app` before Docker's `app`.
    fn check(&self, name: &str, ids: &[BlobDigest]) -> Result<Option<String>, DaemonError> {
        let (engine, whole) = (self.daemon.name().to_owned(), names::whole(name));
        let Some(actual) = self.daemon.image_id(&whole)? else {
            return Err(DaemonError::NoImage { engine, name: whole });
        };
        if !ids.contains(&actual) {
            let expected = ids[0];
            return Err(DaemonError::OtherImage { engine, name: whole, expected, actual });
        }
        let short = names::familiar(name);
        let meant = self.daemon.image_id(&short)?.is_none_or(|id| ids.contains(&id));
        Ok((!meant).then(|| format!("`{short}` is another image there: this one is `{whole}`")))
    }

    fn check_unnamed(&self, ids: &[BlobDigest]) -> Result<(), DaemonError> {
        for id in ids {
            if self.daemon.image_id(&id.to_string())?.is_some() {
                return Ok(());
            }
        }
        let engine = self.daemon.name().to_owned();
        Err(DaemonError::NoImage { engine, name: ids[0].to_string() })
    }
}
