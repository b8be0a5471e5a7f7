//! Addresses of engines, as `DOCKER_HOST` and Docker's contexts have them.
//!
//! In: text. Out: an [`Address`], or a sentence on what is wrong with it.
//! Limitations: a path behind the host of `tcp://` is refused, since bollard
//! would leave it out without a word.

use std::fmt;
use std::path::PathBuf;

use reqwest::Url;

/// The port of an engine without and with TLS, by Docker's convention.
const PORTS: [u16; 2] = [2375, 2376];

/// Where an engine is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Address {
    /// A socket of this host.
    Unix(PathBuf),
    /// A host and port, with the directory of certificates where it is TLS.
    Tcp { authority: String, tls: Option<Certificates> },
    /// A host that is reached by ssh.
    Ssh(Remote),
}

/// Where certificates are: `ca.pem`, `cert.pem`, `key.pem`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Certificates {
    /// In that directory; `ca.pem` must be there.
    In(PathBuf),
    /// Nowhere: who the system trusts is trusted.
    System,
}

/// What ssh is given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Remote {
    pub(super) user: Option<String>,
    pub(super) host: String,
    pub(super) port: Option<u16>,
    /// The engine's socket there, where it is not the usual one.
    pub(super) socket: Option<String>,
}

/// Reads an address; `certificates` is where those for TLS are, and `tls`
/// whether `tcp://` means TLS.
pub(super) fn parse(
    text: &str,
    tls: bool,
    certificates: Option<PathBuf>,
) -> Result<Address, String> {
    let (scheme, rest) = match text.split_once("://") {
        Some(parts) => parts,
        None if text.starts_with('/') => return Err(format!("did you mean `unix://{text}`?")),
        None => ("tcp", text),
    };
    if scheme == "unix" {
        return match rest.starts_with('/') {
            true => Ok(Address::Unix(rest.into())),
            false => Err("the path of a socket is absolute: `unix:///var/run/docker.sock`".into()),
        };
    }
    if !["tcp", "http", "https", "ssh"].contains(&scheme) {
        return Err("an address begins with unix://, tcp://, http://, https:// or ssh://".into());
    }
    let url = Url::parse(&format!("{scheme}://{rest}")).map_err(|error| error.to_string())?;
    let host = url.host_str().filter(|host| !host.is_empty()).ok_or("it names no host")?;
    let path = Some(url.path()).filter(|path| !matches!(*path, "" | "/"));
    if scheme == "ssh" {
        let user = Some(url.username()).filter(|user| !user.is_empty());
        if url.password().is_some() {
            return Err("ssh takes no password from an address".into());
        }
        if host.starts_with('-') || user.is_some_and(|user| user.starts_with('-')) {
            return Err("a host or user that begins with `-` would be an option of ssh".into());
        }
        let plain = |c: char| c.is_ascii_alphanumeric() || "/._-".contains(c);
        if path.is_some_and(|path| !path.chars().all(plain)) {
            return Err("a shell would read the path of the socket as something else".into());
        }
        return Ok(Address::Ssh(Remote {
            user: user.map(str::to_owned),
            host: host.to_owned(),
            port: url.port(),
            socket: path.map(str::to_owned),
        }));
    }
    let tls = match scheme {
        "tcp" => tls,
        "http" => false,
        _ => true,
    };
    if let Some(path) = path {
        return Err(format!("an engine at a path (`{path}`) of a host cannot be reached"));
    }
    // The known port of http and https is not the one of engines.
    let port = match (scheme, url.port()) {
        (_, Some(port)) => port,
        ("tcp", None) => PORTS[usize::from(tls)],
        _ => url.port_or_known_default().unwrap_or(PORTS[usize::from(tls)]),
    };
    // Who says `https` may mean an authority that this host trusts anyway.
    let certificates = certificates.filter(|dir| scheme == "tcp" || dir.join("ca.pem").exists());
    let certificates = certificates.map_or(Certificates::System, Certificates::In);
    Ok(Address::Tcp { authority: format!("{host}:{port}"), tls: tls.then_some(certificates) })
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "unix://{}", path.display()),
            Self::Tcp { authority, tls: None } => write!(f, "tcp://{authority}"),
            Self::Tcp { authority, tls: Some(_) } => write!(f, "tcp://{authority} with TLS"),
            Self::Ssh(Remote { user, host, port, socket }) => {
                f.write_str("ssh://")?;
                if let Some(user) = user {
                    write!(f, "{user}@")?;
                }
                f.write_str(host)?;
                if let Some(port) = port {
                    write!(f, ":{port}")?;
                }
                f.write_str(socket.as_deref().unwrap_or_default())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_of_docker_host_is_read() {
        for (text, tls, shown) in [
            ("unix:///run/x.sock", false, "unix:///run/x.sock"),
            ("tcp://10.0.0.1", false, "tcp://10.0.0.1:2375"),
            ("tcp://10.0.0.1", true, "tcp://10.0.0.1:2376 with TLS"),
            ("tcp://h:99/", false, "tcp://h:99"),
            ("h:99", false, "tcp://h:99"),
            ("tcp://[::1]:99", false, "tcp://[::1]:99"),
            ("http://h", true, "tcp://h:80"),
            ("https://h", false, "tcp://h:443 with TLS"),
            ("https://h:1", false, "tcp://h:1 with TLS"),
            ("ssh://h", false, "ssh://h"),
            ("ssh://me@h:22/run/podman.sock", false, "ssh://me@h:22/run/podman.sock"),
        ] {
            let address = parse(text, tls, None).map(|address| address.to_string());
            assert_eq!(address.as_deref(), Ok(shown), "{text}");
        }
    }

    #[test]
    fn what_is_no_address_is_told_why() {
        for (text, why) in [
            ("/var/run/docker.sock", "did you mean `unix:///var/run/docker.sock`?"),
            ("unix://docker.sock", "absolute"),
            ("fd://", "begins with"),
            ("npipe:////./pipe/docker_engine", "begins with"),
            ("tcp://h/prefix", "path (`/prefix`)"),
            ("ssh://-oProxyCommand=x", "option of ssh"),
            ("ssh://me:word@h", "password"),
            ("ssh://h/run/$(x)", "shell"),
            ("tcp://", "host"),
        ] {
            let error = parse(text, false, None).expect_err("refused");
            assert!(error.contains(why), "{text}: {error}");
        }
    }
}
