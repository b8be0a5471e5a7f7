//! Mutated files must neither panic nor hang anything here.

use std::collections::BTreeMap;
use std::path::Path;

use super::ast::*;
use super::expand::Expander;
use super::lint::Checks;
use super::*;
use crate::mutate::{as_it_is, hammer};

/// Files that were found wanting, and some with all that the language has.
const SEEDS: [&str; 4] = [
    include_str!("../../../tests/fixtures/dockerfile/every_instruction"),
    include_str!("../../../tests/fixtures/dockerfile/heredocs"),
    include_str!("../../../tests/fixtures/dockerfile/variables"),
    include_str!("../../../tests/fixtures/dockerfile/odd"),
];

fn seeds() -> Vec<Vec<u8>> {
    SEEDS.iter().map(|text| text.as_bytes().to_vec()).collect()
}

fn variables() -> BTreeMap<String, String> {
    let pairs = [("A", "a b"), ("B", ""), ("PATH", "/bin:/x*y"), ("X", "x/y/x"), ("P", "*/")];
    pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).into()
}

/// All that is done with a file but lowering it.
fn use_up(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let source = SourceFile::new(Path::new("Dockerfile"), &text);
    let file = match parse(&source) {
        Ok(file) => file,
        Err(faults) => {
            assert!(!faults.is_empty());
            return;
        }
    };
    let variables = variables();
    let mut checks = Checks::new(&file, &source, None);
    checks.default_bases(&[]);
    drop(checks.finish());
    drop(call::targets(&file, &source).to_string());
    if let Ok(outline) = call::outline(&file, &source, None, &variables, &BTreeMap::new()) {
        drop(outline.to_string());
    }
    for instruction in file.stages.iter().flat_map(|stage| &stage.instructions) {
        assert!(instruction.span.start <= instruction.span.end);
        assert!(instruction.span.end <= text.len());
        if let InstructionKind::Onbuild(trigger) = &instruction.kind {
            drop(parse_trigger(&SourceFile::new(Path::new("ONBUILD"), &trigger.value)));
        }
        drop(unsupported(&source, instruction));
        expand(&source, &file, instruction, &variables);
    }
}

fn expand(
    source: &SourceFile,
    file: &Dockerfile,
    instruction: &Instruction,
    variables: &BTreeMap<String, String>,
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
            assert!(word.value.is_char_boundary(error.at.start), "{error:?}");
            drop(error.diagnostic(source, &word));
        }
        drop(Expander { keep_unset: true, raw_quotes: true, ..how }.word(&word.value, variables));
        drop(Expander::heredoc().word(&word.value, variables));
        for word in how.words(&word.value, variables).map(|it| it.words).unwrap_or_default() {
            drop(expose::ports(&word).map(|ports| ports.names().take(3).count()));
        }
    }
}

#[test]
fn files_that_are_mutated_are_read_or_refused() {
    hammer("dockerfile", &seeds(), &as_it_is, &use_up);
}

#[test]
fn words_that_are_mutated_are_expanded_or_refused() {
    let lines = SEEDS[2].lines().map(|line| line.as_bytes().to_vec());
    let variables = variables();
    hammer("dockerfile-word", &lines.collect::<Vec<_>>(), &as_it_is, &|bytes| {
        let text = String::from_utf8_lossy(bytes);
        for how in [Expander::new('\\'), Expander::new('`'), Expander::heredoc()] {
            if let Ok(expanded) = how.word(&text, &variables) {
                // What asks for nothing and has no quotes stays as it is.
                let plain = !text.contains(['$', '\'', '"', '\\', '`']);
                assert!(!plain || expanded.text == text);
            }
            drop(Expander { keep_unset: true, raw_escapes: true, ..how }.words(&text, &variables));
        }
    });
}
