//! What was measured, the fastest run of each, and the aims beside it.

use std::collections::{BTreeMap, BTreeSet};
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
    /// A file was edited that no command looks at.
    Source,
    /// What is to be installed was edited.
    Dependency,
    /// The base has another package, which no command but apt looks at.
    Unread,
    /// The base has another version of a package that all commands look at.
    Read,
    /// All commands run again.
    Rebuild,
}

/// What Phoenix is to reach.
enum Aim {
    /// So much of another one's time.
    Part { of: &'static str, most: f64 },
    /// So many seconds.
    Seconds(f64),
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
    ran: BTreeMap<(&'static str, Phase), Ran>,
}

/// The commands that ran.
#[derive(Debug, Default)]
struct Ran {
    /// Those that are to.
    wanted: BTreeSet<&'static str>,
    /// In any build of a builder.
    by: BTreeMap<&'static str, BTreeSet<&'static str>>,
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

    /// Takes in which commands ran, and which are to.
    pub(crate) fn ran(
        &mut self,
        row: (&'static str, Phase),
        peer: &'static str,
        ran: Vec<&'static str>,
        wanted: &[&'static str],
    ) {
        let row = self.ran.entry(row).or_default();
        row.wanted.extend(wanted);
        row.by.entry(peer).or_default().extend(ran);
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
            Self::Source => "source",
            Self::Dependency => "dependency",
            Self::Unread => "base, unread",
            Self::Read => "base, read",
            Self::Rebuild => "all again",
        }
    }
}

fn aim(workload: &str, phase: Phase, peer: &str) -> Option<Aim> {
    let aim = |of, most| Some(Aim::Part { of, most });
    match (workload, phase, peer) {
        ("first", Phase::First, _) => aim("docker", 1.0 / 3.0),
        ("app", Phase::Cold, _) => aim("docker", 1.0 / 2.0),
        ("app", Phase::Unchanged, _) => aim("docker", 1.0 / 5.0),
        ("app", Phase::Changed, _) => aim("docker", 1.0 / 3.0),
        ("big" | "small", Phase::Cold, "phoenix") => aim("docker", 1.0 / 3.0),
        ("big" | "small", Phase::Cold, _) => aim("docker", 1.0 / 8.0),
        (_, Phase::Step, _) => aim("native", 1.15),
        (_, Phase::Source, _) => Some(Aim::Seconds(0.3)),
        (_, Phase::Rebuild, _) => aim("ideal", 1.1),
        _ => None,
    }
}

fn cell(value: Option<f64>, decimals: usize) -> String {
    value.map_or_else(|| "-".to_owned(), |value| format!("{value:.decimals$}"))
}

fn listed(names: &BTreeSet<&str>) -> String {
    let names: Vec<_> = names.iter().copied().collect();
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
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
                let aim = aim(workload, phase, peer).and_then(|aim| match aim {
                    Aim::Part { of, most } => {
                        let ratio = over(self.seconds(workload, phase, of))?;
                        let judged = judged(ratio <= most);
                        Some(format!("{ratio:.2} of {of}, aim {most:.3}: {judged}"))
                    }
                    Aim::Seconds(most) => Some(format!("aim {most} s: {}", judged(own <= most))),
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
        self.commands(f)?;
        self.memory(f)
    }
}

impl Table {
    fn commands(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.ran.is_empty() {
            return Ok(());
        }
        writeln!(f, "\ncommands that ran: how many, and with Phoenix which")?;
        let columns = ["phoenix", "docker", "buildah"];
        writeln!(
            f,
            "{:8} {:12} {:>8} {:>8} {:>8}",
            "workload", "build", columns[0], columns[1], columns[2]
        )?;
        for ((workload, phase), Ran { wanted, by }) in &self.ran {
            write!(f, "{workload:8} {:12}", phase.name())?;
            for peer in columns {
                let count =
                    by.get(peer).map_or_else(|| "-".to_owned(), |ran| ran.len().to_string());
                write!(f, " {count:>8}")?;
            }
            if let Some(ran) = by.get("phoenix") {
                write!(f, "  {}: {}", listed(ran), judged(ran == wanted))?;
                if ran != wanted {
                    write!(f, ", aim: {}", listed(wanted))?;
                }
            }
            writeln!(f)?;
        }
        Ok(())
    }

    fn memory(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "\npeak memory of the largest process, MB (aim: Phoenix below 200)")?;
        let mut peaks: BTreeMap<(&str, &str), u64> = BTreeMap::new();
        for ((workload, phase, peer), best) in &self.best {
            // The daemon does Docker's work, and the step's own processes are no builder.
            if *phase != Phase::Step && !["docker", "native", "ideal"].contains(peer) {
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
