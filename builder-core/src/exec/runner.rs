//! The runner's entry.

/// Call this first in `main`. Returns at once unless this process was executed
/// as a runner, and then does not return.
pub fn runner_main() {}
