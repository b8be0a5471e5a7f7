//! Tokens of a registry's token service.
//!
//! In: as whom a registry is spoken to: as nobody, with a name and a password,
//! or with the identity token that `docker login` keeps of a registry whose users
//! have no passwords for programs. Out: the token that lets one do something in
//! one repository, as the token service gives it (distribution spec, "token
//! authentication", and "with OAuth 2": grant type `refresh_token`).
//!
//! Invariants: a secret goes to the service that the registry names, over TLS
//! unless the registry itself is spoken to without, and not on to where that
//! service sends one; of its answer no more than a bound is read.

use http_auth::ChallengeRef;
use http_auth::parser::ChallengeParser;
use reqwest::header::{HeaderMap, WWW_AUTHENTICATE};
use reqwest::{RequestBuilder, Response, StatusCode, Url};

use super::auth::Credentials;
use super::client::{Access, Repository};
use super::error::RegistryError;

/// Who asks, as the protocol wants to know.
const CLIENT: &str = "phoenix";
/// The longest answer that is read, in bytes.
const MAX_ANSWER: usize = 1 << 20;

/// Where tokens are to be had, and for which service.
#[derive(Debug, PartialEq, Eq)]
struct Challenge {
    realm: String,
    service: String,
}

impl Repository<'_> {
    /// A token for what is to be done here; `None` where the registry wants none.
    pub(super) async fn granted(
        &self,
        who: &Credentials,
        access: Access,
    ) -> Result<Option<String>, RegistryError> {
        let asked = self.registry.http.get(self.root()).send().await;
        let asked = asked.map_err(|error| self.transport(error))?;
        if asked.status() != StatusCode::UNAUTHORIZED {
            return Ok(None);
        }
        let Some(challenge) = challenge(asked.headers()) else {
            return match who {
                Credentials::Identity(_) => Err(self.odd("it takes no identity tokens")),
                // It may want the password itself.
                Credentials::Nobody | Credentials::Password(..) => Ok(None),
            };
        };
        let realm = address(&challenge.realm, self.is_encrypted());
        let realm = realm.map_err(|reason| self.odd(reason))?;
        let actions = match access {
            Access::Pull => "pull",
            Access::Push => "pull,push",
        };
        let scope = format!("repository:{}:{actions}", self.reference.repository());
        let request = self.request(realm, &challenge.service, &scope, who);
        let answer = request.send().await.map_err(|error| self.transport(error))?;
        match answer.status() {
            StatusCode::OK => self.read(answer).await.map(Some),
            status if status.is_redirection() => {
                Err(self.odd("its token service sends one elsewhere"))
            }
            status => Err(self.refused(status, answer).await),
        }
    }

    fn request(
        &self,
        mut realm: Url,
        service: &str,
        scope: &str,
        who: &Credentials,
    ) -> RequestBuilder {
        let http = &self.registry.tokens;
        if let Credentials::Identity(identity) = who {
            let form = [
                ("grant_type", "refresh_token"),
                ("service", service),
                ("client_id", CLIENT),
                ("scope", scope),
                ("refresh_token", identity),
            ];
            return http.post(realm).form(&form);
        }
        let mut query = realm.query_pairs_mut();
        if !service.is_empty() {
            query.append_pair("service", service);
        }
        query.append_pair("scope", scope);
        drop(query);
        match who {
            Credentials::Password(user, password) => {
                http.get(realm).basic_auth(user, Some(password))
            }
            Credentials::Nobody | Credentials::Identity(_) => http.get(realm),
        }
    }

    async fn read(&self, mut answer: Response) -> Result<String, RegistryError> {
        let mut body = Vec::new();
        while let Some(chunk) = answer.chunk().await.map_err(|error| self.transport(error))? {
            if body.len() + chunk.len() > MAX_ANSWER {
                return Err(self.odd("the answer of its token service does not end"));
            }
            body.extend_from_slice(&chunk);
        }
        token_in(&body).ok_or_else(|| self.odd("its token service gives no token"))
    }

    fn odd(&self, reason: &str) -> RegistryError {
        let (registry, reason) = (self.reference.registry().to_owned(), reason.to_owned());
        RegistryError::Protocol { registry, reason }
    }
}

