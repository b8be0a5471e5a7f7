//! Checks of a Dockerfile, by the names and words of BuildKit's.
//!
//! In: the parsed file, and facts that lowering meets (what a word expands to,
//! which variables are not set). Out: [`Warning`]s, by place.
//!
//! Which rules count is said by [`Check`]: the file's `# check=`, or what is
//! given instead; and for one instruction by a `# check=` comment above it. A
//! rule that is experimental is checked only where it is asked for, and
//! `skip=all` does not take it away.
//!
//! Limitation: what is seen by the file alone is told of stages that the build
//! does not need too.

mod file;
mod names;
mod rules;
#[cfg(test)]
mod tests;

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};

use super::ast::{
    Check, CommandLine, Dockerfile, Instruction, InstructionKind, Rules, Stage, Word,
};
use super::directives;
use super::expand::{ALL_VALUES, Expanded, Expander, Within};
use super::expose::Ports;
use crate::frontend::{Diagnostic, SourceFile, Span};
use crate::pattern::{Patterns, clean};
use crate::plan::Location;

pub use rules::{RULES, Rule};

/// Something that is allowed and should not be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Warning {
    /// The rule's name: `JSONArgsRecommended`.
    pub rule: &'static str,
    /// What the rule is about.
    pub description: &'static str,
    /// Where more is said of it; empty where nothing is.
    pub url: &'static str,
    /// What was found.
    pub detail: String,
    /// Where.
    pub location: Location,
    /// The last line that it is about.
    pub end_line: u32,
}

/// Reads what `# check=` takes: `skip=A,B;experimental=all;error=true`.
///
/// # Errors
/// What is wrong with it, as `BuildKit` says it.
pub fn options(text: &str) -> Result<Check, String> {
    directives::check(text.trim())
}

/// What makes a build fail that asks for `error=true` and has warnings.
#[must_use]
pub fn violation(
    file: &Dockerfile,
    instead: Option<&Check>,
    warnings: &[Warning],
) -> Option<Diagnostic> {
    if !settings(file, instead).error || warnings.is_empty() {
        return None;
    }
    let rules: BTreeSet<_> = warnings.iter().map(|warning| warning.rule).collect();
    let rules: Vec<_> = rules.into_iter().collect();
    let message = format!("lint violation found for rules: {}", rules.join(", "));
    Some(Diagnostic::unplaced(message))
}

fn settings(file: &Dockerfile, instead: Option<&Check>) -> Check {
    let own = file.directives.check.as_ref().map(|check| &check.value);
    instead.or(own).cloned().unwrap_or_default()
}

/// How many pairs of names are compared for "did you mean": a file may have as
/// many that are not set as it has others.
const COMPARED: usize = 100_000;

/// Collects what is found while a file is lowered.
pub struct Checks<'a> {
    file: &'a Dockerfile,
    source: &'a SourceFile,
    settings: Check,
    /// What comments above an instruction ask for it, by where it begins.
    local: BTreeMap<usize, Check>,
    /// Each keyword as written, by where its instruction begins.
    keywords: BTreeMap<usize, &'a str>,
    /// How many names may still be compared with one that is not set.
    compared: usize,
    found: Vec<Warning>,
}

impl<'a> Checks<'a> {
    /// Checks the file by itself; `instead` is what the command line says, which
    /// counts and not the file's own `# check=`.
    #[must_use]
    pub fn new(file: &'a Dockerfile, source: &'a SourceFile, instead: Option<&Check>) -> Self {
        let mut checks = Self {
            file,
            source,
            settings: settings(file, instead),
            local: BTreeMap::new(),
            keywords: BTreeMap::new(),
            compared: COMPARED,
            found: Vec::new(),
        };
        for stage in &file.stages {
            checks.note(stage.span, &stage.keyword, &stage.comments);
        }
        let in_stages = file.stages.iter().flat_map(|stage| &stage.instructions);
        for Instruction { span, keyword, comments, .. } in file.preamble.iter().chain(in_stages) {
            checks.note(*span, keyword, comments);
        }
        checks.whole_file();
        checks
    }

