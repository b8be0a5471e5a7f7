//! Errors as people read them: excerpts of recipes, chains of causes, hints.
//!
//! In: a [`CliError`], and where the store is. Out: text that ends without a newline. A step's error
//! knows only the place of the step, so its line is read from the recipe again.

use std::error::Error;
use std::path::Path;

use builder_core::dockerfile::Warning;
use builder_core::error::Error as EngineError;
use builder_core::frontend::{Class, Diagnostic};
use builder_core::plan::Location;
use builder_core::solve::StepError;
use console::{Style, measure_text_width};

use crate::error::CliError;
use crate::files;
use crate::hints::hints;
use crate::output::visible;

/// More of a line is not shown.
const LONGEST_LINE: usize = 400;

/// The error with its causes and what to do about it.
pub(crate) fn render(error: &CliError, colour: bool, store: Option<&Path>) -> String {
    let paint = Paint::new(colour);
    if let CliError::Recipe { diagnostics } = error {
        let mut texts: Vec<_> = diagnostics.iter().map(|d| excerpt(d, &paint)).collect();
        if diagnostics.len() > 1 {
            texts.push(format!("{} {} mistakes", paint.error("error:"), diagnostics.len()));
        }
        return texts.join("\n\n");
    }
    let mut lines = Vec::new();
    for (at, cause) in chain(error).into_iter().enumerate() {
        lines.push(match (at, location(error)) {
            (0, Some(place)) => excerpt(&placed(cause, place), &paint),
            (0, None) => format!("{} {}", paint.error("error:"), lines_of(&cause)),
            _ => format!("  because: {}", lines_of(&cause)),
        });
    }
    lines.extend(hints(error, store).iter().map(|hint| format!("{} {hint}", paint.help("hint:"))));
    lines.join("\n")
}

/// What a check found, on one line.
pub(crate) fn warning(warning: &Warning) -> String {
    let Warning { rule, detail, location, .. } = warning;
    format!("{}:{}: {rule}: {}", location.file.display(), location.line, lines_of(detail))
}

/// The messages of an error and of its causes. One that a message above
/// already ends with is left out.
pub(crate) fn chain(error: &dyn Error) -> Vec<String> {
    let mut messages: Vec<String> = vec![error.to_string()];
    let mut cause = error.source();
    while let Some(error) = cause {
        let message = error.to_string();
        if !messages.last().is_some_and(|last| last.ends_with(&message)) {
            messages.push(message);
        }
        cause = error.source();
    }
    messages
}

/// Where the recipe says what failed.
pub(crate) fn location(error: &CliError) -> Option<&Location> {
    step(error).and_then(|step| step.location.as_ref())
}

/// All that the step said that failed.
pub(crate) fn output(error: &CliError) -> &[u8] {
    step(error).map(|step| step.output.as_slice()).unwrap_or_default()
}

fn step(error: &CliError) -> Option<&StepError> {
    match error {
        CliError::Engine(error) => match &**error {
            EngineError::Step { error, .. } => Some(error),
            _ => None,
        },
        _ => None,
    }
}

/// The message with the line at `place`, as far as the file is still there.
fn placed(message: String, place: &Location) -> Diagnostic {
    let text = files::read_text(&place.file).unwrap_or_default();
    let line = text.lines().nth(place.line as usize - 1).unwrap_or_default();
    let marked = line.trim_end().chars().count().saturating_sub(place.column as usize - 1);
    Diagnostic {
        message,
        location: Some(place.clone()),
        source_line: line.chars().take(LONGEST_LINE).collect(),
        width: u32::try_from(marked.clamp(1, LONGEST_LINE)).expect("it is small"),
        label: None,
        help: None,
        class: Class::Invalid,
    }
}

/// A message may have lines, and names of others in them.
fn lines_of(message: &str) -> String {
    message.split('\n').map(visible).collect::<Vec<_>>().join("\n")
}

struct Paint {
    error: Style,
    place: Style,
    help: Style,
}

impl Paint {
    fn new(colour: bool) -> Self {
        let style = |style: Style| style.for_stderr().force_styling(colour);
        Self {
            error: style(Style::new().red().bold()),
            place: style(Style::new().blue().bold()),
            help: style(Style::new().cyan().bold()),
        }
    }
    fn error(&self, text: &str) -> String {
        self.error.apply_to(text).to_string()
    }
    fn place(&self, text: &str) -> String {
        self.place.apply_to(text).to_string()
    }
    fn help(&self, text: &str) -> String {
        self.help.apply_to(text).to_string()
    }
}

