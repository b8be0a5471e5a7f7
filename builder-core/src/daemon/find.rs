//! Which engine is meant, and whether it answers.
//!
//! In: [`Settings`]. Out: a connection, or all that was tried. The order is that
//! of Docker's own client: an address, a context, the usual sockets.

use std::error::Error as _;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use bollard::{API_DEFAULT_VERSION, Docker};

use super::address::{Address, Certificates, parse};
use super::ssh::Bridge;
use super::wait::Waiter;
use super::{DaemonError, Settings, Tried, context};
use crate::store::Store;

/// An engine that does not answer in so many seconds is none.
const PATIENCE: u64 = 30;

/// An engine that answers.
pub(super) struct Found {
    pub(super) docker: Docker,
    pub(super) bridge: Option<Bridge>,
    /// `Docker 20.10.24 at unix:///var/run/docker.sock`.
    pub(super) name: String,
}

/// The engine that `settings` mean.
pub(super) fn find(
    settings: &Settings,
    store: &Store,
    waiter: &Waiter,
) -> Result<Found, DaemonError> {
    let mut tried = Vec::new();
    for (address, whence) in candidates(settings)? {
        match connect(&address, store, waiter) {
            Ok(found) => return Ok(found),
            Err(No::Canceled) => return Err(DaemonError::Canceled),
            Err(No::Error(error)) => return Err(error),
            Err(No::Engine { why, kind }) => {
                tried.push(Tried { address: address.to_string(), whence, why, kind });
            }
        }
    }
    Err(DaemonError::NoEngine { tried })
}

/// Where an engine may be, and who says so.
fn candidates(settings: &Settings) -> Result<Vec<(Address, String)>, DaemonError> {
    let Settings { host, tls, certificates, context, config, sockets } = settings;
    if let Some(host) = host {
        let certificates = certificates.clone().or_else(|| config.clone());
        let whence = "DOCKER_HOST".to_owned();
        return match parse(host, *tls, certificates) {
            Ok(address) => Ok(vec![(address, whence)]),
            Err(why) => Err(DaemonError::Address { whence, address: host.clone(), why }),
        };
    }
    let name = match (context, config) {
        (Some(name), _) => Some(name.clone()),
        (None, Some(config)) => context::current(config)?,
        (None, None) => None,
    };
    if let Some(name) = name.filter(|name| name != context::DEFAULT) {
        let address = context::address(config.as_deref(), &name)?;
        return Ok(vec![(address, format!("the context `{name}` of Docker"))]);
    }
    let socket = |(path, what): &(PathBuf, &str)| (Address::Unix(path.clone()), (*what).to_owned());
    Ok(sockets.iter().map(socket).collect())
}

/// Why there is no engine at an address.
enum No {
    Canceled,
    Error(DaemonError),
    Engine { why: String, kind: Option<io::ErrorKind> },
}

fn connect(address: &Address, store: &Store, waiter: &Waiter) -> Result<Found, No> {
    let (docker, bridge) = client(address, store)?;
    let asked = waiter.wait(docker.version()).ok_or(No::Canceled)?;
    let version = asked.map_err(|error| {
        let complaint = bridge.as_ref().and_then(Bridge::complaint);
        match (complaint, no_engine(&error)) {
            (Some(why), No::Engine { kind, .. }) => No::Engine { why, kind },
            (_, no) => no,
        }
    })?;
    let components = version.components.unwrap_or_default();
    let podman = components.iter().any(|part| part.name.starts_with("Podman"));
    let kind = if podman { "Podman" } else { "Docker" };
    let number = version.version.unwrap_or_default();
    Ok(Found { docker, bridge, name: format!("{kind} {number} at {address}") })
}

