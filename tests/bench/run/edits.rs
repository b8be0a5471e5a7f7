//! Measures edit after edit, and commands that run again though nothing changed.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::{Bench, takes_part};
use crate::error::Result;
use crate::peer::{Job, Peer};
use crate::process::{self, Measure};
use crate::table::{Phase, Table};
use crate::workload::{Edit, How, Ideal, Kind, Workload};

impl Bench<'_> {
    /// Makes each edit and builds after it.
    pub(super) fn edits(
        &mut self,
        w: &Workload,
        job: &Job,
        edits: &[Edit],
        table: &mut Table,
    ) -> Result<()> {
        let mut job = job.clone();
        let first = job.base.clone();
        let mut next = self.next.clone().into_iter();
        for edit in edits {
            match edit.how {
                How::Context(change) => {
                    for number in 0..edit.times * self.options.times {
                        change(&job.context, 1 + number as u64)?;
                        self.edited(w, &job, edit, number, table)?;
                    }
                }
                How::Base(_) => {
                    self.onto(w, &mut job, next.next())?;
                    self.edited(w, &job, edit, 0, table)?;
                }
            }
        }
        self.onto(w, &mut job, first)
    }

    /// Gives the workload another base.
    fn onto(&mut self, w: &Workload, job: &mut Job, base: Option<PathBuf>) -> Result<()> {
        *job = w.onto(job, base.as_deref().map(Path::new))?;
        self.peers
            .iter_mut()
            .filter(|peer| takes_part(w, &***peer))
            .try_for_each(|peer| peer.rebase(job))
    }

    fn edited(
        &mut self,
        w: &Workload,
        job: &Job,
        edit: &Edit,
        number: usize,
        table: &mut Table,
    ) -> Result<()> {
        for peer in self.peers.iter_mut().filter(|peer| takes_part(w, &***peer)) {
            // It runs all commands again whatever the edit.
            if number > 0 && peer.name() == "buildah" {
                continue;
            }
            process::settle();
            let measure = peer.build(job)?;
            self.options.show(&measure.output);
            table.add(w.name, edit.phase, peer.name(), &measure);
            count(w, edit.phase, &**peer, &measure, table)?;
        }
        Ok(())
    }

    /// Builds, and runs all commands again.
    pub(super) fn ahead(&mut self, w: &Workload, job: &Job, table: &mut Table) -> Result<()> {
        let Kind::Ahead { times, commands, ideal } = w.kind else { return Ok(()) };
        let names: Vec<_> = commands.iter().map(|(name, _)| *name).collect();
        for _ in 0..times * self.options.times {
            for peer in self.peers.iter_mut().filter(|peer| takes_part(w, &***peer)) {
                peer.forget(job)?;
                process::settle();
                let measure = peer.build(job)?;
                table.add(w.name, Phase::Cold, peer.name(), &measure);
                process::settle();
                let measure = peer.rebuild(job, &names)?;
                self.options.show(&measure.output);
                table.add(w.name, Phase::Rebuild, peer.name(), &measure);
            }
            let Some(native) = &self.native else { continue };
            let alone = |(_, script): &(_, &str)| Ok(native.run(script, None)?.time);
            let alone = commands.iter().map(alone).collect::<Result<Vec<_>>>()?;
            let measure = Measure { time: least(ideal, &alone), memory: 0, output: String::new() };
            table.add(w.name, Phase::Rebuild, "ideal", &measure);
        }
        Ok(())
    }
}

/// Which of the workload's commands ran in the build that `measure` is of.
pub(super) fn count(
    w: &Workload,
    phase: Phase,
    peer: &dyn Peer,
    measure: &Measure,
    table: &mut Table,
) -> Result<()> {
    if let Kind::Delta { edits, steps, .. } = w.kind {
        let wanted = match phase {
            Phase::Cold => steps,
            _ => edits.iter().find(|edit| edit.phase == phase).map_or(&[][..], |edit| edit.runs),
        };
        table.ran((w.name, phase), peer.name(), peer.ran(&measure.output, steps)?, wanted);
    }
    Ok(())
}

/// The least time for commands that take such times alone.
fn least(ideal: Ideal, alone: &[Duration]) -> Duration {
    match ideal {
        Ideal::Slowest => alone.iter().max().copied().unwrap_or_default(),
        Ideal::Shared => {
            let processors = std::thread::available_parallelism().map_or(1, usize::from);
            let processors = u32::try_from(processors.min(alone.len())).unwrap_or(1);
            alone.iter().sum::<Duration>() / processors
        }
    }
}
