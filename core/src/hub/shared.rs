//! Replicas: what comes from the broker is delivered here; while it is away every replica goes on by itself.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use tokio::runtime::Handle;
use tokio::sync::mpsc::Receiver;

use super::broker::Event;
use super::redis::{Log, Options, Redis};
use super::{Hub, Touched};
use crate::gateway::Gateway;
use crate::plan::Level;

/// Events delivered before their subscribers are woken, and before all of them are woken, at most.
const BATCH: usize = 256;

impl Hub {
    /// Connects to the Redis that the replicas share.
    pub(super) fn join_replicas(
        self: &Arc<Self>,
        options: Options,
        gateway: &Arc<Gateway>,
        runtime: &Handle,
    ) {
        let weak = Arc::downgrade(gateway);
        let log: Log = Box::new(move |message, error| {
            if let Some(gateway) = weak.upgrade() {
                let fields = serde_json::json!({"message": message, "error": error});
                gateway.runtime.log.write(Level::Warning, &fields);
            }
        });
        let (redis, events) = Redis::start(options, log, runtime);
        if self.broker.set(redis).is_ok() {
            runtime.spawn(Arc::clone(self).follow(events));
        }
    }

    async fn follow(self: Arc<Self>, mut events: Receiver<Event>) {
        let mut batch = Vec::with_capacity(BATCH);
        let mut touched = Touched::default();
        let mut spent = 0;
        while events.recv_many(&mut batch, BATCH).await > 0 {
            spent += batch.len();
            for event in batch.drain(..) {
                self.take(event, &mut touched);
            }
            touched.wake();
            if spent >= BATCH {
                std::future::poll_fn(|context| touched.poll_through(context)).await;
            }
            if touched.is_through() {
                spent = 0;
            }
        }
    }

    fn take(&self, event: Event, touched: &mut Touched) {
        match event {
            Event::Publication { channel, publication } => {
                if let Some(channel) = self.channels.get(&channel) {
                    channel.deliver(&publication);
                    touched.add(&channel);
                }
            }
            Event::Missed { channel, count, position } => {
                if let Some(channel) = self.channels.get(&channel) {
                    channel.miss(count.unwrap_or(0), &position);
                    touched.add(&channel);
                }
            }
            Event::Join { channel, member } => {
                if let Some(channel) = self.channels.get(&channel) {
                    channel.announce("join", &member);
                }
            }
            Event::Leave { channel, member } => {
                if let Some(channel) = self.channels.get(&channel) {
                    channel.announce("leave", &member);
                }
            }
            Event::Revoked(revocation) => drop(self.revoke_here(&revocation)),
            Event::Disconnect(disconnect) => drop(self.disconnect_here(&disconnect)),
            Event::Away => {
                self.away.store(true, Ordering::Release);
                self.figures.away.store(1, Ordering::Relaxed);
                for channel in self.channels.list() {
                    if channel.namespace.shared {
                        channel.begin_anew(&self.kept);
                        touched.add(&channel);
                    }
                }
            }
            Event::Back => {
                self.away.store(false, Ordering::Release);
                self.figures.away.store(0, Ordering::Relaxed);
            }
        }
    }
}
