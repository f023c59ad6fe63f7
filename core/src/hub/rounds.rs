//! Rounds: a message for many subscribers wakes them a portion at a time.
//!
//! The tasks of a thread run one after the other. Five thousand of them woken at once would be five thousand writes
//! before anything else on the thread has its turn: requests, and the publisher's next message, which would then need a
//! write of its own for each subscriber. With a portion at a time the rest of the thread has its turn in between, and a
//! message that comes in the middle of a round leaves in the same write as those before it, from where the round is.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::task::yield_now;

use super::channel::Channel;

/// Subscribers that are woken before others have their turn.
pub(crate) const PORTION: usize = 64;

/// The channels whose rounds are under way.
#[derive(Default)]
pub(crate) struct Rounds {
    under_way: Mutex<VecDeque<Arc<Channel>>>,
    begun: Notify,
    running: AtomicBool,
}

// === impl Rounds ===

impl Rounds {
    /// Goes on with a channel's round, where something does.
    pub(crate) fn add(&self, channel: Arc<Channel>) {
        self.under_way.lock().push_back(channel);
        self.begun.notify_one();
    }

    /// Whether somebody goes on with rounds.
    pub(crate) fn is_running(&self) -> bool {
        self.running.load(Ordering::Relaxed)
    }

    /// Goes on with all rounds, a portion of each in turn.
    pub(crate) async fn run(self: Arc<Self>) {
        self.running.store(true, Ordering::Relaxed);
        loop {
            let Some(channel) = self.next() else {
                self.begun.notified().await;
                continue;
            };
            if channel.go_on() {
                self.under_way.lock().push_back(channel);
            }
            yield_now().await;
        }
    }

    fn next(&self) -> Option<Arc<Channel>> {
        self.under_way.lock().pop_front()
    }
}
