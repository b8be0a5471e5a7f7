//! Connections to registries: who is spoken to, as whom, and how it ends.
//!
//! In: [`Settings`], a name. Out: answers, or errors that name the registry.
//! A token is asked for when the registry wants one, and again when it is old
//! or refused.

use std::future::Future;
use std::time::{Duration, Instant};

use oci_client::client::{ClientConfig, ClientProtocol};
use oci_client::secrets::RegistryAuth;
use oci_client::{Reference as Remote, RegistryOperation};
use reqwest::header::ACCEPT;
use reqwest::{NoProxy, Proxy, RequestBuilder, Response, StatusCode, redirect};
use tokio::sync::Mutex;

use super::auth::Credentials;
use super::error::said;
use super::{Reference, RegistryError, Settings, auth};
use crate::cancel::Cancel;

/// How often cancelling is looked for.
const TICK: Duration = Duration::from_millis(50);
/// How long a token is used: the least that the token protocol lets it be good for.
const TOKEN_AGE: Duration = Duration::from_secs(60);
/// How long `oci-client` keeps a token, in seconds: until it is told another one.
const TOKEN_KEPT: usize = 24 * 60 * 60;
/// How long asking for a token may take.
const TOKEN_TIME: Duration = Duration::from_secs(30);
const CONNECT_TIME: Duration = Duration::from_secs(20);
const READ_TIME: Duration = Duration::from_secs(60);
/// Attempts per question.
pub(super) const ATTEMPTS: u32 = 3;
/// How much of an error is read.
const MAX_ERROR: usize = 8 << 10;
/// How many redirects are followed.
const MAX_REDIRECTS: usize = 5;
const USER_AGENT: &str = concat!("phoenix/", env!("CARGO_PKG_VERSION"));
/// Makes `oci-client` use no proxy of the environment: it names one, for nobody.
const NOBODY: (&str, &str) = ("http://127.0.0.1:9", "*,0.0.0.0/0,::/0");

/// Speaks to registries; holds its own small runtime.
pub struct Registry {
    runtime: tokio::runtime::Runtime,
    pub(super) http: reqwest::Client,
    /// For token services: follows no redirect, which would take a secret along.
    pub(super) tokens: reqwest::Client,
    settings: Settings,
    pub(super) cancel: Cancel,
}

/// What is to be done in a repository.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Reading.
    Pull,
    /// Reading and writing.
    Push,
}

impl Access {
    fn operation(self) -> RegistryOperation {
        match self {
            Self::Pull => RegistryOperation::Pull,
            Self::Push => RegistryOperation::Push,
        }
    }
}

