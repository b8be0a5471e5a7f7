//! YAML to a tree in which each key and value knows its place.
//!
//! In: the text of a file. Out: one [`Node`], or what is wrong with it as YAML.
//!
//! Invariant: keys of a mapping are scalars and none is repeated. Text, depth,
//! number of nodes and what aliases unfold to are bounded.

use std::collections::HashMap;
use std::rc::Rc;

use granit_parser::{Event, Parser, ScalarStyle};

use crate::frontend::{Diagnostic, SourceFile, Span};

/// Largest recipe in bytes.
const MAX_TEXT: usize = 1 << 20;
/// Most nodes and 16-byte pieces of text that a recipe may unfold to.
const MAX_WEIGHT: usize = 400_000;
/// Deepest nesting; a correct recipe needs ten.
const MAX_DEPTH: usize = 32;

/// A value and where it stands.
#[derive(Debug, Clone)]
pub(super) struct Node {
    pub(super) span: Span,
    pub(super) kind: Kind,
}

/// What a node is.
#[derive(Debug, Clone)]
pub(super) enum Kind {
    Scalar { text: Rc<str>, plain: bool },
    Seq(Rc<[Node]>),
    Map(Rc<[(Node, Node)]>),
}

impl Node {
    /// How messages call it.
    pub(super) fn noun(&self) -> &'static str {
        match &self.kind {
            Kind::Seq(_) => "a list",
            Kind::Map(_) => "a mapping",
            Kind::Scalar { text, plain } => Resolved::of(text, *plain).noun(),
        }
    }

    /// The text of a scalar.
    pub(super) fn text(&self) -> Option<&str> {
        match &self.kind {
            Kind::Scalar { text, .. } => Some(text),
            _ => None,
        }
    }

    /// Whether nothing was written.
    pub(super) fn is_null(&self) -> bool {
        matches!(&self.kind, Kind::Scalar { text, plain } if Resolved::of(text, *plain) == Resolved::Null)
    }
}

/// What a scalar is by YAML 1.2's core schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Resolved {
    Null,
    Bool,
    Number,
    Text,
}

impl Resolved {
    pub(super) fn of(text: &str, plain: bool) -> Self {
        match text {
            _ if !plain => Self::Text,
            "" | "~" | "null" | "Null" | "NULL" => Self::Null,
            "true" | "True" | "TRUE" | "false" | "False" | "FALSE" => Self::Bool,
            _ if is_number(text) => Self::Number,
            _ => Self::Text,
        }
    }

    fn noun(self) -> &'static str {
        match self {
            Self::Null => "nothing",
            Self::Bool => "a boolean",
            Self::Number => "a number",
            Self::Text => "text",
        }
    }
}

fn is_number(text: &str) -> bool {
    let all =
        |text: &str, test: fn(&u8) -> bool| !text.is_empty() && text.bytes().all(|b| test(&b));
    if let Some(octal) = text.strip_prefix("0o") {
        return all(octal, |b| (b'0'..=b'7').contains(b));
    }
    if let Some(hex) = text.strip_prefix("0x") {
        return all(hex, u8::is_ascii_hexdigit);
    }
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    if matches!(digits, ".inf" | ".Inf" | ".INF") || matches!(text, ".nan" | ".NaN" | ".NAN") {
        return true;
    }
    let begins =
        digits.strip_prefix('.').unwrap_or(digits).starts_with(|c: char| c.is_ascii_digit());
    begins && text.parse::<f64>().is_ok()
}

/// Reads the one document of a file.
pub(super) fn read(source: &SourceFile) -> Result<Node, Diagnostic> {
    if source.text().len() > MAX_TEXT {
        let message = format!("a recipe has at most {MAX_TEXT} bytes");
        return Err(source.diagnostic(Span::default(), message));
    }
    let options = granit_parser::options! { emit_comments: false };
    let mut builder =
        Builder { source, open: Vec::new(), anchors: HashMap::new(), weight: 0, root: None };
    for next in Parser::new_from_str_with_options(source.text(), options) {
        let (event, span) = next.map_err(|error| {
            let at = error.marker().byte_offset().unwrap_or_default();
            source.diagnostic((at..at).into(), format!("not YAML: {}", error.info()))
        })?;
        let start = span.start.byte_offset().unwrap_or_default();
        let span = (start..span.end.byte_offset().unwrap_or(start)).into();
        builder.event(event, span)?;
    }
    builder.root.ok_or_else(|| {
        source
            .diagnostic(Span::default(), "the recipe is empty")
            .help("`phoenix init` writes one to begin with")
    })
}

