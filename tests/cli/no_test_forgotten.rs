//! In a virtual workspace a test file that no `main.rs` declares is silently
//! never compiled.

use std::path::Path;

#[test]
fn every_test_file_is_declared() {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests");
    let mut suites = 0;
    for entry in std::fs::read_dir(&tests).expect("tests are there").flatten() {
        if entry.path().join("main.rs").is_file() {
            suites += 1;
            check(&entry.path(), "main.rs");
        } else {
            let name = entry.file_name();
            let stray = Path::new(&name).extension().is_some_and(|extension| extension == "rs");
            assert!(!stray, "{name:?} belongs to no suite");
        }
    }
    assert!(suites >= 2, "cli and core");
}

/// Checks that `dir/root` declares each file and folder of Rust beside it, and
/// so on downwards.
fn check(dir: &Path, root: &str) {
    let text = std::fs::read_to_string(dir.join(root)).expect("it was just seen");
    for entry in std::fs::read_dir(dir).expect("it was just seen").flatten() {
        let path = entry.path();
        let stem = path.file_stem().expect("it has a name").to_string_lossy().into_owned();
        let module = path.join("mod.rs").is_file();
        let file = path.extension().is_some_and(|extension| extension == "rs");
        if (module || file) && entry.file_name() != root {
            let declared = text.lines().any(|line| {
                let line = line.trim().trim_start_matches("pub ").trim_start_matches("pub(crate) ");
                line == format!("mod {stem};")
            });
            assert!(declared, "{} is declared by no `mod` line", path.display());
        }
        if module {
            check(&path, "mod.rs");
        }
    }
}
