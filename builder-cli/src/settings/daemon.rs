//! Where a container engine is, by the variables of Docker's own client:
//!
//! | variable | what for |
//! |---|---|
//! | `DOCKER_HOST` | its address |
//! | `DOCKER_TLS_VERIFY`, `DOCKER_CERT_PATH` | whether `tcp://` is TLS, and the certificates |
//! | `DOCKER_CONTEXT` | a context by name |
//! | `DOCKER_CONFIG`, `HOME` | where contexts are |
//! | `XDG_RUNTIME_DIR` | the socket of a user's Podman |

use std::path::PathBuf;

use builder_core::daemon::Settings;

use super::{set, text};

/// Reads them.
pub(crate) fn read() -> Settings {
    let path = |name| set(name).map(PathBuf::from);
    let of_user = path("XDG_RUNTIME_DIR").map(|dir| dir.join("podman/podman.sock"));
    let docker = (PathBuf::from("/var/run/docker.sock"), "Docker's socket");
    let podman = (PathBuf::from("/run/podman/podman.sock"), "Podman's socket");
    let of_user = of_user.map(|socket| (socket, "this user's Podman"));
    Settings {
        host: text("DOCKER_HOST"),
        tls: set("DOCKER_TLS_VERIFY").is_some(),
        certificates: path("DOCKER_CERT_PATH"),
        context: text("DOCKER_CONTEXT"),
        config: path("DOCKER_CONFIG").or_else(|| path("HOME").map(|home| home.join(".docker"))),
        sockets: [Some(docker), of_user, Some(podman)].into_iter().flatten().collect(),
    }
}
