//! The native core of the gateway: it executes a plan on hyper and tokio, and knows no interpreter.
//!
//! The way of a request: `server` accepts, `connection` guards the socket, `exchange` routes, filters and answers,
//! `layers` wrap what leaves. Business logic is reached through the trait [`handler::Handler`].
#![forbid(unsafe_code)]

pub mod answer;
mod budget;
pub mod clock;
pub mod connection;
pub mod error_response;
pub mod exchange;
pub mod filters;
mod framing;
pub mod gateway;
pub mod handler;
mod head;
mod http2;
pub mod hub;
pub mod identity;
pub mod json;
pub mod layers;
mod malformed;
pub mod panics;
mod path;
mod pem;
mod percent;
pub mod plan;
pub mod program;
pub mod reject;
pub mod response_head;
pub mod router;
pub mod runtime;
pub mod server;
pub mod telemetry;
pub mod terminals;
mod tls;
pub mod trace;
pub mod value;
pub mod websocket;