    fn note(&mut self, span: Span, keyword: &'a Word, comments: &[Word]) {
        self.keywords.insert(span.start, &keyword.value);
        let check = comments.iter().find_map(|it| directives::check_comment(&it.value));
        if let Some(check) = check {
            self.local.insert(span.start, check);
        }
    }

    /// Tells of something, if its rule counts at that place.
    fn warn(&mut self, rule: Rule, span: Span, detail: impl FnOnce() -> String) {
        let local = self.local.get(&span.start);
        let named = |pick: fn(&Check) -> &Rules| {
            pick(&self.settings).contains(rule.name)
                || local.is_some_and(|local| pick(local).contains(rule.name))
        };
        let counts = match rule.experimental {
            true => named(|check| &check.experimental),
            false => !named(|check| &check.skip),
        };
        if !counts {
            return;
        }
        let Rule { name, description, url, .. } = rule;
        self.found.push(Warning {
            rule: name,
            description,
            url,
            detail: detail(),
            location: self.source.location(span),
            end_line: self.source.line(span.end.saturating_sub(1).max(span.start)),
        });
    }

    /// The keyword at a place, as written; `otherwise` for one of a trigger.
    fn keyword(&self, span: Span, otherwise: &str) -> String {
        let own = self.keywords.get(&span.start).copied();
        own.filter(|own| own.eq_ignore_ascii_case(otherwise)).unwrap_or(otherwise).to_owned()
    }

    /// What `FROM` may use before any argument of the file is read: with these
    /// and the file's defaults each base must have a name that may be one
    /// (`InvalidDefaultArgInFrom`).
    pub fn default_bases(&mut self, globals: &[(String, String)]) {
        let expander = Expander::new(self.file.escape());
        let mut scope: BTreeMap<String, String> = globals.iter().cloned().collect();
        let left = &Cell::new(ALL_VALUES);
        for arg in self.file.global_args() {
            let Some(value) = &arg.value else { continue };
            // What is wrong here is told where the file is lowered.
            let within = Within { variables: &scope, left };
            let Ok(value) = expander.word(&value.value, &within) else { return };
            scope.insert(arg.name.value.clone(), value.text);
        }
        for stage in &self.file.stages {
            let within = Within { variables: &scope, left };
            let Ok(base) = expander.word(&stage.image.value, &within) else { return };
            if !names::is_image(&base.text) {
                let written = &stage.image.value;
                self.warn(rules::INVALID_DEFAULT_ARG_IN_FROM, stage.span, || {
                    format!(
                        "Default value for ARG {written} results in empty or invalid base image name"
                    )
                });
            }
        }
    }

    /// Variables of a `FROM` that are not set; `known` are.
    pub fn from_unset(&mut self, stage: &Stage, unset: &BTreeSet<String>, known: &[&str]) {
        let declared: Vec<&str> =
            self.file.global_args().map(|arg| arg.name.value.as_str()).collect();
        for name in unset {
            if declared.contains(&name.as_str()) || known.contains(&name.as_str()) {
                continue;
            }
            let all = known.iter().copied().chain(declared.iter().copied());
            let near = self.similar(name, all);
            self.warn(rules::UNDEFINED_ARG_IN_FROM, stage.span, || {
                let near = near.map(|near| format!(" (did you mean {near}?)"));
                format!("FROM argument '{name}' is not declared{}", near.unwrap_or_default())
            });
        }
    }

