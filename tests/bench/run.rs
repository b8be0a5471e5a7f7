//! Measures workload after workload: all builders in turn, run by run.

mod edits;

use std::path::{Path, PathBuf};

use rustix::mount::{MountFlags, mount};

use crate::base;
use crate::error::{Error, Result, at};
use crate::options::Options;
use crate::peer::{Buildah, Compression, Docker, From, Job, Native, Peer, Phoenix};
use crate::process;
use crate::table::{Phase, Table};
use crate::workload::{self, Kind, Workload};

/// How often Buildah builds again at most: it needs seconds each time, and no
/// aim looks at it.
const FEW: usize = 2;

/// Measures what `options` name, below `dir`.
pub(crate) fn run(options: &Options, dir: &Path) -> Result<()> {
    let workloads = workload::named(&options.names)?;
    hide("/var/lib/containers");
    let mut bench =
        Bench { options, dir, peers: Vec::new(), native: None, base: None, next: Vec::new() };
    bench.start(&workloads)?;
    let mut table = Table::default();
    for workload in workloads {
        bench.measure(workload, &mut table)?;
    }
    println!("\n{table}");
    Ok(())
}

/// Puts an empty directory over what builders would write to beside what they
/// are told.
fn hide(path: &str) {
    // Where the directory is not there, nothing is written to it either.
    let _ = mount("tmpfs", path, "tmpfs", MountFlags::empty(), None);
}

struct Bench<'a> {
    options: &'a Options,
    dir: &'a Path,
    peers: Vec<Box<dyn Peer>>,
    native: Option<Native>,
    /// The base as an image archive.
    base: Option<PathBuf>,
    /// The bases that follow upon it, each upon the one before.
    next: Vec<PathBuf>,
}

impl Bench<'_> {
    /// Starts the builders, and makes the base where it is wanted.
    fn start(&mut self, workloads: &[&Workload]) -> Result<()> {
        let options = self.options;
        let mut docker = None;
        if options.wants("docker") && there("docker", &["dockerd", "containerd", "runc"]) {
            docker = Some(Docker::start(self.dir.join("docker"))?);
        }
        if workloads.iter().any(|workload| workload.base) {
            let tar = base::tar(options, self.dir)?;
            let native = |w: &&Workload| w.step.is_some() || matches!(w.kind, Kind::Ahead { .. });
            if workloads.iter().any(native) {
                self.native = Some(Native::unpack(self.dir.join("native"), &tar)?);
            }
            let archive = base::archive(&tar, docker.as_mut())?;
            let bumps: Vec<_> = workloads.iter().flat_map(|workload| workload.bumps()).collect();
            self.next = base::next(&archive, &bumps, docker.as_mut())?;
            self.base = Some(archive);
        }
        if options.wants("phoenix") {
            let own = || PathBuf::from(env!("CARGO_BIN_EXE_phoenix"));
            let program = options.phoenix.clone().unwrap_or_else(own);
            for (compression, name) in
                [(Compression::Gzip, "phoenix"), (Compression::Zstd, "phoenix-zstd")]
            {
                let from = if options.dockerfile { From::Dockerfile } else { From::Recipe };
                let how = (from, compression);
                let peer = Phoenix::new(program.clone(), self.dir.join(name), how)?;
                self.peers.push(Box::new(peer));
            }
        }
        self.peers.extend(docker.map(|docker| Box::new(docker) as Box<dyn Peer>));
        if options.wants("buildah") && there("buildah", &["buildah"]) {
            self.peers.push(Box::new(Buildah::new(self.dir.join("buildah"))?));
        }
        Ok(())
    }

    fn measure(&mut self, workload: &Workload, table: &mut Table) -> Result<()> {
        let dir = self.dir.join(workload.name);
        let base = self.base.as_deref().filter(|_| workload.base);
        let job = workload.write(&dir, base)?;
        match workload.kind {
            Kind::First { times } => self.first(workload, &job, times, table)?,
            Kind::Build { cold, unchanged, changed } => {
                self.cold(workload, &job, cold, table)?;
                self.warm(workload, &job, Phase::Unchanged, unchanged, table)?;
                self.warm(workload, &job, Phase::Changed, changed, table)?;
            }
            Kind::Delta { cold, edits, .. } => {
                self.cold(workload, &job, cold, table)?;
                self.warm(workload, &job, Phase::Unchanged, cold, table)?;
                self.edits(workload, &job, edits, table)?;
            }
            Kind::Ahead { .. } => self.ahead(workload, &job, table)?,
        }
        for peer in &mut self.peers {
            peer.tidy(&job)?;
        }
        std::fs::remove_dir_all(&dir).map_err(at(&dir))
    }

    fn first(&mut self, w: &Workload, job: &Job, times: usize, table: &mut Table) -> Result<()> {
        for _ in 0..times * self.options.times {
            for peer in self.peers.iter_mut().filter(|peer| takes_part(w, &***peer)) {
                let measure = peer.first_use(job)?;
                self.options.show(&measure.output);
                table.add(w.name, Phase::First, peer.name(), &measure);
            }
        }
        Ok(())
    }

    fn cold(&mut self, w: &Workload, job: &Job, times: usize, table: &mut Table) -> Result<()> {
        for _ in 0..times * self.options.times {
            for peer in self.peers.iter_mut().filter(|peer| takes_part(w, &***peer)) {
                peer.forget(job)?;
                process::settle();
                let measure = peer.build(job)?;
                self.options.show(&measure.output);
                table.add(w.name, Phase::Cold, peer.name(), &measure);
                edits::count(w, Phase::Cold, &**peer, &measure, table)?;
                if w.step.is_some() {
                    let output = &measure.output;
                    let time = process::told(output).ok_or_else(|| Error::NoTime {
                        peer: peer.name(),
                        output: output.clone(),
                    })?;
                    let step = process::Measure { time, ..measure };
                    table.add(w.name, Phase::Step, peer.name(), &step);
                }
            }
            if let (Some(step), Some(native)) = (&w.step, &self.native) {
                let src = step.src.map(|src| job.context.join(src));
                let measure = native.run(step.script, src.as_deref())?;
                table.add(w.name, Phase::Step, "native", &measure);
            }
        }
        Ok(())
    }

    fn warm(
        &mut self,
        w: &Workload,
        job: &Job,
        phase: Phase,
        times: usize,
        table: &mut Table,
    ) -> Result<()> {
        for number in 0..times * self.options.times {
            if phase == Phase::Changed {
                (w.change)(&job.context, 1 + number as u64)?;
            }
            for peer in self.peers.iter_mut().filter(|peer| takes_part(w, &***peer)) {
                if number >= FEW && peer.name() == "buildah" {
                    continue;
                }
                process::settle();
                let measure = peer.build(job)?;
                self.options.show(&measure.output);
                table.add(w.name, phase, peer.name(), &measure);
                edits::count(w, phase, &**peer, &measure, table)?;
            }
        }
        Ok(())
    }
}

fn takes_part(workload: &Workload, peer: &dyn Peer) -> bool {
    workload.zstd || peer.name() != "phoenix zstd"
}

fn there(peer: &str, programs: &[&str]) -> bool {
    let missing: Vec<_> = programs.iter().filter(|program| !process::have(program)).collect();
    if !missing.is_empty() {
        println!("SKIPPED: {peer}: not installed: {missing:?}");
    }
    missing.is_empty()
}
