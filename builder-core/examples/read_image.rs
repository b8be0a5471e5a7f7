//! Reads an image of a store: its config, its layers, and its files, merged as
//! a container would see them. `read_image STORE NAME:TAG`.
//!
//! Nothing is unpacked: a [`View`] answers from the layers' tables of contents,
//! and a file's bytes are read where they stand in their layer.

#![expect(clippy::disallowed_macros, reason = "an example prints what it finds")]

use std::error::Error;
use std::io::Read;

use builder_core::exec::runner_main;
use builder_core::image::{blob_digest, read_image};
use builder_core::layer::{Layer, LayerPath};
use builder_core::store::Store;
use builder_core::view::{NodeKind, Tree, View, walk};

/// Files up to this size are shown whole.
const SHOWN: u64 = 80;

fn main() -> Result<(), Box<dyn Error>> {
    // Reading runs no process, so this is not needed here; it is in the other
    // examples, and must not be forgotten once `Engine` builds or runs things.
    runner_main();

    let arguments: Vec<String> = std::env::args().collect();
    let [_, store, name] = &arguments[..] else {
        return Err("usage: read_image STORE NAME:TAG".into());
    };
    let store = Store::open(store.as_ref())?;
    let refs = store.refs()?;
    let named = refs.iter().find(|(known, _)| known == name);
    let (_, descriptor) = named.ok_or_else(|| format!("the store has no image {name}"))?;

    // Manifest and config are verified against their digests and checked.
    let image = read_image(&store, &blob_digest(descriptor)?)?;
    println!("image {}", image.digest);
    println!("platform {}", image.config.platform());
    println!("cmd {:?}", image.config.config.cmd.clone().unwrap_or_default());
    for layer in &image.layers {
        println!("layer {} of {} bytes", layer.diff_id, layer.size);
    }

    let layers: Result<Vec<Layer>, _> =
        image.layers.iter().map(|layer| Layer::open(&store, layer)).collect();
    let view = View::new(layers?);
    // Any error that a view's can become may be returned from within.
    walk::walk::<Box<dyn Error>>(&view, &LayerPath::root(), &mut |path, node| {
        let meta = &node.meta;
        let kind = match &node.kind {
            NodeKind::File { size } => format!("file of {size} bytes"),
            NodeKind::Directory => "directory".to_owned(),
            NodeKind::Symlink { target } => format!("-> {}", String::from_utf8_lossy(target)),
            other => format!("{other:?}"),
        };
        println!("{:04o} {}:{} {} {kind}", meta.mode, meta.uid, meta.gid, path.display());
        if matches!(node.kind, NodeKind::File { size } if size <= SHOWN) {
            let mut content = Vec::new();
            view.stream(path)?.read_to_end(&mut content)?;
            print!("  {}", String::from_utf8_lossy(&content));
        }
        Ok(true)
    })?;
    Ok(())
}
