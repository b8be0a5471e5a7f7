//! What `explain` says to people.

use std::collections::BTreeMap;

use builder_core::cache::{Cause, Ended, History, PastBuild};
use builder_core::explain::{
    self, Compared, Explained, Looked, LookedAt, NotKnown, Often, PackageUnused, PartChange, Ran,
    Size, Steps, Unused,
};
use builder_core::view::observe::Question;

use super::json::status;
use super::known::known;
use crate::output::{columns, size, visible};

/// Most lines of a list; `--format json` has all.
const SHOWN: usize = 20;
/// Most of a list that is not what was asked for first.
const FEW: usize = 8;

pub(super) fn builds(history: &History) -> String {
    let head = ["BUILD", "ENDED", "IMAGE", "RAN", "REUSED", "CACHED"].map(str::to_owned).to_vec();
    let row = |build: &PastBuild| {
        let count = |ended| build.steps.iter().filter(|step| step.ended == ended).count();
        let image = build.image.map_or_else(|| "failed".to_owned(), |image| image.short());
        let counts = [Ended::Ran, Ended::Reused, Ended::Cached].map(|e| count(e).to_string());
        [vec![build.number.to_string(), time(build.at), image], counts.to_vec()].concat()
    };
    let rows: Vec<_> = std::iter::once(head).chain(history.builds.iter().map(row)).collect();
    let head = ["STEP", "STAGE", "STATUS", "NAME", "WHY"].map(str::to_owned).to_vec();
    let steps = Steps::of(history);
    let steps = steps.iter().map(|which| {
        let step = which.step;
        let (status, number) = (status(step.ended).to_owned(), which.number.to_string());
        vec![number, step.stage.clone(), status, step.name.clone(), step.reason.clone()]
    });
    let steps: Vec<_> = std::iter::once(head).chain(steps).collect();
    let mut text = Text::default();
    text.lines(&columns(&rows));
    text.line("Builds in which nothing happened are not listed.");
    text.gap();
    text.lines(&columns(&steps));
    let often = explain::often(history, &|_| true);
    if !often.is_empty() {
        self::often(&mut text, "steps", &often);
    }
    text.text
}

pub(super) fn step(told: &Explained) -> String {
    let Explained { number, build, at, image: _, step, looked, since, ran, against, often } = told;
    let mounts = looked.as_ref().map(|looked| looked.mounts.clone());
    let mut text = Text { mounts: mounts.unwrap_or_default(), ..Text::default() };
    text.line(&format!("Step {number} of stage {}: {}", step.stage, step.name));
    let status = status(step.ended);
    text.line(&format!("Build {build} ({}): {status}: {}", time(*at), step.reason));
    if let Some(ran_at) = step.ran_at {
        let since = if since == build { String::new() } else { format!(", since build {since}") };
        text.line(&format!("Its result is of {}{since}.", time(ran_at)));
    }
    text.gap();
    match looked {
        Ok(looked) => self::looked(&mut text, looked),
        Err(why) => text.line(not_known(*why)),
    }
    if let Some(ran) = ran {
        self::ran(&mut text, ran);
    }
    if let Some(against) = against {
        compared(&mut text, &format!("Against build {}", against.build), against);
    }
    if !often.is_empty() {
        self::often(&mut text, "it", often);
    }
    text.text
}

/// Lines, none of which can steer a terminal.
#[derive(Default)]
struct Text {
    text: String,
    /// Where trees other than the root are mounted.
    mounts: BTreeMap<u16, String>,
}

impl Text {
    fn line(&mut self, line: &str) {
        if !self.text.is_empty() {
            self.text.push('\n');
        }
        self.text.push_str(visible(line).trim_end());
    }

    fn place(&self, tree: u16, path: &str) -> String {
        match (tree, self.mounts.get(&tree)) {
            (0, _) => path.to_owned(),
            (_, Some(target)) => format!("{path} of the mount at {target}"),
            (_, None) => format!("{path} of a mount"),
        }
    }

    fn told(&self, cause: &Cause) -> String {
        let Cause { tree, path, question, is_new, is_gone } = cause;
        let what = match question {
            _ if *is_new => "is new",
            _ if *is_gone => "is gone",
            Question::Content => "has other content",
            Question::Link => "leads elsewhere",
            Question::List => "holds other names",
            Question::Node => "has another type, size, mode, owner or time",
        };
        format!("{} {what}", self.place(*tree, path))
    }

    /// What `columns` made.
    fn lines(&mut self, block: &str) {
        block.lines().for_each(|line| self.line(line));
    }

    /// The same, indented.
    fn block(&mut self, block: &str) {
        block.lines().for_each(|line| self.line(&format!("  {line}")));
    }

