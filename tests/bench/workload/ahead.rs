//! Three commands that do not need each other, all run again: such that wait,
//! and such that compute.

use std::path::Path;

use super::{Ideal, Kind, Workload, run};
use crate::error::Result;

pub(super) const WAIT: Workload = Workload {
    name: "wait",
    kind: Kind::Ahead { times: 2, scripts: &WAITING, ideal: Ideal::Slowest },
    dockerfile: || dockerfile(&WAITING),
    recipe: || recipe(&WAITING),
    ..COMPUTE
};

pub(super) const COMPUTE: Workload = Workload {
    name: "compute",
    kind: Kind::Ahead { times: 2, scripts: &COMPUTING, ideal: Ideal::Shared },
    base: true,
    zstd: false,
    step: None,
    dockerfile: || dockerfile(&COMPUTING),
    recipe: || recipe(&COMPUTING),
    make: nothing,
    change: |context, _| nothing(context),
};

const WAITING: [&str; 3] = [
    "start=$(date +%s%N)\nsleep 2 && echo done > /var/lib/one\necho took=$(($(date +%s%N) - start))",
    "start=$(date +%s%N)\nsleep 2 && echo done > /var/lib/two\necho took=$(($(date +%s%N) - start))",
    "start=$(date +%s%N)\nsleep 2 && echo done > /var/lib/three\necho took=$(($(date +%s%N) - start))",
];

const COMPUTING: [&str; 3] = [
    "start=$(date +%s%N)
perl -e '$n = ($n * 31 + $_) % 65537 for 1..20_000_000; print $n' > /var/lib/one
echo took=$(($(date +%s%N) - start))",
    "start=$(date +%s%N)
perl -e '$n = ($n * 37 + $_) % 65537 for 1..20_000_000; print $n' > /var/lib/two
echo took=$(($(date +%s%N) - start))",
    "start=$(date +%s%N)
perl -e '$n = ($n * 41 + $_) % 65537 for 1..20_000_000; print $n' > /var/lib/three
echo took=$(($(date +%s%N) - start))",
];

fn dockerfile(scripts: &[&str]) -> String {
    let run = |script: &&str| format!("RUN {}\n", script.replace('\n', " && \\\n    "));
    format!("FROM bench-base\n{}", scripts.iter().map(run).collect::<String>())
}

fn recipe(scripts: &[&str]) -> String {
    format!("steps:\n{}", scripts.iter().map(|script| run(script)).collect::<String>())
}

fn nothing(_: &Path) -> Result<()> {
    Ok(())
}
