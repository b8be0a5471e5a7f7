//! What steps look at: recorded whole, and enough to reuse them by.

mod ahead;
mod asked;
mod unlike;
