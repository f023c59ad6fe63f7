//! A panic in one request answers that request with 500; it ends neither its connection's thread nor the gateway.

use std::any::Any;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::{Context, Poll};

use pin_project_lite::pin_project;

/// Runs a future; a panic in it becomes its message.
pub fn catch<F: Future>(future: F) -> Catch<F> {
    Catch { future }
}

pin_project! {
    /// See [`catch`]. Written by hand: an `async fn` around a future has room for it twice.
    pub struct Catch<F> {
        #[pin]
        future: F,
    }
}

impl<F: Future> Future for Catch<F> {
    type Output = Result<F::Output, String>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let future = self.project().future;
        // What the future held is dropped with it, and nothing else is shared with it but atomics and locks that do
        // not poison.
        match catch_unwind(AssertUnwindSafe(|| future.poll(context))) {
            Ok(poll) => poll.map(Ok),
            Err(payload) => Poll::Ready(Err(message(&*payload))),
        }
    }
}

/// What a panic said.
pub fn message(payload: &(dyn Any + Send)) -> String {
    payload
        .downcast_ref::<&str>()
        .map(ToString::to_string)
        .or_else(|| payload.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "a panic without a message".into())
}