fn client(address: &Address, store: &Store) -> Result<(Docker, Option<Bridge>), No> {
    let unix = |path: &str| Docker::connect_with_unix(path, PATIENCE, API_DEFAULT_VERSION);
    let mut bridge = None;
    let docker = match address {
        Address::Unix(path) => unix(&path.to_string_lossy()),
        Address::Tcp { authority, tls: None } => {
            Docker::connect_with_http(authority, PATIENCE, API_DEFAULT_VERSION)
        }
        Address::Tcp { authority, tls: Some(certificates) } => secure(authority, certificates)?,
        Address::Ssh(remote) => {
            let bridge = bridge.insert(Bridge::open(store, remote).map_err(No::Error)?);
            unix(bridge.socket())
        }
    };
    Ok((docker.map_err(|error| no_engine(&error))?, bridge))
}

/// Over TLS.
///
/// Limitation: bollard trusts the authorities of this host beside `ca.pem`.
fn secure(
    authority: &str,
    certificates: &Certificates,
) -> Result<Result<Docker, bollard::errors::Error>, No> {
    // Two providers of cryptography are compiled in, and rustls does not choose.
    // Where the program has chosen, that stands.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let file = |name: &str| match certificates {
        Certificates::In(dir) => dir.join(name),
        // An empty file adds nothing to what the system trusts.
        Certificates::System => PathBuf::from("/dev/null"),
    };
    let [ca, cert, key] = ["ca.pem", "cert.pem", "key.pem"].map(file);
    // bollard goes on without what it cannot read, and who listens says less.
    for path in [&ca, &cert, &key] {
        if let Err(error) = std::fs::File::open(path)
            && (path == &ca || error.kind() != io::ErrorKind::NotFound)
        {
            let why = format!("reading {}: {error}", path.display());
            return Err(No::Engine { why, kind: None });
        }
    }
    Ok(Docker::connect_with_ssl(authority, &key, &cert, &ca, PATIENCE, API_DEFAULT_VERSION))
}

fn no_engine(error: &bollard::errors::Error) -> No {
    use bollard::errors::Error;
    let kind = io_kind(error);
    let why = match (error, kind) {
        (Error::SocketNotFoundError(_), _) => "there is no such socket".to_owned(),
        (_, Some(io::ErrorKind::PermissionDenied)) => "permission denied".to_owned(),
        (_, Some(io::ErrorKind::ConnectionRefused)) => "nobody listens there".to_owned(),
        (Error::RequestTimeoutError, _) => format!("no answer in {PATIENCE} seconds"),
        _ => told(error),
    };
    let missing = matches!(error, Error::SocketNotFoundError(_));
    No::Engine { why, kind: if missing { Some(io::ErrorKind::NotFound) } else { kind } }
}

/// What the system said, at the bottom of an error.
fn io_kind(error: &bollard::errors::Error) -> Option<io::ErrorKind> {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    let mut found = None;
    while let Some(error) = cause {
        found = error.downcast_ref::<io::Error>().map(io::Error::kind).or(found);
        cause = error.source();
    }
    found
}

/// An error of the client with its causes, each said once.
pub(super) fn told(error: &bollard::errors::Error) -> String {
    use bollard::errors::Error;
    if let Error::DockerResponseServerError { message, status_code } = error {
        let said = message.trim();
        return match said.is_empty() {
            true => format!("it answered with status {status_code}"),
            false => said.to_owned(),
        };
    }
    if let Error::DockerStreamError { error } = error {
        return error.trim().to_owned();
    }
    let mut text = String::new();
    let mut cause = error.source();
    // The client's own words say only that it is the client.
    if !matches!(error, Error::HyperLegacyError { .. }) {
        text = error.to_string();
    } else if cause.is_none() {
        return error.to_string();
    }
    while let Some(error) = cause {
        let more = error.to_string();
        if !text.ends_with(&more) {
            text = if text.is_empty() { more } else { format!("{text}: {more}") };
        }
        cause = error.source();
    }
    text
}

/// How long requests may take that move a whole image: as long as it takes.
pub(super) const UNLIMITED: Duration = Duration::from_secs(10 * 365 * 24 * 3600);
