//! Registries that speak the OCI distribution spec.
//!
//! In: the name of an image ([`Reference`]), where credentials lie
//! ([`Settings`]). Out: documents and layers as streams ([`Repository`]); the
//! other way round, what a registry lacks of an image. Names mean what they
//! mean to Docker.
//!
//! Invariants: a document counts only when it has the digest that leads to it,
//! a layer's stream fails where it is shorter or longer than its descriptor
//! says; nothing that a registry sends is held in memory beyond a bound; a
//! password goes to the registry that it is for, or to the token service that
//! this registry names, which must be behind TLS if the registry is, and is in no
//! message.
//!
//! `oci-client` speaks for us where things are sent. It reads documents and the
//! answers of token services whole, however long they are, and asks a token
//! service whether it is behind TLS or not; so what is fetched is fetched here,
//! and tokens are asked for here and told to it.
//!
//! Limitations: calls block and must not be made inside an async runtime's
//! worker; manifests of schema 1 are refused; what is cut off is begun anew; no
//! mirrors.

mod auth;
mod body;
mod client;
mod error;
mod parallel;
mod pull;
mod push;
mod reference;
mod settings;
mod token;

pub use body::Body;
pub use client::{Access, Registry, Repository};
pub use error::RegistryError;
pub use parallel::{Stop, each};
pub use pull::{Fit, Resolved};
pub use push::{Outgoing, Sending};
pub use reference::Reference;
pub use settings::{Proxies, Settings};
