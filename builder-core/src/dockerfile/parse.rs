//! From a file to its stages: one instruction after the other.
//!
//! In: a [`SourceFile`]. Out: a [`Dockerfile`], or every instruction that is
//! wrong, each with its first mistake.

use crate::frontend::{Diagnostic, SourceFile, Span};

use super::ast::{Dockerfile, Instruction, InstructionKind, Stage};
use super::heredoc::{self, Mark};
use super::instruction::{self, Context, Parsed};
use super::lines::{Lines, Logical};
use super::scan::{self, Json, Scan};
use super::{ESCAPE, directives};

/// After so many mistakes no more are looked for.
const ENOUGH: usize = 100;

/// Reads a Dockerfile.
///
/// # Errors
/// Every mistake that could be found, in the order of the file; at least one.
pub fn parse(source: &SourceFile) -> Result<Dockerfile, Vec<Diagnostic>> {
    let mut faults = Vec::new();
    let (directives, at) = directives::parse(source, &mut faults);
    let escape = directives.escape.as_ref().map_or(ESCAPE, |escape| escape.value);
    let mut file = Dockerfile {
        directives,
        preamble: Vec::new(),
        stages: Vec::new(),
        empty_continuations: Vec::new(),
    };
    let mut lines = Lines::new(source.text(), at, escape);
    let mut any = false;
    while faults.len() < ENOUGH {
        let Some(read) = next(source, &mut lines, escape) else { break };
        any = true;
        match read {
            Ok((parsed, empty)) => {
                file.empty_continuations.extend(empty);
                faults.extend(add(source, &mut file, parsed));
            }
            Err(fault) => {
                // A stage that is wrong is a stage to what follows it.
                file.stages.extend(fault.from);
                faults.push(fault.what);
            }
        }
    }
    if faults.is_empty() && !any {
        faults.push(nothing(source));
    } else if faults.is_empty() && file.stages.is_empty() {
        faults.push(Diagnostic::unplaced("dockerfile contains no stages to build"));
    }
    match faults.is_empty() {
        true => Ok(file),
        false => Err(faults),
    }
}

/// There is no instruction.
fn nothing(source: &SourceFile) -> Diagnostic {
    match source.text().trim_end() {
        "" => Diagnostic::unplaced("the Dockerfile cannot be empty"),
        text => {
            let from = text.rfind('\n').map_or(0, |at| at + 1);
            source.diagnostic((from..text.len()).into(), "file with no instructions")
        }
    }
}

/// Reads the one instruction of an `ONBUILD`, which stands alone in `source`.
/// Its escape character is always `\`.
///
/// # Errors
/// What is wrong with it, or that it is none, or several, or a `FROM`.
pub fn parse_trigger(source: &SourceFile) -> Result<Instruction, Vec<Diagnostic>> {
    let mut lines = Lines::new(source.text(), 0, ESCAPE);
    let first = next(source, &mut lines, ESCAPE);
    let one = "onbuild trigger should be a single expression";
    let parsed = match first {
        None => return Err(vec![Diagnostic::unplaced(one)]),
        Some(Err(fault)) => return Err(vec![fault.what]),
        Some(Ok((parsed, _))) => parsed,
    };
    if let Some(second) = lines.logical() {
        return Err(vec![source.diagnostic(second.span, one)]);
    }
    match parsed {
        Parsed::Instruction(instruction) => Ok(*instruction),
        Parsed::Stage(stage) => {
            let message = "FROM isn't allowed as an ONBUILD trigger";
            Err(vec![source.diagnostic(stage.keyword.span, message)])
        }
    }
}

/// What is wrong, and the stage that there would be.
struct Fault {
    what: Diagnostic,
    from: Option<Stage>,
}

type Read = Result<(Parsed, Option<Span>), Fault>;

fn next(source: &SourceFile, lines: &mut Lines<'_>, escape: char) -> Option<Read> {
    let mut logical = lines.logical()?;
    let scan = scan::scan(&logical, 0, escape);
    let heredocs = match lines.heredocs(marks(&logical, &scan, escape), &mut logical) {
        Ok(heredocs) => heredocs,
        Err(mark) => {
            let what = source
                .diagnostic(logical.span, "unterminated heredoc")
                .help(format!("a line with `{}` alone ends it", mark.name));
            return Some(Err(Fault { what, from: None }));
        }
    };
    let context = Context { source, logical: &logical, scan: &scan, heredocs, escape };
    Some(match instruction::read(&context) {
        Ok(parsed) => Ok((parsed, logical.empty_continuation)),
        Err(what) => Err(Fault { what, from: instruction::stage_that_fails(&context) }),
    })
}

/// Puts an instruction where it belongs.
fn add(source: &SourceFile, file: &mut Dockerfile, parsed: Parsed) -> Option<Diagnostic> {
    match parsed {
        Parsed::Stage(stage) => file.stages.push(*stage),
        Parsed::Instruction(instruction) => match file.stages.last_mut() {
            Some(stage) => stage.instructions.push(*instruction),
            None if matches!(instruction.kind, InstructionKind::Arg(_)) => {
                file.preamble.push(*instruction);
            }
            None => {
                let message = "no build stage in current context";
                let help = "only ARG may stand before the first FROM";
                let keyword = instruction.keyword.clone();
                // What follows stands in a stage, lest all of it be told of.
                file.stages.push(instruction::no_stage(*instruction));
                return Some(source.diagnostic(keyword.span, message).help(help));
            }
        },
    }
    None
}

/// The heredocs that an instruction opens: those of the shell forms of `RUN`,
/// `COPY` and `ADD`, be they triggers.
fn marks(logical: &Logical, scan: &Scan, escape: char) -> Vec<Mark> {
    let keyword = |scan: &Scan| logical.text[scan.keyword.clone()].to_ascii_lowercase();
    let inner;
    let scan = match keyword(scan).as_str() {
        "onbuild" => {
            inner = scan::scan(logical, scan.rest.start, escape);
            &inner
        }
        _ => scan,
    };
    let opens = matches!(keyword(scan).as_str(), "run" | "copy" | "add");
    if !opens || !matches!(scan::json(&logical.text[scan.rest.clone()]), Json::No) {
        return Vec::new();
    }
    heredoc::marks(&logical.text)
}
