//! The programs of `builder-core/examples`, built once, beside this test's own
//! executable.

use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;

/// The executable of an example.
pub(crate) fn example(name: &str) -> PathBuf {
    static EXAMPLES: OnceLock<PathBuf> = OnceLock::new();
    // `cargo test` builds them, `cargo test --test core` does not.
    let build = || {
        let exe = std::env::current_exe().expect("this executable");
        let dir = exe.ancestors().nth(2).expect("target/PROFILE/deps/NAME").to_owned();
        let mut cargo = Command::new(env!("CARGO"));
        cargo.args(["build", "--quiet", "--examples", "--manifest-path"]);
        cargo.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml"));
        cargo.arg("--target-dir").arg(dir.parent().expect("target"));
        if dir.ends_with("release") {
            cargo.arg("--release");
        }
        assert!(cargo.status().expect("cargo runs").success(), "the examples are built");
        dir.join("examples")
    };
    EXAMPLES.get_or_init(build).join(name)
}
