//! A whole Dockerfile: parsed, checked, told of, expanded, lowered.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::path::Path;

use builder_core::dockerfile::ast::{Dockerfile, Instruction, InstructionKind, SourceArg, Word};
use builder_core::dockerfile::expand::{ALL_VALUES, Expander, Within};
use builder_core::dockerfile::lint::Checks;
use builder_core::dockerfile::{call, expose, parse, parse_trigger, unsupported};
use builder_core::frontend::SourceFile;

use super::lowered;
use super::words::{diagnosed, variables};

/// All that is done with a file.
pub fn dockerfile(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let source = SourceFile::new(Path::new("Dockerfile"), &text);
    let file = match parse(&source) {
        Ok(file) => file,
        Err(faults) => {
            assert!(!faults.is_empty());
            faults.iter().for_each(|fault| diagnosed(&source, fault));
            return;
        }
    };
    told(&file, &source);
    let (variables, left) = (&variables(), &Cell::new(ALL_VALUES));
    for instruction in file.stages.iter().flat_map(|stage| &stage.instructions) {
        assert!(instruction.span.start <= instruction.span.end);
        assert!(instruction.span.end <= text.len());
        if let InstructionKind::Onbuild(trigger) = &instruction.kind {
            drop(parse_trigger(&SourceFile::new(Path::new("ONBUILD"), &trigger.value)));
        }
        drop(unsupported(&source, instruction));
        expand(&source, &file, instruction, &Within { variables, left });
    }
    lowered::lower_in_every_way(&file, &source);
}

/// What is said of a file without building it.
fn told(file: &Dockerfile, source: &SourceFile) {
    let mut checks = Checks::new(file, source, None);
    checks.default_bases(&[]);
    drop(checks.finish());
    drop(call::targets(file, source).to_string());
    match call::outline(file, source, None, &variables(), &BTreeMap::new()) {
        Ok(outline) => drop(outline.to_string()),
        Err(wrong) => diagnosed(source, &wrong),
    }
}

fn expand(
    source: &SourceFile,
    file: &Dockerfile,
    instruction: &Instruction,
    variables: &Within<'_>,
) {
    let how = Expander::new(file.escape());
    let words: Vec<Word> = match &instruction.kind {
        InstructionKind::Env(pairs) | InstructionKind::Label(pairs) => {
            pairs.iter().flat_map(|pair| [pair.key.clone(), pair.value.clone()]).collect()
        }
        InstructionKind::Expose(words) | InstructionKind::Volume(words) => words.clone(),
        InstructionKind::User(word) | InstructionKind::Workdir(word) => vec![word.clone()],
        InstructionKind::Arg(args) => args.iter().filter_map(|arg| arg.value.clone()).collect(),
        InstructionKind::Copy(copy) => {
            let content = copy.sources.iter().map(|source| match source {
                SourceArg::Heredoc(heredoc) => Word::new(heredoc.chomped(), heredoc.span),
                SourceArg::Path(word) => word.clone(),
            });
            content.chain([copy.dest.clone()]).collect()
        }
        _ => Vec::new(),
    };
    for word in words {
        if let Err(error) = how.word(&word.value, variables) {
            diagnosed(source, &error.diagnostic(source, &word));
        }
        drop(Expander { keep_unset: true, raw_quotes: true, ..how }.word(&word.value, variables));
        drop(Expander::heredoc().word(&word.value, variables));
        for word in how.words(&word.value, variables).map(|it| it.words).unwrap_or_default() {
            drop(expose::ports(&word).map(|ports| ports.names().take(3).count()));
        }
    }
}
