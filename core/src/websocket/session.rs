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
use crate::panics;

/// How long the 101 may take to leave.
const SWITCHING: Duration = Duration::from_secs(10);

/// A life of a socket.
pub type Living<'s> = Pin<Box<dyn Future<Output = ()> + Send + 's>>;

type Live = Box<dyn for<'s> FnOnce(&'s mut Socket) -> Living<'s> + Send>;

/// What is to happen on a socket once its 101 has left.
pub struct Session {
    deflate: Deflate,
    max_bytes: usize,
    live: Live,
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

    /// Starts it, on a task of its own: the connection's, which is large, ends with the upgrade. So does the one that
    /// waits for that, for a task is as large as the largest thing that it ever does.
    pub(crate) fn start(self, upgrade: OnUpgrade, activity: Activity) {
        tokio::spawn(async move {
            if let Ok(Ok(connection)) = tokio::time::timeout(SWITCHING, upgrade).await {
                let (io, read) = upgraded(connection);
                let activity = Arc::new(activity);
                let socket = Socket::new(io, read, self.deflate, self.max_bytes);
                tokio::spawn(run(
                    Box::new(socket.with(Arc::clone(&activity))),
                    self.live,
                    activity,
                ));
            }
        });
    }
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Session")
    }
}

/// Runs a socket's life to its end, or until its connection is killed. What happens at the end is boxed, so that no
/// idle socket keeps room for it.
async fn run(mut socket: Box<Socket>, live: Live, activity: Arc<Activity>) {
    let living = async {
        if let Err(message) = panics::catch(live(&mut socket)).await {
            activity.log_panic(&message);
            Box::pin(socket.close(1011, "the gateway failed")).await;
        }
        Box::pin(socket.finish()).await;
    };
    tokio::select! {
        biased;
        () = std::future::poll_fn(|context| activity.poll_killed(context)) => {}
        () = living => {}
    }
}
