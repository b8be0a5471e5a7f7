//! What was measured, the fastest run of each, and the aims beside it.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use crate::process::Measure;

/// What of a workload was timed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Phase {
    First,
    Cold,
    Unchanged,
    Changed,
    Step,
}

/// What Phoenix is to reach: its time as a part of another one's.
struct Aim {
    of: &'static str,
    most: f64,
}

/// The most memory that any build may take.
const MEMORY: u64 = 200 << 20;

#[derive(Debug, Clone, Copy)]
struct Best {
    time: Duration,
    memory: u64,
}

/// All measures.
#[derive(Debug, Default)]
pub(crate) struct Table {
    /// In the order in which they were measured first.
    rows: Vec<(&'static str, Phase)>,
    best: BTreeMap<(&'static str, Phase, &'static str), Best>,
}

impl Table {
    /// Takes a measure in: the least time and the most memory count.
    pub(crate) fn add(
        &mut self,
        workload: &'static str,
        phase: Phase,
        peer: &'static str,
        measure: &Measure,
    ) {
        eprintln!(
            "{workload:8} {:12} {peer:13} {:9.3} s",
            phase.name(),
            measure.time.as_secs_f64()
        );
        if !self.rows.contains(&(workload, phase)) {
            self.rows.push((workload, phase));
        }
        let best = self.best.entry((workload, phase, peer));
        let best = best.or_insert(Best { time: measure.time, memory: 0 });
        best.time = best.time.min(measure.time);
        best.memory = best.memory.max(measure.memory);
    }

    fn seconds(&self, workload: &'static str, phase: Phase, peer: &'static str) -> Option<f64> {
        self.best.get(&(workload, phase, peer)).map(|best| best.time.as_secs_f64())
    }
}

impl Phase {
    fn name(self) -> &'static str {
        match self {
            Self::First => "first use",
            Self::Cold => "cold",
            Self::Unchanged => "no change",
            Self::Changed => "one changed",
            Self::Step => "its step",
        }
    }
}

fn aim(workload: &str, phase: Phase, peer: &str) -> Option<Aim> {
    let aim = |of, most| Some(Aim { of, most });
    match (workload, phase, peer) {
        ("first", Phase::First, _) => aim("docker", 1.0 / 3.0),
        ("app", Phase::Cold, _) => aim("docker", 1.0 / 2.0),
        ("app", Phase::Unchanged, _) => aim("docker", 1.0 / 5.0),
        ("app", Phase::Changed, _) => aim("docker", 1.0 / 3.0),
        ("big" | "small", Phase::Cold, "phoenix") => aim("docker", 1.0 / 3.0),
        ("big" | "small", Phase::Cold, _) => aim("docker", 1.0 / 8.0),
        (_, Phase::Step, _) => aim("native", 1.15),
        _ => None,
    }
}

fn cell(value: Option<f64>, decimals: usize) -> String {
    value.map_or_else(|| "-".to_owned(), |value| format!("{value:.decimals$}"))
}

fn judged(met: bool) -> &'static str {
    if met { "met" } else { "MISSED" }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{:8} {:12} {:13} {:>8} {:>8} {:>8} {:>8} {:>8} {:>8}  aim",
            "workload",
            "build",
            "by",
            "seconds",
            "docker",
            "buildah",
            "native",
            "/docker",
            "/buildah"
        )?;
        for &(workload, phase) in &self.rows {
            let [docker, buildah, native] =
                ["docker", "buildah", "native"].map(|peer| self.seconds(workload, phase, peer));
            for peer in ["phoenix", "phoenix zstd"] {
                let Some(own) = self.seconds(workload, phase, peer) else { continue };
                let over = |other: Option<f64>| other.map(|other| own / other);
                let aim = aim(workload, phase, peer).and_then(|Aim { of, most }| {
                    let ratio = over(self.seconds(workload, phase, of))?;
                    Some(format!("{ratio:.2} of {of}, aim {most:.3}: {}", judged(ratio <= most)))
                });
                writeln!(
                    f,
                    "{workload:8} {:12} {peer:13} {:>8} {:>8} {:>8} {:>8} {:>8} {:>8}  {}",
                    phase.name(),
                    cell(Some(own), 3),
                    cell(docker, 3),
                    cell(buildah, 3),
                    cell(native, 3),
                    cell(over(docker), 2),
                    cell(over(buildah), 2),
                    aim.unwrap_or_default()
                )?;
            }
        }
        self.memory(f)
    }
}

impl Table {
    fn memory(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "\npeak memory of the largest process, MB (aim: Phoenix below 200)")?;
        let mut peaks: BTreeMap<(&str, &str), u64> = BTreeMap::new();
        for ((workload, phase, peer), best) in &self.best {
            // The daemon does Docker's work, and the step's own processes are no builder.
            if *phase != Phase::Step && !["docker", "native"].contains(peer) {
                let peak = peaks.entry((workload, peer)).or_default();
                *peak = (*peak).max(best.memory);
            }
        }
        for ((workload, peer), peak) in peaks {
            let aim = if peer == "buildah" { "" } else { judged(peak < MEMORY) };
            writeln!(f, "{workload:8} {peer:13} {:>6} {aim}", peak >> 20)?;
        }
        Ok(())
    }
}
