//! Shows nothing: the command prints the digest, and `main` the error.

use builder_core::event::{Event, Sink};

use super::{Ending, View};

/// See the module.
#[derive(Debug)]
pub(super) struct Quiet;

impl Sink for Quiet {
    fn event(&self, _event: Event) {}
}

impl View for Quiet {
    fn close(&self, _ending: &Ending<'_>) {}
}
