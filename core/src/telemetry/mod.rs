//! What the gateway says of itself: metrics and the log.

pub mod log;
pub mod metrics;
