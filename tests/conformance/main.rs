//! What a Dockerfile must give: small cases, each with what `BuildKit` made of
//! it. `phoenix build` is held to that always, Debian's Docker wherever its
//! version knows the feature, so that what is expected is the peer's and not
//! ours. README.md has the form of a case and how one is added.
#![expect(
    clippy::disallowed_methods,
    reason = "tests are told by their environment what may be skipped, and say what was"
)]

mod base;
mod buildctl;
mod built;
mod case;
mod compare;
mod converted;
mod differences;
mod docker;
mod layers;
mod peer;
mod phoenix;
mod record;
mod registry;
mod served;
mod site;
mod suite;
mod tree;

#[path = "../support/mod.rs"]
mod support;
