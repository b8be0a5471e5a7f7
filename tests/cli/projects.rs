//! Dockerfiles of whole projects, as people write them: each is built on the
//! Debian that Phoenix makes, what it makes runs, and nothing is made twice.
//!
//! Needs the host's mirror of Debian, and the indices that pip and npm ask.

use std::path::{Path, PathBuf};

use crate::phoenix::Home;
use crate::recipes::{TRUST, able};

/// A Dockerfile: its name, its context, what is run in its image, what that
/// says.
type Project = (&'static str, &'static str, &'static [&'static str], &'static str);

const PROJECTS: [Project; 5] = [
    (
        "python.Dockerfile",
        "python",
        &["python3", "-c", "import app, waitress; print(len(app.LINKS) > 0)"],
        "True",
    ),
    (
        "node.Dockerfile",
        "node",
        &["node", "-e", "console.log(require('markdown-it')().render('# a').trim())"],
        "<h1>a</h1>",
    ),
    ("rust/Dockerfile", "dockerfiles/rust", &["you", "me"], "Hello, you and me!"),
    (
        "nginx/Dockerfile",
        "dockerfiles/nginx",
        &["sh", "-c", "nginx -t 2>/dev/null && cat /var/www/html/index.html | head -n 2"],
        "<!doctype html>\n<title>Risen</title>",
    ),
    ("stages/Dockerfile", "dockerfiles/stages", &[], "27"),
];

fn recipes() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../recipes")
}

#[test]
fn dockerfiles_of_projects_build_run_and_stand() {
    if !able() {
        return;
    }
    let home = Home::new();
    let trust = format!("id=ca,src={TRUST}");
    let build = |dir: &str, file: &str, name: &str| {
        let (dir, file) = (recipes().join(dir), recipes().join("dockerfiles").join(file));
        let (dir, file) = (dir.display().to_string(), file.display().to_string());
        let mut args = vec!["build", "--progress=plain", &dir, "-f", &file, "-t", name];
        if Path::new(TRUST).is_file() {
            args.extend(["--secret", &trust]);
        }
        let said = home.run(&args);
        assert_eq!(said.code, Some(0), "{name}: {said:?}");
        said.stderr
    };
    // The lock is written beside the recipe, which is not the repository's.
    home.write("base/recipe.yaml", "from: {debian: bookworm}\n");
    let said = home.run(&["build", "-q", "base", "-t", "debian:bookworm"]);
    assert_eq!(said.code, Some(0), "{said:?}");
    for (at, (file, dir, command, wanted)) in PROJECTS.iter().enumerate() {
        let name = format!("project:{at}");
        build(dir, file, &name);
        let said = home.run(&[&["run", "--network", "none", &name], *command].concat());
        assert_eq!((said.code, said.stdout.trim()), (Some(0), *wanted), "{file}: {said:?}");
        let again = build(dir, file, &name);
        assert!(again.contains(" 0 ran"), "{file}: {again}");
    }
}
