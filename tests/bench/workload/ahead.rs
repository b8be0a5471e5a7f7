//! Three commands that do not need each other, all run again: such that wait,
//! and such that compute.

use std::fmt::Write as _;
use std::path::Path;

use super::{Ideal, Kind, Workload};
use crate::error::Result;

pub(super) const WAIT: Workload = Workload {
    name: "wait",
    kind: Kind::Ahead { times: 2, commands: &WAITING, ideal: Ideal::Slowest },
    dockerfile: || dockerfile(&WAITING),
    recipe: || recipe(&WAITING),
    ..COMPUTE
};

pub(super) const COMPUTE: Workload = Workload {
    name: "compute",
    kind: Kind::Ahead { times: 2, commands: &COMPUTING, ideal: Ideal::Shared },
    base: true,
    zstd: false,
    step: None,
    dockerfile: || dockerfile(&COMPUTING),
    recipe: || recipe(&COMPUTING),
    make: nothing,
    change: |context, _| nothing(context),
};

/// Each tells its time.
macro_rules! timed {
    ($command:literal) => {
        concat!("start=$(date +%s%N); ", $command, "; echo took=$(($(date +%s%N) - start))")
    };
}

const WAITING: [(&str, &str); 3] = [
    ("one", timed!("sleep 3; echo done > /var/lib/one")),
    ("two", timed!("sleep 3; echo done > /var/lib/two")),
    ("three", timed!("sleep 3; echo done > /var/lib/three")),
];

const COMPUTING: [(&str, &str); 3] = [
    (
        "one",
        timed!("perl -e '$n = ($n * 31 + $_) % 65537 for 1..30_000_000; print $n' > /var/lib/one"),
    ),
    (
        "two",
        timed!("perl -e '$n = ($n * 37 + $_) % 65537 for 1..30_000_000; print $n' > /var/lib/two"),
    ),
    (
        "three",
        timed!(
            "perl -e '$n = ($n * 41 + $_) % 65537 for 1..30_000_000; print $n' > /var/lib/three"
        ),
    ),
];

fn dockerfile(commands: &[(&str, &str)]) -> String {
    let run = |(_, script): &(&str, &str)| format!("RUN {script}\n");
    format!("FROM bench-base\n{}", commands.iter().map(run).collect::<String>())
}

fn recipe(commands: &[(&str, &str)]) -> String {
    let mut text = String::from("steps:\n");
    for (name, script) in commands {
        writeln!(text, "  - name: {name}\n    run: |\n      {script}").expect("memory takes it");
    }
    text
}

fn nothing(_: &Path) -> Result<()> {
    Ok(())
}
