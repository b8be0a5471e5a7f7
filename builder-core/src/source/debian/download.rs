//! Downloads: small files into memory, large ones into the store.
//!
//! In: URLs (`http:`, `https:`, `file:`) and, for files, the digest and size
//! they must have. Out: bytes, or files under `phoenix/downloads/sha256`.
//! What is cut off stays as `HEX.partial` and goes on where it stopped; a lock
//! on it keeps two builds from writing the same one. A file gets its name only
//! when it has the right digest.
//!
//! Limitations: must not be called from inside an async runtime's worker.

use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use reqwest::header::{CONTENT_RANGE, RANGE};
use reqwest::{NoProxy, Proxy, StatusCode};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::apt::{AptProxies, Credential};
use super::partial::{Partial, is_good};
use super::{DebianError, Progress, Report, Settings};
use crate::cancel::Cancel;
use crate::digest::BlobDigest;
use crate::event::Unit;

/// Attempts per URL.
const ATTEMPTS: u32 = 5;

/// How often progress is told, and cancelling looked for.
pub(super) const TICK: Duration = Duration::from_millis(100);

/// A file that is wanted.
#[derive(Debug, Clone)]
pub(super) struct Wanted {
    /// Where it may be had, best first; without credentials.
    pub(super) urls: Vec<String>,
    pub(super) sha256: BlobDigest,
    pub(super) size: u64,
}

/// Where a download stands.
pub(super) fn path_of(downloads: &Path, digest: &BlobDigest) -> PathBuf {
    downloads.join(digest.hex())
}

/// Downloads; holds its own small runtime.
pub(super) struct Client {
    runtime: tokio::runtime::Runtime,
    shared: Arc<Shared>,
    concurrency: usize,
    cancel: Cancel,
}

struct Shared {
    http: reqwest::Client,
    credentials: Vec<Credential>,
}

