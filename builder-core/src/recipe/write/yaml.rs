//! A tree of YAML, and its text as a person would write it.
//!
//! In: maps, lists and scalars, with comments. Out: lines, and for each of them
//! that came from a line of another file, which.
//!
//! Maps and lists are blocks; a list of short words, and a map that asks for it,
//! stand on one line where they fit.

use super::{Param, scalar};

/// No line that could be broken is longer.
pub(super) const WIDTH: usize = 100;

/// A value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Yaml {
    /// As it is: `true`, `0644`, `1000`.
    Plain(String),
    Text(String),
    List(Vec<Item>),
    Map(Vec<Entry>),
    /// A map on one line.
    Flow(Vec<(String, Yaml)>),
}

/// What is said of a value beside itself.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Notes {
    /// The line of the other file.
    pub(super) line: Option<u32>,
    /// Lines above it, without their `#`.
    pub(super) comments: Vec<String>,
    /// Whether an empty line stands above.
    pub(super) apart: bool,
}

impl Notes {
    /// What two notes say; the place is the first one's.
    pub(super) fn join(&mut self, other: Self) {
        self.line = self.line.or(other.line);
        self.comments.extend(other.comments);
        self.apart |= other.apart;
    }
}

/// A value of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Item {
    pub(super) notes: Notes,
    pub(super) value: Yaml,
}

/// A value of a map.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) key: String,
    pub(super) notes: Notes,
    pub(super) value: Yaml,
}

impl Yaml {
    pub(super) fn text(text: impl Into<String>) -> Self {
        Self::Text(text.into())
    }

    pub(super) fn number(number: impl std::fmt::Display) -> Self {
        Self::Plain(number.to_string())
    }

    /// A list of texts.
    pub(super) fn texts<'a>(texts: impl IntoIterator<Item = &'a String>) -> Self {
        let item = |text: &String| Item { notes: Notes::default(), value: Self::text(text) };
        Self::List(texts.into_iter().map(item).collect())
    }

    /// One text as it is, several as a list.
    pub(super) fn one_or_more(texts: &[String]) -> Self {
        match texts {
            [one] => Self::text(one),
            more => Self::texts(more),
        }
    }

    /// A map of texts.
    pub(super) fn pairs<'a>(pairs: impl IntoIterator<Item = (&'a String, &'a String)>) -> Self {
        let pairs = pairs.into_iter();
        Self::Map(pairs.map(|(name, value)| entry(name, Self::text(value))).collect())
    }
}

/// A value of a map of which nothing more is said.
pub(super) fn entry(key: impl Into<String>, value: Yaml) -> Entry {
    Entry { key: key.into(), notes: Notes::default(), value }
}

/// A document.
pub(super) struct Printed {
    pub(super) text: String,
    /// Its lines and those of the other file, in order.
    pub(super) origins: Vec<(u32, u32)>,
}

/// The text of a document that is a map, with parameters where their marks are.
pub(super) fn print(entries: &[Entry], params: &[&Param]) -> Printed {
    let mut printer = Printer { params, text: String::new(), line: 1, origins: Vec::new() };
    printer.map(entries, 0, false);
    Printed { text: printer.text, origins: printer.origins }
}

struct Printer<'a> {
    params: &'a [&'a Param],
    text: String,
    /// The number of the line that is being written.
    line: u32,
    origins: Vec<(u32, u32)>,
}

impl Printer<'_> {
    fn end(&mut self, line: &str) {
        self.text.push_str(line);
        self.text.push('\n');
        self.line += 1;
    }

    fn indent(&mut self, by: usize) {
        self.text.extend(std::iter::repeat_n(' ', by));
    }

    fn notes(&mut self, notes: &Notes, indent: usize) {
        if notes.apart && !self.text.is_empty() {
            self.end("");
        }
        for comment in &notes.comments {
            self.indent(indent);
            self.end(format!("# {comment}").trim_end());
        }
        if let Some(line) = notes.line {
            self.origins.push((self.line, line));
        }
    }

    /// The entries of a map; the first key stands where the writing is, if `here`.
    fn map(&mut self, entries: &[Entry], indent: usize, here: bool) {
        for (at, Entry { key, notes, value }) in entries.iter().enumerate() {
            if at > 0 || !here {
                self.notes(notes, indent);
                self.indent(indent);
            }
            self.text.push_str(&scalar::key(key));
            self.text.push(':');
            self.value(value, indent);
        }
    }

    /// A value behind a key or a dash that stands at `indent`.
    fn value(&mut self, value: &Yaml, indent: usize) {
        let column = self.text.len() - self.text.rfind('\n').map_or(0, |at| at + 1);
        match value {
            Yaml::Plain(text) => self.end(&format!(" {text}")),
            Yaml::Text(text) => {
                let lines = scalar::block(text, self.params, indent + 2, column);
                let mut lines = lines.iter();
                let first = lines.next().map_or("", String::as_str);
                self.end(&format!(" {first}"));
                lines.for_each(|line| self.end(line));
            }
            Yaml::List(items) => {
                match inline(value, self.params).filter(|text| column + text.len() < WIDTH) {
                    Some(text) => self.end(&format!(" {text}")),
                    None => {
                        self.end("");
                        self.list(items, indent + 2);
                    }
                }
            }
            Yaml::Flow(pairs) => {
                match inline(value, self.params).filter(|text| column + text.len() < WIDTH) {
                    Some(text) => self.end(&format!(" {text}")),
                    None => {
                        self.end("");
                        let pairs = pairs.iter().map(|(key, value)| entry(key, value.clone()));
                        self.map(&pairs.collect::<Vec<_>>(), indent + 2, false);
                    }
                }
            }
            Yaml::Map(entries) if entries.is_empty() => self.end(" {}"),
            Yaml::Map(entries) => {
                self.end("");
                self.map(entries, indent + 2, false);
            }
        }
    }

    fn list(&mut self, items: &[Item], indent: usize) {
        for Item { notes, value } in items {
            self.notes(notes, indent);
            self.indent(indent);
            self.text.push('-');
            match value {
                Yaml::Map(entries) if !entries.is_empty() => {
                    self.text.push(' ');
                    self.map(entries, indent + 2, true);
                }
                value => self.value(value, indent),
            }
        }
    }
}

/// A value on one line, where that can be.
fn inline(value: &Yaml, params: &[&Param]) -> Option<String> {
    match value {
        Yaml::Plain(text) => Some(text.clone()),
        Yaml::Text(text) => scalar::flow(text, params),
        Yaml::List(items) => {
            let noted = |item: &Item| item.notes != Notes::default();
            if items.iter().any(noted) {
                return None;
            }
            let texts = items.iter().map(|item| inline(&item.value, params));
            Some(format!("[{}]", texts.collect::<Option<Vec<_>>>()?.join(", ")))
        }
        Yaml::Flow(pairs) => {
            let pair = |(key, value): &(String, Yaml)| {
                Some(format!("{}: {}", scalar::key(key), inline(value, params)?))
            };
            Some(format!("{{{}}}", pairs.iter().map(pair).collect::<Option<Vec<_>>>()?.join(", ")))
        }
        Yaml::Map(_) => None,
    }
}
