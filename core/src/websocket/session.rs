//! A session: what happens on a socket from the 101 to the last byte. The terminal gives its life, a function; the rest,
//! which is the same for every socket, is here.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use hyper::upgrade::OnUpgrade;

use super::deflate::Deflate;
use super::socket::Socket;
use crate::connection::{Activity, upgraded};
use crate::layers::panics;

/// How long the 101 may take to leave.
const SWITCHING: Duration = Duration::from_secs(10);

/// A life of a socket.
pub type Living<'s> = Pin<Box<dyn Future<Output = ()> + Send + 's>>;

/// What is to happen on a socket once its 101 has left.
pub struct Session {
    deflate: Deflate,
    max_bytes: usize,
    live: Box<dyn for<'s> FnOnce(&'s mut Socket) -> Living<'s> + Send>,
}

impl Session {
    /// A session in which messages have at most `max_bytes`. When `live` returns, the socket is closed, with 1000 where
    /// it did not close it; when the gateway's grace is over, it is dropped.
    pub fn new<L>(deflate: Deflate, max_bytes: usize, live: L) -> Self
    where
        L: for<'s> FnOnce(&'s mut Socket) -> Living<'s> + Send + 'static,
    {
        Self { deflate, max_bytes, live: Box::new(live) }
    }

    /// Starts it, on a task of its own: the connection's, which is large, ends with the upgrade.
    pub(crate) fn start(self, upgrade: OnUpgrade, activity: Activity) {
        let activity = Arc::new(activity);
        tokio::spawn(async move {
            let Ok(Ok(connection)) = tokio::time::timeout(SWITCHING, upgrade).await else {
                return;
            };
            let (io, read) = upgraded(connection);
            let socket = Socket::new(io, read, self.deflate, self.max_bytes);
            let living = run(socket.with(Arc::clone(&activity)), self.live, &activity);
            tokio::select! {
                biased;
                () = std::future::poll_fn(|context| activity.poll_killed(context)) => {}
                () = living => {}
            }
        });
    }
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Session")
    }
}

async fn run(
    mut socket: Socket,
    live: Box<dyn for<'s> FnOnce(&'s mut Socket) -> Living<'s> + Send>,
    activity: &Activity,
) {
    if let Err(message) = panics::catch(live(&mut socket)).await {
        activity.log_panic(&message);
        socket.close(1011, "the gateway failed").await;
    }
    socket.finish().await;
}