    fn gap(&mut self) {
        self.text.push('\n');
    }
}

fn not_known(why: NotKnown) -> &'static str {
    match why {
        NotKnown::NoProcess => {
            "It is no process: it depends on the words and files that its key names."
        }
        NotKnown::NotEnded => "It did not end well, so what it looked at is not kept.",
        NotKnown::NotWatched => {
            "What it looked at was not recorded: `trace: off`, or no /dev/fuse. It runs again if \
             anything below it changes."
        }
        NotKnown::Removed => "What it looked at was removed from the store since.",
    }
}

fn looked(text: &mut Text, looked: &Looked) {
    let totals = looked.totals();
    let paths = looked.paths.len();
    let noun = if paths == 1 { "path" } else { "paths" };
    text.line(&format!("It looked at {paths} {noun}:"));
    let row = |count: usize, one: &str, many: &str, what: &str| {
        let noun = if count == 1 { one } else { many };
        vec![count.to_string(), format!("{noun} {what}")]
    };
    let bytes = size(totals.read.bytes);
    text.block(&columns(&[
        row(totals.read.paths, "file", "files", &format!("read ({bytes})")),
        row(totals.found, "name", "names", "found, and nothing more asked of it"),
        row(totals.absent, "name", "names", "not there"),
        row(totals.listed, "directory", "directories", "listed"),
        row(totals.links, "link", "links", "followed"),
    ]));
    text.gap();
    let head = ["READ", "SIZE", "FOUND", "ABSENT", "LISTED", "LINKS", "DIRECTORY"];
    let directories = looked.directories();
    let rows = directories.iter().take(SHOWN).map(|directory| {
        let totals = directory.totals;
        let path = text.place(directory.tree, &directory.path.display());
        let counts = [totals.found, totals.absent, totals.listed, totals.links];
        let read = [totals.read.paths.to_string(), size(totals.read.bytes)];
        [read.to_vec(), counts.map(|n| n.to_string()).to_vec(), vec![path]].concat()
    });
    let head = head.map(str::to_owned).to_vec();
    let rows: Vec<_> = std::iter::once(head).chain(rows).collect();
    text.line("By directory, most read first:");
    text.block(&columns(&rows));
    more(text, directories.len(), SHOWN, "directories");
    let read = looked.read();
    if !read.is_empty() {
        text.gap();
        text.line("Largest files read:");
        let row = |at: &&LookedAt| {
            let size = at.size.map_or_else(|| "?".to_owned(), size);
            vec![size, text.place(at.tree, &at.path.display())]
        };
        text.block(&columns(&read.iter().take(FEW).map(row).collect::<Vec<_>>()));
        more(text, read.len(), FEW, "files");
    }
}

fn more(text: &mut Text, all: usize, shown: usize, what: &str) {
    if all > shown {
        text.line(&format!("  … and {} more {what}; --format json has all", all - shown));
    }
}

fn ran(text: &mut Text, ran: &Ran) {
    let Ran { build, at, step, against } = ran;
    text.gap();
    let ended = match step.ended {
        Ended::Failed => " and failed",
        Ended::Stopped => " and was stopped",
        Ended::Ran | Ended::Cached | Ended::Reused => "",
    };
    text.line(&format!("It ran last in build {build} ({}){ended}: {}", time(*at), step.reason));
    let known = against.as_ref().and_then(|against| against.differences.as_ref());
    if known.is_none() && !step.causes.is_empty() {
        text.line("  what it looks at and had changed:");
        for cause in step.causes.iter().take(SHOWN) {
            text.line(&format!("    {}", text.told(cause)));
        }
        more(text, step.causes_in_all, SHOWN.min(step.causes.len()), "paths");
    }
    if let Some(against) = against {
        compared(text, &format!("  against build {}", against.build), against);
    }
}

fn compared(text: &mut Text, title: &str, compared: &Compared) {
    if title.starts_with('A') {
        text.gap();
    }
    let when = time(compared.at);
    if compared.same_execution {
        return text.line(&format!("{title} ({when}): it has the result of the same run"));
    }
    text.line(&format!("{title} ({when}):"));
    for PartChange { name, then, now } in compared.parts.iter().take(SHOWN) {
        let value = |value: &Option<String>| match value {
            Some(value) => format!("`{}`", short(value)),
            None => "nothing".to_owned(),
        };
        text.line(&format!("    {name}: {} then, {} now", value(then), value(now)));
    }
    more(text, compared.parts.len(), SHOWN, "parts");
    let Some(differences) = &compared.differences else {
        return text.line("    what it looked at is not known of both");
    };
    for difference in differences.iter().take(SHOWN) {
        text.line(&format!("    {}", text.told(&Cause::from(difference))));
    }
    more(text, differences.len(), SHOWN, "answers");
    if differences.is_empty() && compared.parts.is_empty() {
        text.line("    all that both looked at is the same");
    }
    let Compared { only_then, only_now, .. } = compared;
    if only_then + only_now > 0 {
        text.line(&format!("    {only_then} paths only looked at then, {only_now} only now"));
    }
}

