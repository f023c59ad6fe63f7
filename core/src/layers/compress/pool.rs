//! Compression of what is long: on few threads beside the workers, so that it neither delays other
//! requests nor takes memory by their number; and once for what never changes.

use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::{OnceCell, Semaphore};
use tokio::task::JoinError;

use super::{Coding, compress};

/// Bytes that are compressed at once on the worker's own thread: a fraction of a millisecond.
pub const INLINE_BYTES_MAX: usize = 16 << 10;

/// The right to compress beside the workers. Clones share it; those that wait are served in order.
#[derive(Debug, Clone)]
pub struct Pool {
    permits: Arc<Semaphore>,
}

/// A body that never changes, with its compressed forms as far as they were asked for.
#[derive(Debug)]
pub struct Fixed {
    bytes: Bytes,
    brotli: OnceCell<Bytes>,
    gzip: OnceCell<Bytes>,
}

// === impl Pool ===

impl Pool {
    /// A pool of half the machine's cores: the others are for the workers and the handlers.
    pub fn new() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Self { permits: Arc::new(Semaphore::new((cores / 2).max(1))) }
    }

    /// Runs `work` on a thread of the pool when there is a free one.
    ///
    /// # Errors
    /// It panicked, or the runtime ends.
    pub async fn run<T: Send + 'static>(
        self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, JoinError> {
        let permit = self.permits.acquire_owned().await;
        tokio::task::spawn_blocking(move || {
            // Released when the work is done, also where nobody waits for it any more.
            let _permit = permit;
            work()
        })
        .await
    }

    /// Compresses a whole body.
    ///
    /// # Errors
    /// As [`Pool::run`].
    pub async fn compress(self, coding: Coding, body: Bytes) -> Result<Bytes, JoinError> {
        self.run(move || compress(coding, &body)).await
    }
}

impl Default for Pool {
    fn default() -> Self {
        Self::new()
    }
}

// === impl Fixed ===

impl Fixed {
    /// A body; nothing is compressed yet.
    pub fn new(bytes: Bytes) -> Arc<Self> {
        Arc::new(Self { bytes, brotli: OnceCell::new(), gzip: OnceCell::new() })
    }

    /// The body as it is.
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// The body in a coding, where it was compressed before.
    pub fn ready(&self, coding: Coding) -> Option<&Bytes> {
        self.cell(coding).get()
    }

    /// The body in a coding. Requests that come while it is compressed wait for the same result.
    ///
    /// # Errors
    /// As [`Pool::run`]; the next request tries again.
    pub async fn encoded(&self, coding: Coding, pool: &Pool) -> Result<Bytes, JoinError> {
        let work = || pool.clone().compress(coding, self.bytes.clone());
        self.cell(coding).get_or_try_init(work).await.cloned()
    }

    fn cell(&self, coding: Coding) -> &OnceCell<Bytes> {
        match coding {
            Coding::Brotli => &self.brotli,
            Coding::Gzip => &self.gzip,
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[tokio::test]
    async fn a_fixed_body_is_compressed_once_for_all_that_ask_together() {
        let fixed = Fixed::new(Bytes::from("a line of text\n".repeat(10_000)));
        let pool = Pool::new();

        let asked: Vec<_> = (0..20)
            .map(|_| {
                let (fixed, pool) = (Arc::clone(&fixed), pool.clone());
                tokio::spawn(async move { fixed.encoded(Coding::Gzip, &pool).await.unwrap() })
            })
            .collect();
        let mut places = Vec::new();
        for one in asked {
            places.push(one.await.unwrap().as_ptr());
        }

        assert!(places.iter().all(|place| *place == places[0]), "one result is shared");
        assert!(fixed.ready(Coding::Gzip).is_some_and(|coded| coded.len() * 10 < 150_000));
        assert!(fixed.ready(Coding::Brotli).is_none(), "nobody asked for it");
    }

    #[tokio::test]
    async fn no_more_run_at_a_time_than_there_are_permits_also_where_nobody_waits() {
        let pool = Pool { permits: Arc::new(Semaphore::new(2)) };
        let (running, peak) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let mut tasks = Vec::new();
        for index in 0..40 {
            let (running, peak) = (Arc::clone(&running), Arc::clone(&peak));
            let work = move || {
                peak.fetch_max(running.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                std::thread::sleep(std::time::Duration::from_millis(1));
                running.fetch_sub(1, Ordering::SeqCst);
            };
            let task = tokio::spawn(pool.clone().run(work));
            if index % 4 == 0 {
                tokio::task::yield_now().await;
                task.abort(); // the client has gone
            } else {
                tasks.push(task);
            }
        }

        for task in tasks {
            task.await.unwrap().unwrap();
        }

        assert!(peak.load(Ordering::SeqCst) <= 2);
    }
}
