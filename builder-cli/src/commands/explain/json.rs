//! The JSON of `explain`, for programs. Fields may be added; none is renamed or
//! taken away. Times are seconds since the Unix epoch, digests `algorithm:hex`.
//!
//! | of | object |
//! |---|---|
//! | builds | `builds`: `[{build, at, image or null, steps: [PAST]}]`, the newest first, `often`: `[OFTEN]` of all steps |
//! | PAST | `stage`, `name`, `work`: `process`, `test`, `files` or `source`, `status`: `cached`, `reused`, `ran`, `failed` or `stopped`, `reason`, `causes`: `[CHANGE]` (the first few), `causes_in_all`, `ran_at` or null, `duration_ms`, `layer` or null, `execution` |
//! | CHANGE | `tree` (0 is the root, the others are mounts), `path`, `question`: `node`, `list`, `link` or `content`, `change`: `new`, `gone` or `changed` |
//! | a step | `number`, `build`, `at`, `image` or null, `since` (a build), `step`: PAST, `looked`: LOOKED, `ran`: `{build, at, step: PAST, against: COMPARED or null}` or null, `against`: COMPARED or null, `often`: `[OFTEN]` |
//! | OFTEN | `tree`, `path`, `questions`, `times` (that a step ran and this had changed), `alone` (of these, that it was all that had), `steps`, `what` (it is well known to be) or null, `hint` or null |
//! | LOOKED | `known`, and if so `totals`: TOTALS, `mounts`: `[{tree, target}]`, `directories`: `[{tree, path, totals: TOTALS}]`, `paths`: `[{tree, path, asked: [QUESTION], found or null, size or null}]`; else `why`: `no-process`, `not-ended`, `not-watched` or `removed` |
//! | TOTALS | `read`: `{paths, bytes}`, `found`, `absent`, `listed`, `links` |
//! | COMPARED | `build`, `at`, `execution`, `same_execution`, `parts`: `[{name, then or null, now or null}]`, `differences`: `[CHANGE]` or null where the answers are not known, `only_then`, `only_now` |
//! | `--unused` | `image`, `build`, `watched`, `unwatched`: names, `all`, `unused`: SIZE, `places`: `[{path, whole, unused: SIZE, all: SIZE}]`, `layers`: `[{layer, origin, unused: SIZE, all: SIZE}]`, `packages`: `[{name, unused: SIZE}]` |
//! | SIZE | `bytes`, `files` |

use builder_core::cache::{Cause, Ended, History, PastBuild, PastStep, Work};
use builder_core::explain::{
    self, Compared, DirectoryLooked, Explained, LayerUnused, Looked, LookedAt, NotKnown, Often,
    PackageUnused, PartChange, PlaceUnused, Ran, Size, Totals, Unused,
};
use builder_core::view::observe::{Difference, Question};
use serde_json::{Value, json};

use super::known::known;

pub(super) fn builds(history: &History) -> Value {
    let build = |build: &PastBuild| {
        let PastBuild { number, at, image, steps } = build;
        let steps: Vec<Value> = steps.iter().map(past).collect();
        json!({ "build": number, "at": at, "image": image, "steps": steps })
    };
    let often = explain::often(history, &|_| true);
    json!({
        "builds": history.builds.iter().map(build).collect::<Vec<_>>(),
        "often": often.iter().map(self::often).collect::<Vec<_>>(),
    })
}

pub(super) fn step(told: &Explained) -> Value {
    let Explained { number, build, at, image, step, looked, since, ran, against, often } = told;
    let ran = ran.as_ref().map(|ran| {
        let Ran { build, at, step, against } = ran;
        let against = against.as_ref().map(compared);
        json!({ "build": build, "at": at, "step": past(step), "against": against })
    });
    json!({
        "number": number,
        "build": build,
        "at": at,
        "image": image,
        "since": since,
        "step": past(step),
        "looked": self::looked(looked),
        "ran": ran,
        "against": against.as_ref().map(compared),
        "often": often.iter().map(self::often).collect::<Vec<_>>(),
    })
}

fn past(step: &PastStep) -> Value {
    let PastStep {
        stage,
        name,
        position: _, // the order tells it
        work,
        key,
        ended,
        reason,
        causes,
        causes_in_all,
        ran_at,
        duration_ms,
        layer,
        on: _, // of the image's layers
        saw,
    } = step;
    let execution = saw.as_ref().map_or(*key, |saw| saw.execution);
    json!({
        "stage": stage,
        "name": name,
        "work": work_word(*work),
        "status": status(*ended),
        "reason": reason,
        "causes": causes.iter().map(cause).collect::<Vec<_>>(),
        "causes_in_all": causes_in_all,
        "ran_at": ran_at,
        "duration_ms": duration_ms,
        "layer": layer,
        "execution": execution,
    })
}

