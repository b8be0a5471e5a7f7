//! `contexts`: directories and repositories beside the recipe's own context, by
//! name, for `from` of copies and mounts.

use super::copy::{OF_GIT, repository};
use super::decode::{Decoder, optional};
use super::node::{Kind, Node};
use super::parse::is_stage_name;
use super::{keys, step};
use crate::frontend::Spanned;
use crate::plan::op::Source;

/// All of them, in order.
pub(super) fn contexts(
    decoder: &Decoder<'_>,
    node: &Node,
) -> Option<Vec<(Spanned<String>, Source)>> {
    let read = |(key, node): &(Node, Node)| {
        let name = key.text().unwrap_or_default();
        if !is_stage_name(name) {
            let message = format!("`{name}` is not a context's name");
            let diagnostic = decoder.source.diagnostic(key.span, message);
            return decoder.report(diagnostic.help("small letters and digits, with . _ - between"));
        }
        Some((Spanned { value: name.to_owned(), span: key.span }, context(decoder, name, node)?))
    };
    Some(decoder.named(node)?.iter().filter_map(read).collect())
}

/// A path, or a mapping.
fn context(decoder: &Decoder<'_>, name: &str, node: &Node) -> Option<Source> {
    let local = |path, ignore| Source::Local { name: name.to_owned(), path, ignore };
    if !matches!(node.kind, Kind::Map(_)) {
        return Some(local(decoder.host_path(node)?, Vec::new()));
    }
    let map = decoder.map(node, "a context", keys::CONTEXT)?;
    let (kind, others): (_, &[&str]) = match map.present(&["path", "git"])[..] {
        [(kind @ "path", ..)] => (kind, &OF_GIT),
        [(kind, ..)] => (kind, &["ignore"]),
        [] if map.unknown => return None,
        _ => return decoder.wrong(node.span, "a context has either `path` or `git`"),
    };
    for key in others {
        if let Some((at, _)) = map.entry(key) {
            decoder.wrong::<()>(at.span, format!("`{key}` does not go with `{kind}`"));
        }
    }
    let place = map.get(kind)?;
    if kind == "git" {
        return Some(Source::Git(repository(decoder, &map, place)?));
    }
    let ignore = optional(&map, "ignore", |node| step::patterns(decoder, node));
    Some(local(decoder.host_path(place)?, ignore.unwrap_or_default()))
}
