//! `kill -9` at any moment of a build: the next build is right, and nothing of
//! the killed one is left.

use std::process::Stdio;
use std::time::Instant;

use crate::workload::{Place, Random};

/// Kills that many builds, each in a fresh store at a random moment, and builds
/// again.
fn killed(place: &Place, times: usize) {
    place.digest("warm-up");
    let begun = Instant::now();
    let right = place.digest("undisturbed");
    let whole = begun.elapsed();
    let mut random = Random::seeded();
    for number in 0..times {
        let store = format!("killed-{number}");
        let mut command = place.build(&store, &["--progress=plain"]);
        let mut child =
            command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("phoenix starts");
        let moment = random.part(whole);
        std::thread::sleep(moment);
        child.kill().and_then(|()| child.wait()).expect("it was ours");
        assert_eq!(place.digest(&store), right, "killed after {moment:?}");
        place.nothing_left(&store);
        place.store_is_whole(&store);
        std::fs::remove_dir_all(place.path(&store)).expect("ours");
    }
}

#[test]
fn killed_at_random_moments_the_next_build_is_right_and_nothing_is_left() {
    let Some(place) = Place::with_base() else { return };
    place.whole_recipe();
    killed(&place, 38);
}

#[test]
fn killed_as_an_ordinary_user_with_subordinate_ids_nothing_is_left_either() {
    let Some(place) = Place::with_base() else { return };
    place.whole_recipe();
    let Some(place) = place.of_user() else { return };
    killed(&place, 12);
}
