//! Which arguments of a Dockerfile become parameters of the recipe.
//!
//! In: the Dockerfile and what it is given. Out: for each `ARG` a [`Candidate`],
//! or why its value is fixed. A candidate stands in a second lowering as a mark
//! that nothing else holds; what the mark became is where `${{ NAME }}` stands in
//! the recipe. That is exact only where lowering takes a value as it is, so an
//! argument is fixed that decides a base or of which a part is taken; that the
//! rest holds is proved where the recipe is written.
//!
//! Limitation: a value that a Dockerfile cleans up as a path (`a/../b`, `**`) stands
//! in a recipe as it is, which may refuse it.

use crate::dockerfile::ast::{Arg, Dockerfile, Instruction, InstructionKind, Stage};
use crate::dockerfile::expand::Expander;
use crate::dockerfile::{Options, predefined};
use crate::frontend::{SourceFile, Span};

/// An argument that may become a parameter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Candidate {
    pub(super) name: String,
    /// Its value where nobody says another one.
    pub(super) default: String,
    /// What it is given to find where it is used.
    pub(super) mark: String,
    /// The line that declares it first.
    pub(super) line: u32,
}

/// An argument that has the value of this conversion.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fixed {
    pub(super) name: String,
    /// `None` where it has none.
    pub(super) value: Option<String>,
    pub(super) why: &'static str,
}

impl std::fmt::Display for Fixed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { name, value, why } = self;
        let value = value.as_ref().map(|value| format!("={}", value.escape_debug()));
        write!(f, "ARG {name}{} is no param: {why}", value.unwrap_or_default())
    }
}

/// Where an argument is declared.
struct Declared<'a> {
    arg: &'a Arg,
    line: u32,
    in_stage: bool,
}

/// All arguments of a file.
pub(super) fn sorted_out(
    file: &Dockerfile,
    source: &SourceFile,
    options: &Options,
) -> (Vec<Candidate>, Vec<Fixed>) {
    let declared = declared(file, source);
    let platform = predefined(file, options);
    let (mut candidates, mut fixed): (Vec<Candidate>, Vec<Fixed>) = (Vec::new(), Vec::new());
    let mut seen: Vec<&str> = Vec::new();
    for Declared { arg, line, .. } in &declared {
        let name = arg.name.value.as_str();
        if seen.contains(&name) {
            continue;
        }
        seen.push(name);
        let own: Vec<&Declared<'_>> =
            declared.iter().filter(|other| other.arg.name.value == name).collect();
        let mut fix = |value: Option<String>, why| {
            fixed.push(Fixed { name: name.to_owned(), value, why });
        };
        if name == "SOURCE_DATE_EPOCH" || name.starts_with("BUILDKIT_") {
            fix(options.build_args.get(name).cloned(), "it is a setting of the build");
            continue;
        }
        if let Some(value) = platform.get(name) {
            if own.iter().any(|declared| declared.in_stage) {
                fix(Some(value.clone()), "it is the platform's");
            }
            continue;
        }
        let default = match value(file, options, &own) {
            Ok(Some(default)) => default,
            Ok(None) => {
                fix(None, "it has no value");
                continue;
            }
            Err(why) => {
                fix(None, why);
                continue;
            }
        };
        let same_variable = |other: &&str| **other != *name && other.eq_ignore_ascii_case(name);
        let why = if decides_base(file, name) {
            Some("it decides what a stage starts from")
        } else if is_taken_apart(file, source, name) {
            Some("more than its value is looked at")
        } else if seen.iter().any(same_variable) {
            Some("another argument has the same letters")
        } else {
            None
        };
        match why {
            Some(why) => fix(Some(default), why),
            None => {
                let mark = mark(source, name);
                candidates.push(Candidate { name: name.to_owned(), default, mark, line: *line });
            }
        }
    }
    (candidates, fixed)
}

fn declared<'a>(file: &'a Dockerfile, source: &SourceFile) -> Vec<Declared<'a>> {
    let of = |instruction: &'a Instruction, in_stage| {
        let line = source.location(instruction.span).line;
        let args = match &instruction.kind {
            InstructionKind::Arg(args) => args.as_slice(),
            _ => &[],
        };
        args.iter().map(move |arg| Declared { arg, line, in_stage })
    };
    let before = file.preamble.iter().flat_map(|instruction| of(instruction, false));
    let inside = file.stages.iter().flat_map(|stage| &stage.instructions);
    before.chain(inside.flat_map(|instruction| of(instruction, true))).collect()
}

/// The one value that an argument has.
fn value(
    file: &Dockerfile,
    options: &Options,
    declared: &[&Declared<'_>],
) -> Result<Option<String>, &'static str> {
    let name = declared.first().map_or("", |declared| &declared.arg.name.value);
    if let Some(given) = options.build_args.get(name) {
        return Ok(Some(given.clone()));
    }
    let mut value: Option<String> = None;
    for default in declared.iter().filter_map(|declared| declared.arg.value.as_ref()) {
        if default.value.contains('$') {
            return Err("its value is made of others");
        }
        let expanded = Expander::new(file.escape()).word(&default.value, &());
        let text = expanded.map_err(|_| "its value is made of others")?.text;
        match &value {
            Some(known) if *known != text => return Err("stages give it different values"),
            _ => value = Some(text),
        }
    }
    Ok(value)
}

/// Whether the name of a base or its platform holds the argument.
fn decides_base(file: &Dockerfile, name: &str) -> bool {
    let holds = |stage: &Stage| {
        let words = std::iter::once(&stage.image).chain(&stage.platform);
        let mut uses = words.flat_map(|word| uses(&word.value, name));
        uses.next().is_some()
    };
    file.stages.iter().any(holds)
}

/// Whether some variable's form asks more of the argument than its value.
fn is_taken_apart(file: &Dockerfile, source: &SourceFile, name: &str) -> bool {
    let stages = file.stages.iter().flat_map(|stage| &stage.instructions);
    file.preamble.iter().chain(stages).any(|instruction| {
        let apart = |span: Span| uses(source.slice(span), name).any(|plain| !plain);
        match &instruction.kind {
            // A shell expands the rest.
            InstructionKind::Run(run) => run.mounts.iter().any(|mount| apart(mount.text.span)),
            InstructionKind::Onbuild(_) => false,
            _ => apart(instruction.span),
        }
    })
}

/// Each use of a variable in a text: whether it is `$NAME` or `${NAME}`.
fn uses<'t>(text: &'t str, name: &'t str) -> impl Iterator<Item = bool> + 't {
    let of_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    text.match_indices('$').filter_map(move |(at, _)| {
        let rest = &text[at + 1..];
        let (rest, braced) = match rest.strip_prefix('{') {
            Some(rest) => (rest, true),
            None => (rest, false),
        };
        let rest = rest.strip_prefix(name).filter(|rest| !rest.starts_with(of_name))?;
        Some(!braced || rest.starts_with('}'))
    })
}

/// A text that the file does not hold.
fn mark(source: &SourceFile, name: &str) -> String {
    let mut hasher = blake3::Hasher::new();
    hasher.update(source.text().as_bytes()).update(name.as_bytes());
    format!("mark{}", &hasher.finalize().to_hex()[..16])
}
