//! Lines for logs, in the manner of BuildKit's plain progress:
//!
//! ```text
//! #1 debian bookworm
//! #1 CACHED same as in the last build
//! #2 run `make`
//! #2 because `Makefile` differs
//! #2 0.41 cc -c main.c
//! #2 DONE 1.2s
//! #3 test `app --version`
//! #3 FAILED 0.1s: exit code 1
//! ```
//!
//! Where lines of parallel steps have torn the output of a failed step apart,
//! it stands once more, whole.

use std::io::{self, Write};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use builder_core::event::{Event, Sink, Status, Trial, Unit};

use super::harmless::harmless;
use super::steps::{Step, Steps};
use super::text::seconds;
use super::{Clock, Ending, View};
use crate::output::size;

/// Between two lines of progress of one step.
const PROGRESS_EVERY: Duration = Duration::from_secs(5);

/// See the module.
pub(super) struct Plain {
    clock: Clock,
    state: Mutex<State>,
}

struct State {
    out: Box<dyn Write + Send>,
    steps: Steps,
    /// The step that wrote the last line.
    last: usize,
}

impl Plain {
    /// A view that writes to `out`.
    pub(super) fn new(out: Box<dyn Write + Send>, clock: Clock) -> Self {
        Self { clock, state: Mutex::new(State { out, steps: Steps::default(), last: 0 }) }
    }
}

impl Sink for Plain {
    fn event(&self, event: Event) {
        let now = (self.clock)();
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let event = harmless(event);
        // A log that cannot be written must not end the build.
        let _ = state.event(event, now);
    }
}

impl View for Plain {
    fn close(&self, ending: &Ending<'_>) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let _ = match ending {
            Ending::Built(built) => writeln!(state.out, "{}", built.sentence((self.clock)())),
            Ending::Transferred { sentence, .. } => writeln!(state.out, "{sentence}"),
            Ending::Failed { .. } => Ok(()),
        };
        let _ = state.out.flush();
    }
}

impl State {
    fn event(&mut self, event: Event, now: Duration) -> io::Result<()> {
        let Self { out, steps, last } = self;
        match event {
            Event::Planned { vertices } => steps.plan(vertices),
            Event::Started { vertex, reason } => {
                let step = steps.step(vertex);
                step.started = now;
                *last = step.number;
                head(out, step)?;
                writeln!(out, "#{} because {reason}", step.number)?;
            }
            Event::Ahead { vertex, trial } => {
                let step = steps.step(vertex);
                head(out, step)?;
                let what = match trial {
                    Trial::Began => "runs ahead of the steps above it",
                    Trial::Taken => "ran ahead, and saw what it sees now",
                };
                writeln!(out, "#{} {what}", step.number)?;
            }
            Event::Progress { vertex, what, done, total, unit } => {
                let step = steps.step(vertex);
                if step.told.is_none_or(|told| now.saturating_sub(told) >= PROGRESS_EVERY) {
                    step.told = Some(now);
                    *last = step.number;
                    head(out, step)?;
                    writeln!(out, "#{} {what} {}", step.number, amount(done, total, unit))?;
                }
            }
            Event::Output { vertex, stream, bytes } => {
                let step = steps.step(vertex);
                let lines = step.output(stream, &bytes);
                said(out, step, &lines, now, last)?;
            }
            Event::Warning { vertex, message } => match vertex {
                Some(vertex) => {
                    let step = steps.step(vertex);
                    *last = step.number;
                    head(out, step)?;
                    writeln!(out, "#{} warning: {message}", step.number)?;
                }
                None => writeln!(out, "warning: {message}")?,
            },
            Event::Finished { vertex, status, reason, duration, layer: _ } => {
                let step = steps.step(vertex);
                let rest = step.rest();
                said(out, step, &rest, now, last)?;
                *last = step.number;
                ended(out, step, &status, &reason, duration)?;
                steps.ended += 1;
            }
            Event::Exporting { what } => writeln!(out, "exporting {what}")?,
        }
        out.flush()
    }
}

fn head(out: &mut dyn Write, step: &mut Step) -> io::Result<()> {
    if !std::mem::replace(&mut step.shown, true) {
        writeln!(out, "#{} {}", step.number, step.name)?;
    }
    Ok(())
}

/// Writes lines of a step, and notes whether another step's came between.
fn said(
    out: &mut dyn Write,
    step: &mut Step,
    lines: &[String],
    now: Duration,
    last: &mut usize,
) -> io::Result<()> {
    if lines.is_empty() {
        return Ok(());
    }
    step.torn |= step.said && *last != step.number;
    step.said = true;
    *last = step.number;
    let at = now.saturating_sub(step.started).as_secs_f64();
    lines.iter().try_for_each(|line| writeln!(out, "#{} {at:.2} {line}", step.number))
}

fn ended(
    out: &mut dyn Write,
    step: &mut Step,
    status: &Status,
    reason: &str,
    took: Duration,
) -> io::Result<()> {
    let took = seconds(took);
    let number = step.number;
    if *status != Status::Canceled {
        head(out, step)?;
    }
    match status {
        Status::Cached if reason.is_empty() => writeln!(out, "#{number} CACHED")?,
        Status::Cached => writeln!(out, "#{number} CACHED {reason}")?,
        Status::Reused => writeln!(out, "#{number} REUSED {reason}")?,
        Status::Ran => writeln!(out, "#{number} DONE {took}")?,
        Status::Canceled if step.shown => writeln!(out, "#{number} CANCELED")?,
        Status::Canceled => {}
        Status::Failed(error) => {
            writeln!(out, "#{number} FAILED {took}: {error}")?;
            if step.torn {
                writeln!(out, "------\n > {}:", step.name)?;
                step.repeat(|line| writeln!(out, "{line}"))?;
                writeln!(out, "------")?;
            }
        }
    }
    step.forget();
    Ok(())
}

