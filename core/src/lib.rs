//! The native core of the gateway: it executes a plan on hyper and tokio, and knows no interpreter.
//!
//! The way of a request: `server` accepts, `connection` guards the socket, `request` routes, filters and answers,
//! `layers` wrap what leaves. Business logic is reached through the trait [`handler::Handler`].
#![forbid(unsafe_code)]

pub mod filters;
pub mod layers;
pub mod plan;
pub mod program;
pub mod reject;
pub mod value;
