//! Every path of a tree, in order.

use super::{Node, Tree, TreeError};
use crate::layer::LayerPath;

/// Calls `visit` for `root` and all that is below it, a directory before what
/// is in it, in the order of paths. `visit` says whether to enter a directory.
///
/// # Errors
/// Those of the tree and of `visit`.
pub fn walk<E: From<TreeError>>(
    tree: &dyn Tree,
    root: &LayerPath,
    visit: &mut dyn FnMut(&LayerPath, &Node) -> Result<bool, E>,
) -> Result<(), E> {
    let Some(node) = tree.node(root)? else { return Ok(()) };
    // A stack and not recursion: the depth of a tree is not ours to choose.
    let mut todo = vec![(root.clone(), node)];
    while let Some((path, node)) = todo.pop() {
        if !visit(&path, &node)? || !node.is_dir() {
            continue;
        }
        for (name, child) in tree.list(&path)?.into_iter().rev() {
            if let Ok(path) = path.join(&name) {
                todo.push((path, child));
            }
        }
    }
    Ok(())
}