fn short(value: &str) -> String {
    let line = value.lines().next().unwrap_or_default();
    let cut: String = line.chars().take(60).collect();
    if cut.len() < value.len() { format!("{cut}…") } else { cut }
}

fn often(text: &mut Text, what: &str, often: &[Often]) {
    text.gap();
    text.line(&format!("What made {what} run of late (times, of these alone):"));
    let row = |often: &Often| {
        let path = text.place(often.tree, &often.path);
        vec![often.times.to_string(), often.alone.to_string(), path]
    };
    text.block(&columns(&often.iter().take(FEW).map(row).collect::<Vec<_>>()));
    more(text, often.len(), FEW, "paths");
    let mut told = Vec::new();
    for often in often.iter().filter(|often| often.tree == 0) {
        let Some(known) = known(&often.path).filter(|known| !told.contains(known)) else {
            continue;
        };
        text.line(&format!("  hint: {} is {}: {}", often.path, known.what, known.hint));
        told.push(known);
    }
}

pub(super) fn unused(told: &Unused) -> String {
    let Unused { image, build, watched, unwatched, all, unused, places, layers, packages } = told;
    let mut text = Text::default();
    let percent = (unused.bytes * 100).checked_div(all.bytes).unwrap_or(0);
    text.line(&format!(
        "{}: {} of {} in {} of {} files ({percent} %) were read by no step and no test",
        image.short(),
        size(unused.bytes),
        size(all.bytes),
        unused.files,
        all.files
    ));
    text.line(&format!("  (build {build}; {} steps and tests were watched)", watched.len()));
    for step in unwatched {
        text.line(&format!("  not watched, so what it read is not known: {step}"));
    }
    let share = |unused: &Size, all: &Size| {
        vec![size(unused.bytes), size(all.bytes), format!("{}/{}", unused.files, all.files)]
    };
    let head = |last: &str| ["UNUSED", "OF", "FILES", last].map(str::to_owned).to_vec();
    text.gap();
    let rows = places.iter().take(SHOWN).map(|place| {
        let path = place.path.display();
        let path = match (place.whole, path.as_str()) {
            (true, _) => path,
            (false, "/") => "/* (files in it)".to_owned(),
            (false, _) => format!("{path}/* (files in it)"),
        };
        [share(&place.unused, &place.all), vec![path]].concat()
    });
    text.block(&columns(&std::iter::once(head("PLACE")).chain(rows).collect::<Vec<_>>()));
    more(&mut text, places.len(), SHOWN, "places");
    text.gap();
    let rows = layers.iter().map(|layer| {
        [share(&layer.unused, &layer.all), vec![layer.origin.replace('\n', " ")]].concat()
    });
    text.block(&columns(&std::iter::once(head("LAYER")).chain(rows).collect::<Vec<_>>()));
    if !packages.is_empty() {
        text.gap();
        text.line("Packages of which nothing was read:");
        let row = |package: &PackageUnused| vec![size(package.unused.bytes), package.name.clone()];
        text.block(&columns(&packages.iter().take(SHOWN).map(row).collect::<Vec<_>>()));
        more(&mut text, packages.len(), SHOWN, "packages");
    }
    text.gap();
    text.line(
        "This is a hint: content counts as unused that was found or listed and not read, or that \
         a step wrote and none read after it; what the image reads when it is run, only a test \
         that runs it can tell.",
    );
    text.text
}

fn time(seconds: i64) -> String {
    jiff::Timestamp::from_second(seconds).map_or_else(|_| seconds.to_string(), |t| t.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_is_told_by_what_was_asked() {
        let cause = |tree, question, is_new, is_gone| {
            let mounts = [(2, "/mnt".to_owned())].into();
            let text = Text { mounts, ..Text::default() };
            text.told(&Cause { tree, path: "/a".to_owned(), question, is_new, is_gone })
        };
        assert_eq!(cause(0, Question::Content, false, false), "/a has other content");
        assert_eq!(cause(2, Question::Node, true, false), "/a of the mount at /mnt is new");
        assert_eq!(cause(0, Question::Node, false, true), "/a is gone");
        assert_eq!(cause(0, Question::List, false, false), "/a holds other names");
    }

    #[test]
    fn no_name_can_steer_the_terminal() {
        let mut text = Text::default();
        text.line("a\x1b[2Jb");
        assert_eq!(text.text, "a\u{fffd}[2Jb");
    }
}
