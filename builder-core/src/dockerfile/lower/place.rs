//! Where an instruction stands, for messages and steps: its own lines, or those
//! of the `FROM` whose image brought it in.

use crate::dockerfile::ast::{Instruction, Stage};
use crate::dockerfile::expand::ExpandError;
use crate::frontend::{Diagnostic, SourceFile, Span};
use crate::plan::Location;

/// An instruction at work.
pub(super) struct Place<'a> {
    /// The file that is built.
    pub source: &'a SourceFile,
    /// The stage that it is carried out in.
    pub stage: &'a Stage,
    pub instruction: &'a Instruction,
    /// Where the instruction's spans point into, if it is a trigger.
    pub trigger: Option<&'a SourceFile>,
}

impl Place<'_> {
    /// What is wrong at `span` of the instruction.
    pub(super) fn wrong(&self, span: Span, message: impl Into<String>) -> Box<Diagnostic> {
        let message = message.into();
        Box::new(match self.trigger {
            None => self.source.diagnostic(span, message),
            Some(trigger) => {
                let text = trigger.text().trim();
                let message = format!("in the base's trigger `ONBUILD {text}`: {message}");
                self.source.diagnostic(self.stage.span, message)
            }
        })
    }

    /// As [`Self::wrong`] for a word that cannot be expanded.
    pub(super) fn expand(&self, span: Span, error: &ExpandError) -> Box<Diagnostic> {
        self.wrong(at(span, error), error.to_string())
    }

    pub(super) fn location(&self) -> Location {
        self.source.location(self.checked())
    }

    /// The lines that checks speak of.
    pub(super) fn checked(&self) -> Span {
        if self.trigger.is_some() { self.stage.span } else { self.instruction.span }
    }

    /// What the step is called: the instruction, its keyword in capitals.
    pub(super) fn name(&self) -> String {
        let text = self.instruction.original.trim();
        let (keyword, rest) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
        let rest = rest.split_whitespace().collect::<Vec<_>>().join(" ");
        let name = format!("{} {rest}", keyword.to_uppercase());
        let trigger = if self.trigger.is_some() { "ONBUILD " } else { "" };
        format!("{trigger}{}", name.trim_end())
    }
}

/// The part of a word that an error means, where the word stands unbroken.
pub(super) fn at(span: Span, error: &ExpandError) -> Span {
    let part = Span { start: span.start + error.at.start, end: span.start + error.at.end };
    if part.end <= span.end && part.start < part.end { part } else { span }
}
