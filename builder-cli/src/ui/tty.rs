//! A view that is redrawn: each running step with its timer and the last
//! lines it wrote, bars for downloads, and a summary line below. What ended
//! scrolls away above.
//!
//! Limitations: a step's whole output is shown only when it fails.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use builder_core::digest::VertexId;
use builder_core::event::{Event, Sink, Status, Trial, Unit};
use console::Style;
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::harmless::harmless;
use super::plain::amount;
use super::steps::Steps;
use super::text::seconds;
use super::{Clock, Ending, View};

/// How many lines of a running step's output are seen.
const TAIL: usize = 3;
const REDRAW: Duration = Duration::from_millis(100);

/// See the module.
pub(super) struct Tty {
    clock: Clock,
    bars: MultiProgress,
    paint: Paint,
    state: Mutex<State>,
}

struct State {
    steps: Steps,
    running: HashMap<VertexId, Running>,
    summary: ProgressBar,
}

struct Running {
    bar: ProgressBar,
    tail: VecDeque<String>,
    progress: Option<String>,
}

/// Colours, or none.
struct Paint {
    good: Style,
    bad: Style,
    faint: Style,
    warn: Style,
}

impl Paint {
    fn new(colour: bool) -> Self {
        let style = |style: Style| style.for_stderr().force_styling(colour);
        Self {
            good: style(Style::new().green()),
            bad: style(Style::new().red().bold()),
            faint: style(Style::new().dim()),
            warn: style(Style::new().yellow()),
        }
    }
}

impl Tty {
    /// A view on standard error.
    pub(super) fn new(colour: bool, clock: Clock) -> Self {
        Self::on(ProgressDrawTarget::stderr_with_hz(15), colour, clock)
    }

    fn on(target: ProgressDrawTarget, colour: bool, clock: Clock) -> Self {
        let bars = MultiProgress::with_draw_target(target);
        let summary = bars.add(ProgressBar::new_spinner());
        summary.set_style(style("{msg} {elapsed}"));
        summary.set_message("preparing");
        summary.enable_steady_tick(REDRAW);
        let state = State { steps: Steps::default(), running: HashMap::new(), summary };
        Self { clock, bars, paint: Paint::new(colour), state: Mutex::new(state) }
    }

    fn print(&self, text: &str) {
        let _ = self.bars.println(text);
    }

    /// Shows a step that runs; a trial of it is shown no more.
    fn began(&self, state: &mut State, vertex: VertexId, now: Duration, why: &str) {
        let name = state.steps.step(vertex).name.clone();
        state.steps.step(vertex).started = now;
        let bar = self.bars.insert_before(&state.summary, ProgressBar::new_spinner());
        bar.set_style(style("{spinner} {prefix} {elapsed}{msg}"));
        bar.set_prefix(fit(&name, 14));
        bar.set_message(format!("\n    {}", fit(why, 6)));
        bar.enable_steady_tick(REDRAW);
        let running = Running { bar, tail: VecDeque::new(), progress: None };
        if let Some(trial) = state.running.insert(vertex, running) {
            trial.bar.finish_and_clear();
            self.bars.remove(&trial.bar);
        }
    }

    fn finished(
        &self,
        state: &mut State,
        id: VertexId,
        status: &Status,
        reason: &str,
        took: Duration,
    ) {
        if let Some(running) = state.running.remove(&id) {
            running.bar.finish_and_clear();
            self.bars.remove(&running.bar);
        }
        let Paint { good, bad, faint, .. } = &self.paint;
        let step = state.steps.step(id);
        step.rest();
        let (name, took) = (&step.name, seconds(took));
        match status {
            Status::Cached => {
                let why = faint.apply_to(format!("cached {reason}"));
                self.print(&format!("{} {name} {why}", good.apply_to("=")));
            }
            Status::Reused => {
                let why = faint.apply_to(format!("reused {reason}"));
                self.print(&format!("{} {name} {why}", good.apply_to("=")));
            }
            Status::Ran => {
                self.print(&format!("{} {name} {}", good.apply_to("✓"), faint.apply_to(took)));
            }
            Status::Canceled => {}
            Status::Failed(error) => {
                let name = name.clone();
                self.print(&format!("{} {name} {took}: {error}", bad.apply_to("✗")));
                let _ = step.repeat(|line| {
                    self.print(&format!("  {line}"));
                    Ok(())
                });
            }
        }
        step.forget();
        state.steps.ended += 1;
    }
}

