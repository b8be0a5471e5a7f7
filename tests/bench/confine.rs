//! Keeps what is measured in a box that vanishes.
//!
//! The outer process makes a temporary directory and starts this program again
//! as the first process of a new pid namespace with mounts of its own. Whatever
//! way that one ends, by itself, by an error, killed because a signal came or
//! because the outer one was killed: its daemons and mounts end with it. Then
//! the outer one removes the directory, and the control groups that Docker left.

use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

use crate::error::{Error, Result, at};
use crate::options::Options;

/// The argument that makes the inner process.
pub(crate) const INSIDE: &str = "--inside";

/// Runs this program again in its box, and clears away afterwards.
pub(crate) fn enter(options: &Options) -> Result<()> {
    if !rustix::process::geteuid().is_root() {
        return Err(Error::Needs("root: it mounts, and starts a Docker daemon"));
    }
    let signalled = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM, SIGHUP] {
        let registered = signal_hook::flag::register(signal, Arc::clone(&signalled));
        registered.map_err(|source| Error::Start { program: "a signal handler".into(), source })?;
    }
    let parent = options.temp.clone().unwrap_or_else(std::env::temp_dir);
    let temp = tempfile::Builder::new().prefix("phoenix-bench-").tempdir_in(&parent);
    let temp = temp.map_err(at(&parent))?;
    let before = groups();
    let child = start(temp.path(), options)?;
    let ended = wait(child, &signalled);
    clear(temp.path());
    for group in groups().into_iter().filter(|group| !before.contains(group)) {
        remove_groups(&group);
    }
    ended
}

fn start(temp: &Path, options: &Options) -> Result<Child> {
    let this = std::env::current_exe().map_err(at(Path::new("/proc/self/exe")))?;
    let mut command = Command::new("unshare");
    command
        .args(["--mount", "--pid", "--fork", "--kill-child=KILL", "--mount-proc", "--"])
        .arg(this)
        .args(std::env::args_os().skip(1))
        .arg(INSIDE)
        .arg(temp);
    if options.cache.is_none() {
        command.arg("--cache").arg(options.cache());
    }
    // Nobody's configuration but the defaults, and nothing written to a home.
    command.env("HOME", temp).env_remove("DOCKER_HOST").env_remove("DOCKER_CONTEXT");
    for variable in ["XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_RUNTIME_DIR", "PHOENIX_STORE"] {
        command.env_remove(variable);
    }
    // Ctrl-C reaches the outer process only, which ends the box as a whole.
    std::os::unix::process::CommandExt::process_group(&mut command, 0);
    command.spawn().map_err(|source| Error::Start { program: "unshare".into(), source })
}

fn wait(mut child: Child, signalled: &AtomicBool) -> Result<()> {
    loop {
        let status = child.try_wait().map_err(at(Path::new("the inner process")))?;
        if let Some(status) = status {
            return match status.success() {
                true => Ok(()),
                false => Err(Error::Failed {
                    command: "measuring".into(),
                    how: status.to_string(),
                    output: String::new(),
                }),
            };
        }
        if signalled.load(Ordering::Relaxed) {
            // `unshare` takes the first process of the namespace with it, and
            // that one all others.
            let _ = child.kill();
            let _ = child.wait();
            return Err(Error::Interrupted);
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Removes the directory; the last processes may be ending still.
fn clear(temp: &Path) {
    for _ in 0..100 {
        match std::fs::remove_dir_all(temp) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                std::thread::sleep(Duration::from_millis(100));
            }
            _ => return,
        }
    }
    eprintln!("warning: {} could not be removed", temp.display());
}

/// Docker's control groups.
fn groups() -> Vec<PathBuf> {
    let root = Path::new("/sys/fs/cgroup");
    let mut found = vec![root.join("docker")];
    if let Ok(entries) = std::fs::read_dir(root) {
        found.extend(entries.flatten().map(|entry| entry.path().join("docker")));
    }
    found.retain(|group| group.is_dir());
    found
}

/// Removes a group that has no processes, with those in it.
fn remove_groups(group: &Path) {
    if let Ok(entries) = std::fs::read_dir(group) {
        for entry in entries.flatten().filter(|e| e.file_type().is_ok_and(|t| t.is_dir())) {
            remove_groups(&entry.path());
        }
    }
    let _ = std::fs::remove_dir(group);
}
