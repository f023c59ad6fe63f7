//! The doorbell: how the threads of the core wake the asyncio loop.

use std::os::fd::OwnedFd;

use nexus_core::handler::Handler;

/// Wakes the loop through a file descriptor that it watches.
pub(crate) struct Doorbell(pub(crate) OwnedFd);

impl Handler for Doorbell {
    fn wake(&self) {
        // It can fail only when the counter is full, and then the loop is awake anyway.
        let _ = rustix::io::write(&self.0, &1u64.to_ne_bytes());
    }

    fn trim(&self) {
        // The allocator returns what was freed when the thread allocates again, which an idle one
        // may not do for hours.
        // SAFETY: it is mimalloc's own function, with this signature, and collects the heap of the
        // calling thread.
        unsafe { mi_collect(false) }
    }
}

unsafe extern "C" {
    fn mi_collect(force: bool);
}
