//! The comments of a Dockerfile, by what they stand above.

use std::collections::BTreeMap;

use crate::frontend::SourceFile;

/// What a file says to its readers.
pub(super) struct Comments {
    /// At its top, where that is not about the first instruction.
    pub(super) head: Vec<String>,
    /// By the line below them.
    pub(super) above: BTreeMap<u32, Vec<String>>,
}

/// Comments are whole lines; directives to the parser are none.
pub(super) fn of(source: &SourceFile) -> Comments {
    let mut comments = Comments { head: Vec::new(), above: BTreeMap::new() };
    let mut block: Vec<String> = Vec::new();
    let mut top = true;
    for (number, line) in (1..).zip(source.text().lines()) {
        let line = line.trim();
        match line.strip_prefix('#') {
            Some(comment) if !(top && block.is_empty() && is_directive(comment)) => {
                let comment = comment.strip_prefix(' ').unwrap_or(comment).trim_end();
                // YAML has no others.
                block.push(comment.replace(|c: char| c.is_control() || c == '\u{feff}', " "));
            }
            Some(_) => {}
            None => {
                let block = std::mem::take(&mut block);
                match (top, line.is_empty()) {
                    (true, true) => comments.head.extend(block),
                    (_, false) if !block.is_empty() => {
                        comments.above.insert(number, block);
                    }
                    _ => {}
                }
                top &= line.is_empty() && comments.head.is_empty();
            }
        }
    }
    comments
}

fn is_directive(comment: &str) -> bool {
    let Some((name, _)) = comment.split_once('=') else { return false };
    ["syntax", "escape", "check"].iter().any(|known| name.trim().eq_ignore_ascii_case(known))
}
