//! Runs programs to their end and measures them.

use std::fs::File;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use wait4::Wait4 as _;

use crate::error::{Error, Result, at};

/// What one run took.
#[derive(Debug, Clone)]
pub(crate) struct Measure {
    pub(crate) time: Duration,
    /// Of the largest process of the tree, in bytes.
    pub(crate) memory: u64,
    /// Both streams.
    pub(crate) output: String,
}

/// Runs `command`, which must succeed; its streams go to a file in `dir`.
pub(crate) fn run(command: &mut Command, dir: &Path) -> Result<Measure> {
    let path = dir.join("output");
    let log = File::create(&path).map_err(at(&path))?;
    let copy = log.try_clone().map_err(at(&path))?;
    command.stdin(Stdio::null()).stdout(log).stderr(copy);
    let program = command.get_program().to_string_lossy().into_owned();
    let start = Instant::now();
    let child = command.spawn();
    let mut child = child.map_err(|source| Error::Start { program: program.clone(), source })?;
    let used = child.wait4().map_err(|source| Error::Start { program, source })?;
    let time = start.elapsed();
    let output = std::fs::read(&path).map_err(at(&path))?;
    let output = String::from_utf8_lossy(&output).into_owned();
    if !used.status.success() {
        let (command, how) = (format!("{command:?}"), used.status.to_string());
        return Err(Error::Failed { command, how, output: tail(&output) });
    }
    Ok(Measure { time, memory: used.rusage.maxrss, output })
}

/// The last lines.
fn tail(output: &str) -> String {
    let lines: Vec<&str> = output.lines().collect();
    lines[lines.len().saturating_sub(40)..].join("\n")
}

/// Whether a program is on PATH.
pub(crate) fn have(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|dir| dir.join(program).is_file())
}

/// Lets no earlier write weigh on what is measured next.
pub(crate) fn settle() {
    rustix::fs::sync();
}

/// The time that a step told of itself: `took=NANOSECONDS`.
pub(crate) fn told(output: &str) -> Option<Duration> {
    let digits = |rest: &str| rest.chars().take_while(char::is_ascii_digit).collect::<String>();
    let nanos = output.rsplit("took=").map(digits).find(|digits| !digits.is_empty())?;
    nanos.parse().ok().map(Duration::from_nanos)
}
