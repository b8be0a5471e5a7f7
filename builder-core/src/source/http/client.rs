//! One request at a time, with its body into the store.

use std::io::{self, Write};
use std::time::Duration;

use reqwest::header::{ETAG, HeaderMap, HeaderName, IF_NONE_MATCH, LAST_MODIFIED};
use reqwest::{NoProxy, Proxy, StatusCode};
use sha2::{Digest as _, Sha256};

use super::url::shown;
use super::{HttpError, Known};
use crate::cancel::Cancel;
use crate::digest::BlobDigest;
use crate::source::debian::Proxies;
use crate::store::Store;

/// Attempts per download.
const ATTEMPTS: u32 = 4;
/// How often cancelling is looked for.
const TICK: Duration = Duration::from_millis(100);
/// The most redirects that are followed, as in Go's client.
const MAX_REDIRECTS: usize = 10;

/// What a server said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// It is as it was.
    Same,
    /// It is this now; the store has it.
    New(Known),
    /// It changed, and was not wanted.
    Changed,
}

/// Downloads; holds its own small runtime.
pub struct Client {
    runtime: tokio::runtime::Runtime,
    http: reqwest::Client,
    cancel: Cancel,
}

/// Where progress goes: bytes so far, and of how many.
pub type Tell<'a> = &'a dyn Fn(u64, Option<u64>);

impl Client {
    /// A client with these proxies, and none that the environment names.
    ///
    /// # Errors
    /// [`HttpError`].
    pub fn new(proxies: &Proxies, cancel: &Cancel) -> Result<Self, HttpError> {
        let mut builder = reqwest::Client::builder()
            .no_proxy()
            .user_agent(concat!("phoenix/", env!("CARGO_PKG_VERSION")))
            .redirect(reqwest::redirect::Policy::limited(MAX_REDIRECTS))
            .connect_timeout(Duration::from_secs(20))
            .read_timeout(Duration::from_secs(60));
        let direct = proxies.none_for.as_deref().and_then(NoProxy::from_string);
        if let Some(url) = &proxies.http {
            let proxy = Proxy::http(url).map_err(HttpError::Client)?;
            builder = builder.proxy(proxy.no_proxy(direct.clone()));
        }
        if let Some(url) = &proxies.https {
            let proxy = Proxy::https(url).map_err(HttpError::Client)?;
            builder = builder.proxy(proxy.no_proxy(direct));
        }
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(HttpError::Runtime)?;
        let http = builder.build().map_err(HttpError::Client)?;
        Ok(Self { runtime, http, cancel: cancel.clone() })
    }

    /// Asks for `url`. Where `known` still holds, nothing is transferred; what
    /// is new comes into `store`, or is left where none is given.
    ///
    /// # Errors
    /// [`HttpError`].
    pub fn get(
        &self,
        store: Option<&Store>,
        url: &str,
        known: Option<&Known>,
        tell: Tell<'_>,
    ) -> Result<Answer, HttpError> {
        self.runtime.block_on(async {
            let work = self.persist(store, url, known, tell);
            tokio::pin!(work);
            let mut tick = tokio::time::interval(TICK);
            loop {
                tokio::select! {
                    ended = &mut work => break ended,
                    _ = tick.tick() => if self.cancel.is_canceled() {
                        break Err(HttpError::Canceled);
                    },
                }
            }
        })
    }

    /// Tries again what may go better the next time.
    async fn persist(
        &self,
        store: Option<&Store>,
        url: &str,
        known: Option<&Known>,
        tell: Tell<'_>,
    ) -> Result<Answer, HttpError> {
        let mut attempt = 1;
        loop {
            match self.attempt(store, url, known, tell).await {
                Err(error) if is_temporary(&error) && attempt < ATTEMPTS => {
                    tokio::time::sleep(Duration::from_millis(100 << attempt)).await;
                }
                result => return result,
            }
            attempt += 1;
        }
    }

    async fn attempt(
        &self,
        store: Option<&Store>,
        url: &str,
        known: Option<&Known>,
        tell: Tell<'_>,
    ) -> Result<Answer, HttpError> {
        let transfer = |source: reqwest::Error| HttpError::Transfer {
            url: shown(url),
            source: source.without_url(),
        };
        let mut request = self.http.get(url);
        // Only an entity tag tells one content from another: a file may be replaced by
        // an older one, or twice within a second.
        let tag = known.and_then(|known| known.etag.as_ref());
        if let Some(tag) = tag {
            request = request.header(IF_NONE_MATCH, tag);
        }
        let mut response = request.send().await.map_err(transfer)?;
        let status = response.status();
        if status == StatusCode::NOT_MODIFIED && tag.is_some() {
            return Ok(Answer::Same);
        }
        if !status.is_success() {
            return Err(HttpError::Status { url: shown(url), status: status.as_u16() });
        }
        let Some(store) = store else { return Ok(Answer::Changed) };
        let (etag, modified) =
            (text(response.headers(), ETAG), text(response.headers(), LAST_MODIFIED));
        let (total, mut done) = (response.content_length(), 0_u64);
        let mut temp = store.temp_file()?;
        let mut hasher = Hasher::default();
        while let Some(chunk) = response.chunk().await.map_err(transfer)? {
            hasher.0.update(&chunk);
            let written = temp.write_all(&chunk);
            written.map_err(|source| HttpError::Io { path: temp.path().to_owned(), source })?;
            done += chunk.len() as u64;
            tell(done, total);
        }
        let content = hasher.digest();
        let place = store.download_path(&content);
        if let Some(directory) = place.parent() {
            let made = std::fs::create_dir_all(directory);
            made.map_err(|source| HttpError::Io { path: directory.to_owned(), source })?;
        }
        store.persist(temp, &place)?;
        Ok(Answer::New(Known { content, etag, modified }))
    }
}

fn text(headers: &HeaderMap, name: HeaderName) -> Option<String> {
    headers.get(name)?.to_str().ok().map(str::to_owned)
}

fn is_temporary(error: &HttpError) -> bool {
    match error {
        HttpError::Transfer { source, .. } => !source.is_builder() && !source.is_redirect(),
        HttpError::Status { status, .. } => matches!(status, 408 | 429 | 500..=599),
        _ => false,
    }
}

/// The digest of what is written to it.
#[derive(Default)]
pub(super) struct Hasher(Sha256);

impl Hasher {
    pub(super) fn digest(self) -> BlobDigest {
        BlobDigest::from_bytes(self.0.finalize().into())
    }
}

impl Write for Hasher {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
