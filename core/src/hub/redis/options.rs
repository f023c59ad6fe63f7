//! Where the server is and how long it is waited for.

use std::time::Duration;

use redis::{ConnectionInfo, IntoConnectionInfo, ProtocolVersion};

/// How the broker reaches its server.
#[derive(Clone)]
pub struct Options {
    pub(super) server: ConnectionInfo,
    /// What all keys begin with: gateways with the same prefix share their channels.
    pub prefix: String,
    /// How long publications wait for a server that has gone, before the hub is told to serve alone.
    pub patience: Duration,
    /// How long an answer of the server may take.
    pub timeout: Duration,
    /// How long the members of a replica that died are still shown.
    pub lease: Duration,
}

impl Options {
    /// Reads `redis://[user][:password]@host[:port][/database]`.
    ///
    /// # Errors
    /// A sentence that says what is wrong, without the URL: there may be a password in it.
    pub fn new(url: &str) -> Result<Self, String> {
        let scheme = url.split_once("://").map_or("", |(scheme, _)| scheme);
        if scheme == "rediss" {
            return Err("rediss:// is not built in: reach Redis over a private network or a TLS \
                        tunnel, by redis://"
                .into());
        }
        if scheme != "redis" {
            return Err("expected redis://[user][:password]@host[:port][/database]".into());
        }
        let server = url.into_connection_info().map_err(|error| {
            let detail = error.detail().unwrap_or("it cannot be read").to_lowercase();
            format!("not the URL of a Redis: {detail}")
        })?;
        let settings = server.redis_settings().clone().set_protocol(ProtocolVersion::RESP3);
        Ok(Self {
            server: server.set_redis_settings(settings),
            prefix: "nexus".into(),
            patience: Duration::from_secs(2),
            timeout: Duration::from_secs(2),
            lease: Duration::from_secs(15),
        })
    }
}
