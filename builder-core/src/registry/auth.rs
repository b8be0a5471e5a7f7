//! Credentials, where Docker and Podman keep them.
//!
//! In: the files that the caller names. Out: what the first of them has for a
//! registry: a name and a password or an identity token, from the file itself or
//! from the helper program that it names.
//!
//! Limitation: a helper is waited for.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

use docker_credential::{CredentialRetrievalError, DockerCredential};
use serde_json::Value;

use super::{Reference, RegistryError, Settings};

/// The largest file of credentials that is read, in bytes.
const MAX_FILE: u64 = 4 << 20;

/// What Docker calls its own registry where it keeps credentials.
const DOCKER: [&str; 4] =
    ["https://index.docker.io/v1/", "docker.io", "index.docker.io", "registry-1.docker.io"];

/// As whom a registry is spoken to.
#[derive(Clone, PartialEq, Eq)]
#[cfg_attr(test, derive(Debug))]
pub(super) enum Credentials {
    /// As nobody.
    Nobody,
    /// A name and a password.
    Password(String, String),
    /// A token that the registry's token service gives tokens for; Docker calls
    /// it an identity token.
    Identity(String),
}

/// The credentials for the registry of `reference`.
pub(super) fn credentials(
    settings: &Settings,
    reference: &Reference,
) -> Result<Credentials, RegistryError> {
    for path in &settings.auth_files {
        let fail = |reason: String| RegistryError::Credentials { path: path.clone(), reason };
        let Some(bytes) = read(path).map_err(|error| fail(error.to_string()))? else { continue };
        let file: Value = serde_json::from_slice(&bytes)
            .map_err(|error| fail(format!("line {}: it is no JSON", error.line())))?;
        match docker_credential::get_credential_from_reader(&*bytes, &server(&file, reference)) {
            Ok(DockerCredential::UsernamePassword(user, password)) => {
                return Ok(Credentials::Password(user, password));
            }
            Ok(DockerCredential::IdentityToken(token)) => return Ok(Credentials::Identity(token)),
            Err(CredentialRetrievalError::NoCredentialConfigured) => {}
            Err(CredentialRetrievalError::HelperFailure { stdout, stderr, .. })
                if is_unknown(&stdout) || is_unknown(&stderr) => {}
            Err(error) => return Err(fail(reason(&error, reference))),
        }
    }
    Ok(Credentials::Nobody)
}

fn read(path: &Path) -> io::Result<Option<Vec<u8>>> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error)
            if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) =>
        {
            return Ok(None);
        }
        Err(error) => return Err(error),
    };
    let mut bytes = Vec::new();
    file.take(MAX_FILE + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MAX_FILE {
        return Err(io::Error::other(format!("it has more than {MAX_FILE} bytes")));
    }
    Ok(Some(bytes))
}

/// What a file calls the registry: the most exact name that it has. Podman
/// keeps credentials for a part of a registry too.
fn server(file: &Value, reference: &Reference) -> String {
    let has =
        |name: &str| ["auths", "credHelpers"].iter().any(|table| file[table].get(name).is_some());
    let (registry, repository) = (reference.registry(), reference.repository());
    let mut whole = format!("{registry}/{repository}");
    while whole.len() > registry.len() {
        if has(&whole) {
            return whole;
        }
        whole.truncate(whole.rfind('/').unwrap_or_default());
    }
    let plain = [registry];
    let names: &[&str] = if registry == "docker.io" { &DOCKER } else { &plain };
    let known = names.iter().find(|name| has(name));
    (*known.unwrap_or(&names[0])).to_owned()
}

/// The words in which helpers say that they have nothing.
fn is_unknown(text: &str) -> bool {
    text.contains("credentials not found")
}

/// What went wrong, without anything that a helper printed: it may be a secret.
fn reason(error: &CredentialRetrievalError, reference: &Reference) -> String {
    let registry = reference.registry();
    match error {
        CredentialRetrievalError::HelperCommunicationError => {
            format!("the credential helper for {registry} cannot be run")
        }
        CredentialRetrievalError::HelperFailure { helper, .. } => {
            format!("{helper} has failed for {registry}")
        }
        CredentialRetrievalError::MalformedHelperResponse => {
            format!("the answer of the credential helper for {registry} is not understood")
        }
        CredentialRetrievalError::CredentialDecodingError => {
            format!("`auth` of {registry} is not NAME:PASSWORD in base64")
        }
        CredentialRetrievalError::CredentialMismatchError => {
            format!("`auth` of {registry} is not its `username` and `password`")
        }
        _ => "it is not as Docker or Podman write it".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(file: &str, name: &str) -> Result<Credentials, String> {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("config.json");
        std::fs::write(&path, file).expect("written");
        let absent = dir.path().join("absent/config.json");
        let settings = Settings { auth_files: vec![absent, path], ..Settings::default() };
        let reference = name.parse().expect(name);
        credentials(&settings, &reference).map_err(|error| error.to_string())
    }

    fn basic(user: &str) -> Result<Credentials, String> {
        Ok(Credentials::Password(user.to_owned(), "pw".to_owned()))
    }

    #[test]
    fn the_most_exact_entry_for_a_registry_counts() {
        // `u:pw`, `v:pw` and `w:pw`.
        let file = r#"{"auths": {
            "https://index.docker.io/v1/": {"auth": "dTpwdw=="},
            "localhost:5000": {"auth": "djpwdw=="},
            "quay.io/me": {"auth": "dzpwdw=="},
            "quay.io": {"username": "u", "password": "pw"}
        }}"#;
        assert_eq!(found(file, "debian"), basic("u"));
        assert_eq!(found(file, "localhost:5000/a"), basic("v"));
        assert_eq!(found(file, "quay.io/me/app"), basic("w"));
        assert_eq!(found(file, "quay.io/you/app"), basic("u"));
        assert_eq!(found(file, "localhost:5001/a"), Ok(Credentials::Nobody));
        assert_eq!(found("{}", "debian"), Ok(Credentials::Nobody));
    }

    #[test]
    fn identity_tokens_are_known_from_files() {
        let file = r#"{"auths": {"quay.io": {"auth": "dTo=", "identitytoken": "t"}}}"#;
        assert_eq!(found(file, "quay.io/a"), Ok(Credentials::Identity("t".to_owned())));
    }

    #[test]
    fn what_cannot_be_used_is_told_without_what_it_holds() {
        for file in [
            r#"{"auths": {"docker.io": {"auth": "c2VjcmV0"}}}"#,
            r#"{"auths": {"docker.io": {"auth": "!secret"}}}"#,
            r#"{"auths": "secret"}"#,
            r#"{"secret"#,
        ] {
            let error = found(file, "debian").expect_err(file);
            assert!(error.contains("config.json") && !error.contains("secret"), "{error}");
        }
        let helper = r#"{"credsStore": "phoenix-test-that-is-not-there"}"#;
        let error = found(helper, "debian").expect_err("no such helper");
        assert!(error.contains("cannot be run"), "{error}");
    }
}
