//! Credentials for a repository behind http.
//!
//! In: the secrets of a build. Out: the header that says who asks, for this host
//! alone. The names are BuildKit's: `GIT_AUTH_HEADER` is the value of the header,
//! `GIT_AUTH_TOKEN` a token, as GitHub and GitLab give them to programs; with
//! `.HOST` behind it a name is for that host only, and comes first.
//!
//! Invariant: what is secret is in git's environment, never in its arguments.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// The user that a token stands for.
const TOKEN_USER: &str = "x-access-token";

/// A setting of git's.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Setting {
    /// Its name.
    pub(super) key: String,
    /// Its value; a secret.
    pub(super) value: String,
}

/// What git must be told for this remote, if there is a secret for it.
pub(super) fn setting(remote: &str, secrets: &BTreeMap<String, Vec<u8>>) -> Option<Setting> {
    let (scheme, rest) = remote.split_once("://")?;
    if !["https", "http"].contains(&scheme) {
        return None;
    }
    let authority = rest.split(['/', '?', '#']).next()?;
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    let secret = |name: &str| {
        let own = secrets.get(&format!("{name}.{host}"));
        let bytes = own.or_else(|| secrets.get(name))?;
        let text = std::str::from_utf8(bytes).ok()?.trim();
        // A second line would be a second header.
        Some(text).filter(|text| !text.is_empty() && !text.contains(char::is_control))
    };
    let said = match (secret("GIT_AUTH_HEADER"), secret("GIT_AUTH_TOKEN")) {
        (Some(header), _) => header.to_owned(),
        (None, Some(token)) => {
            format!("Basic {}", STANDARD.encode(format!("{TOKEN_USER}:{token}")))
        }
        (None, None) => return None,
    };
    let key = format!("http.{scheme}://{host}/.extraheader");
    Some(Setting { key, value: format!("Authorization: {said}") })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(remote: &str, secrets: &[(&str, &str)]) -> Option<(String, String)> {
        let secrets = secrets.iter().map(|(n, v)| ((*n).to_owned(), v.as_bytes().to_vec()));
        setting(remote, &secrets.collect()).map(|Setting { key, value }| (key, value))
    }

    #[test]
    fn a_token_or_header_is_told_to_its_host_alone() {
        let token = ("GIT_AUTH_TOKEN", "t\n");
        let value = "Authorization: Basic eC1hY2Nlc3MtdG9rZW46dA==".to_owned();
        let key = "http.https://h:1/.extraheader".to_owned();
        assert_eq!(said("https://u@h:1/a.git", &[token]), Some((key, value)));
        let header = ("GIT_AUTH_HEADER", "Bearer x");
        let found = said("http://h/a", &[token, header]).expect("a setting");
        assert_eq!(found.1, "Authorization: Bearer x");
        let other = ("GIT_AUTH_HEADER.h", "Bearer y");
        assert_eq!(said("http://h/a", &[header, other]).expect("one").1, "Authorization: Bearer y");
        assert_eq!(said("http://g/a", &[other]), None);
        assert_eq!(said("ssh://h/a", &[token]), None);
        assert_eq!(said("git@h:a", &[token]), None);
        assert_eq!(said("http://h/a", &[("GIT_AUTH_HEADER", "a\nb: c")]), None);
    }
}
