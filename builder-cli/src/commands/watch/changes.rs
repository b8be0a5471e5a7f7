//! Waits for changes of files.
//!
//! In: files and directories to follow, and what to pass over. Out: a return
//! from [`Changes::wait`], once what changed has come to rest. Changes between
//! two calls are not lost.
//!
//! A file is followed by its directory, since editors put another in its place.
//! Reading is no change. Symbolic links are not followed.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

use notify::{Config, Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher as _};

use crate::error::CliError;
use crate::files::UNFINISHED;

/// No change for that long is rest.
const REST: Duration = Duration::from_millis(150);
/// What changes all the time is not waited for longer.
const LONGEST: Duration = Duration::from_secs(2);

/// What wakes who waits.
enum Wake {
    Changed(Vec<PathBuf>),
    /// Something may have changed that was not told.
    Unknown,
    Stop,
}

/// Changes of what is followed.
pub(super) struct Changes {
    watcher: RecommendedWatcher,
    wakes: Sender<Wake>,
    woken: Receiver<Wake>,
    below: Vec<PathBuf>,
    files: Vec<PathBuf>,
    ignored: Vec<PathBuf>,
}

impl Changes {
    /// Of nothing yet.
    pub(super) fn new() -> Result<Self, CliError> {
        let (wakes, woken) = channel();
        let told = wakes.clone();
        let tell = move |event: notify::Result<Event>| {
            let wake = match event {
                Ok(event) if event.need_rescan() => Wake::Unknown,
                Ok(Event { kind: EventKind::Access(_), .. }) => return,
                Ok(event) => Wake::Changed(event.paths),
                Err(_) => Wake::Unknown,
            };
            // Who waits may be gone.
            let _ = told.send(wake);
        };
        let config = Config::default().with_follow_symlinks(false);
        let watcher = RecommendedWatcher::new(tell, config).map_err(failed)?;
        let (below, files, ignored) = (Vec::new(), Vec::new(), Vec::new());
        Ok(Self { watcher, wakes, woken, below, files, ignored })
    }

    /// What ends a [`Self::wait`] at once.
    pub(super) fn waker(&self) -> impl Fn() + Send + 'static {
        let wakes = self.wakes.clone();
        move || {
            let _ = wakes.send(Wake::Stop);
        }
    }

    /// Passes over these, and all below them.
    pub(super) fn ignore(&mut self, paths: Vec<PathBuf>) {
        self.ignored.extend(paths.iter().map(|path| real(path)));
    }

    /// Follows a directory and all in it.
    pub(super) fn follow_all_below(&mut self, dir: &Path) -> Result<(), CliError> {
        let dir = real(dir);
        if !self.is_below(&dir) && dir.is_dir() {
            self.watcher.watch(&dir, RecursiveMode::Recursive).map_err(failed)?;
            self.below.push(dir);
        }
        Ok(())
    }

    /// Follows a file, which need not be there.
    pub(super) fn follow_file(&mut self, file: &Path) -> Result<(), CliError> {
        let file = real(file);
        if self.is_below(&file) || self.files.contains(&file) {
            return Ok(());
        }
        if let Some(dir) = file.parent().filter(|dir| dir.is_dir()) {
            self.watcher.watch(dir, RecursiveMode::NonRecursive).map_err(failed)?;
            self.files.push(file);
        }
        Ok(())
    }

    /// Waits until something changed and came to rest, or the waker is called.
    pub(super) fn wait(&self) {
        loop {
            match self.woken.recv() {
                Ok(Wake::Changed(paths)) if !paths.iter().any(|path| self.counts(path)) => {}
                Ok(Wake::Changed(_) | Wake::Unknown) => break,
                Ok(Wake::Stop) | Err(_) => return,
            }
        }
        let since = Instant::now();
        while since.elapsed() < LONGEST {
            match self.woken.recv_timeout(REST) {
                Ok(Wake::Changed(_) | Wake::Unknown) => {}
                Ok(Wake::Stop)
                | Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {
                    return;
                }
            }
        }
    }

    fn is_below(&self, path: &Path) -> bool {
        self.below.iter().any(|dir| path.starts_with(dir))
    }

    fn counts(&self, path: &Path) -> bool {
        let unfinished = |name: &OsStr| name.as_bytes().starts_with(UNFINISHED.as_bytes());
        let ignored = self.ignored.iter().any(|ignored| path.starts_with(ignored));
        let followed = self.is_below(path) || self.files.iter().any(|file| file == path);
        followed && !ignored && !path.file_name().is_some_and(unfinished)
    }
}

/// The path without symbolic links, whether or not its last name is there.
fn real(path: &Path) -> PathBuf {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    path.canonicalize().unwrap_or_else(|_| {
        let parent = parent.unwrap_or(Path::new(".")).canonicalize();
        match (parent, path.file_name()) {
            (Ok(parent), Some(name)) => parent.join(name),
            _ => path.to_owned(),
        }
    })
}

fn failed(source: notify::Error) -> CliError {
    CliError::Watch { source }
}