/// A collection whose end has not come yet.
struct Open {
    span: Span,
    anchor: usize,
    mapping: bool,
    weight: usize,
    nodes: Vec<Node>,
}

struct Builder<'a> {
    source: &'a SourceFile,
    open: Vec<Open>,
    anchors: HashMap<usize, (Node, usize)>,
    weight: usize,
    root: Option<Node>,
}

impl Builder<'_> {
    fn event(&mut self, event: Event<'_>, span: Span) -> Result<(), Diagnostic> {
        match event {
            Event::DocumentStart(..) if self.root.is_some() => {
                Err(self.source.diagnostic(span, "a recipe is one document"))
            }
            Event::Scalar(text, style, anchor, tag) => {
                self.untagged(tag.is_some(), span)?;
                let kind =
                    Kind::Scalar { text: Rc::from(&*text), plain: style == ScalarStyle::Plain };
                self.add(Node { span: self.trim(span), kind }, anchor, 1 + text.len() / 16)
            }
            Event::SequenceStart(_, anchor, tag) | Event::MappingStart(_, anchor, tag)
                if tag.is_some() =>
            {
                let _ = anchor;
                self.untagged(true, span)
            }
            Event::SequenceStart(_, anchor, _) => self.begin(span, anchor, false),
            Event::MappingStart(_, anchor, _) => self.begin(span, anchor, true),
            Event::SequenceEnd | Event::MappingEnd => self.end(span),
            Event::Alias(anchor) => match self.anchors.get(&anchor).cloned() {
                Some((node, weight)) => self.add(node, 0, weight),
                None => {
                    Err(self.source.diagnostic(span, "an alias cannot stand inside its own anchor"))
                }
            },
            _ => Ok(()),
        }
    }

    fn untagged(&self, tagged: bool, span: Span) -> Result<(), Diagnostic> {
        if !tagged {
            return Ok(());
        }
        let diagnostic = self.source.diagnostic(span, "a recipe has no tags (`!...`)");
        Err(diagnostic.help("quote text that begins with `!`"))
    }

    /// A plain or block scalar's span without the white space after it.
    fn trim(&self, span: Span) -> Span {
        let text = self.source.slice(span);
        Span { start: span.start, end: span.start + text.trim_end().len() }
    }

    fn begin(&mut self, span: Span, anchor: usize, mapping: bool) -> Result<(), Diagnostic> {
        if self.open.len() >= MAX_DEPTH {
            return Err(self
                .source
                .diagnostic(span, format!("nested deeper than {MAX_DEPTH} levels")));
        }
        self.open.push(Open { span, anchor, mapping, weight: 1, nodes: Vec::new() });
        Ok(())
    }

    fn end(&mut self, span: Span) -> Result<(), Diagnostic> {
        let Some(Open { span: start, anchor, mapping, weight, nodes }) = self.open.pop() else {
            return Ok(());
        };
        let kind = if mapping { self.mapping(nodes)? } else { Kind::Seq(nodes.into()) };
        let span = self.trim(Span { start: start.start, end: span.end.max(start.start) });
        self.add(Node { span, kind }, anchor, weight)
    }

    fn mapping(&self, nodes: Vec<Node>) -> Result<Kind, Diagnostic> {
        let mut seen: HashMap<Rc<str>, Span> = HashMap::new();
        let mut entries = Vec::with_capacity(nodes.len() / 2);
        let mut nodes = nodes.into_iter();
        while let (Some(key), Some(value)) = (nodes.next(), nodes.next()) {
            let Kind::Scalar { text, .. } = &key.kind else {
                let message = format!("a key is text, found {}", key.noun());
                return Err(self.source.diagnostic(key.span, message));
            };
            if let Some(first) = seen.insert(Rc::clone(text), key.span) {
                let line = self.source.location(first).line;
                let diagnostic = self.source.diagnostic(key.span, format!("repeated key `{text}`"));
                return Err(diagnostic.label(format!("first written on line {line}")));
            }
            entries.push((key, value));
        }
        Ok(Kind::Map(entries.into()))
    }

    fn add(&mut self, node: Node, anchor: usize, weight: usize) -> Result<(), Diagnostic> {
        self.weight = self.weight.saturating_add(weight);
        if self.weight > MAX_WEIGHT {
            return Err(self.source.diagnostic(node.span, "the recipe unfolds to too much"));
        }
        if anchor != 0 {
            self.anchors.insert(anchor, (node.clone(), weight));
        }
        match self.open.last_mut() {
            Some(open) => {
                open.weight = open.weight.saturating_add(weight);
                open.nodes.push(node);
            }
            None => self.root = Some(node),
        }
        Ok(())
    }
}
