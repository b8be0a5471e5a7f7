//! A real Docker: what it saves we read, what we write it loads.

use crate::support::docker::Docker;

#[test]
fn a_private_daemon_starts_and_knows_no_image() {
    let Some(docker) = Docker::start() else { return };
    assert_eq!(docker.run(&["image", "ls", "--quiet"]), "");
}
