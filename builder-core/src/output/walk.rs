//! Every path of a tree, in order, without recursion.

use super::{Export, OutputError};
use crate::image::read_image;
use crate::layer::{Layer, LayerPath};
use crate::view::{Node, NodeKind, Tree, TreeError, View};

/// The merged files of an image.
pub(super) fn view(export: &Export<'_>) -> Result<View, OutputError> {
    let image = read_image(export.store, &export.image.digest)?;
    let layers = image.layers.iter().map(|desc| Layer::open(export.store, desc));
    Ok(View::new(layers.collect::<Result<_, _>>()?))
}

/// Gives every path to `visit` in the order of paths: the root first, a
/// directory before what is in it.
pub(super) fn walk(
    tree: &dyn Tree,
    visit: &mut dyn FnMut(&LayerPath, &Node) -> Result<(), OutputError>,
) -> Result<(), OutputError> {
    let root = LayerPath::root();
    let mut pending = Vec::new();
    if let Some(node) = tree.node(&root)? {
        pending.push((root, node));
    }
    while let Some((path, node)) = pending.pop() {
        visit(&path, &node)?;
        if node.kind == NodeKind::Directory {
            for (name, child) in tree.list(&path)?.into_iter().rev() {
                let path = path.join(&name).map_err(|_| TreeError::Type {
                    path: path.display(),
                    expected: "directory of plain names",
                })?;
                pending.push((path, child));
            }
        }
    }
    Ok(())
}

/// A file's bytes as a stream.
pub(super) struct Content {
    file: std::sync::Arc<dyn crate::view::ReadAt>,
    at: u64,
}

impl Content {
    pub(super) fn open(tree: &dyn Tree, path: &LayerPath) -> Result<Self, OutputError> {
        Ok(Self { file: tree.open(path)?, at: 0 })
    }
}

impl std::io::Read for Content {
    fn read(&mut self, buf: &mut [u8]) -> std::io::Result<usize> {
        let read = self.file.read_at(self.at, buf)?;
        self.at += read as u64;
        Ok(read)
    }
}