impl Sink for Tty {
    fn event(&self, event: Event) {
        let now = (self.clock)();
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        match harmless(event) {
            Event::Planned { vertices } => state.steps.plan(vertices),
            Event::Started { vertex, reason } => {
                self.began(&mut state, vertex, now, &format!("because {reason}"));
            }
            Event::Ahead { vertex, trial: Trial::Began } => {
                self.began(&mut state, vertex, now, "ahead of the steps above it");
            }
            Event::Ahead { vertex: _, trial: Trial::Taken } => {}
            Event::Progress { vertex, what, done, total, unit } => {
                if let Some(running) = state.running.get_mut(&vertex) {
                    running.progress = Some(progress(&what, done, total, unit));
                    running.redraw();
                }
            }
            Event::Output { vertex, stream, bytes } => {
                let lines = state.steps.step(vertex).output(stream, &bytes);
                if let Some(running) = state.running.get_mut(&vertex) {
                    running.tail.extend(lines);
                    let excess = running.tail.len().saturating_sub(TAIL);
                    running.tail.drain(..excess);
                    running.redraw();
                }
            }
            Event::Warning { vertex: _, message } => {
                self.print(&format!("{} {message}", self.paint.warn.apply_to("warning:")));
            }
            Event::Finished { vertex, status, reason, duration, layer: _ } => {
                self.finished(&mut state, vertex, &status, &reason, duration);
            }
            Event::Exporting { what } => self.print(&format!("exporting {what}")),
        }
        state.summary.set_message(format!("[{}/{}]", state.steps.ended, state.steps.planned));
    }
}

impl View for Tty {
    fn close(&self, ending: &Ending<'_>) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        for (_, running) in state.running.drain() {
            running.bar.finish_and_clear();
        }
        state.summary.finish_and_clear();
        let sentence = match ending {
            Ending::Built(built) => built.sentence((self.clock)()),
            Ending::Transferred { sentence, .. } => (*sentence).to_owned(),
            Ending::Failed { .. } => return,
        };
        self.print(&self.paint.good.apply_to(sentence).to_string());
    }
}

impl Running {
    fn redraw(&self) {
        let lines = self.progress.iter().chain(&self.tail);
        let message: String = lines.map(|line| format!("\n    {}", fit(line, 6))).collect();
        self.bar.set_message(message);
    }
}

/// `downloading [=====>    ] 1.2 MB of 3.4 MB`.
fn progress(what: &str, done: u64, total: Option<u64>, unit: Unit) -> String {
    const WIDTH: u64 = 24;
    let amount = amount(done, total, unit);
    let Some(total) = total.filter(|&total| total > 0) else { return format!("{what} {amount}") };
    let full = (u128::from(done.min(total)) * u128::from(WIDTH) / u128::from(total)) as usize;
    let bar = "=".repeat(full) + &" ".repeat(WIDTH as usize - full);
    format!("{what} [{bar}] {amount}")
}

/// Cuts `line` so that with `other` columns beside it it stays on one row.
fn fit(line: &str, other: usize) -> String {
    let width = usize::from(console::Term::stderr().size().1);
    let line = line.replace('\t', "    ");
    console::truncate_str(&line, width.saturating_sub(other).max(10), "…").into_owned()
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).expect("templates are constants that the tests run")
}

#[cfg(test)]
mod tests {
    use builder_core::event::Stream;
    use indicatif::InMemoryTerm;

    use super::*;

    #[test]
    fn running_step_shows_its_last_lines_and_a_finished_one_scrolls_away() {
        let term = InMemoryTerm::new(20, 80);
        let target = ProgressDrawTarget::term_like_with_hz(Box::new(term.clone()), 200);
        let view = Tty::on(target, false, Box::new(|| Duration::ZERO));
        let vertex = VertexId::from_bytes([1; 32]);
        let (name, stage) = ("run `make`".to_owned(), "main".to_owned());
        let planned = builder_core::event::PlannedVertex { id: vertex, name, stage };
        view.event(Event::Planned { vertices: vec![planned] });
        view.event(Event::Started { vertex, reason: "new".to_owned() });
        let bytes = b"1\n2\n3\n4\x1b[2J\n".to_vec();
        view.event(Event::Output { vertex, stream: Stream::Stdout, bytes });
        std::thread::sleep(Duration::from_millis(250));
        let shown = term.contents();
        assert!(shown.contains("run `make`") && shown.contains("[0/1]"), "{shown}");
        assert!(shown.contains("\n    2\n    3\n    4") && !shown.contains("    1"), "{shown}");
        let (status, duration) = (Status::Ran, Duration::from_secs(2));
        let reason = String::new();
        view.event(Event::Finished { vertex, status, reason, duration, layer: None });
        view.close(&Ending::Failed { exit: 1, chain: &[], hints: &[], output: b"", place: None });
        assert_eq!(term.contents(), "✓ run `make` 2.0s");
    }

    #[test]
    fn bar_is_in_proportion_and_survives_wrong_totals() {
        assert_eq!(progress("x", 5, None, Unit::Items), "x 5");
        assert!(progress("x", 1, Some(2), Unit::Items).contains(&format!("[{}", "=".repeat(12))));
        assert!(progress("x", 9, Some(2), Unit::Items).contains(&"=".repeat(24)));
        assert_eq!(progress("x", 0, Some(0), Unit::Items), "x 0 of 0");
    }
}
