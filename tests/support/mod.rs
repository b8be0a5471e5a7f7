//! What tests of both binaries share: tools of others, and a Docker of our own.
#![allow(dead_code, reason = "each test binary uses a part")]

pub(crate) mod docker;
pub(crate) mod example;
pub(crate) mod image;
pub(crate) mod tools;
