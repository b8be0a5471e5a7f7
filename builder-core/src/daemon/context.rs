//! Docker's contexts: which is the current one, and where its engine is.
//!
//! In: the directory of Docker's configuration. Out: an address. Docker keeps a
//! context in `contexts/meta/ID/meta.json`, its certificates in
//! `contexts/tls/ID/docker/`, where ID is the SHA-256 of its name.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::DaemonError;
use super::address::{Address, parse};
use crate::digest::BlobDigest;

/// The context that stands for there being none.
pub(super) const DEFAULT: &str = "default";
/// No file of Docker's configuration is larger.
const MAX_BYTES: u64 = 4 << 20;

#[derive(Deserialize)]
struct Config {
    #[serde(rename = "currentContext")]
    current: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Meta {
    #[serde(default)]
    endpoints: Endpoints,
}

#[derive(Deserialize, Default)]
struct Endpoints {
    docker: Option<Endpoint>,
}

#[derive(Deserialize)]
struct Endpoint {
    #[serde(rename = "Host")]
    host: Option<String>,
    #[serde(rename = "SkipTLSVerify", default)]
    unverified: bool,
}

/// The name of the current context, where it is not the default one.
pub(super) fn current(config: &Path) -> Result<Option<String>, DaemonError> {
    let path = config.join("config.json");
    let read = read::<Config>(&path).map_err(|why| DaemonError::Config { path, why })?;
    Ok(read.and_then(|config| config.current).filter(|name| !matches!(name.as_str(), "" | DEFAULT)))
}

/// Where the engine of the context `name` is.
pub(super) fn address(config: Option<&Path>, name: &str) -> Result<Address, DaemonError> {
    let refuse = |why: String| DaemonError::Context { name: name.to_owned(), why };
    let config = config.ok_or_else(|| refuse("no directory of Docker's is known".to_owned()))?;
    let id = BlobDigest::of(name.as_bytes()).hex();
    let path = config.join("contexts/meta").join(&id).join("meta.json");
    let meta = read::<Meta>(&path).map_err(|why| refuse(format!("{}: {why}", path.display())))?;
    let meta = meta.ok_or_else(|| refuse(format!("there is no {}", path.display())))?;
    let Some(Endpoint { host: Some(host), unverified }) = meta.endpoints.docker else {
        return Err(refuse("it names no engine".to_owned()));
    };
    let tls = config.join("contexts/tls").join(&id).join("docker");
    let tls = tls.is_dir().then_some(tls);
    if unverified && host.starts_with("tcp://") {
        let why = "it says that the engine's certificate is not to be checked, which is refused";
        return Err(refuse(why.to_owned()));
    }
    let address = parse(&host, tls.is_some(), tls);
    address.map_err(|why| refuse(format!("its engine is at `{host}`: {why}")))
}

/// What a file says; `None` where there is none.
fn read<T: DeserializeOwned>(path: &Path) -> Result<Option<T>, String> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error.to_string()),
    };
    let mut bytes = Vec::new();
    file.take(MAX_BYTES).read_to_end(&mut bytes).map_err(|error| error.to_string())?;
    serde_json::from_slice(&bytes).map(Some).map_err(|error| error.to_string())
}