impl Client {
    /// A client with the proxies of `settings`, else those of the host's apt,
    /// and none that the environment names.
    pub(super) fn new(
        settings: &Settings,
        credentials: Vec<Credential>,
        apt: AptProxies,
        cancel: &Cancel,
    ) -> Result<Self, DebianError> {
        let mut builder = reqwest::Client::builder()
            .no_proxy()
            .user_agent(concat!("phoenix/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(Duration::from_secs(20))
            .read_timeout(Duration::from_secs(60));
        let direct = settings.proxies.none_for.as_deref().and_then(NoProxy::from_string);
        let client = |source| DebianError::Client { source };
        if let Some(url) = &settings.proxies.http {
            builder = builder.proxy(Proxy::http(url).map_err(client)?.no_proxy(direct.clone()));
        }
        if let Some(url) = &settings.proxies.https {
            builder = builder.proxy(Proxy::https(url).map_err(client)?.no_proxy(direct));
        }
        // A proxy that is chosen by a function knows no exceptions of its own.
        let known = settings.proxies.clone();
        builder = builder.proxy(Proxy::custom(move |url| {
            let host = url.host_str().filter(|host| !known.is_direct(host))?;
            apt.of(url.scheme(), host).map(str::to_owned)
        }));
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .map_err(|source| DebianError::Runtime { source })?;
        let http = builder.build().map_err(client)?;
        let shared = Arc::new(Shared { http, credentials });
        let (concurrency, cancel) = (settings.concurrency.max(1), cancel.clone());
        Ok(Self { runtime, shared, concurrency, cancel })
    }

    /// The bytes at each URL, all at the same time, none larger than `limit`.
    pub(super) fn small(&self, urls: &[String], limit: u64) -> Vec<Result<Vec<u8>, DebianError>> {
        self.runtime.block_on(async {
            let tasks: Vec<_> = urls
                .iter()
                .map(|url| {
                    let (shared, url) = (Arc::clone(&self.shared), url.clone());
                    tokio::spawn(async move { shared.small(&url, limit).await })
                })
                .collect();
            let mut all = Vec::new();
            let mut tick = tokio::time::interval(TICK);
            for mut task in tasks {
                all.push(loop {
                    tokio::select! {
                        ended = &mut task => break ended.expect("a download does not panic"),
                        _ = tick.tick() => if self.cancel.is_canceled() {
                            // The runtime ends it when the client goes.
                            break Err(DebianError::Canceled);
                        },
                    }
                });
            }
            all
        })
    }

    /// Brings all files into `downloads`. The first failure stops the rest.
    pub(super) fn files(
        &self,
        wanted: Vec<Wanted>,
        downloads: &Path,
        report: Report<'_>,
    ) -> Result<(), DebianError> {
        let dir = downloads.to_owned();
        fs::create_dir_all(&dir).map_err(DebianError::io("making", &dir))?;
        let total = wanted.iter().map(|file| file.size).sum();
        let done = Arc::new(AtomicU64::new(0));
        let tell = |done: &AtomicU64| {
            report(Progress {
                what: "downloading",
                done: done.load(Ordering::Relaxed),
                total: Some(total),
                unit: Unit::Bytes,
            });
        };
        self.runtime.block_on(async {
            let permits = Arc::new(Semaphore::new(self.concurrency));
            let mut tasks = JoinSet::new();
            for file in wanted {
                let (shared, permits) = (Arc::clone(&self.shared), Arc::clone(&permits));
                let (dir, done) = (dir.clone(), Arc::clone(&done));
                tasks.spawn(async move {
                    let _permit = permits.acquire_owned().await.expect("it is never closed");
                    shared.file(&file, &dir, &done).await
                });
            }
            let mut tick = tokio::time::interval(TICK);
            loop {
                tokio::select! {
                    next = tasks.join_next() => match next {
                        None => break,
                        Some(result) => result.expect("a download does not panic")?,
                    },
                    _ = tick.tick() => {
                        if self.cancel.is_canceled() {
                            return Err(DebianError::Canceled);
                        }
                        tell(&done);
                    }
                }
            }
            tell(&done);
            Ok(())
        })
    }
}

impl Shared {
    fn request(&self, url: &str) -> reqwest::RequestBuilder {
        let request = self.http.get(url);
        let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
        let known = self.credentials.iter().find(|c| {
            rest.strip_prefix(c.prefix.as_str()).is_some_and(|tail| {
                tail.is_empty() || tail.starts_with(['/', ':']) || c.prefix.ends_with('/')
            })
        });
        match known {
            Some(c) => request.basic_auth(&c.user, Some(&c.password)),
            None => request,
        }
    }

    async fn small(&self, url: &str, limit: u64) -> Result<Vec<u8>, DebianError> {
        let large = || DebianError::TooLarge { what: url.to_owned(), limit };
        if let Some(path) = local_path(url) {
            let file = File::open(&path).map_err(DebianError::io("reading", &path))?;
            let mut bytes = Vec::new();
            file.take(limit + 1)
                .read_to_end(&mut bytes)
                .map_err(DebianError::io("reading", &path))?;
            return if bytes.len() as u64 > limit { Err(large()) } else { Ok(bytes) };
        }
        let mut attempt = 1;
        loop {
            let fetched = async {
                let mut response = self.request(url).send().await.map_err(http(url))?;
                check(url, response.status())?;
                let mut bytes = Vec::new();
                while let Some(chunk) = response.chunk().await.map_err(http(url))? {
                    if bytes.len() as u64 + chunk.len() as u64 > limit {
                        return Err(large());
                    }
                    bytes.extend_from_slice(&chunk);
                }
                Ok(bytes)
            };
            match fetched.await {
                Err(error) if is_temporary(&error) && attempt < ATTEMPTS => pause(attempt).await,
                result => return result,
            }
            attempt += 1;
        }
    }

    /// One file, from the first URL that gives it with the right digest.
    async fn file(&self, wanted: &Wanted, dir: &Path, done: &AtomicU64) -> Result<(), DebianError> {
        let path = dir.join(wanted.sha256.hex());
        if is_good(&path, wanted) {
            done.fetch_add(wanted.size, Ordering::Relaxed);
            return Ok(());
        }
        let mut last = None;
        for url in &wanted.urls {
            let mut attempt = 1;
            loop {
                match self.attempt(url, wanted, &path, done).await {
                    Ok(()) => return Ok(()),
                    Err(error) if is_temporary(&error) && attempt < ATTEMPTS => {
                        pause(attempt).await;
                    }
                    Err(error) => {
                        last.get_or_insert(error);
                        break;
                    }
                }
                attempt += 1;
            }
        }
        Err(last.unwrap_or_else(|| DebianError::Url {
            url: wanted.sha256.to_string(),
            reason: "no url".into(),
        }))
    }

    /// One attempt to complete the partial file and give it its name.
    async fn attempt(
        &self,
        url: &str,
        wanted: &Wanted,
        path: &Path,
        done: &AtomicU64,
    ) -> Result<(), DebianError> {
        let part = path.with_extension("partial");
        let mut partial = Partial::open(&part).await?;
        if is_good(path, wanted) {
            done.fetch_add(wanted.size, Ordering::Relaxed);
            return Ok(());
        }
        if partial.len > wanted.size {
            partial.restart()?;
        }
        let resumed = partial.len > 0;
        if partial.len < wanted.size {
            self.fill(url, wanted, &mut partial, done).await?;
        }
        let actual = partial.digest();
        if actual == wanted.sha256 && partial.len == wanted.size {
            return partial.finish(path);
        }
        partial.restart()?;
        // What a resumed file was begun with may have been at fault: once more, from the start.
        if resumed {
            return Err(DebianError::Cut { url: url.to_owned() });
        }
        Err(DebianError::Digest {
            url: url.to_owned(),
            expected: wanted.sha256,
            size: wanted.size,
            actual: format!("{actual}"),
        })
    }

    /// Appends what is missing.
    async fn fill(
        &self,
        url: &str,
        wanted: &Wanted,
        partial: &mut Partial,
        done: &AtomicU64,
    ) -> Result<(), DebianError> {
        let too_long = || DebianError::Digest {
            url: url.to_owned(),
            expected: wanted.sha256,
            size: wanted.size,
            actual: "more bytes".into(),
        };
        if let Some(path) = local_path(url) {
            partial.restart()?;
            let mut file = File::open(&path).map_err(DebianError::io("reading", &path))?;
            let mut buffer = vec![0; 256 << 10];
            loop {
                let n = file.read(&mut buffer).map_err(DebianError::io("reading", &path))?;
                if n == 0 {
                    return Ok(());
                }
                if partial.len + n as u64 > wanted.size {
                    partial.restart()?;
                    return Err(too_long());
                }
                partial.append(&buffer[..n])?;
                done.fetch_add(n as u64, Ordering::Relaxed);
            }
        }
        let mut request = self.request(url);
        if partial.len > 0 {
            request = request.header(RANGE, format!("bytes={}-", partial.len));
        }
        let mut response = request.send().await.map_err(http(url))?;
        if response.status() == StatusCode::RANGE_NOT_SATISFIABLE {
            partial.restart()?;
            return Err(DebianError::Cut { url: url.to_owned() });
        }
        check(url, response.status())?;
        let range = response.headers().get(CONTENT_RANGE).and_then(|v| v.to_str().ok());
        let goes_on = response.status() == StatusCode::PARTIAL_CONTENT
            && range.is_some_and(|r| r.starts_with(&format!("bytes {}-", partial.len)));
        if partial.len > 0 && !goes_on {
            partial.restart()?;
            if response.status() == StatusCode::PARTIAL_CONTENT {
                return Err(DebianError::Cut { url: url.to_owned() });
            }
        }
        while let Some(chunk) = response.chunk().await.map_err(http(url))? {
            if partial.len + chunk.len() as u64 > wanted.size {
                partial.restart()?;
                return Err(too_long());
            }
            partial.append(&chunk)?;
            done.fetch_add(chunk.len() as u64, Ordering::Relaxed);
        }
        if partial.len < wanted.size {
            Err(DebianError::Cut { url: url.to_owned() })
        } else {
            Ok(())
        }
    }
}

/// The path of a `file:` URL.
fn local_path(url: &str) -> Option<PathBuf> {
    let rest = url.strip_prefix("file:").or_else(|| url.strip_prefix("copy:"))?;
    Some(PathBuf::from(rest.strip_prefix("//").unwrap_or(rest)))
}

fn http(url: &str) -> impl Fn(reqwest::Error) -> DebianError {
    let url = url.to_owned();
    move |source| DebianError::Http { url: url.clone(), source: source.without_url() }
}

fn check(url: &str, status: StatusCode) -> Result<(), DebianError> {
    if status.is_success() {
        return Ok(());
    }
    Err(DebianError::Status { url: url.to_owned(), status: status.as_u16() })
}

fn is_temporary(error: &DebianError) -> bool {
    match error {
        DebianError::Http { source, .. } => !source.is_builder() && !source.is_redirect(),
        DebianError::Status { status, .. } => matches!(status, 408 | 429 | 500..=599),
        DebianError::Cut { .. } => true,
        _ => false,
    }
}

async fn pause(attempt: u32) {
    tokio::time::sleep(Duration::from_millis(100 << attempt)).await;
}
