//! What `--call` tells of a file without building it: its targets, what one
//! takes from outside, what the checks found.
//!
//! In: the parsed file. Out: values that serialise as `BuildKit`'s results
//! (`frontend.targets`, `frontend.outline`, `frontend.lint`) and that show
//! themselves as its text does. Caches are told as values only: `BuildKit` has a
//! place for them and leaves it empty.

mod outline;
#[cfg(test)]
mod tests;

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;

use super::ast::Dockerfile;
use super::lint::Warning;
use crate::frontend::{Diagnostic, SourceFile, Span};

pub use outline::outline;

/// Lines of a file.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Place {
    /// One per line.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ranges: Vec<Range>,
}

/// A line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Range {
    /// Where it starts.
    pub start: Position,
    /// Where it ends.
    pub end: Position,
}

/// A place in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Position {
    /// 1-based.
    pub line: u32,
}

impl Place {
    /// Each line from `first` to `last`.
    #[must_use]
    pub fn lines(first: u32, last: u32) -> Self {
        let range = |line| Range { start: Position { line }, end: Position { line } };
        Self { ranges: (first..=last.max(first)).map(range).collect() }
    }

    fn of(source: &SourceFile, span: Span) -> Self {
        // Not the column: many things may stand in one long line.
        Self::lines(
            source.line(span.start),
            source.line(span.end.saturating_sub(1).max(span.start)),
        )
    }
}

/// The stages that can be built.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Targets {
    /// In the order of the file.
    pub targets: Vec<Target>,
    /// The file, in base64.
    pub sources: Vec<String>,
}

/// A stage that can be built.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Target {
    /// Empty where it has none.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// Whether it is built where none is named.
    #[serde(skip_serializing_if = "is_false")]
    pub default: bool,
    /// What a comment says of it.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// What it starts from, as written.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub base: String,
    /// Its platform, as written.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub platform: String,
    /// Its `FROM`.
    pub location: Place,
}

/// What a target takes from outside.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Outline {
    /// Its name; empty where it has none.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// What a comment says of it.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// Arguments that it, or what it needs, uses.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub args: Vec<OutlineArg>,
    /// Secrets that its steps mount.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub secrets: Vec<OutlineSecret>,
    /// Agents that its steps mount.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ssh: Vec<OutlineSecret>,
    /// Caches that its steps mount.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub cache: Vec<OutlineCache>,
    /// The file, in base64.
    pub sources: Vec<String>,
}

/// An argument.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct OutlineArg {
    /// Its name.
    pub name: String,
    /// What a comment says of it.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// Its value in this build.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub value: String,
    /// Where it is declared.
    pub location: Place,
}

/// A secret or an ssh agent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct OutlineSecret {
    /// Its id.
    pub name: String,
    /// Whether there is no building without it.
    #[serde(skip_serializing_if = "is_false")]
    pub required: bool,
    /// Where it is first mounted.
    pub location: Place,
}

/// A cache.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct OutlineCache {
    /// Its id, or where it is mounted.
    #[serde(rename = "ID")]
    pub id: String,
    /// Where it is first mounted.
    pub location: Place,
}

/// What the checks found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Report {
    /// By place.
    pub warnings: Vec<ReportWarning>,
    /// The file.
    pub sources: Vec<ReportSource>,
    /// Why it cannot be built, if that was found.
    #[serde(rename = "buildError", skip_serializing_if = "Option::is_none")]
    pub error: Option<ReportError>,
}

/// A warning.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ReportWarning {
    /// The rule's name.
    pub rule_name: &'static str,
    /// What the rule is about.
    pub description: &'static str,
    /// Where more is said of it.
    #[serde(skip_serializing_if = "str::is_empty")]
    pub url: &'static str,
    /// What was found.
    pub detail: String,
    /// Where.
    pub location: Place,
}

/// The file that was checked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ReportSource {
    /// Its name.
    pub filename: String,
    /// `Dockerfile`.
    pub language: &'static str,
    /// Its text, in base64.
    pub data: String,
}

/// Why a file cannot be built.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ReportError {
    /// In words.
    pub message: String,
    /// Where.
    pub location: Place,
}

