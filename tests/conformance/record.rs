//! Writes what a peer makes of a case into the file of the case. All above the
//! expectation stays as it is.

use std::fmt::Write as _;

use crate::case::Case;
use crate::peer::Outcome;

/// Writes `outcome` in the place of the expectation of a case.
pub(crate) fn write(case: &Case, version: &str, outcome: &Outcome) {
    let text = std::fs::read_to_string(&case.file).expect("it was read before");
    let end = text.find("\n-- expect ").map_or(text.len(), |at| at + 1);
    let mut written = String::new();
    let mut told = false;
    for line in text[..end].split_inclusive('\n') {
        if line.starts_with("-- ") && !told {
            writeln!(written, "recorded: {version}").expect("a string takes all");
            told = true;
        }
        if told || !line.starts_with("recorded: ") {
            written.push_str(line);
        }
    }
    for (section, body) in outcome {
        write!(written, "-- expect {section} --\n{body}").expect("a string takes all");
        if !body.ends_with('\n') && !body.is_empty() {
            written.push('\n');
        }
    }
    std::fs::write(&case.file, written).expect("a case can be written");
}
