//! Tokens for an identity token.
//!
//! In: the identity token that `docker login` keeps of a registry whose users
//! have no passwords for programs. Out: the token that lets one do something in
//! one repository, as the registry's token service gives it (distribution spec,
//! "token authentication with OAuth 2": grant type `refresh_token`).
//!
//! Invariant: the identity token goes to the service that the registry names,
//! over TLS unless the registry itself is spoken to without.

use http_auth::ChallengeRef;
use http_auth::parser::ChallengeParser;
use reqwest::header::{HeaderMap, WWW_AUTHENTICATE};
use reqwest::{Response, StatusCode};

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
    pub(super) async fn token_for(
        &self,
        identity: &str,
        access: Access,
    ) -> Result<Option<String>, RegistryError> {
        let asked = self.registry.http.get(self.root()).send().await;
        let asked = asked.map_err(|error| self.transport(error))?;
        if asked.status() != StatusCode::UNAUTHORIZED {
            return Ok(None);
        }
        let challenge = challenge(asked.headers());
        let challenge = challenge.ok_or_else(|| self.odd("it takes no identity tokens"))?;
        if self.is_encrypted() && !challenge.realm.starts_with("https://") {
            return Err(self.odd("its token service is not behind TLS"));
        }
        let actions = match access {
            Access::Pull => "pull",
            Access::Push => "pull,push",
        };
        let scope = format!("repository:{}:{actions}", self.reference.repository());
        let form = [
            ("grant_type", "refresh_token"),
            ("service", &challenge.service),
            ("client_id", CLIENT),
            ("scope", &scope),
            ("refresh_token", identity),
        ];
        let sent = self.registry.http.post(&challenge.realm).form(&form).send().await;
        let answer = sent.map_err(|error| self.transport(error))?;
        if answer.status() != StatusCode::OK {
            return Err(self.refused(answer.status(), answer).await);
        }
        self.read(answer).await.map(Some)
    }

    async fn read(&self, mut answer: Response) -> Result<String, RegistryError> {
        #[derive(serde::Deserialize)]
        struct Granted {
            #[serde(alias = "token")]
            access_token: String,
        }
        let mut body = Vec::new();
        while let Some(chunk) = answer.chunk().await.map_err(|error| self.transport(error))? {
            if body.len() + chunk.len() > MAX_ANSWER {
                return Err(self.odd("the answer of its token service does not end"));
            }
            body.extend_from_slice(&chunk);
        }
        let granted: Result<Granted, _> = serde_json::from_slice(&body);
        let granted = granted.map_err(|_| self.odd("its token service gives no token"))?;
        Ok(granted.access_token)
    }

    fn odd(&self, reason: &str) -> RegistryError {
        let (registry, reason) = (self.reference.registry().to_owned(), reason.to_owned());
        RegistryError::Protocol { registry, reason }
    }
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
}
