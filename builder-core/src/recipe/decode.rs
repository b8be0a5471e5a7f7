//! Small combinators that take a [`Node`] apart and say what is wrong with it.
//!
//! Each returns `None` once it has reported, so that a caller goes on to find
//! the next mistake. Parameters are substituted in every scalar as it is read,
//! before its type is looked at: a value that held `${{ name }}` fits whatever
//! its text then fits.

use std::cell::{Cell, OnceCell, RefCell};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use super::keys::Field;
use super::node::{Kind, Node, Resolved};
use super::{scalar, substitute, when};
use crate::frontend::{Diagnostic, SourceFile, Span, Spanned};

/// Most bytes that substitution may make of one recipe.
const MAX_SUBSTITUTED: usize = 16 << 20;
/// After this many diagnostics the rest are not kept.
const MAX_FOUND: usize = 50;

/// What decoding needs at hand, and what it has found wrong.
pub(super) struct Decoder<'a> {
    pub(super) source: &'a SourceFile,
    pub(super) base: &'a Path,
    /// Values of parameters; one that has none is `None`.
    pub(super) params: &'a BTreeMap<String, String>,
    /// What scripts are given to, where the recipe says that.
    pub(super) shell: OnceCell<Vec<String>>,
    found: RefCell<Vec<Diagnostic>>,
    substituted: Cell<usize>,
}

/// A scalar after substitution.
struct Scalar {
    text: String,
    resolved: Resolved,
    substituted: bool,
}

/// A mapping whose keys are known.
pub(super) struct Entries<'n> {
    what: &'static str,
    pub(super) span: Span,
    /// Whether an unknown key was reported, which may be the one that lacks.
    pub(super) unknown: bool,
    entries: &'n [(Node, Node)],
}

impl<'n> Entries<'n> {
    pub(super) fn get(&self, key: &str) -> Option<&'n Node> {
        self.entry(key).map(|(_, value)| value)
    }

    pub(super) fn entry(&self, key: &str) -> Option<&'n (Node, Node)> {
        self.entries.iter().find(|(name, _)| name.text() == Some(key))
    }

    /// Those of `keys` that are there.
    pub(super) fn present(&self, keys: &[&'static str]) -> Vec<(&'static str, &'n Node, &'n Node)> {
        let named = |(key, value): &'n (Node, Node)| {
            let name = keys.iter().find(|name| key.text() == Some(name))?;
            Some((*name, key, value))
        };
        self.entries.iter().filter_map(named).collect()
    }
}

impl<'a> Decoder<'a> {
    pub(super) fn new(
        source: &'a SourceFile,
        base: &'a Path,
        params: &'a BTreeMap<String, String>,
    ) -> Self {
        let (found, substituted) = (RefCell::default(), Cell::new(0));
        Self { source, base, params, shell: OnceCell::new(), found, substituted }
    }

    /// All that was reported, in order of place.
    pub(super) fn finish(self) -> Vec<Diagnostic> {
        let mut found = self.found.into_inner();
        let place = |d: &Diagnostic| d.location.as_ref().map(|at| (at.line, at.column));
        found.sort_by_key(place);
        found.dedup(); // an alias's mistake is one mistake
        found
    }

    pub(super) fn report<T>(&self, diagnostic: Diagnostic) -> Option<T> {
        let mut found = self.found.borrow_mut();
        if found.len() < MAX_FOUND {
            found.push(diagnostic);
        }
        None
    }

    /// Reports a message about a place.
    pub(super) fn wrong<T>(&self, span: Span, message: impl Into<String>) -> Option<T> {
        self.report(self.source.diagnostic(span, message))
    }

    fn expected<T>(&self, node: &Node, what: &str) -> Option<T> {
        self.wrong(node.span, format!("expected {what}, found {}", node.noun()))
    }