impl Registry {
    /// Ready to speak, until `cancel` is set.
    ///
    /// # Errors
    /// [`RegistryError::Client`] where a proxy is none, [`RegistryError::Runtime`].
    pub fn new(settings: &Settings, cancel: &Cancel) -> Result<Self, RegistryError> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .map_err(|source| RegistryError::Runtime { source })?;
        let (settings, cancel) = (settings.clone(), cancel.clone());
        let client = |error| RegistryError::Client { error };
        let tokens = http(&settings, redirect::Policy::none()).map_err(client)?;
        let http = http(&settings, redirects()).map_err(client)?;
        Ok(Self { runtime, http, tokens, settings, cancel })
    }

    /// The settings.
    #[must_use]
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Waits for `work`, or until stopping is asked.
    pub(super) fn wait<T>(
        &self,
        work: impl Future<Output = Result<T, RegistryError>>,
    ) -> Result<T, RegistryError> {
        self.runtime.block_on(async {
            let canceled = async {
                while !self.cancel.is_canceled() {
                    tokio::time::sleep(TICK).await;
                }
            };
            tokio::select! {
                biased;
                () = canceled => Err(RegistryError::Canceled),
                done = work => done,
            }
        })
    }

    /// The repository of `reference`, with the user's credentials.
    ///
    /// # Errors
    /// [`RegistryError::Credentials`].
    pub fn repository(
        &self,
        reference: &Reference,
        access: Access,
    ) -> Result<Repository<'_>, RegistryError> {
        let plain = self.settings.is_plain(reference);
        let host = match reference.registry() {
            // Where Docker's registry is.
            "docker.io" => "registry-1.docker.io".to_owned(),
            other => other.to_owned(),
        };
        let protocol = if plain { ClientProtocol::Http } else { ClientProtocol::Https };
        let proxies = &self.settings.proxies;
        let none = proxies.http.is_none() && proxies.https.is_none();
        let nobody = || none.then(|| NOBODY.0.to_owned());
        let config = ClientConfig {
            protocol,
            use_monolithic_push: true,
            connect_timeout: Some(CONNECT_TIME),
            read_timeout: Some(READ_TIME),
            user_agent: USER_AGENT,
            http_proxy: proxies.http.clone().or_else(nobody),
            https_proxy: proxies.https.clone().or_else(nobody),
            no_proxy: proxies.none_for.clone().or(none.then(|| NOBODY.1.to_owned())),
            // Which tokens are too old is decided here.
            default_token_expiration_secs: TOKEN_KEPT,
            ..ClientConfig::default()
        };
        let api = oci_client::Client::try_from(config)
            .map_err(|error| RegistryError::of_client(&host, reference.repository(), error))?;
        let tag = reference.tag().unwrap_or("latest").to_owned();
        let remote = Remote::with_tag(host.clone(), reference.repository().to_owned(), tag);
        Ok(Repository {
            registry: self,
            reference: reference.clone(),
            scheme: if plain { "http" } else { "https" },
            host,
            api,
            remote,
            auth: auth::credentials(&self.settings, reference)?,
            access,
            token: Mutex::new(None),
        })
    }
}

/// A client with these proxies.
fn http(settings: &Settings, redirects: redirect::Policy) -> reqwest::Result<reqwest::Client> {
    let mut builder = reqwest::Client::builder()
        .no_proxy()
        .user_agent(USER_AGENT)
        .connect_timeout(CONNECT_TIME)
        .read_timeout(READ_TIME)
        .redirect(redirects);
    let direct = settings.proxies.none_for.as_deref().and_then(NoProxy::from_string);
    if let Some(url) = &settings.proxies.http {
        builder = builder.proxy(Proxy::http(url)?.no_proxy(direct.clone()));
    }
    if let Some(url) = &settings.proxies.https {
        builder = builder.proxy(Proxy::https(url)?.no_proxy(direct));
    }
    builder.build()
}

/// Follows a few redirects, none of them out of TLS. That credentials stay
/// behind where the host changes is the client's rule.
fn redirects() -> redirect::Policy {
    redirect::Policy::custom(|attempt| {
        let before = attempt.previous();
        let leaves = before.last().is_some_and(|last| last.scheme() == "https")
            && attempt.url().scheme() != "https";
        if leaves {
            attempt.error("a redirect leads from https to http")
        } else if before.len() > MAX_REDIRECTS {
            attempt.error("too many redirects")
        } else {
            attempt.follow()
        }
    })
}

/// A repository of a registry, as one user sees it.
pub struct Repository<'a> {
    pub(super) registry: &'a Registry,
    pub(super) reference: Reference,
    scheme: &'static str,
    pub(super) host: String,
    pub(super) api: oci_client::Client,
    pub(super) remote: Remote,
    pub(super) auth: Credentials,
    access: Access,
    /// Since when, and the token; none where the registry wants none.
    token: Mutex<Option<(Instant, Option<String>)>>,
}

