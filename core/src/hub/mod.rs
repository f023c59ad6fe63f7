//! The hub: channels that connections publish to and receive from, shared between replicas through a broker.

pub mod broker;
pub mod redis;
