//! The tests: Phoenix and Docker against what was recorded, and the recording.

use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, OnceLock};

use crate::base::Bases;
use crate::buildctl::Buildctl;
use crate::case::{self, Case, Docker};
use crate::converted::{self, Steps};
use crate::docker::OldDocker;
use crate::peer::{Outcome, Peer};
use crate::phoenix::Phoenix;
use crate::served::Served;
use crate::site::Site;
use crate::{compare, differences, record};

/// How many cases are built at the same time.
const WORKERS: usize = 2;

/// How many cases there are at least.
const CASES: usize = 250;

fn dir() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/conformance")
}

fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// Whom to record from: `buildctl:ADDRESS`, `docker`, or `pending` for the list.
fn recording() -> Option<String> {
    variable("PHOENIX_CONFORMANCE_RECORD")
}

/// The cases whose names have the wanted part.
fn cases() -> Vec<Case> {
    let part = variable("PHOENIX_CONFORMANCE_CASES").unwrap_or_default();
    let mut cases = case::all(&dir().join("cases"));
    cases.retain(|case| case.name.contains(&part));
    cases
}

/// Builds cases, some at a time, and gives what `check` says of each.
fn each<'a, T: Send>(
    cases: &[&'a Case],
    peer: &dyn Peer,
    bases: &Bases,
    check: impl Fn(&'a Case, Outcome) -> T + Sync,
) -> Vec<T> {
    each_site(cases, peer, bases, |site, outcome| check(site.case, outcome))
}

/// As [`each`], while the site of the case is still there.
fn each_site<'a, T: Send>(
    cases: &[&'a Case],
    peer: &dyn Peer,
    bases: &Bases,
    check: impl Fn(&Site<'a>, Outcome) -> T + Sync,
) -> Vec<T> {
    let named = |case: &&Case| case.sections.iter().any(|part| part.body.contains("{{REGISTRY}}"));
    let served = Served::start(bases, cases.iter().copied().any(|case| named(&case)));
    let (left, done) = (Mutex::new(cases.iter()), Mutex::new(Vec::new()));
    let work = || {
        loop {
            let next = left.lock().expect("no worker panics").next();
            let Some(case) = next else { return };
            let site = Site::make(case, &served);
            let build = || peer.build(&site, bases);
            let outcome = catch_unwind(AssertUnwindSafe(build));
            let broken = |_| Outcome::from([("panic".to_owned(), "see above\n".to_owned())]);
            let said = check(&site, outcome.unwrap_or_else(broken));
            done.lock().expect("no worker panics").push(said);
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..WORKERS {
            scope.spawn(work);
        }
    });
    done.into_inner().expect("no worker panics")
}

fn pending() -> BTreeSet<String> {
    let text = std::fs::read_to_string(dir().join("pending.txt")).unwrap_or_default();
    let lines = text.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
    lines.map(str::to_owned).collect()
}

/// The cases that have no recipe, each with the reason.
fn refused() -> BTreeMap<String, String> {
    let text = std::fs::read_to_string(dir().join("unconverted.txt")).unwrap_or_default();
    let lines = text.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
    let pair = |line: &str| {
        let (name, why) = line.split_once(": ").expect("a name and a reason");
        (name.to_owned(), why.to_owned())
    };
    lines.map(pair).collect()
}

fn told(failures: Vec<Option<String>>) -> (usize, String) {
    let mut failures: Vec<String> = failures.into_iter().flatten().collect();
    failures.sort();
    (failures.len(), failures.concat())
}

/// What Phoenix made of a case.
struct Made {
    name: String,
    /// What is not as it was recorded.
    differs: Option<String>,
    /// What came of it as a recipe, where it is an image.
    converted: Option<Result<Steps, String>>,
}

/// What Phoenix makes of all cases, once for all tests; `None` where that cannot be.
fn made() -> Option<&'static [Made]> {
    static MADE: OnceLock<Option<Vec<Made>>> = OnceLock::new();
    let make = || {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let bases = Bases::make(dir.path())?;
        let (cases, phoenix) = (cases(), Phoenix::new());
        let all: Vec<&Case> = cases.iter().collect();
        let check = |site: &Site<'_>, outcome: Outcome| {
            let is_image = outcome.contains_key("config");
            let again = || converted::converted(&phoenix, site, &bases);
            let again = || {
                let broken = |_| Err("it panics, see above".to_owned());
                catch_unwind(AssertUnwindSafe(again)).unwrap_or_else(broken)
            };
            Made {
                name: site.case.name.clone(),
                differs: compare::differs(site.case, "phoenix", &outcome),
                converted: is_image.then(again),
            }
        };
        Some(each_site(&all, &phoenix, &bases, check))
    };
    MADE.get_or_init(make).as_deref()
}