impl Repository<'_> {
    /// How many layers are to be on their way at the same time.
    #[must_use]
    pub fn concurrency(&self) -> usize {
        self.registry.settings.concurrency
    }

    /// The name that was asked for.
    #[must_use]
    pub fn reference(&self) -> &Reference {
        &self.reference
    }

    pub(super) fn of_client(
        &self,
        error: oci_client::errors::OciDistributionError,
    ) -> RegistryError {
        RegistryError::of_client(self.reference.registry(), self.reference.repository(), error)
    }

    pub(super) fn url(&self, path: &str) -> String {
        let Self { scheme, host, .. } = self;
        format!("{scheme}://{host}/v2/{}/{path}", self.reference.repository())
    }

    /// Where a registry says whether it wants to know who asks.
    pub(super) fn root(&self) -> String {
        format!("{}://{}/v2/", self.scheme, self.host)
    }

    /// Whether the registry is spoken to with TLS.
    pub(super) fn is_encrypted(&self) -> bool {
        self.scheme == "https"
    }

    pub(super) fn transport(&self, error: reqwest::Error) -> RegistryError {
        let registry = self.reference.registry().to_owned();
        RegistryError::Transport { registry, error: error.without_url() }
    }

    /// The token for this repository, asked for where there is none or an old one.
    pub(super) async fn token(&self, anew: bool) -> Result<Option<String>, RegistryError> {
        let mut known = self.token.lock().await;
        match &*known {
            Some((since, token)) if !anew && since.elapsed() < TOKEN_AGE => {
                return Ok(token.clone());
            }
            _ => {}
        }
        let registry = || self.reference.registry().to_owned();
        let token = tokio::time::timeout(TOKEN_TIME, self.new_token())
            .await
            .map_err(|_| RegistryError::TimedOut { registry: registry() })??;
        *known = Some((Instant::now(), token.clone()));
        Ok(token)
    }

    /// Asks for a token; `oci-client` is told it, and never asks itself.
    async fn new_token(&self) -> Result<Option<String>, RegistryError> {
        let auth = match (self.granted(&self.auth, self.access).await?, &self.auth) {
            (Some(token), _) => RegistryAuth::Bearer(token),
            // It sends a password with each request where no token is wanted.
            (None, Credentials::Password(user, password)) => {
                RegistryAuth::Basic(user.clone(), password.clone())
            }
            (None, Credentials::Nobody | Credentials::Identity(_)) => return Ok(None),
        };
        let asked = self.api.auth(&self.remote, &auth, self.access.operation()).await;
        asked.map_err(|error| self.of_client(error))
    }

    pub(super) async fn authorised(
        &self,
        request: RequestBuilder,
        anew: bool,
    ) -> Result<RequestBuilder, RegistryError> {
        Ok(match (self.token(anew).await?, &self.auth) {
            (Some(token), _) => request.bearer_auth(token),
            (None, Credentials::Password(user, password)) => {
                request.basic_auth(user, Some(password))
            }
            (None, _) => request,
        })
    }

    /// What is at `path` of the repository; `what` it is for messages.
    pub(super) async fn get(
        &self,
        path: &str,
        what: &str,
        accept: &str,
    ) -> Result<Response, RegistryError> {
        let mut attempt = 1;
        loop {
            match self.get_once(path, what, accept).await {
                Err(error) if error.is_temporary() && attempt < ATTEMPTS => {
                    tokio::time::sleep(Duration::from_millis(100 << attempt)).await;
                }
                result => return result,
            }
            attempt += 1;
        }
    }

    async fn get_once(
        &self,
        path: &str,
        what: &str,
        accept: &str,
    ) -> Result<Response, RegistryError> {
        let url = self.url(path);
        let mut anew = false;
        loop {
            let request = self.registry.http.get(&url).header(ACCEPT, accept);
            let response = self.authorised(request, anew).await?.send().await;
            let response = response.map_err(|error| self.transport(error))?;
            match response.status() {
                StatusCode::OK => return Ok(response),
                // The token may have grown old.
                StatusCode::UNAUTHORIZED if !anew => anew = true,
                StatusCode::NOT_FOUND => {
                    let registry = self.reference.registry().to_owned();
                    return Err(RegistryError::NotFound { registry, what: what.to_owned() });
                }
                status => return Err(self.refused(status, response).await),
            }
        }
    }

    /// What an answer means that is no success.
    pub(super) async fn refused(
        &self,
        status: StatusCode,
        mut response: Response,
    ) -> RegistryError {
        let mut body = Vec::new();
        while let Ok(Some(chunk)) = response.chunk().await {
            body.extend_from_slice(&chunk[..chunk.len().min(MAX_ERROR - body.len())]);
            if body.len() == MAX_ERROR {
                break;
            }
        }
        let (registry, repository) = (self.reference.registry(), self.reference.repository());
        RegistryError::of_status(registry, repository, status.as_u16(), said(&body))
    }
}