    /// A `FROM --platform` and what it expands to.
    pub fn platform(
        &mut self,
        stage: &Stage,
        word: &Word,
        expanded: &Expanded,
        globals: &[(String, String)],
    ) {
        let known: Vec<&str> = globals.iter().map(|(name, _)| name.as_str()).collect();
        self.from_unset(stage, &expanded.unmatched, &known);
        let Expanded { text, matched, unmatched } = expanded;
        if !unmatched.is_empty() {
            return;
        }
        if matched.is_empty() {
            let own = stage.name.as_ref().map_or("", |name| name.value.as_str());
            let Some((os, arch)) = names::platform(text) else { return };
            // A stage that is named for its platform means it.
            if !own.contains(os.as_str()) && !own.contains(arch.as_str()) {
                self.warn(rules::FROM_PLATFORM_FLAG_CONST_DISALLOWED, stage.span, || {
                    format!("FROM --platform flag should not use constant value {text:?}")
                });
            }
            return;
        }
        let target = globals.iter().find(|(name, _)| name == "TARGETPLATFORM");
        let alone = matched.len() == 1 && matched.contains("TARGETPLATFORM");
        if alone && target.is_some_and(|(_, value)| value == text) {
            let written = &word.value;
            self.warn(rules::REDUNDANT_TARGET_PLATFORM, stage.span, || {
                format!(
                    "Setting platform to predefined {written} in FROM is redundant as this is \
                     the default behavior"
                )
            });
        }
    }

    /// An image that what stands at `span` takes, with the platform that was
    /// asked for and the one that it is for; both as `os/arch[/variant]`.
    pub fn base_platform(&mut self, span: Span, image: &str, wanted: &str, found: &str) {
        let here = self.source.location(span);
        let is_told = |known: &Warning| {
            known.rule == rules::INVALID_BASE_IMAGE_PLATFORM.name && known.location == here
        };
        if names::platform(wanted) == names::platform(found) || self.found.iter().any(is_told) {
            return;
        }
        let (wanted, found) = (names::platform_shown(wanted), names::platform_shown(found));
        self.warn(rules::INVALID_BASE_IMAGE_PLATFORM, span, || {
            format!(
                "Base image {image} was pulled with platform {found:?}, expected {wanted:?} for \
                 current build"
            )
        });
    }

    /// Variables of an instruction at `span` that are not set; `known` are. One
    /// that an `ARG` of the stage, or of a stage below it, declares without a
    /// value is not told of.
    pub fn unset(&mut self, span: Span, unset: &BTreeSet<String>, known: &[&str]) {
        for name in unset {
            // What builds of a bill of materials set is no variable.
            let setting = name.starts_with("BUILDKIT_SBOM_SCAN_");
            if setting || known.contains(&name.as_str()) || self.is_declared(name, span) {
                continue;
            }
            // The last that was set is the first that is thought of.
            let near = self.similar(name, known.iter().rev().copied());
            self.warn(rules::UNDEFINED_VAR, span, || {
                let near = near.map(|near| format!(" (did you mean ${near}?)"));
                format!("Usage of undefined variable '${name}'{}", near.unwrap_or_default())
            });
        }
    }

    /// Whether an `ARG` that counts at `span` is of this name.
    fn is_declared(&self, name: &str, span: Span) -> bool {
        let stages = &self.file.stages;
        let first = stages.partition_point(|stage| stage.span.start <= span.start);
        let (mut at, mut end) = (first.checked_sub(1), span.start);
        while let Some(stage) = at.and_then(|at| stages.get(at)) {
            let mut before = stage.instructions.iter().take_while(|it| it.span.start < end);
            let declares = |instruction: &Instruction| match &instruction.kind {
                InstructionKind::Arg(args) => args.iter().any(|arg| arg.name.value == name),
                _ => false,
            };
            if before.any(declares) {
                return true;
            }
            // A base that a variable names is not looked for.
            let own = at.unwrap_or_default();
            let base = |earlier: &Stage| {
                earlier.name.as_ref().is_some_and(|it| it.value == stage.image.value)
            };
            at = stages[..own].iter().rposition(base);
            end = usize::MAX;
        }
        false
    }

    /// A `CMD` or `ENTRYPOINT`; `default_shell` where the image names none.
    pub fn command(
        &mut self,
        span: Span,
        keyword: &str,
        command: &CommandLine,
        default_shell: bool,
    ) {
        if !default_shell || matches!(command, CommandLine::Exec(_)) {
            return;
        }
        let keyword = self.keyword(span, keyword);
        self.warn(rules::JSON_ARGS_RECOMMENDED, span, || {
            format!(
                "JSON arguments recommended for {keyword} to prevent unintended behavior related \
                 to OS signals"
            )
        });
    }

