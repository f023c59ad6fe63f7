//! What the exchanges of one worker thread share, and no other thread touches: a terminal that keeps
//! connections to another server has its pool here, so that a request never waits for a lock that
//! another core holds.

use std::sync::Arc;

use tokio::sync::Semaphore;

use super::deadline::Deadlines;

/// Request bodies that a worker has decoded at a time; each takes what its route's bound allows.
const BODIES_DECODED_MAX: usize = 2;

/// The resources of a worker thread.
pub(crate) struct WorkerResources {
    /// Ends what waits for longer than its request may take.
    pub(crate) deadlines: Deadlines,
    /// Permits to decode request bodies, beside the worker's own thread.
    pub(crate) decoding: Arc<Semaphore>,
}

impl WorkerResources {
    pub(crate) fn new() -> Self {
        Self {
            deadlines: Deadlines::default(),
            decoding: Arc::new(Semaphore::new(BODIES_DECODED_MAX)),
        }
    }
}
