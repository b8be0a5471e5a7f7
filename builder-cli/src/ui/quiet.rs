//! Shows nothing but what a failed step said: the command prints the digest,
//! and `main` the error.

use builder_core::event::{Event, Sink};

use super::text::Lines;
use super::{Ending, View};
use crate::output;

/// See the module.
#[derive(Debug)]
pub(super) struct Quiet;

impl Sink for Quiet {
    fn event(&self, _event: Event) {}
}

impl View for Quiet {
    fn close(&self, ending: &Ending<'_>) {
        if let Ending::Failed { output: said, .. } = ending {
            let mut lines = Lines::default();
            let whole = lines.push(said);
            whole.iter().chain(&lines.finish()).for_each(|line| output::complain(line));
        }
    }
}
