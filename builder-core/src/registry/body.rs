//! A blob as it comes from a registry.

use std::io::{self, Read};

use bytes::Bytes;

use super::{Registry, RegistryError};

/// A stream of exactly as many bytes as its descriptor says. It fails where
/// they are fewer or more; whether they are the right ones its reader finds.
pub struct Body<'a> {
    pub(super) registry: &'a Registry,
    pub(super) host: String,
    pub(super) response: reqwest::Response,
    pub(super) what: String,
    pub(super) size: u64,
    pub(super) chunk: Bytes,
    pub(super) done: u64,
    pub(super) failure: Option<RegistryError>,
}

impl Body<'_> {
    /// Why reading failed, where it was the registry's fault.
    pub fn failure(&mut self) -> Option<RegistryError> {
        self.failure.take()
    }

    /// How many bytes came.
    #[must_use]
    pub fn done(&self) -> u64 {
        self.done
    }

    /// The next bytes; none at the right end.
    fn next(&mut self) -> Result<Bytes, RegistryError> {
        let Self { registry, host, response, what, size, done, .. } = self;
        let (what, expected, actual) = (what.clone(), *size, *done);
        let chunk = registry.wait(async {
            response.chunk().await.map_err(|error| match error.is_timeout() {
                true => RegistryError::TimedOut { registry: host.clone() },
                false => RegistryError::Cut { what: what.clone(), expected, actual },
            })
        });
        match chunk {
            Ok(Some(chunk)) => {
                *done += chunk.len() as u64;
                if *done > expected {
                    return Err(RegistryError::TooLong { what, expected });
                }
                Ok(chunk)
            }
            Ok(None) if *done < expected => {
                Err(RegistryError::Cut { what, expected, actual: *done })
            }
            Ok(None) => Ok(Bytes::new()),
            Err(error) => Err(error),
        }
    }
}

impl Read for Body<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        // What has failed stays so, and for the first reason.
        if let Some(failure) = &self.failure {
            return Err(io::Error::other(failure.to_string()));
        }
        while self.chunk.is_empty() {
            match self.next() {
                Ok(chunk) if chunk.is_empty() && self.done == self.size => {
                    return Ok(0);
                }
                Ok(chunk) => self.chunk = chunk,
                Err(error) => {
                    let told = io::Error::other(error.to_string());
                    self.failure = Some(error);
                    return Err(told);
                }
            }
        }
        let length = buf.len().min(self.chunk.len());
        buf[..length].copy_from_slice(&self.chunk.split_to(length));
        Ok(length)
    }
}
