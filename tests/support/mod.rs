//! What tests of both binaries share: tools of others, and a Docker and a Podman of our own.
#![allow(dead_code, reason = "each test binary uses a part")]

pub(crate) mod docker;
pub(crate) mod example;
pub(crate) mod image;
pub(crate) mod podman;
pub(crate) mod tools;
