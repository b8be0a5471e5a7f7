//! How exactly what a step sees differs from what it saw.
//!
//! In: one difference, and the two trees. Out: [`Detail`]. The trees of the
//! earlier execution are made of its layers; what the store no longer has, and
//! what cannot be read, has no detail. Errors are none: this only explains.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::time::Duration;

use similar::{ChangeTag, TextDiff};

use super::report::Detail;
use super::session::Session;
use super::value::Stacked;
use crate::cache::Observed;
use crate::layer::{LayerPath, Meta};
use crate::view::observe::{Difference, Question};
use crate::view::{Node, NodeKind, Tree};

/// No larger text is compared line by line.
const LARGEST: u64 = 1 << 20;
/// Longer comparing gives a longer difference instead.
const PATIENCE: Duration = Duration::from_millis(200);

/// How `difference` came to be, seen from an earlier execution. `now` is the
/// tree that it is of.
pub(super) fn detail(
    session: &Session<'_>,
    then: &Observed,
    difference: &Difference,
    now: &dyn Tree,
) -> Option<Detail> {
    // Of what was mounted only the answers are kept.
    if difference.tree != 0 || difference.is_new || difference.is_gone {
        return None;
    }
    let mut stack = Vec::new();
    for diff_id in &then.layers {
        let found = session.cache.layer_as_it_is(*diff_id, session.compression).ok()?;
        let Some(desc) = found else { return Some(Detail::Forgotten) };
        stack.push(Stacked { desc, origin: String::new() });
    }
    let old = session.view(&stack).ok()?;
    of_trees(&*old, now, &difference.path, difference.question)
}

fn of_trees(old: &dyn Tree, new: &dyn Tree, path: &LayerPath, asked: Question) -> Option<Detail> {
    let (then, now) = (old.node(path).ok()??, new.node(path).ok()??);
    match (asked, then.kind, now.kind) {
        (Question::Content, NodeKind::File { .. }, NodeKind::File { .. }) => {
            let (Some(old), Some(new)) = (text(old, path), text(new, path)) else {
                return Some(Detail::NoText);
            };
            Some(lines(&old, &new, path))
        }
        (Question::Link, NodeKind::Symlink { target: old }, NodeKind::Symlink { target: new }) => {
            Some(Detail::Target { from: shown(&old), to: shown(&new) })
        }
        (Question::List, NodeKind::Directory, NodeKind::Directory) => names(old, new, path),
        (Question::Node, old_kind, new_kind) => {
            let then = Node { kind: old_kind, ..then };
            Some(Detail::Metadata(metadata(&then, &Node { kind: new_kind, ..now })))
        }
        _ => None,
    }
}

/// A file's content, if it is text and not too long.
fn text(tree: &dyn Tree, path: &LayerPath) -> Option<String> {
    let mut bytes = Vec::new();
    tree.stream(path).ok()?.take(LARGEST + 1).read_to_end(&mut bytes).ok()?;
    let short = u64::try_from(bytes.len()).is_ok_and(|len| len <= LARGEST);
    String::from_utf8(bytes).ok().filter(|text| short && !text.contains('\0'))
}

fn lines(old: &str, new: &str, path: &LayerPath) -> Detail {
    let compared = TextDiff::configure().timeout(PATIENCE).diff_lines(old, new);
    let count = |tag| compared.iter_all_changes().filter(|change| change.tag() == tag).count();
    let name = path.display();
    let diff = compared.unified_diff().header(&format!("a{name}"), &format!("b{name}")).to_string();
    Detail::Text { added: count(ChangeTag::Insert), removed: count(ChangeTag::Delete), diff }
}

fn names(old: &dyn Tree, new: &dyn Tree, path: &LayerPath) -> Option<Detail> {
    let listed = |tree: &dyn Tree| -> Option<BTreeMap<Vec<u8>, Node>> {
        Some(tree.list(path).ok()?.into_iter().collect())
    };
    let (then, now) = (listed(old)?, listed(new)?);
    let only = |these: &BTreeMap<Vec<u8>, Node>, those: &BTreeMap<Vec<u8>, Node>| {
        these.keys().filter(|name| !those.contains_key(*name)).map(|name| shown(name)).collect()
    };
    Some(Detail::Names { came: only(&now, &then), went: only(&then, &now) })
}