    /// A word of `EXPOSE` and what it means.
    pub fn port(&mut self, span: Span, word: &str, ports: &Ports) {
        if ports.capitals {
            self.warn(rules::EXPOSE_PROTO_CASING, span, || {
                format!("Defined protocol '{word}' in EXPOSE instruction should be lowercase")
            });
        }
        if ports.mapped {
            self.warn(rules::EXPOSE_INVALID_FORMAT, span, || {
                format!(
                    "EXPOSE instruction should not define an IP address or host-port mapping, \
                     found '{word}'"
                )
            });
        }
    }

    /// A name that `ENV` or `ARG` sets.
    pub fn secret_name(&mut self, span: Span, keyword: &str, name: &str) {
        if names::is_secret(name) {
            self.warn(rules::SECRETS_USED_IN_ARG_OR_ENV, span, || {
                format!(
                    "Do not use ARG or ENV instructions for sensitive data ({keyword} {name:?})"
                )
            });
        }
    }

    /// A pair with a space between its parts.
    pub fn legacy_pair(&mut self, span: Span, keyword: &str) {
        let keyword = self.keyword(span, keyword);
        self.warn(rules::LEGACY_KEY_VALUE_FORMAT, span, || {
            format!(
                "\"{keyword} key=value\" should be used instead of legacy \"{keyword} key value\" \
                 format"
            )
        });
    }

    /// A `WORKDIR`, expanded; whether this file set one before.
    pub fn workdir(&mut self, span: Span, path: &str, is_set: bool) {
        if !is_set && !path.starts_with('/') {
            self.warn(rules::WORKDIR_RELATIVE_PATH, span, || {
                format!("Relative workdir {path:?} can have unexpected results if the base image changes")
            });
        }
    }

    /// A path that `COPY` or `ADD` takes from the context, and what the context
    /// leaves out. Nothing is told where a `!` may take it back.
    pub fn copied(&mut self, span: Span, keyword: &str, path: &str, ignore: &[String]) {
        if ignore.is_empty() || ignore.iter().any(|pattern| pattern.starts_with('!')) {
            return;
        }
        let path = clean(path);
        let out = match path.as_str() {
            // The context itself is left out only where all in it is.
            "." | "/" => ignore.iter().any(|it| matches!(it.as_str(), "*" | "**" | "**/*")),
            // A list that cannot be read is told of where it is used.
            path => Patterns::new(ignore).is_ok_and(|list| list.at(path.as_bytes()).is_match()),
        };
        if out {
            let keyword = if keyword.eq_ignore_ascii_case("ADD") { "Add" } else { "Copy" };
            self.warn(rules::COPY_IGNORED_FILE, span, || {
                format!("Attempting to {keyword} file {path:?} that is excluded by .dockerignore")
            });
        }
    }

    /// The name that `word` may be meant to be, while there are not too many.
    fn similar<'n>(
        &mut self,
        word: &str,
        names: impl Iterator<Item = &'n str> + Clone,
    ) -> Option<&'n str> {
        self.compared = self.compared.saturating_sub(names.clone().count());
        if self.compared == 0 { None } else { similar(word, names) }
    }

    /// What was found, by place.
    #[must_use]
    pub fn finish(mut self) -> Vec<Warning> {
        self.found.sort_by_key(|warning| warning.location.line);
        self.found
    }
}

/// The name that `word` may be meant to be, as `BuildKit` finds it: the first
/// of the nearest within two changes.
fn similar<'a>(word: &str, names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    // The distance takes the product of both lengths; no honest name is so long.
    let short = |name: &str| name.len() <= 256;
    let near = names.filter(|name| short(word) && short(name) && *name != word);
    let near = near.map(|name| (strsim::levenshtein(word, name), name));
    near.min_by_key(|(distance, _)| *distance).filter(|(distance, _)| *distance < 3).map(|it| it.1)
}
