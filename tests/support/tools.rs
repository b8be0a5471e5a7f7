//! Other people's programs. A missing one skips a test loudly, and fails it
//! where `PHOENIX_TESTS_STRICT=1` says that nothing may be skipped.

use std::ffi::OsStr;
use std::process::{Command, Output};

/// Says that a test is skipped, or fails it in strict mode.
pub(crate) fn skip(why: &str) {
    assert!(std::env::var("PHOENIX_TESTS_STRICT").as_deref() != Ok("1"), "must not skip: {why}");
    eprintln!("SKIPPED: {why}");
}

/// Whether all `programs` are there; if not, the test is to return.
pub(crate) fn have(programs: &[&str]) -> bool {
    let there = |program: &&&str| {
        let path = std::env::var_os("PATH").unwrap_or_default();
        std::env::split_paths(&path).any(|dir| dir.join(program).is_file())
    };
    let missing: Vec<_> = programs.iter().filter(|program| !there(program)).collect();
    if !missing.is_empty() {
        skip(&format!("not installed: {missing:?}"));
    }
    missing.is_empty()
}

/// Whether root runs the test; if not, the test is to return.
pub(crate) fn root() -> bool {
    let root = rustix::process::geteuid().is_root();
    if !root {
        skip("needs root");
    }
    root
}

/// Runs a program that must succeed, and gives its standard output.
pub(crate) fn run<S: AsRef<OsStr>>(program: &str, args: impl IntoIterator<Item = S>) -> String {
    let mut command = Command::new(program);
    command.args(args);
    success(&mut command)
}

/// Runs a command that must succeed, and gives its standard output.
pub(crate) fn success(command: &mut Command) -> String {
    let Output { status, stdout, stderr } =
        command.output().unwrap_or_else(|error| panic!("{command:?} does not start: {error}"));
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    let (stdout, stderr) = (text(stdout), text(stderr));
    assert!(status.success(), "{command:?}: {status}\n{stdout}\n{stderr}");
    stdout
}
