//! What a file shows by itself, without its variables.

use std::collections::HashSet;

use super::super::ast::{InstructionKind, Word};
use super::{Checks, rules};
use crate::frontend::Span;

impl Checks<'_> {
    pub(super) fn whole_file(&mut self) {
        for span in &self.file.empty_continuations {
            self.warn(rules::NO_EMPTY_CONTINUATION, *span, || "Empty continuation line".to_owned());
        }
        // In BuildKit's order, which shows where a line has several.
        self.maintainers();
        self.stage_casing();
        self.descriptions();
        self.stage_names();
        self.casing();
        self.once_only();
    }

    fn maintainers(&mut self) {
        for instruction in self.file.stages.iter().flat_map(|stage| &stage.instructions) {
            if matches!(instruction.kind, InstructionKind::Maintainer(_)) {
                self.warn(rules::MAINTAINER_DEPRECATED, instruction.span, || {
                    "Maintainer instruction is deprecated in favor of using label".to_owned()
                });
            }
        }
    }

    fn stage_names(&mut self) {
        let mut seen = HashSet::new();
        for stage in &self.file.stages {
            let Some(name) = &stage.name else { continue };
            let name = name.value.as_str();
            if matches!(name, "context" | "scratch") {
                self.warn(rules::RESERVED_STAGE_NAME, stage.span, || {
                    format!("Stage name should not use the same name as reserved stage {name:?}")
                });
            }
            if !seen.insert(name) {
                self.warn(rules::DUPLICATE_STAGE_NAME, stage.span, || {
                    format!("Duplicate stage name {name:?}, stage names should be unique")
                });
            }
        }
    }

    fn stage_casing(&mut self) {
        for stage in &self.file.stages {
            let Some((mark, written)) = &stage.alias else { continue };
            if !is_lower(&written.value) {
                self.warn(rules::STAGE_NAME_CASING, stage.span, || {
                    format!("Stage name '{}' should be lowercase", written.value)
                });
            }
            let (from, mark) = (&stage.keyword.value, &mark.value);
            let matches = match (is_lower(from), is_upper(from)) {
                (true, _) => is_lower(mark),
                (_, true) => is_upper(mark),
                // A keyword of both cases is told of by another rule.
                _ => true,
            };
            if !matches {
                self.warn(rules::FROM_AS_CASING, stage.span, || {
                    format!("'{mark}' and '{from}' keywords' casing do not match")
                });
            }
        }
    }

    /// Keywords of stages are all in lower or all in upper case, as most are.
    fn casing(&mut self) {
        let file = self.file;
        let keywords: Vec<(&Word, Span)> = file
            .stages
            .iter()
            .flat_map(|stage| {
                let own = stage.instructions.iter().map(|it| (&it.keyword, it.span));
                std::iter::once((&stage.keyword, stage.span)).chain(own)
            })
            .collect();
        let count = |is: fn(&str) -> bool| keywords.iter().filter(|(it, _)| is(&it.value)).count();
        let (is, right): (fn(&str) -> bool, _) = match count(is_lower) > count(is_upper) {
            true => (is_lower, "lowercase"),
            false => (is_upper, "uppercase"),
        };
        for (keyword, span) in keywords {
            let keyword = &keyword.value;
            if !is(keyword) {
                self.warn(rules::CONSISTENT_INSTRUCTION_CASING, span, || {
                    format!(
                        "Command '{keyword}' should match the case of the command majority ({right})"
                    )
                });
            }
        }
    }

    /// Of some instructions a stage uses the last only; those before it are
    /// told of.
    fn once_only(&mut self) {
        for stage in &self.file.stages {
            let mut last: [Option<Span>; 3] = [None; 3];
            for instruction in &stage.instructions {
                let at = match instruction.kind {
                    InstructionKind::Cmd(_) => 0,
                    InstructionKind::Entrypoint(_) => 1,
                    InstructionKind::Healthcheck(_) => 2,
                    _ => continue,
                };
                let Some(before) = last[at].replace(instruction.span) else { continue };
                let keyword = &instruction.keyword.value;
                self.warn(rules::MULTIPLE_INSTRUCTIONS_DISALLOWED, before, || {
                    format!(
                        "Multiple {keyword} instructions should not be used in the same stage \
                         because only the last one will be used"
                    )
                });
            }
        }
    }

    /// A comment right above an `ARG` or a named stage describes it.
    fn descriptions(&mut self) {
        let file = self.file;
        for stage in &file.stages {
            if let Some(name) = &stage.name {
                self.description("FROM", &[&name.value], &stage.comments, stage.span);
            }
        }
        let in_stages = file.stages.iter().flat_map(|stage| &stage.instructions);
        for instruction in file.preamble.iter().chain(in_stages) {
            if let InstructionKind::Arg(args) = &instruction.kind {
                let names: Vec<&str> = args.iter().map(|arg| arg.name.value.as_str()).collect();
                self.description("ARG", &names, &instruction.comments, instruction.span);
            }
        }
    }

    fn description(&mut self, keyword: &str, names: &[&str], comments: &[Word], span: Span) {
        let Some(comment) = comments.last() else { return };
        let first = comment.value.split(' ').next().unwrap_or_default();
        if names.contains(&first) {
            return;
        }
        let name = if let [one] = names { one } else { "<arg_key>" };
        self.warn(rules::INVALID_DEFINITION_DESCRIPTION, span, || {
            format!("Comment for {keyword} should follow the format: `# {name} <description>`")
        });
    }
}

fn is_lower(text: &str) -> bool {
    text.to_lowercase() == text
}

fn is_upper(text: &str) -> bool {
    text.to_uppercase() == text
}
