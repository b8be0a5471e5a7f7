//! The targets of libFuzzer as tests: what was found, what is kept for it, and
//! some mutations of that.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use builder_core::dockerfile::lint::Checks;
use builder_core::dockerfile::{Options, call, lower, parse};
use builder_core::frontend::{Base, Resolver, SourceFile, Unresolved, Wanted};

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

/// For files that name no image.
struct Nothing;

impl Resolver for Nothing {
    fn resolve(&mut self, wanted: &Wanted) -> Result<Base, Unresolved> {
        panic!("nobody has {wanted:?}");
    }
}

/// Why a file is not lowered, and why it cannot be told of.
fn refused(text: &str) -> (Option<String>, Option<String>) {
    let source = SourceFile::new(Path::new("Dockerfile"), text);
    let file = parse(&source).expect("it is well-formed");
    let none = BTreeMap::new();
    let told = call::outline(&file, &source, None, &none, &none).err();
    let (build_platform, all_stages) = ("linux/amd64".to_owned(), true);
    let options = Options { build_platform, all_stages, ..Options::default() };
    let mut checks = Checks::new(&file, &source, None);
    let lowered = lower(&file, &source, &options, &mut Nothing, &mut checks).err();
    (lowered.map(|wrong| wrong.message), told.map(|wrong| wrong.message))
}

/// What grows with the square of a file's length, or faster, has an end.
#[test]
fn a_file_that_asks_for_too_much_is_refused() {
    let many = |count: usize, line: &str| line.repeat(count);
    let doubled = |keyword: &str| {
        format!("{keyword} a=0123456789abcdef\n{}", many(17, &format!("{keyword} a=$a$a\n")))
    };
    // Each brings in 2 MiB, of which nothing stays.
    let asked = "${a##*}".repeat(2);
    let stages =
        |first: &str, count| format!("FROM scratch AS a\n{first}{}", many(count, "FROM a\n"));
    let whole = "bytes that a file may have";
    let table = [
        (
            format!("FROM scratch\n{}{}", doubled("ENV"), many(40, &format!("ENV b={asked}\n"))),
            whole,
            whole,
        ),
        (
            format!("FROM scratch\n{}ENV{}", doubled("ENV"), many(40, &format!(" b={asked}"))),
            whole,
            whole,
        ),
        (
            format!("{}{}FROM scratch\n", doubled("ARG"), many(40, &format!("ARG b={asked}\n"))),
            whole,
            whole,
        ),
        (stages(&many(101, "ONBUILD RUN x\n"), 100), "more than 10000 triggers", ""),
        (
            format!("FROM scratch\n{}", many(400, &format!("ONBUILD RUN {}\n", "x".repeat(1000)))),
            "the steps are too long",
            "",
        ),
    ];
    for (text, lowered, told) in table {
        let found = refused(&text);
        let says = |found: &Option<String>, wanted: &str| match found {
            Some(message) => !wanted.is_empty() && message.contains(wanted),
            None => wanted.is_empty(),
        };
        assert!(says(&found.0, lowered) && says(&found.1, told), "{found:?} of {text:.60}");
    }
}