/// Where a token service is, if it may be asked: a secret that goes to the registry
/// over TLS goes nowhere without.
fn address(realm: &str, encrypted: bool) -> Result<Url, &'static str> {
    let realm = Url::parse(realm).map_err(|_| "the address of its token service is none")?;
    match realm.scheme() {
        "https" => Ok(realm),
        "http" if !encrypted => Ok(realm),
        _ => Err("its token service is not behind TLS"),
    }
}

/// The token of an answer, which may have it under both names. It must be fit for
/// a header.
fn token_in(answer: &[u8]) -> Option<String> {
    #[derive(serde::Deserialize)]
    struct Granted {
        token: Option<String>,
        access_token: Option<String>,
    }
    let Granted { token, access_token } = serde_json::from_slice(answer).ok()?;
    let fits = |token: &String| !token.is_empty() && token.bytes().all(|b| b.is_ascii_graphic());
    [token, access_token].into_iter().flatten().find(fits)
}

/// The first challenge for a token.
fn challenge(headers: &HeaderMap) -> Option<Challenge> {
    let texts = headers.get_all(WWW_AUTHENTICATE).iter().filter_map(|value| value.to_str().ok());
    texts.flat_map(|text| ChallengeParser::new(text).flatten()).find_map(|known| of(&known))
}

fn of(challenge: &ChallengeRef<'_>) -> Option<Challenge> {
    if !challenge.scheme.eq_ignore_ascii_case("bearer") {
        return None;
    }
    let value = |wanted: &str| {
        let mut params = challenge.params.iter();
        params.find(|(name, _)| name.eq_ignore_ascii_case(wanted)).map(|(_, v)| v.to_unescaped())
    };
    Some(Challenge { realm: value("realm")?, service: value("service").unwrap_or_default() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn challenges_for_tokens_are_found_among_others() {
        let of = |text: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(WWW_AUTHENTICATE, text.parse().expect("a header"));
            challenge(&headers).map(|Challenge { realm, service }| (realm, service))
        };
        let told = |realm: &str, service: &str| Some((realm.to_owned(), service.to_owned()));
        assert_eq!(of("Bearer realm=\"https://a/t\",service=\"s\""), told("https://a/t", "s"));
        assert_eq!(of("basic realm=\"x\", BEARER realm=\"https://a\""), told("https://a", ""));
        assert_eq!(of("Basic realm=\"x\""), None);
        assert_eq!(of("Bearer service=\"s\""), None);
        assert_eq!(of("Bearer"), None);
    }

    #[test]
    fn a_token_service_without_tls_is_asked_only_for_a_registry_without() {
        let asked = |realm, encrypted| address(realm, encrypted).map(String::from);
        for (encrypted, realm) in
            [(true, "https://a/t?x=y"), (false, "https://a/t"), (false, "http://a/t")]
        {
            assert_eq!(asked(realm, encrypted).as_deref(), Ok(realm));
        }
        assert!(asked("HTTPS://a/t", true).is_ok());
        for realm in ["http://a/t", "HTTP://a/t", "http:https://a/t", "ftp://a/t", "file:///t"] {
            assert_eq!(asked(realm, true), Err("its token service is not behind TLS"), "{realm}");
        }
        for realm in ["", "/token", "https://", "a/t"] {
            for encrypted in [true, false] {
                assert!(asked(realm, encrypted).is_err(), "{realm}");
            }
        }
        assert!(asked("ftp://a/t", false).is_err());
    }

    #[test]
    fn tokens_are_known_under_either_name_and_both() {
        let found = |text: &str| token_in(text.as_bytes());
        for text in [
            r#"{"token": "t"}"#,
            r#"{"access_token": "t", "expires_in": 300}"#,
            r#"{"token": "t", "access_token": "other"}"#,
            r#"{"token": "", "access_token": "t"}"#,
            r#"{"token": null, "access_token": "t"}"#,
        ] {
            assert_eq!(found(text).as_deref(), Some("t"), "{text}");
        }
        for text in ["", "{}", r#"{"token": ""}"#, r#"{"token": 1}"#, r#"{"token": "a\nb"}"#, "[]"]
        {
            assert_eq!(found(text), None, "{text}");
        }
    }
}
