//! A program with all that it starts, which end together.
//!
//! In: a command, and what cancels it. Out: whether it succeeded, and what it said.
//!
//! Invariant: nothing of its process group is left when this is dropped. `git` has
//! others work for it (`git-remote-https`, `ssh`, `index-pack`), which do not end
//! because it does; so the group is killed, and nobody waits for who left it.
//!
//! Limitation: a signal of the terminal does not reach the group. It is this process
//! that ends it; where this process is killed, the group ends when it has nobody to
//! speak to or its own patience is over.

use std::io::{self, Read as _};
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, Stdio};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::process::{
    Pid, Signal, WaitId, WaitIdOptions, kill_process_group as kill_group, waitid,
};

use crate::cancel::Cancel;

/// The most bytes that are kept of what it says.
const MAX_SAID: u64 = 16 << 20;
/// How often it is looked whether it has ended.
const PAUSE: Duration = Duration::from_millis(5);
/// How long the others of its group may take to end after it.
const GRACE: Duration = Duration::from_secs(1);

type Reader = JoinHandle<Vec<u8>>;

/// One that runs.
pub(super) struct Running {
    /// Not waited for until this is dropped: until then the group's number is its own.
    child: Child,
    group: Pid,
    out: Option<Reader>,
    err: Option<Reader>,
}

/// One that has ended.
pub(super) struct Ended {
    /// Whether its exit code was 0.
    pub(super) success: bool,
    /// What it said on standard output.
    pub(super) out: String,
    /// What it said on standard error.
    pub(super) err: String,
}

impl Running {
    /// Starts it in a process group of its own.
    pub(super) fn start(command: &mut Command) -> io::Result<Self> {
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.process_group(0).spawn()?;
        let group = Pid::from_child(&child);
        let (out, err) = (child.stdout.take().map(collected), child.stderr.take().map(collected));
        Ok(Self { child, group, out, err })
    }

    /// Waits for its end; `None` where stopping was asked before.
    pub(super) fn finish(mut self, cancel: &Cancel) -> io::Result<Option<Ended>> {
        let success = loop {
            let how = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
            if let Some(status) = waitid(WaitId::Pid(self.group), how)? {
                break status.exit_status() == Some(0);
            }
            if cancel.wait(PAUSE) {
                return Ok(None);
            }
        };
        let ended = Instant::now();
        while !self.is_silent() && ended.elapsed() < GRACE {
            if cancel.wait(PAUSE) {
                return Ok(None);
            }
        }
        self.end();
        let said = |reader: Option<Reader>| {
            // One that somebody outside the group keeps open is left to itself.
            let reader = reader.filter(JoinHandle::is_finished);
            let bytes = reader.and_then(|reader| reader.join().ok()).unwrap_or_default();
            String::from_utf8_lossy(&bytes).into_owned()
        };
        let (out, err) = (said(self.out.take()), said(self.err.take()));
        Ok(Some(Ended { success, out, err }))
    }

    /// Whether nobody can say anything any more.
    fn is_silent(&self) -> bool {
        [&self.out, &self.err].into_iter().flatten().all(JoinHandle::is_finished)
    }

    /// Kills the group, and waits a little for the last of it: until then it may
    /// write to a directory that is to be removed.
    fn end(&self) {
        // There may be nobody left in it but the one that has ended.
        let _ = kill_group(self.group, Signal::KILL);
        let began = Instant::now();
        while !self.is_silent() && began.elapsed() < GRACE {
            std::thread::sleep(PAUSE);
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.end();
        let _ = self.child.wait();
    }
}

/// Reads all of a stream on a thread of its own.
fn collected(stream: impl io::Read + Send + 'static) -> Reader {
    std::thread::spawn(move || {
        let (mut stream, mut bytes) = (stream, Vec::new());
        let _ = stream.by_ref().take(MAX_SAID).read_to_end(&mut bytes);
        // What is beyond that must not make it wait.
        let _ = io::copy(&mut stream, &mut io::sink());
        bytes
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Running {
        Running::start(Command::new("sh").arg("-c").arg(script)).expect("a shell starts")
    }

    #[test]
    fn what_it_said_and_whether_it_succeeded_is_told() {
        let never = Cancel::new();
        let ended = shell("echo out; echo err >&2").finish(&never).expect("waited");
        let Ended { success, out, err } = ended.expect("nobody canceled");
        assert_eq!((success, &*out, &*err), (true, "out\n", "err\n"));
        for script in ["exit 3", "kill -KILL $$"] {
            let ended = shell(script).finish(&never).expect("waited").expect("nobody canceled");
            assert!(!ended.success, "{script}");
        }
    }

    #[test]
    fn who_is_left_of_its_group_keeps_nobody_waiting() {
        let ended = shell("sleep 1000 & echo $!").finish(&Cancel::new()).expect("waited");
        assert_gone(&ended.expect("nobody canceled").out);
    }

    #[test]
    fn all_of_its_group_ends_when_it_is_canceled() {
        let dir = tempfile::tempdir().expect("a directory");
        let file = dir.path().join("pid");
        let script =
            format!("sleep 1000 & echo $! > {0}.new; mv {0}.new {0}; wait", file.display());
        let (running, cancel) = (shell(&script), Cancel::new());
        while !file.exists() {
            std::thread::sleep(PAUSE);
        }
        cancel.cancel();
        assert!(running.finish(&cancel).expect("waited").is_none());
        assert_gone(&std::fs::read_to_string(file).expect("written"));
    }

    /// Waits for the end of a process; nobody may have waited for it yet.
    fn assert_gone(pid: &str) {
        let stat = format!("/proc/{}/stat", pid.trim());
        let runs = || std::fs::read_to_string(&stat).is_ok_and(|stat| !stat.contains(") Z "));
        for _ in 0..1000 {
            if !runs() {
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        panic!("{stat} is still there");
    }
}