/// `3 of 17`, `1.2 MB of 3.4 MB`.
pub(super) fn amount(done: u64, total: Option<u64>, unit: Unit) -> String {
    let show = |n| match unit {
        Unit::Bytes => size(n),
        Unit::Items => n.to_string(),
    };
    match total {
        Some(total) => format!("{} of {}", show(done), show(total)),
        None => show(done),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering};

    use builder_core::digest::VertexId;
    use builder_core::event::{PlannedVertex, Stream};

    use super::*;

    #[derive(Clone, Default)]
    struct Shared(Arc<Mutex<Vec<u8>>>);

    impl Write for Shared {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().expect("no test panics while it writes").write(bytes)
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn vertex(n: u8) -> VertexId {
        VertexId::from_bytes([n; 32])
    }

    /// What the view shows of `events`, of which each is 100 ms later.
    fn shown(events: Vec<Event>) -> String {
        let out = Shared::default();
        let ticks = AtomicU64::new(0);
        let clock = move || Duration::from_millis(100 * ticks.fetch_add(1, Ordering::Relaxed));
        let view = Plain::new(Box::new(out.clone()), Box::new(clock));
        let planned = |n: u8, name: &str| PlannedVertex {
            id: vertex(n),
            name: name.to_owned(),
            stage: "main".to_owned(),
        };
        let vertices = vec![planned(1, "debian bookworm"), planned(2, "run `make`")];
        view.event(Event::Planned { vertices });
        events.into_iter().for_each(|event| view.event(event));
        String::from_utf8(out.0.lock().expect("unlocked").clone()).expect("text")
    }

    fn finished(n: u8, status: Status, reason: &str) -> Event {
        Event::Finished {
            vertex: vertex(n),
            status,
            reason: reason.to_owned(),
            duration: Duration::from_millis(1200),
            layer: None,
        }
    }

    fn output(n: u8, text: &str) -> Event {
        Event::Output { vertex: vertex(n), stream: Stream::Stdout, bytes: text.into() }
    }

    #[test]
    fn failed_step_is_repeated_whole_after_the_torn_log() {
        let text = shown(vec![
            Event::Started { vertex: vertex(1), reason: "there is no earlier result".to_owned() },
            Event::Started { vertex: vertex(2), reason: "`Makefile` differs".to_owned() },
            output(2, "cc a.c\ncc "),
            output(1, "downloading\n"),
            output(2, "b.c\nerror: no ;"),
            finished(2, Status::Failed("exit code 2".to_owned()), ""),
            finished(1, Status::Canceled, ""),
        ]);
        insta::assert_snapshot!(text, @r"
        #1 debian bookworm
        #1 because there is no earlier result
        #2 run `make`
        #2 because `Makefile` differs
        #2 0.10 cc a.c
        #1 0.30 downloading
        #2 0.30 cc b.c
        #2 0.40 error: no ;
        #2 FAILED 1.2s: exit code 2
        ------
         > run `make`:
        cc a.c
        cc b.c
        error: no ;
        ------
        #1 CANCELED
        ");
    }

    #[test]
    fn output_that_nothing_tore_apart_is_shown_once() {
        let text = shown(vec![
            output(2, "cc a.c\n"),
            finished(1, Status::Ran, ""),
            output(2, "error"),
            finished(2, Status::Failed("exit code 2".to_owned()), ""),
        ]);
        assert_eq!(text.matches("cc a.c").count(), 2, "{text}");
        let text = shown(vec![
            finished(1, Status::Ran, ""),
            Event::Started { vertex: vertex(2), reason: "it is new".to_owned() },
            output(2, "cc a.c\n"),
            output(2, "error"),
            finished(2, Status::Failed("exit code 2".to_owned()), ""),
        ]);
        assert!(text.ends_with("cc a.c\n#2 0.30 error\n#2 FAILED 1.2s: exit code 2\n"), "{text}");
        assert_eq!(text.matches("cc a.c").count(), 1, "{text}");
    }

    #[test]
    fn cached_step_takes_two_lines_and_one_that_never_began_takes_none() {
        let text = shown(vec![
            finished(1, Status::Cached, "same as before"),
            finished(2, Status::Canceled, ""),
        ]);
        assert_eq!(text, "#1 debian bookworm\n#1 CACHED same as before\n");
    }

    #[test]
    fn progress_is_told_seldom() {
        let progress = |done| Event::Progress {
            vertex: vertex(1),
            what: "downloading".to_owned(),
            done,
            total: Some(3_000_000),
            unit: Unit::Bytes,
        };
        let text = shown((0..60).map(|n| progress(n * 50_000)).collect());
        assert_eq!(
            text,
            "#1 debian bookworm\n#1 downloading 0 B of 3.0 MB\n#1 downloading 2.5 MB of 3.0 MB\n"
        );
    }
}
