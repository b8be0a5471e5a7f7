//! What a step stands on.

pub mod served;
