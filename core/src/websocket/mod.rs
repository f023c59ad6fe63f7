//! WebSocket (RFC 6455) with permessage-deflate (RFC 7692) over the sockets that `connection` serves: `handshake` checks
//! the request and writes the 101's headers, `frame` reads what a client sends, `message` writes what it gets, `socket`
//! is the two over a connection, `session` runs a socket's life from the 101 to the last byte.
//!
//! HTTP/1.1 only: extended CONNECT (RFC 8441) is not offered, so that browsers open a connection of HTTP/1.1.

pub mod deflate;
pub mod frame;
pub mod handshake;
pub mod message;
pub mod session;
pub mod socket;

pub use deflate::Deflate;
pub use handshake::Handshake;
pub use message::{Closed, Encoded, Message};
pub use session::Session;
pub use socket::Socket;
