//! What the process says when it ends: one number per kind of ending.
//!
//! The table is part of the command line's contract: scripts and CI systems
//! tell "my step failed" from "this machine cannot" by it.

use std::process::ExitCode;

/// How a run of `phoenix` ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    /// All done.
    Done,
    /// A step, a test or the check for reproducibility failed.
    BuildFailed,
    /// The command line makes no sense. (clap uses the same number.)
    Usage,
    /// The recipe is wrong.
    Recipe,
    /// This host lacks something that is needed; `phoenix doctor` tells.
    Host,
    /// The store, a file, an image or the network failed or is not there.
    Trouble,
    /// `phoenix run` could not start the command.
    NotStarted,
    /// Ended by SIGINT (Ctrl-C).
    Interrupted,
    /// Ended by SIGTERM.
    Terminated,
    /// `phoenix run`: what the command itself ended with.
    Command(u8),
}

/// The table as `--help` and the README show it.
pub(crate) const TABLE: &str = "\
Exit codes:
  0    done
  1    the build failed: a step, a test, --check-reproducible or --paranoid
  2    the command line is wrong
  3    the recipe is wrong
  4    this host cannot: see `phoenix doctor`
  5    trouble with the store, a file, an image or the network
  125  `phoenix run` could not start the command (126: it cannot be executed,
       127: it is not there; else: the command's own code)
  130  interrupted (Ctrl-C); 143 terminated";

impl Exit {
    /// The number.
    pub(crate) fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::BuildFailed => 1,
            Self::Usage => 2,
            Self::Recipe => 3,
            Self::Host => 4,
            Self::Trouble => 5,
            Self::NotStarted => 125,
            Self::Interrupted => 130,
            Self::Terminated => 143,
            Self::Command(code) => code,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}
