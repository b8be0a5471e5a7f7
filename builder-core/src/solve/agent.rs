//! Agents of a request: present in a step, absent from keys, logs and layers.

use std::path::PathBuf;

/// What answers a step's questions for keys (`--ssh`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Agent {
    /// The socket of an agent that runs.
    Socket(PathBuf),
    /// Files of private keys, for which an agent is run while the step runs.
    Keys(Vec<PathBuf>),
}
