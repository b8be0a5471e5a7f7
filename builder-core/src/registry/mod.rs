//! Registries that speak the OCI distribution spec.
//!
//! In: the name of an image ([`Reference`]). Out, so far: what that name means
//! in full. Names mean what they mean to Docker.

mod error;
mod reference;

pub use error::RegistryError;
pub use reference::Reference;