    /// A mapping with these keys and no others. Unknown ones are reported, the
    /// rest is still given.
    pub(super) fn map<'n>(
        &self,
        node: &'n Node,
        what: &'static str,
        fields: &[Field],
    ) -> Option<Entries<'n>> {
        let Kind::Map(entries) = &node.kind else {
            return self.expected(node, "a mapping");
        };
        let mut unknown = false;
        for (key, _) in entries.iter() {
            let name = key.text().unwrap_or_default();
            if fields.iter().all(|field| field.name != name) {
                let diagnostic =
                    self.source.diagnostic(key.span, format!("unknown key `{name}` in {what}"));
                let names: Vec<_> = fields.iter().map(|field| field.name).collect();
                let suggested = diagnostic.suggest(name, names.iter().copied());
                let helped = match suggested.help {
                    Some(_) => suggested,
                    None => suggested.help(format!("its keys are {}", names.join(", "))),
                };
                unknown = true;
                self.report::<()>(helped);
            }
        }
        Some(Entries { what, span: node.span, unknown, entries })
    }

    /// Any mapping from names to values.
    pub(super) fn named<'n>(&self, node: &'n Node) -> Option<&'n [(Node, Node)]> {
        match &node.kind {
            Kind::Map(entries) => Some(entries),
            _ => self.expected(node, "a mapping"),
        }
    }

    /// The value of a key that must be there; `at` is where its lack is shown.
    pub(super) fn required<'n>(&self, map: &Entries<'n>, key: &str) -> Option<&'n Node> {
        let node = map.get(key);
        if node.is_none() {
            self.wrong::<()>(map.span, format!("{} needs `{key}`", map.what));
        }
        node
    }

    /// A list.
    pub(super) fn list<'n>(&self, node: &'n Node) -> Option<&'n [Node]> {
        match &node.kind {
            Kind::Seq(nodes) => Some(nodes),
            _ => self.expected(node, "a list"),
        }
    }

    fn scalar(&self, node: &Node, what: &str) -> Option<Scalar> {
        let Kind::Scalar { text, plain } = &node.kind else {
            return self.expected(node, what);
        };
        match substitute::substitute(text, self.params) {
            Ok(None) => {
                let resolved = Resolved::of(text, *plain);
                Some(Scalar { text: text.to_string(), resolved, substituted: false })
            }
            Ok(Some(text)) => {
                self.substituted.set(self.substituted.get().saturating_add(text.len()));
                if self.substituted.get() > MAX_SUBSTITUTED {
                    return self.wrong(node.span, "substitution makes the recipe too large");
                }
                Some(Scalar { text, resolved: Resolved::Text, substituted: true })
            }
            Err(mistake) => {
                let span = self.nth_opening(node.span, mistake.nth, mistake.length);
                let diagnostic = self.source.diagnostic(span, mistake.message);
                let names = self.params.keys().map(String::as_str);
                self.report(match &mistake.unknown {
                    Some(name) => diagnostic.help("declare it under `params`").suggest(name, names),
                    None => diagnostic.help("`$${{` stands for a literal `${{`"),
                })
            }
        }
    }

    /// Where in the file the `nth` `${{` of a scalar stands.
    fn nth_opening(&self, span: Span, nth: usize, length: usize) -> Span {
        let written = self.source.slice(span);
        match written.match_indices("${{").nth(nth) {
            Some((at, _)) => {
                Span { start: span.start + at, end: (span.start + at + length).min(span.end) }
            }
            None => span,
        }
    }

    /// Text; a number or boolean must be quoted, so that `1.10` stays what it is.
    pub(super) fn text(&self, node: &Node) -> Option<String> {
        let scalar = self.scalar(node, "text")?;
        if scalar.resolved == Resolved::Text {
            return self.no_nul(node, scalar.text);
        }
        let message = format!("expected text, found {}", node.noun());
        let diagnostic = self.source.diagnostic(node.span, message);
        self.report(match scalar.resolved {
            Resolved::Null => diagnostic,
            _ => diagnostic.help(format!("quote it: \"{}\"", scalar.text)),
        })
    }

    fn no_nul(&self, node: &Node, text: String) -> Option<String> {
        match text.contains('\0') {
            true => self.wrong(node.span, "text holds a NUL character"),
            false => Some(text),
        }
    }

    /// Text that is not empty.
    pub(super) fn filled(&self, node: &Node) -> Option<String> {
        match self.text(node)? {
            text if text.is_empty() => self.wrong(node.span, "expected text, found an empty one"),
            text => Some(text),
        }
    }

    /// Text, a number or a boolean, exactly as it was written.
    pub(super) fn as_written(&self, node: &Node) -> Option<String> {
        let scalar = self.scalar(node, "text")?;
        if scalar.resolved == Resolved::Null {
            let diagnostic = self.source.diagnostic(node.span, "expected a value, found nothing");
            return self.report(diagnostic.help("the empty text is written \"\""));
        }
        self.no_nul(node, scalar.text)
    }

    /// As [`Decoder::as_written`], but only what `of` understands.
    fn parsed<T>(&self, node: &Node, what: &str, of: impl FnOnce(&str) -> Option<T>) -> Option<T> {
        let scalar = self.scalar(node, what)?;
        match of(&scalar.text) {
            Some(value) => Some(value),
            None => {
                self.wrong(node.span, format!("expected {what}, found `{}`", brief(&scalar.text)))
            }
        }
    }

    /// `true` or `false`, not quoted.
    pub(super) fn boolean(&self, node: &Node) -> Option<bool> {
        let scalar = self.scalar(node, "true or false")?;
        match (scalar.text.to_lowercase().parse(), scalar.resolved) {
            (Ok(value), Resolved::Bool) => Some(value),
            (Ok(value), _) if scalar.substituted => Some(value),
            _ if scalar.substituted => self.wrong(
                node.span,
                format!("expected true or false, found `{}`", brief(&scalar.text)),
            ),
            _ => self.expected(node, "true or false"),
        }
    }

    /// A whole number that is not negative, not quoted.
    pub(super) fn integer<T: FromStr>(&self, node: &Node) -> Option<T> {
        let scalar = self.scalar(node, "a whole number")?;
        if scalar.resolved != Resolved::Number && !scalar.substituted {
            return self.expected(node, "a whole number");
        }
        let digits = scalar.text.bytes().all(|byte| byte.is_ascii_digit());
        match scalar.text.parse() {
            Ok(value) if digits => Some(value),
            _ => self.wrong(
                node.span,
                format!("`{}` is not a whole number in range", brief(&scalar.text)),
            ),
        }
    }

    /// One of some words.
    pub(super) fn choice<T: Clone>(&self, node: &Node, words: &[(&str, T)]) -> Option<T> {
        let word = self.text(node)?;
        if let Some((_, value)) = words.iter().find(|(name, _)| *name == word) {
            return Some(value.clone());
        }
        let names: Vec<_> = words.iter().map(|(name, _)| *name).collect();
        let message = format!("expected {}, found `{}`", names.join(" or "), brief(&word));
        self.report(
            self.source.diagnostic(node.span, message).suggest(&word, names.iter().copied()),
        )
    }

    /// Permission bits.
    pub(super) fn mode(&self, node: &Node) -> Option<u32> {
        let scalar = self.scalar(node, "an octal mode")?;
        let bare = scalar.resolved == Resolved::Number && !scalar.text.starts_with('0');
        if bare {
            let message = format!("mode `{}` is a decimal number", brief(&scalar.text));
            let help = format!("write it as octal: 0{} or \"{}\"", scalar.text, scalar.text);
            return self.report(self.source.diagnostic(node.span, message).help(help));
        }
        scalar::mode(&scalar.text).or_else(|| {
            let message = format!("`{}` is not an octal mode", brief(&scalar.text));
            let help = "three or four digits from 0 to 7, as in 0644";
            self.report(self.source.diagnostic(node.span, message).help(help))
        })
    }

    /// A length of time.
    pub(super) fn duration(&self, node: &Node) -> Option<std::time::Duration> {
        self.parsed(node, "a duration like 90s, 1h30m or 7d", scalar::duration)
    }

    /// A number of bytes.
    pub(super) fn size(&self, node: &Node) -> Option<u64> {
        self.parsed(node, "a size like 64m", scalar::size)
    }

    /// `user[:group]`, names or numbers.
    pub(super) fn owner(&self, node: &Node) -> Option<String> {
        self.parsed(node, "user or user:group", |text| {
            scalar::is_owner(text).then(|| text.to_owned())
        })
    }

    /// A text or a list of texts, at least one, none empty.
    pub(super) fn one_or_more(&self, node: &Node) -> Option<Vec<Spanned<String>>> {
        if !matches!(node.kind, Kind::Seq(_)) {
            let value = self.filled(node)?;
            return Some(vec![Spanned { value, span: node.span }]);
        }
        let nodes = self.list(node)?;
        if nodes.is_empty() {
            return self.wrong(node.span, "expected at least one, found an empty list");
        }
        let texts: Vec<_> = nodes
            .iter()
            .filter_map(|node| Some(Spanned { value: self.filled(node)?, span: node.span }))
            .collect();
        (texts.len() == nodes.len()).then_some(texts)
    }

    /// As [`Decoder::one_or_more`], without their places.
    pub(super) fn texts(&self, node: &Node) -> Option<Vec<String>> {
        Some(self.one_or_more(node)?.into_iter().map(|text| text.value).collect())
    }

    /// The words of a command: text is one, of a list only the first must say
    /// something.
    pub(super) fn words(&self, node: &Node) -> Option<Vec<String>> {
        let Kind::Seq(nodes) = &node.kind else { return Some(vec![self.filled(node)?]) };
        let Some((first, rest)) = nodes.split_first() else {
            return self.wrong(node.span, "expected at least one, found an empty list");
        };
        let words: Vec<_> = std::iter::once(self.filled(first))
            .chain(rest.iter().map(|node| self.text(node)))
            .collect();
        words.into_iter().collect()
    }

    /// Names and values, as written, in order.
    pub(super) fn pairs(&self, node: &Node) -> Option<Vec<(String, String)>> {
        let entries = self.named(node)?;
        let pair = |(key, value): &(Node, Node)| {
            let name = key.text().unwrap_or_default();
            let value = self.as_written(value);
            if name.is_empty() || name.contains('\0') {
                return self.wrong(key.span, "a name is not empty");
            }
            Some((name.to_owned(), value?))
        };
        let pairs: Vec<_> = entries.iter().filter_map(pair).collect();
        (pairs.len() == entries.len()).then_some(pairs)
    }

    /// Environment variables.
    pub(super) fn env(&self, node: &Node) -> Option<Vec<(String, String)>> {
        for (key, _) in self.named(node)? {
            if key.text().is_some_and(|name| name.contains('=')) {
                return self.wrong(key.span, "a variable's name holds no `=`");
            }
        }
        self.pairs(node)
    }

    /// A path of this host, relative to the context.
    pub(super) fn host_path(&self, node: &Node) -> Option<PathBuf> {
        self.filled(node).map(|path| self.base.join(path))
    }

    /// A condition, evaluated.
    pub(super) fn condition(&self, node: &Node) -> Option<bool> {
        let Some(text) = node.text() else { return self.expected(node, "a condition") };
        when::evaluate(text, self.params).map_or_else(
            |mistake| {
                let at = self.source.slice(node.span).find(text).filter(|_| !text.is_empty());
                let span = at.map_or(node.span, |at| Span {
                    start: node.span.start + at + mistake.range.start,
                    end: node.span.start + at + mistake.range.end,
                });
                let diagnostic = self.source.diagnostic(span, mistake.message);
                self.report(match &mistake.unknown {
                    Some(name) => diagnostic
                        .help("text is quoted in a condition, a name is a parameter")
                        .suggest(name, self.params.keys().map(String::as_str)),
                    None => diagnostic,
                })
            },
            Some,
        )
    }
}

/// The beginning of a text, for a message.
pub(super) fn brief(text: &str) -> String {
    let line = text.lines().next().unwrap_or_default();
    let mut brief: String = line.chars().take(60).collect();
    if brief.len() < text.trim_end().len() {
        brief.push('…');
    }
    brief
}

/// The value of a key that may be absent: `None` if it is, and `Some(None)`
/// would be a mistake already reported, so both are "nothing".
pub(super) fn optional<T>(
    map: &Entries<'_>,
    key: &str,
    decode: impl FnOnce(&Node) -> Option<T>,
) -> Option<T> {
    map.get(key).and_then(decode)
}
