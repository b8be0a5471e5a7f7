//! Never a wrong reuse: random recipes over random bases and contexts, edited
//! at random. Whatever earlier builds left in the store, a build gives the
//! image that it gives in a store that knows nothing.
//!
//! A case is a seed. `PHOENIX_REUSE_CASES=10000` tries more of them,
//! `PHOENIX_REUSE_FIRST=501` others, `PHOENIX_REUSE_SEED=7` one. Those with
//! heavy tools are run by hand: `-- --ignored heavy`. What fails is
//! made as small as it can be, and told with the paths that differ. A world
//! that does not give the same twice in an empty store says nothing of reuse,
//! and is counted apart.

mod case;
mod edit;
mod forget;
mod heavy;
mod scene;
mod shrink;
mod tree;
mod words;
mod world;

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use self::case::{Case, Tally, Verdict};
use self::scene::Kit;
use crate::exec_support::skip;
use crate::oracle::number;

/// Cases that failed once.
const REGRESSIONS: &[u64] = &[];

/// Failures after which there is no point in going on.
const ENOUGH: usize = 5;

/// What all cases together showed.
#[derive(Debug, Default)]
struct Shown {
    cases: usize,
    tally: Tally,
    unsteady: Vec<u64>,
    wrong: Vec<String>,
}

fn all(seeds: &[u64], kit: &Kit, heavy: bool) -> Shown {
    let shown = Mutex::new(Shown::default());
    let next = AtomicUsize::new(0);
    let work = || {
        while let Some(seed) = seeds.get(next.fetch_add(1, Ordering::Relaxed)) {
            let (case, mut tally) = (Case::new(*seed, heavy), Tally::default());
            if seeds.len() == 1 {
                eprintln!("{}", shrink::told(&case));
            }
            let verdict = case.judge(kit, &mut tally);
            let wrong = match &verdict {
                Verdict::Wrong(why) => {
                    let (small, why) = shrink::shrink(case, why.clone(), kit);
                    Some(format!("seed {seed}\n{}\n{why}", shrink::told(&small)))
                }
                _ => None,
            };
            let mut shown = shown.lock().expect("no thread panics here");
            shown.cases += 1;
            shown.tally.add(tally);
            if shown.cases.is_multiple_of(500) {
                eprintln!("{} cases: {:?}", shown.cases, shown.tally);
            }
            if let Verdict::Unsteady(why) = verdict {
                eprintln!("seed {seed} gives now this, now that: {why}");
                shown.unsteady.push(*seed);
            }
            if let Some(wrong) = wrong {
                eprintln!("WRONG: {wrong}");
                shown.wrong.push(wrong);
            }
            if shown.wrong.len() >= ENOUGH {
                return;
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(work);
        }
    });
    shown.into_inner().expect("no thread panicked")
}

/// `None` (said loudly) where no step can run.
fn kit() -> Option<Kit> {
    if std::fs::OpenOptions::new().read(true).write(true).open("/dev/fuse").is_err() {
        skip("/dev/fuse cannot be opened");
        return None;
    }
    let kit = Kit::light();
    if kit.is_none() {
        skip("no static busybox (busybox-static) or no C compiler");
    }
    kit
}

#[test]
fn what_is_reused_is_what_a_build_in_an_empty_store_makes() {
    let Some(kit) = kit() else { return };
    check(&all(&seeds(300), &kit, false));
}

#[test]
#[ignore = "makes a Debian first, and takes seconds a case"]
fn what_heavy_tools_made_is_reused_where_it_is_what_they_would_make() {
    let Some(kit) = Kit::heavy() else {
        return skip("no mmdebstrap, no mirror or no C compiler");
    };
    check(&all(&seeds(30), &kit, true));
}

#[test]
fn steps_that_run_ahead_make_what_they_make_in_order() {
    let Some(kit) = kit() else { return };
    let mut counted = 0;
    let seeds = seeds(40);
    for seed in &seeds {
        let case = Case { jobs: 2, ..Case::new(*seed, false) };
        let (verdict, ahead) = case.ahead(&kit);
        counted += ahead;
        // What differs from itself now and then says nothing.
        if let Verdict::Wrong(_) = &verdict
            && let (Verdict::Wrong(why), _) = case.ahead(&kit)
        {
            panic!("seed {seed}\n{}\n{why}", shrink::told(&case));
        }
    }
    eprintln!("{counted} steps ran ahead");
    assert!(seeds.len() < 20 || counted > 0, "none runs ahead");
}

/// As many as there are to be, or the one that is wanted.
fn seeds(cases: u64) -> Vec<u64> {
    if let Some(seed) = number("PHOENIX_REUSE_SEED") {
        return vec![seed];
    }
    let first = number("PHOENIX_REUSE_FIRST").unwrap_or(1);
    let cases = number("PHOENIX_REUSE_CASES").unwrap_or(cases);
    REGRESSIONS.iter().copied().chain(first..first + cases).collect()
}

fn check(shown: &Shown) {
    eprintln!("{} cases, {:?}, unsteady: {:?}", shown.cases, shown.tally, shown.unsteady);
    assert!(shown.wrong.is_empty(), "{}", shown.wrong.join("\n\n"));
    let Tally { reused, ran, builds, failed, .. } = shown.tally;
    // Else it would prove nothing.
    let enough = shown.cases < 100 || reused * 3 > ran && failed * 4 < builds;
    assert!(enough, "hardly anything is reused: {:?}", shown.tally);
    assert!(shown.unsteady.len() * 8 < shown.cases.max(50), "{:?}", shown.unsteady);
}