fn work_word(work: Work) -> &'static str {
    match work {
        Work::Process => "process",
        Work::Test => "test",
        Work::Files => "files",
        Work::Source => "source",
    }
}

/// The word for what became of a step, here and for people.
pub(super) fn status(ended: Ended) -> &'static str {
    match ended {
        Ended::Cached => "cached",
        Ended::Reused => "reused",
        Ended::Ran => "ran",
        Ended::Failed => "failed",
        Ended::Stopped => "stopped",
    }
}

fn cause(cause: &Cause) -> Value {
    let Cause { tree, path, question, is_new, is_gone } = cause;
    change(*tree, path, *question, (*is_new, *is_gone))
}

fn difference(difference: &Difference) -> Value {
    let Difference { tree, path, question, is_new, is_gone } = difference;
    change(*tree, &path.display(), *question, (*is_new, *is_gone))
}

fn change(tree: u16, path: &str, question: Question, (is_new, is_gone): (bool, bool)) -> Value {
    let change = match (is_new, is_gone) {
        (true, _) => "new",
        (_, true) => "gone",
        (false, false) => "changed",
    };
    json!({ "tree": tree, "path": path, "question": question, "change": change })
}

fn looked(looked: &Result<Looked, NotKnown>) -> Value {
    let looked = match looked {
        Ok(looked) => looked,
        Err(why) => {
            let why = match why {
                NotKnown::NoProcess => "no-process",
                NotKnown::NotEnded => "not-ended",
                NotKnown::NotWatched => "not-watched",
                NotKnown::Removed => "removed",
            };
            return json!({ "known": false, "why": why });
        }
    };
    let directory = |directory: DirectoryLooked| {
        let DirectoryLooked { tree, path, totals } = directory;
        json!({ "tree": tree, "path": path.display(), "totals": self::totals(totals) })
    };
    let mount = |(tree, target): (&u16, &String)| json!({ "tree": tree, "target": target });
    let path = |at: &LookedAt| {
        let LookedAt { tree, path, asked, found, size } = at;
        let asked: Vec<Question> = asked.questions().collect();
        json!({ "tree": tree, "path": path.display(), "asked": asked, "found": found, "size": size })
    };
    json!({
        "known": true,
        "totals": totals(looked.totals()),
        "mounts": looked.mounts.iter().map(mount).collect::<Vec<_>>(),
        "directories": looked.directories().into_iter().map(directory).collect::<Vec<_>>(),
        "paths": looked.paths.iter().map(path).collect::<Vec<_>>(),
    })
}

fn totals(totals: Totals) -> Value {
    let Totals { read, found, absent, listed, links } = totals;
    json!({
        "read": { "paths": read.paths, "bytes": read.bytes },
        "found": found, "absent": absent, "listed": listed, "links": links,
    })
}

fn compared(compared: &Compared) -> Value {
    let Compared { build, at, execution, same_execution, parts, differences, only_then, only_now } =
        compared;
    let part = |part: &PartChange| {
        let PartChange { name, then, now } = part;
        json!({ "name": name, "then": then, "now": now })
    };
    let differences = differences.as_ref().map(|all| all.iter().map(difference).collect());
    json!({
        "build": build,
        "at": at,
        "execution": execution,
        "same_execution": same_execution,
        "parts": parts.iter().map(part).collect::<Vec<_>>(),
        "differences": differences.map(Value::Array),
        "only_then": only_then,
        "only_now": only_now,
    })
}

fn often(often: &Often) -> Value {
    let Often { tree, path, questions, times, alone, steps } = often;
    let known = known(path).filter(|_| *tree == 0);
    json!({
        "tree": tree, "path": path, "questions": questions, "times": times, "alone": alone,
        "steps": steps, "what": known.map(|known| known.what), "hint": known.map(|known| known.hint),
    })
}

pub(super) fn unused(told: &Unused) -> Value {
    let Unused { image, build, watched, unwatched, all, unused, places, layers, packages } = told;
    let place = |place: &PlaceUnused| {
        json!({
            "path": place.path.display(), "whole": place.whole,
            "unused": size(place.unused), "all": size(place.all),
        })
    };
    let layer = |layer: &LayerUnused| {
        json!({
            "layer": layer.layer, "origin": layer.origin,
            "unused": size(layer.unused), "all": size(layer.all),
        })
    };
    let package =
        |package: &PackageUnused| json!({ "name": package.name, "unused": size(package.unused) });
    json!({
        "image": image,
        "build": build,
        "watched": watched,
        "unwatched": unwatched,
        "all": size(*all),
        "unused": size(*unused),
        "places": places.iter().map(place).collect::<Vec<_>>(),
        "layers": layers.iter().map(layer).collect::<Vec<_>>(),
        "packages": packages.iter().map(package).collect::<Vec<_>>(),
    })
}

fn size(size: Size) -> Value {
    json!({ "bytes": size.bytes, "files": size.files })
}
