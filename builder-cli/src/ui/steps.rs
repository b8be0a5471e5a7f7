//! The steps of a build as the views count them, and what each has written.
//!
//! A step's whole output is kept until it ends well: in memory up to a
//! mebibyte, then in an unnamed temporary file, so that any amount can be
//! shown again when it fails.

use std::collections::HashMap;
use std::io::{self, BufRead, BufReader, Seek, Write};
use std::time::Duration;

use builder_core::digest::VertexId;
use builder_core::event::{PlannedVertex, Stream};
use tempfile::SpooledTempFile;

use super::text::Lines;

const IN_MEMORY: usize = 1 << 20;

/// One step.
#[derive(Debug)]
pub(super) struct Step {
    /// Its number, from 1, in the order of the plan.
    pub(super) number: usize,
    /// What it is called.
    pub(super) name: String,
    /// When it began, since the build's beginning.
    pub(super) started: Duration,
    /// Whether its name was shown.
    pub(super) shown: bool,
    /// Whether a line that it wrote was shown.
    pub(super) said: bool,
    /// Whether another step's lines stand between those that it wrote.
    pub(super) torn: bool,
    /// When progress was shown last.
    pub(super) told: Option<Duration>,
    stdout: Lines,
    stderr: Lines,
    transcript: Option<SpooledTempFile>,
}

impl Step {
    fn new(number: usize, name: String) -> Self {
        Self {
            number,
            name,
            started: Duration::ZERO,
            shown: false,
            said: false,
            torn: false,
            told: None,
            stdout: Lines::default(),
            stderr: Lines::default(),
            transcript: None,
        }
    }

    /// Takes output and gives the lines that it completes.
    pub(super) fn output(&mut self, stream: Stream, bytes: &[u8]) -> Vec<String> {
        let lines = match stream {
            Stream::Stdout => self.stdout.push(bytes),
            Stream::Stderr => self.stderr.push(bytes),
        };
        self.keep(&lines);
        lines
    }

    /// The lines that never saw their end.
    pub(super) fn rest(&mut self) -> Vec<String> {
        let lines: Vec<String> =
            self.stdout.finish().into_iter().chain(self.stderr.finish()).collect();
        self.keep(&lines);
        lines
    }

    /// A full temporary directory costs the repetition, not the build.
    fn keep(&mut self, lines: &[String]) {
        if lines.is_empty() {
            return;
        }
        let file = self.transcript.get_or_insert_with(|| SpooledTempFile::new(IN_MEMORY));
        for line in lines {
            let _ = writeln!(file, "{line}");
        }
    }

    /// Forgets what it wrote.
    pub(super) fn forget(&mut self) {
        self.transcript = None;
    }

    /// Gives each line that it wrote, from the first.
    pub(super) fn repeat(
        &mut self,
        mut each: impl FnMut(&str) -> io::Result<()>,
    ) -> io::Result<()> {
        let Some(mut file) = self.transcript.take() else { return Ok(()) };
        file.rewind()?;
        BufReader::new(file).lines().try_for_each(|line| each(&line?))
    }
}

/// All steps.
#[derive(Debug, Default)]
pub(super) struct Steps {
    by_id: HashMap<VertexId, Step>,
    /// How many there are.
    pub(super) planned: usize,
    /// How many have ended.
    pub(super) ended: usize,
}

impl Steps {
    /// Numbers the steps of a plan.
    pub(super) fn plan(&mut self, vertices: Vec<PlannedVertex>) {
        let several = vertices.iter().any(|v| v.stage != vertices[0].stage);
        for vertex in vertices {
            let name = if several && !vertex.stage.is_empty() {
                format!("[{}] {}", vertex.stage, first_line(&vertex.name))
            } else {
                first_line(&vertex.name)
            };
            self.planned += 1;
            let number = self.planned;
            self.by_id.entry(vertex.id).or_insert_with(|| Step::new(number, name));
        }
    }

    /// The step of that id; one that no plan named gets the next number.
    pub(super) fn step(&mut self, id: VertexId) -> &mut Step {
        self.by_id.entry(id).or_insert_with(|| {
            self.planned += 1;
            Step::new(self.planned, id.short())
        })
    }
}

/// The first line of a name, cut where it is long.
fn first_line(name: &str) -> String {
    const LONGEST: usize = 100;
    let mut lines = name.lines().filter(|line| !line.trim().is_empty());
    let first = super::text::clean(lines.next().unwrap_or_default().trim().as_bytes());
    let more = lines.next().is_some() || first.chars().count() > LONGEST;
    let cut: String = first.chars().take(LONGEST).collect();
    if more { format!("{cut} …") } else { cut }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn output_beyond_memory_is_repeated_whole() {
        let mut step = Step::new(1, "s".to_owned());
        let line = [b'x'; 1023];
        for _ in 0..2048 {
            step.output(Stream::Stdout, &line);
            step.output(Stream::Stdout, b"\n");
        }
        step.output(Stream::Stderr, b"end");
        assert_eq!(step.rest(), ["end"]);
        let mut count = 0;
        step.repeat(|_| {
            count += 1;
            Ok(())
        })
        .expect("a temporary file can be read again");
        assert_eq!(count, 2049);
    }

    #[test]
    fn names_are_one_line() {
        assert_eq!(first_line("run `make`"), "run `make`");
        assert_eq!(first_line("\n  a\n  b"), "a …");
        assert_eq!(first_line(&"y".repeat(200)).chars().count(), 102);
    }
}
