//! Gives a runner every entry of a tree, where it cannot be served.

use std::collections::HashMap;
use std::io::Read;

use super::spec::{Order, WireEntry};
use super::wire::{CONTENT, Wire};
use super::{Cancel, ExecError, IdMap};
use crate::digest::ContentDigest;
use crate::layer::{Change, Entry, Kind, LayerPath};
use crate::view::walk::walk;
use crate::view::{Node, Tree, TreeError};

/// How a tree was sent.
pub(super) enum Sent {
    /// Whole, or the runner went away and its report says why.
    All,
    /// In part.
    Canceled,
}

/// Why it was not.
enum Stop {
    Tree(TreeError),
    /// A file is of an id that cannot be had here.
    Owner(String),
    /// The runner does not take it.
    Gone,
    Canceled,
}

impl From<TreeError> for Stop {
    fn from(error: TreeError) -> Self {
        Self::Tree(error)
    }
}

/// Sends all of `tree`.
///
/// # Errors
/// Those of the tree; [`ExecError::SingleId`] where a file is not of root and
/// there is no other id: written out it would be root's, and so in the result.
pub(super) fn send_tree(
    wire: &Wire,
    tree: &dyn Tree,
    ids: &IdMap,
    cancel: &Cancel,
) -> Result<Sent, ExecError> {
    let mut groups = HashMap::new();
    let sent = walk(tree, &LayerPath::root(), &mut |path, node| {
        if cancel.is_canceled() {
            return Err(Stop::Canceled);
        }
        if *ids == IdMap::Single && (node.meta.uid, node.meta.gid) != (0, 0) {
            return Err(Stop::Owner(path.display()));
        }
        let entry = Entry { path: path.clone(), change: change(path, node, &mut groups) };
        wire.send(&Order::Entry(WireEntry::from(&entry)), &[]).map_err(|_| Stop::Gone)?;
        if matches!(&entry.change, Change::Present { kind: Kind::File { .. }, .. }) {
            send_content(wire, tree, path, cancel)?;
        }
        Ok(true)
    });
    match sent.and_then(|()| wire.send(&Order::TreeEnd, &[]).map_err(|_| Stop::Gone)) {
        Ok(()) | Err(Stop::Gone) => Ok(Sent::All),
        Err(Stop::Canceled) => Ok(Sent::Canceled),
        Err(Stop::Tree(error)) => Err(error.into()),
        Err(Stop::Owner(path)) => {
            Err(ExecError::SingleId { what: format!("without /dev/fuse, the owner of {path}") })
        }
    }
}

/// A node as a change; the first name of a link group that comes is the file.
fn change(path: &LayerPath, node: &Node, groups: &mut HashMap<LayerPath, LayerPath>) -> Change {
    if let Some(links) = &node.links {
        let target = groups.entry(links.first.clone()).or_insert_with(|| path.clone());
        if target != path {
            return Change::Hardlink { target: target.clone() };
        }
    }
    // Who reads it asks the tree for the content, never for its digest.
    let kind = node.kind.clone().with_content(ContentDigest::from_bytes([0; 32]));
    Change::Present { meta: node.meta.clone(), kind }
}

fn send_content(
    wire: &Wire,
    tree: &dyn Tree,
    path: &LayerPath,
    cancel: &Cancel,
) -> Result<(), Stop> {
    let failed = |source| Stop::Tree(TreeError::Io { path: path.display(), source });
    let mut content = tree.stream(path)?;
    let mut buf = vec![0; CONTENT];
    loop {
        match content.read(&mut buf).map_err(failed)? {
            0 => return Ok(()),
            _ if cancel.is_canceled() => return Err(Stop::Canceled),
            n => wire.send_content(&buf[..n]).map_err(|_| Stop::Gone)?,
        }
    }
}
