//! The targets of libFuzzer as tests: what was found, what is kept for it, and
//! some mutations of that.

use std::path::{Path, PathBuf};

use crate::mutate::{as_it_is, hammer};
use crate::targets;

/// The files of a directory of `tests`, by name.
fn files(dir: &str) -> Vec<Vec<u8>> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests").join(dir);
    let entries = std::fs::read_dir(&dir).expect("it is there");
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.expect("read").path()).collect();
    paths.sort();
    paths.iter().map(|path| std::fs::read(path).expect("read")).collect()
}

#[test]
fn dockerfiles_that_are_mutated_are_read_or_refused() {
    let mut seeds = files("fixtures/dockerfile");
    seeds.extend(files("fuzz/seeds/dockerfile"));
    hammer("dockerfile", &seeds, &as_it_is, &targets::dockerfile);
}

#[test]
fn words_that_are_mutated_are_expanded_or_refused() {
    let variables = files("fixtures/dockerfile")
        .into_iter()
        .flat_map(|text| text.split(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect::<Vec<_>>());
    let mut seeds: Vec<_> = variables.filter(|line| line.contains(&b'$')).collect();
    seeds.extend(files("fuzz/seeds/words"));
    hammer("words", &seeds, &as_it_is, &targets::words);
}

#[test]
fn lists_that_are_mutated_say_what_a_plain_matcher_says() {
    hammer("ignore", &files("fuzz/seeds/ignore"), &as_it_is, &targets::ignore);
}
