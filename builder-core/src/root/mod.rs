//! What a step stands on.

pub mod capture;
pub mod served;
