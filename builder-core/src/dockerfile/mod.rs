//! The Dockerfile: its text, its instructions, its variables, its checks.
//!
//! In: a [`SourceFile`]. Out: a [`Dockerfile`], or every
//! mistake that was found in it. Facts of the language are those of BuildKit
//! 0.32 and of its reference; its words are used where it has them.
//!
//! Pure text: nothing here reads a file or asks a registry.

pub mod ast;
pub mod expand;
pub mod expose;
pub mod mount;

use crate::frontend::{Class, Diagnostic, SourceFile};

use ast::{Dockerfile, Instruction, InstructionKind};

/// The escape character of a file that names none.
pub const ESCAPE: char = '\\';

/// Reads a Dockerfile.
///
/// # Errors
/// Every mistake that could be found, at least one.
pub fn parse(source: &SourceFile) -> Result<Dockerfile, Vec<Diagnostic>> {
    let _ = source;
    Err(vec![Diagnostic::unplaced("Dockerfiles are not read yet")])
}

/// Reads the one instruction of an `ONBUILD`, which stands alone in `source`.
/// Its escape character is always `\`.
///
/// # Errors
/// As [`parse`]; also what may not be a trigger.
pub fn parse_trigger(source: &SourceFile) -> Result<Instruction, Vec<Diagnostic>> {
    let _ = source;
    Err(vec![Diagnostic::unplaced("Dockerfiles are not read yet")])
}

/// What an instruction asks for that no step can have here, if anything.
#[must_use]
pub fn unsupported(source: &SourceFile, instruction: &Instruction) -> Option<Diagnostic> {
    let InstructionKind::Run(run) = &instruction.kind else { return None };
    let device = run.devices.first()?;
    let mut diagnostic = source
        .diagnostic(device.span, "RUN --device is not supported")
        .help("steps have no devices of the host");
    diagnostic.class = Class::Unsupported;
    Some(diagnostic)
}
