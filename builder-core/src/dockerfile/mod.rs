//! The Dockerfile: its text, its instructions, its variables, its checks.
//!
//! In: a [`SourceFile`]. Out: a [`ast::Dockerfile`], or every
//! mistake that was found in it. Facts of the language are those of BuildKit
//! 0.32 and of its reference; its words are used where it has them.
//!
//! Pure text: nothing here reads a file or asks a registry.

pub mod ast;
pub mod call;
mod command;
mod copy;
mod directives;
pub mod expand;
pub mod expose;
mod flags;
mod healthcheck;
mod heredoc;
mod ignore;
mod instruction;
mod lines;
pub mod lint;
mod lower;
pub mod mount;
mod parse;
#[cfg(test)]
mod props;
mod scan;
#[cfg(test)]
mod tests;
mod text;
mod units;

use crate::frontend::{Class, Diagnostic, SourceFile};

use ast::{Instruction, InstructionKind};
pub use ignore::ignore_patterns;
pub use lint::Warning;
pub use lower::{Context, Lowered, LoweredStage, Options, git_reference, lower, predefined};
pub use parse::{parse, parse_trigger};
pub use text::{NotText, text};

/// The escape character of a file that names none.
pub const ESCAPE: char = '\\';

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
