//! What a step stands on.

pub mod capture;
pub mod copied;
pub mod served;
pub mod unpacked;

/// Whether overlayfs would take an extended attribute as one of its own, as
/// root or in a user namespace. No layer carries it, no lower shows it.
fn is_overlays(name: &[u8]) -> bool {
    [&b"trusted.overlay."[..], b"user.overlay."].iter().any(|prefix| name.starts_with(prefix))
}