/// A diagnostic with the line it is about, in the manner of rustc.
fn excerpt(diagnostic: &Diagnostic, paint: &Paint) -> String {
    let Diagnostic { message, location, source_line, width, label, help, class: _ } = diagnostic;
    let mut lines = vec![format!("{} {}", paint.error("error:"), lines_of(message))];
    let mut margin = String::new();
    if let Some(at) = location {
        let number = at.line.to_string();
        margin = " ".repeat(number.len());
        let arrow = paint.place("-->");
        lines.push(format!("{margin}{arrow} {}:{}:{}", at.file.display(), at.line, at.column));
        // A file that is gone since has no line to show.
        if !source_line.is_empty() {
            let last = at.line as usize + source_line.matches('\n').count();
            margin = " ".repeat(last.to_string().len());
            lines.push(format!("{margin} {}", paint.place("|")));
            for (line, number) in source_line.split('\n').zip(at.line..) {
                let number = format!("{number:>width$}", width = margin.len());
                let shown =
                    format!("{} {} {}", paint.place(&number), paint.place("|"), visible(line));
                lines.push(shown.trim_end().to_owned());
            }
        }
        // Of several lines all is meant.
        if !source_line.is_empty() && !source_line.contains('\n') {
            let before: String = source_line.chars().take(at.column as usize - 1).collect();
            let marked: String =
                source_line.chars().skip(at.column as usize - 1).take(*width as usize).collect();
            let indent = " ".repeat(measure_text_width(&visible(&before)));
            let carets = "^".repeat(measure_text_width(&visible(&marked)).max(1));
            let label = label.as_deref().map(|label| format!(" {label}")).unwrap_or_default();
            let carets = paint.error(&format!("{carets}{label}"));
            lines.push(format!("{margin} {} {indent}{carets}", paint.place("|")));
        }
    }
    if let Some(help) = help {
        let mark = paint.place("=");
        lines.push(format!("{margin} {mark} {} {help}", paint.help("help:")));
    }
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use builder_core::frontend::SourceFile;

    use super::*;

    fn plain(diagnostic: Diagnostic) -> String {
        render(&CliError::Recipe { diagnostics: vec![diagnostic] }, false, None)
    }

    #[test]
    fn mistake_is_marked_in_its_line_with_help() {
        let source = SourceFile::new(Path::new("recipe.yaml"), "from: x\nstepss:\n  - run: a\n");
        let diagnostic = source
            .diagnostic((8..14).into(), "unknown key `stepss`")
            .label("not known here")
            .help("did you mean `steps`?");
        insta::assert_snapshot!(plain(diagnostic), @r"
        error: unknown key `stepss`
         --> recipe.yaml:2:1
          |
        2 | stepss:
          | ^^^^^^ not known here
          = help: did you mean `steps`?
        ");
    }

    #[test]
    fn caret_stands_right_after_tabs_and_wide_characters() {
        let text = "\t漢字: bad";
        let source = SourceFile::new(Path::new("r"), text);
        let at = text.find("bad").expect("it is there");
        let shown = plain(source.diagnostic((at..at + 3).into(), "no"));
        let lines: Vec<_> = shown.lines().collect();
        let column =
            |line: &str, what: &str| measure_text_width(&line[..line.find(what).expect("there")]);
        assert_eq!(column(lines[3], "bad"), column(lines[4], "^^^"));
    }

    #[test]
    fn mistake_of_several_lines_shows_them_all() {
        let text = "FROM a\n".repeat(8) + "RUN b \\\n  c\n";
        let source = SourceFile::new(Path::new("Dockerfile"), &text);
        let diagnostic = source.diagnostic_of_lines((56..66).into(), "no").help("say `d`");
        insta::assert_snapshot!(plain(diagnostic), @r"
        error: no
         --> Dockerfile:9:1
           |
         9 | RUN b \
        10 |   c
           = help: say `d`
        ");
    }

    #[test]
    fn mistake_without_a_place_has_no_excerpt() {
        let shown = plain(Diagnostic::unplaced("no param `x`").help("it has `y`"));
        assert_eq!(shown, "error: no param `x`\n = help: it has `y`");
    }

    #[test]
    fn several_mistakes_are_all_shown_and_counted() {
        let diagnostics = vec![Diagnostic::unplaced("one"), Diagnostic::unplaced("two")];
        let shown = render(&CliError::Recipe { diagnostics }, false, None);
        assert_eq!(shown, "error: one\n\nerror: two\n\nerror: 2 mistakes");
    }

    #[test]
    fn the_line_of_a_failed_step_is_read_again_and_may_be_gone() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let file = std::sync::Arc::new(dir.path().join("recipe.yaml"));
        let place = Location { file: file.clone(), line: 2, column: 5 };
        let shown = |place| {
            let text = excerpt(&placed("step `x` failed".to_owned(), place), &Paint::new(false));
            text.replace(&dir.path().display().to_string(), "")
        };
        assert_eq!(shown(&place), "error: step `x` failed\n --> /recipe.yaml:2:5");
        std::fs::write(&*file, "steps:\n  - run: make  \n").expect("it can be written");
        insta::assert_snapshot!(shown(&place), @r"
        error: step `x` failed
         --> /recipe.yaml:2:5
          |
        2 |   - run: make
          |     ^^^^^^^^^
        ");
    }

    #[test]
    fn causes_follow_and_none_is_said_twice() {
        #[derive(Debug, thiserror::Error)]
        #[error("outer: {0}")]
        struct Outer(#[source] std::io::Error);
        let io = || std::io::Error::other("inner");
        assert_eq!(chain(&Outer(io())), ["outer: inner"]);
        let error = CliError::File { action: "reading", path: "f".into(), source: io() };
        assert_eq!(render(&error, false, None), "error: reading f\n  because: inner");
    }

    #[test]
    fn no_name_in_a_message_steers_the_terminal() {
        let error = CliError::NoImage { name: "a\x1b[2J\u{9b}b".to_owned() };
        assert!(!render(&error, false, None).contains(['\x1b', '\u{9b}']));
    }

    #[test]
    fn colours_are_used_only_where_asked() {
        let error = CliError::NoStore;
        assert!(render(&error, true, None).contains('\x1b'));
        assert!(!render(&error, false, None).contains('\x1b'));
    }
}