#[test]
fn phoenix_makes_of_every_case_what_was_recorded_from_the_peer() {
    let pending = pending();
    match recording().as_deref() {
        None => {
            let Some(made) = made() else { return };
            let check = |made: &Made| match (&made.differs, pending.contains(&made.name)) {
                (Some(differs), false) => Some(format!("{}\n{differs}\n", made.name)),
                (None, true) => {
                    Some(format!("{}\npasses: it is to leave pending.txt\n", made.name))
                }
                _ => None,
            };
            let (count, failures) = told(made.iter().map(check).collect());
            assert!(count == 0, "{count} of {} cases:\n{failures}", made.len());
        }
        Some("pending") => {
            let dir = tempfile::tempdir().expect("a temporary directory");
            let Some(bases) = Bases::make(dir.path()) else { return };
            let cases = cases();
            let all: Vec<&Case> = cases.iter().collect();
            let failing = |case: &'_ Case, outcome| {
                compare::differs(case, "phoenix", &outcome).map(|_| format!("{}\n", case.name))
            };
            let (_, names) = told(each(&all, &Phoenix::new(), &bases, failing));
            std::fs::write(self::dir().join("pending.txt"), names).expect("it can be written");
        }
        Some(_) => {}
    }
}

#[test]
fn the_recipe_of_every_case_makes_the_same_layers_and_config() {
    if recording().is_some() {
        return;
    }
    let Some(made) = made() else { return };
    let refused = refused();
    let (mut steps, mut images) = (Steps::default(), 0);
    let mut failures = Vec::new();
    for Made { name, converted, .. } in made {
        match (converted, refused.contains_key(name)) {
            (Some(Ok(own)), false) => {
                images += 1;
                steps.stood += own.stood;
                steps.ran += own.ran;
            }
            (Some(Ok(_)), true) => {
                let told = format!("{name}\nis the same: it is to leave unconverted.txt\n");
                failures.push(Some(told));
            }
            (Some(Err(why)), false) => failures.push(Some(format!("{name}\n{why}\n"))),
            (None, true) => failures.push(Some(format!("{name}\nmakes no image\n"))),
            _ => {}
        }
    }
    let Steps { stood, ran } = steps;
    eprintln!("{images} recipes: {stood} steps stood by what Dockerfiles had made, {ran} ran");
    let (count, failures) = told(failures);
    assert!(count == 0, "{count} of {} cases:\n{failures}", made.len());
}

#[test]
fn docker_makes_of_every_case_that_it_knows_what_was_recorded() {
    if recording().is_some() {
        return;
    }
    let dir = tempfile::tempdir().expect("a temporary directory");
    let Some(bases) = Bases::make(dir.path()) else { return };
    let Some(docker) = OldDocker::start(&bases) else { return };
    let cases = cases();
    let asked: Vec<&Case> = cases.iter().filter(|case| case.docker == Docker::Asked).collect();
    let check = |case: &Case, outcome| {
        let differs = compare::differs(case, "docker", &outcome)?;
        Some(format!("{}\n{differs}\n", case.name))
    };
    let (count, failures) = told(each(&asked, &docker, &bases, check));
    assert!(count == 0, "{count} of {} cases:\n{failures}", asked.len());
}

#[test]
fn expectations_are_recorded_where_that_is_asked_for() {
    let Some(from) = recording().filter(|from| from != "pending") else { return };
    let dir = tempfile::tempdir().expect("a temporary directory");
    let Some(bases) = Bases::make(dir.path()) else { return };
    let peer: Box<dyn Peer> = match from.split_once(':') {
        Some(("buildctl", address)) => Box::new(Buildctl::at(address)),
        _ => Box::new(OldDocker::start(&bases).expect("a Docker to record from")),
    };
    let cases = cases();
    let all: Vec<&Case> = cases.iter().collect();
    let version = peer.version();
    each(&all, peer.as_ref(), &bases, |case, outcome| record::write(case, &version, &outcome));
}

#[test]
fn cases_are_many_and_each_has_a_title_and_a_recorded_expectation() {
    if recording().is_some() {
        return;
    }
    let cases = case::all(&dir().join("cases"));
    let mut titles: BTreeMap<&str, &str> = BTreeMap::new();
    for case in &cases {
        let name = case.name.as_str();
        assert!(!case.title.is_empty(), "{name} has no title");
        let other = titles.insert(&case.title, name);
        assert!(other.is_none(), "{name} and {other:?} have one title");
        assert!(case.recorded.is_some() && !case.expect.is_empty(), "{name} is not recorded");
        assert!(!case.expect.contains_key("panic"), "{name} was not recorded whole");
        for (who, which) in &case.differs {
            assert!(differences::of(who, which).count() == 1, "{name}: differs {who} {which}");
        }
        let error = case.expect.get("error").map(|text| text.to_lowercase());
        assert!(error.is_some() != case.words.is_empty(), "{name}: words go with an error");
        for word in &case.words {
            let said = error.as_ref().is_some_and(|error| error.contains(&word.to_lowercase()));
            assert!(said, "{name}: the peer did not say `{word}`");
        }
    }
    assert!(cases.len() >= CASES, "{} cases", cases.len());
    let names: BTreeSet<_> = cases.iter().map(|case| case.name.clone()).collect();
    let unknown: Vec<_> = pending().difference(&names).cloned().collect();
    assert!(unknown.is_empty(), "pending.txt names {unknown:?}");
    let refused = refused();
    let unknown: Vec<_> = refused.keys().filter(|name| !names.contains(*name)).collect();
    assert!(unknown.is_empty(), "unconverted.txt names {unknown:?}");
}
