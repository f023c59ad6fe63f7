//! The deadline of a request: one point in time, before which its body has come, its filters have
//! waited and its terminal has answered.
//!
//! The worker's sweep looks for deadlines that have passed, every 10 ms while anything waits: a
//! timer for each request costs more than the requests that reach their deadline. Calls to handlers
//! have the same deadline in their own table (`handler.rs`).

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker, ready};
use std::time::Instant;

use parking_lot::Mutex;
use pin_project_lite::pin_project;
use slab::Slab;

/// The deadlines of what waits on one thread.
#[derive(Default)]
pub(crate) struct Deadlines {
    entries: Mutex<Slab<Entry>>,
}

struct Entry {
    deadline: Instant,
    waker: Waker,
    elapsed: bool,
}

/// The deadline has passed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Elapsed;

impl Deadlines {
    /// Runs a future to its end or to the deadline, where it is dropped. A future that never waits
    /// costs nothing here.
    pub(crate) fn within<F: Future>(&self, deadline: Instant, future: F) -> Within<'_, F> {
        Within { future, deadline, entry: Registration { deadlines: self, key: None } }
    }

    /// Wakes what is past its deadline.
    pub(crate) fn expire(&self, now: Instant) {
        for (_, entry) in &mut *self.entries.lock() {
            if entry.deadline <= now && !entry.elapsed {
                entry.elapsed = true;
                entry.waker.wake_by_ref();
            }
        }
    }

    /// Whether anything waits.
    pub(crate) fn is_waited_for(&self) -> bool {
        !self.entries.lock().is_empty()
    }
}

pin_project! {
    /// See [`Deadlines::within`].
    pub(crate) struct Within<'d, F> {
        #[pin]
        future: F,
        deadline: Instant,
        entry: Registration<'d>,
    }
}

impl<F: Future> Future for Within<'_, F> {
    type Output = Result<F::Output, Elapsed>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        if let Poll::Ready(output) = this.future.poll(context) {
            return Poll::Ready(Ok(output));
        }
        ready!(this.entry.poll_elapsed(context, *this.deadline));
        Poll::Ready(Err(Elapsed))
    }
}

/// A place among the deadlines, from the first time that the future waits.
struct Registration<'d> {
    deadlines: &'d Deadlines,
    key: Option<usize>,
}

impl Registration<'_> {
    fn poll_elapsed(&mut self, context: &Context<'_>, deadline: Instant) -> Poll<()> {
        let mut entries = self.deadlines.entries.lock();
        match self.key.and_then(|key| entries.get_mut(key)) {
            Some(entry) if entry.elapsed => return Poll::Ready(()),
            Some(entry) => entry.waker.clone_from(context.waker()),
            None => {
                let waker = context.waker().clone();
                self.key = Some(entries.insert(Entry { deadline, waker, elapsed: false }));
            }
        }
        Poll::Pending
    }
}

impl Drop for Registration<'_> {
    fn drop(&mut self) {
        if let Some(key) = self.key {
            self.deadlines.entries.lock().try_remove(key);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn what_is_ready_is_not_registered() {
        let deadlines = Deadlines::default();

        let outcome = deadlines.within(Instant::now(), async { 7 }).await;

        assert_eq!(outcome, Ok(7));
        assert!(!deadlines.is_waited_for());
    }

    #[tokio::test]
    async fn what_waits_ends_at_its_deadline_and_leaves_its_place() {
        let deadlines = Deadlines::default();
        let start = Instant::now();
        let soon = deadlines.within(start + Duration::from_millis(5), std::future::pending::<()>());
        let later = deadlines.within(start + Duration::from_secs(9), std::future::pending::<()>());
        let mut later = Box::pin(later);
        assert!(futures_poll(later.as_mut()).is_pending());

        let (outcome, ()) = tokio::join!(soon, async {
            deadlines.expire(start); // not yet
            deadlines.expire(start + Duration::from_millis(5));
        });

        assert_eq!(outcome, Err(Elapsed));
        assert!(futures_poll(later.as_mut()).is_pending());
        assert_eq!(deadlines.entries.lock().len(), 1);
        drop(later);
        assert!(!deadlines.is_waited_for());
    }

    fn futures_poll<F: Future>(future: Pin<&mut F>) -> Poll<F::Output> {
        future.poll(&mut Context::from_waker(Waker::noop()))
    }
}
