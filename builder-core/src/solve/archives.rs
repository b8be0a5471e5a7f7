//! Archives that a copy unpacks: read once into a layer of their own, which
//! later builds find by the archive's content.

use std::error::Error;
use std::path::Path;
use std::sync::Arc;

use super::session::{Session, lock, now};
use super::value::Stacked;
use crate::cache::{Outcome, Record, SourceRecord};
use crate::fileop::{Archive, Input};
use crate::image::ImageConfig;
use crate::layer::LayerPath;
use crate::plan::key::Parts;
use crate::source::archive;

/// Raised when the same archive may become another layer than before.
const VERSION: &str = "1";

/// The archive that a file is, if it is one.
pub(super) fn read(
    session: &Session<'_>,
    input: &Input,
    path: &LayerPath,
) -> Result<Option<Archive>, Box<dyn Error + Send + Sync>> {
    if !archive::is_archive(input.tree.stream(path)?)? {
        return Ok(None);
    }
    let mut parts = Parts::new();
    parts.push("source", format!("archive {VERSION}"));
    parts.push("content", input.tree.content(path)?.to_string());
    let key = parts.key();
    let exclusive = session.exclusive(key);
    let _alone = lock(&exclusive);
    let known = session.cache.source(key)?.and_then(|known| known.layers.into_iter().next());
    let desc = match known {
        Some(desc) => desc,
        None => {
            let name = path.display();
            let desc = archive::layer(session.store, Path::new(&name), input.tree.stream(path)?)?;
            let run = Record::new(Outcome::Layer(desc.diff_id), now(), 0);
            let config = ImageConfig::empty(&session.platform);
            let layers = vec![desc.clone()];
            let made = SourceRecord { config, layers, digest: None, name: None, run };
            session.cache.add_layer(&desc)?;
            session.cache.save_source(key, &parts, &made)?;
            desc
        }
    };
    let entries = session.layer(&desc)?.entries()?;
    let tree = session.view(&[Stacked { desc, origin: path.display() }])?;
    Ok(Some(Archive { tree, entries: Arc::from(entries) }))
}
