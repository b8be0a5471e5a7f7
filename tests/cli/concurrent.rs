//! Several builds in one store at the same time: each is as if it were alone.

use std::process::{Child, Stdio};

use crate::phoenix::said;
use crate::workload::{Over, Place};

fn start(place: &Place, recipe: &str, tag: &str) -> Child {
    let args = ["--store", "s", "build", "ctx", "-f", recipe, "-t", tag, "-q"];
    let mut command = place.command(&args);
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("phoenix starts")
}

fn alone(place: &Place, recipe: &str) -> String {
    let said = place.run(&["--store", "alone", "build", "ctx", "-f", recipe, "-q"]);
    assert_eq!(said.code, Some(0), "{said:?}");
    said.stdout.trim().to_owned()
}

fn end(child: Child) -> String {
    let said = said(child.wait_with_output().expect("ours"));
    assert_eq!(said.code, Some(0), "{said:?}");
    said.stdout.trim().to_owned()
}

/// Three recipes that share a base and some steps.
fn recipes(place: &Place) -> [String; 3] {
    place.whole_recipe();
    let other =
        "from: {rootfs: base.tar}\nsteps:\n  - copy: [app/, /src/]\n  - run: cat /src/f1 > /";
    place.write("ctx/b.yaml", &format!("{other}b\n"));
    place.write("ctx/c.yaml", &format!("{other}c\n"));
    ["ctx/recipe.yaml", "ctx/b.yaml", "ctx/c.yaml"].map(str::to_owned)
}

#[test]
fn equal_and_different_builds_at_once_in_a_new_store_are_all_right() {
    let Some(place) = Place::with_base() else { return };
    let recipes = recipes(&place);
    let right = recipes.each_ref().map(|recipe| alone(&place, recipe));
    for round in 0..3 {
        let running: Vec<_> = [0, 0, 1, 2]
            .iter()
            .enumerate()
            .map(|(at, which)| (*which, start(&place, &recipes[*which], &format!("t{at}:{round}"))))
            .collect();
        for (which, child) in running {
            assert_eq!(end(child), right[which]);
        }
        let images = place.run(&["--store", "s", "images"]).stdout;
        for at in 0..4 {
            assert!(images.contains(&format!("t{at}:{round}")), "{images}");
        }
        place.store_is_whole("s");
        place.nothing_left("s");
        if round == 1 {
            std::fs::remove_dir_all(place.path("s")).expect("a new store for the last round");
        } else {
            let removed = place.run(&["--store", "s", "rm", "t0:0", "t1:0"]);
            assert!(removed.code == Some(0) || round > 0, "{removed:?}");
            assert_eq!(place.run(&["--store", "s", "prune", "--all"]).code, Some(0));
        }
    }
}

#[test]
fn pruning_all_the_time_takes_nothing_from_builds_that_run() {
    let Some(place) = Place::with_base() else { return };
    let recipes = recipes(&place);
    let right = recipes.each_ref().map(|recipe| alone(&place, recipe));
    let over = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        let pruned_until = Over(&over);
        let pruning = scope.spawn(|| {
            let mut times = 0;
            while !over.load(std::sync::atomic::Ordering::Relaxed) {
                let all = if times % 2 == 0 { "--all" } else { "--force" };
                let said = place.run(&["--store", "s", "prune", all]);
                assert_eq!(said.code, Some(0), "{said:?}");
                times += 1;
            }
            times
        });
        for round in 0..3 {
            let running: Vec<_> = [0, 1]
                .map(|which| (which, start(&place, &recipes[which], &format!("t{which}:{round}"))))
                .into();
            for (which, child) in running {
                assert_eq!(end(child), right[which]);
            }
        }
        drop(pruned_until);
        assert!(pruning.join().expect("pruning is fine") > 0);
    });
    place.store_is_whole("s");
    for tag in ["t0:2", "t1:2"] {
        let file = if tag.starts_with("t0") { "/app/made" } else { "/b" };
        let said = place.run(&["--store", "s", "cat", tag, file]);
        assert_eq!(said.code, Some(0), "{said:?}");
    }
}