fn is_false(value: &bool) -> bool {
    !value
}

fn encoded(source: &SourceFile) -> String {
    STANDARD.encode(source.text())
}

/// The stages of a file.
#[must_use]
pub fn targets(file: &Dockerfile, source: &SourceFile) -> Targets {
    let last = file.stages.len().saturating_sub(1);
    let targets = file.stages.iter().enumerate().map(|(at, stage)| Target {
        name: stage.name.as_ref().map(|name| name.value.clone()).unwrap_or_default(),
        default: at == last,
        description: stage.description.clone().unwrap_or_default(),
        base: stage.image.value.clone(),
        platform: stage.platform.as_ref().map(|word| word.value.clone()).unwrap_or_default(),
        location: Place::of(source, stage.span),
    });
    Targets { targets: targets.collect(), sources: vec![encoded(source)] }
}

/// What the checks found, and why the file cannot be built, if it cannot.
#[must_use]
pub fn report(
    file_name: &str,
    source: &SourceFile,
    warnings: &[Warning],
    error: Option<&Diagnostic>,
) -> Report {
    let warnings = warnings.iter().map(|warning| ReportWarning {
        rule_name: warning.rule,
        description: warning.description,
        url: warning.url,
        detail: warning.detail.clone(),
        location: Place::lines(warning.location.line, warning.end_line),
    });
    let error = error.map(|error| ReportError {
        message: error.message.clone(),
        location: match &error.location {
            Some(location) => Place::lines(location.line, location.line),
            None => Place::default(),
        },
    });
    let language = "Dockerfile";
    let sources =
        vec![ReportSource { filename: file_name.to_owned(), language, data: encoded(source) }];
    Report { warnings: warnings.collect(), sources, error }
}

/// Rows in columns, each as wide as its widest and `gap` more; ends each row.
fn table(f: &mut fmt::Formatter<'_>, gap: usize, rows: &[Vec<&str>]) -> fmt::Result {
    let width = |at: usize| {
        rows.iter().filter_map(|row| row.get(at)).map(|it| it.chars().count()).max().unwrap_or(0)
    };
    for row in rows {
        for (at, cell) in row.iter().enumerate() {
            match at + 1 == row.len() {
                true => writeln!(f, "{cell}")?,
                false => write!(f, "{cell:<width$}", width = width(at) + gap)?,
            }
        }
    }
    Ok(())
}

impl fmt::Display for Targets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let named = |target: &Target| match (target.name.is_empty(), target.default) {
            (true, true) => "(default)".to_owned(),
            (false, true) => format!("{} (default)", target.name),
            _ => target.name.clone(),
        };
        let names: Vec<_> = self.targets.iter().map(named).collect();
        let mut rows = vec![vec!["TARGET", "DESCRIPTION"]];
        let described = names.iter().zip(&self.targets);
        rows.extend(described.map(|(name, target)| vec![name.as_str(), &target.description]));
        table(f, 1, &rows)
    }
}

impl fmt::Display for Outline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.name.is_empty() || !self.description.is_empty() {
            let name = if self.name.is_empty() { "(default)" } else { &self.name };
            let mut rows = vec![vec!["TARGET:", name]];
            if !self.description.is_empty() {
                rows.push(vec!["DESCRIPTION:", &self.description]);
            }
            table(f, 1, &rows)?;
            writeln!(f)?;
        }
        if !self.args.is_empty() {
            let mut rows = vec![vec!["BUILD ARG", "VALUE", "DESCRIPTION"]];
            let args = self.args.iter();
            rows.extend(args.map(|it| vec![it.name.as_str(), &it.value, &it.description]));
            table(f, 3, &rows)?;
            writeln!(f)?;
        }
        for (title, these) in [("SECRET", &self.secrets), ("SSH", &self.ssh)] {
            if !these.is_empty() {
                let mut rows = vec![vec![title, "REQUIRED"]];
                let required = |it: &OutlineSecret| if it.required { "true" } else { "" };
                rows.extend(these.iter().map(|it| vec![it.name.as_str(), required(it)]));
                table(f, 3, &rows)?;
                writeln!(f)?;
            }
        }
        Ok(())
    }
}