/// What of a node's metadata is otherwise: its name, and from what to what.
fn metadata(then: &Node, now: &Node) -> Vec<(&'static str, String, String)> {
    let fields = |node: &Node| {
        let Node { meta, kind, links } = node;
        let Meta { mode, uid, gid, mtime, xattrs } = meta;
        let size = match kind {
            NodeKind::File { size } => size.to_string(),
            NodeKind::Symlink { target } => target.len().to_string(),
            NodeKind::CharDevice { major, minor } | NodeKind::BlockDevice { major, minor } => {
                format!("{major}:{minor}")
            }
            NodeKind::Directory | NodeKind::Fifo | NodeKind::Socket => String::new(),
        };
        // A directory's time is shown to nobody.
        let time = if node.is_dir() { String::new() } else { time(mtime.secs) };
        let links = links.as_ref().map_or_else(
            || "1 name".to_owned(),
            |links| format!("{} names from {}", links.count, links.first.display()),
        );
        let xattrs = xattrs.iter().map(|(name, value)| {
            format!("{}={}", shown(name), String::from_utf8_lossy(value).escape_debug())
        });
        [
            ("type", type_of(kind).to_owned()),
            ("size", size),
            ("mode", format!("{:04o}", mode & 0o7777)),
            ("owner", format!("{uid}:{gid}")),
            ("time", time),
            ("hard links", links),
            ("extended attributes", format!("[{}]", xattrs.collect::<Vec<_>>().join(", "))),
        ]
    };
    let pairs = fields(then).into_iter().zip(fields(now));
    let differ = pairs.filter(|((_, old), (_, new))| old != new);
    differ.map(|((what, old), (_, new))| (what, old, new)).collect()
}

fn time(secs: i64) -> String {
    jiff::Timestamp::from_second(secs).map_or_else(|_| secs.to_string(), |at| at.to_string())
}

fn type_of(kind: &NodeKind) -> &'static str {
    match kind {
        NodeKind::File { .. } => "file",
        NodeKind::Directory => "directory",
        NodeKind::Symlink { .. } => "symbolic link",
        NodeKind::CharDevice { .. } => "character device",
        NodeKind::BlockDevice { .. } => "block device",
        NodeKind::Fifo => "pipe",
        NodeKind::Socket => "socket",
    }
}

fn shown(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::view::memory::Memory;

    #[test]
    fn what_changed_is_found_in_the_two_trees() {
        let tree = || Memory::new().file("same", "x");
        let old = tree()
            .file("dir/text", "one\ntwo\n")
            .file("dir/bytes", b"\0a")
            .link("to", "a")
            .file("dir/grown", "123");
        let new = tree().file("dir/text", "one\n2\n3\n").file("dir/bytes", b"\0b").link("to", "b");
        let new = new.file("dir/more", "").file("dir/grown", "1234");
        let told = |path: &str, asked| {
            of_trees(&old, &new, &LayerPath::new(path).expect("a plain path"), asked)
        };
        let diff = "--- a/dir/text\n+++ b/dir/text\n@@ -1,2 +1,3 @@\n one\n-two\n+2\n+3\n";
        let text = Detail::Text { added: 2, removed: 1, diff: diff.to_owned() };
        assert_eq!(told("dir/text", Question::Content), Some(text));
        assert_eq!(told("dir/bytes", Question::Content), Some(Detail::NoText));
        let size = Detail::Metadata(vec![("size", "3".to_owned(), "4".to_owned())]);
        assert_eq!(told("dir/grown", Question::Node), Some(size));
        let names = Detail::Names { came: vec!["more".to_owned()], went: Vec::new() };
        assert_eq!(told("dir", Question::List), Some(names));
        let target = Detail::Target { from: "a".to_owned(), to: "b".to_owned() };
        assert_eq!(told("to", Question::Link), Some(target));
        assert_eq!(told("gone", Question::Content), None);
    }
}
