//! What a build looks like while it runs.
//!
//! In: [`Event`](builder_core::event::Event)s. Out: lines on standard error
//! (`plain`), a redrawn view there (`tty`), JSON lines (`json`), or nothing
//! (`quiet`). Nothing here decides anything about a build. Layers that are brought
//! in or away look like steps.

mod harmless;
mod json;
mod plain;
mod quiet;
mod steps;
mod text;
mod tty;

use std::io::{self, Write};
use std::sync::Arc;
use std::time::{Duration, Instant};

use builder_core::event::Sink;
use builder_core::plan::Location;

use crate::args::Progress;
use crate::settings::Terminal;

/// A way to show a build.
pub(crate) trait View: Sink {
    /// The build is over; nothing more will be told.
    fn close(&self, ending: &Ending<'_>);
}

/// How a build ended.
#[derive(Debug)]
pub(crate) enum Ending<'a> {
    /// There is an image.
    Built(&'a Built),
    /// An image was brought in or away.
    Transferred {
        /// `pulled` or `pushed`.
        what: &'static str,
        /// The last line for people.
        sentence: &'a str,
        /// `{name, digest, tags}`.
        image: &'a serde_json::Value,
    },
    /// There is none.
    Failed {
        /// The exit code.
        exit: u8,
        /// The error and its causes, outermost first.
        chain: &'a [String],
        /// What to do about it.
        hints: &'a [String],
        /// All that the failed step said.
        output: &'a [u8],
        /// Where the recipe says what failed.
        place: Option<&'a Location>,
    },
}

/// What the last line tells.
#[derive(Debug, Clone)]
pub(crate) struct Built {
    /// Digest of the manifest.
    pub(crate) digest: String,
    /// Digest of the config.
    pub(crate) config_digest: String,
    /// Names.
    pub(crate) tags: Vec<String>,
    /// How many steps stood.
    pub(crate) cached: usize,
    /// How many stood although their input changed.
    pub(crate) reused: usize,
    /// How many ran.
    pub(crate) ran: usize,
}

impl Built {
    /// The last line for people.
    fn sentence(&self, took: Duration) -> String {
        let name =
            if self.tags.is_empty() { String::new() } else { format!("{} ", self.tags.join(", ")) };
        let Self { digest, cached, reused, ran, .. } = self;
        let took = text::seconds(took);
        format!("built {name}{digest} in {took}: {cached} cached, {reused} reused, {ran} ran")
    }
}

/// Time since a build's beginning; tests give their own.
type Clock = Box<dyn Fn() -> Duration + Send + Sync>;

/// Makes the view for `progress`. JSON lines go to standard error where
/// standard output is taken by an image; what cannot be redrawn is lines.
pub(crate) fn view(progress: Progress, terminal: Terminal, stdout_taken: bool) -> Arc<dyn View> {
    let started = Instant::now();
    let clock: Clock = Box::new(move || started.elapsed());
    let lines: Box<dyn Write + Send> =
        if stdout_taken { Box::new(io::stderr()) } else { Box::new(io::stdout()) };
    match progress {
        Progress::Auto | Progress::Tty if terminal.redraw => {
            Arc::new(tty::Tty::new(terminal.colour, clock))
        }
        Progress::Auto | Progress::Tty | Progress::Plain => {
            Arc::new(plain::Plain::new(Box::new(io::stderr()), clock))
        }
        Progress::Json => Arc::new(json::Json::new(lines, clock)),
        Progress::Quiet => Arc::new(quiet::Quiet),
    }
}
