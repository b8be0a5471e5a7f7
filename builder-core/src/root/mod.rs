//! What a step stands on.

pub mod capture;
pub mod copied;
pub mod served;
pub mod unpacked;
