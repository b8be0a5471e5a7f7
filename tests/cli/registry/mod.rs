//! Images from registries and to them: `pull`, `push`, `build`. Debian's
//! `docker-registry` is at the other end, or one of ours that lies; skopeo
//! judges.

mod build;
mod claims;
mod credentials;
mod http;
pub(crate) mod liar;
mod lies;
mod moved;
mod platforms;
mod server;

use crate::phoenix::{Home, Said};

/// Builds an image of one file in this home; gives its digest.
fn image(home: &Home, name: &str, content: &str, args: &[&str]) -> String {
    let recipe = format!(
        "from: {{scratch: true}}\nsteps:\n  - write: {{path: /base, content: base}}\n  - write: {{path: /file, content: \"{content}\"}}\n"
    );
    home.write("image/recipe.yaml", &recipe);
    let said = home.run(&[&["build", "image", "-q", "-t", name], args].concat());
    assert_eq!(said.code, Some(0), "{said:?}");
    said.stdout.trim().to_owned()
}

/// Runs what must go well, and gives its standard output without the last newline.
fn well(home: &Home, args: &[&str]) -> String {
    let said = home.run(args);
    assert_eq!(said.code, Some(0), "{args:?}: {said:?}");
    said.stdout.trim().to_owned()
}

/// Runs what must fail with trouble, and gives what it said.
fn ill(home: &Home, args: &[&str]) -> String {
    let Said { code, stderr, stdout } = home.run(args);
    assert_eq!(code, Some(5), "{args:?}: {stdout}\n{stderr}");
    stderr
}

/// How many blobs the store of this home has.
fn blobs(home: &Home) -> usize {
    let dir = home.path(".local/share/phoenix/blobs/sha256");
    std::fs::read_dir(dir).map_or(0, |entries| entries.count())
}
