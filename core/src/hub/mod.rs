//! The hub: channels that sockets, streams and the program itself publish to and receive from.
//!
//! `policy` says who may what; `registry` finds channels and sockets; a `channel` numbers, keeps, and hands its messages
//! to its `feed`s, one for each `wire` form, from which every subscriber takes whole pieces; a `seat` is what the others
//! know of a socket or stream. `socket` and `events` are the two ways to listen, `speech` is what clients say, `control`
//! what is answered as JSON. `shared` joins replicas by a `broker`. Nothing here knows of Python.

mod answers;
pub mod broker;
pub mod channel;
mod client_frame;
mod consumers;
pub mod control;
pub mod events;
mod feed;
pub mod figures;
pub mod handshake;
mod identity;
mod limits;
pub mod policy;
mod publish;
mod rates;
pub mod redis;
mod registry;
mod rounds;
mod seat;
mod shared;
mod sitting;
pub mod socket;
mod speech;
mod subscriptions;
mod wire;

use std::sync::Arc;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use parking_lot::Mutex;
use tokio::runtime::Handle;

use crate::clock;
use crate::filters::auth::Verifier;
use crate::filters::limit::PlanLimits;
use crate::gateway::Gateway;
use crate::identity::{Claims, Revocation, Revocations};
use crate::plan;
use crate::plan::{PlanError, Secrets};
use broker::{Broker, Consumed, Disconnect, Draft, Member, Position};
use channel::{Channel, Entered, Kept, Key, Subscribing};
use figures::Figures;
use limits::Limits;
pub(crate) use limits::MESSAGES_OWNER;
use policy::{Namespace, Policy, Refused};
pub(crate) use publish::{Publishing, Touched, refused};
use registry::{Channels, Seats};

/// How often the hub's clock is set and those are woken whose time has come.
const TICK: Duration = Duration::from_millis(200);
/// How often channels that nobody uses are looked for, in ticks.
const SWEEP: u64 = 25;

/// All that threads share of the channels.
pub struct Hub {
    /// Who may what, where.
    pub policy: Policy,
    /// What is counted.
    pub figures: Arc<Figures>,
    pub(crate) channels: Channels,
    pub(crate) seats: Arc<Seats>,
    pub(crate) kept: Kept,
    pub(crate) limits: Limits,
    verifier: ArcSwapOption<Verifier>,
    /// Tokens that are worth nothing.
    pub revocations: Arc<Revocations>,
    /// What replicas share, where there are several.
    broker: OnceLock<Arc<dyn Broker>>,
    redis: Option<redis::Options>,
    away: AtomicBool,
    interest: Mutex<()>,
    clock: AtomicU64,
    metrics_every: Duration,
    pub(crate) heartbeat_ms: u64,
    pub(crate) subscriptions: usize,
    pub(crate) max_bytes: usize,
}

// === impl Hub ===

impl Hub {
    /// Compiles the hub of a plan.
    pub fn build(
        hub: &plan::Hub,
        verifier: Option<&Arc<Verifier>>,
        revocations: &Arc<Revocations>,
        limits: &PlanLimits,
        secrets: &Secrets,
    ) -> Result<Arc<Self>, PlanError> {
        let policy = Policy::build(hub)?;
        if hub.heartbeat_ms == 0 || hub.max_bytes == 0 {
            return Err(PlanError::new("the hub needs a heartbeat and frames of at least 1 byte"));
        }
        Ok(Arc::new(Self {
            figures: Arc::new(Figures::new(policy.namespaces())),
            policy,
            channels: Channels::new(hub.channels),
            seats: Seats::new(hub.sockets),
            kept: Kept::new(hub.history_bytes),
            limits: Limits::build(hub, limits)?,
            verifier: ArcSwapOption::new(verifier.map(Arc::clone)),
            revocations: Arc::clone(revocations),
            broker: OnceLock::new(),
            redis: hub.redis.as_ref().map(|redis| options(redis, secrets)).transpose()?,
            away: AtomicBool::new(false),
            interest: Mutex::new(()),
            clock: AtomicU64::new(clock::now_millis()),
            metrics_every: Duration::from_millis(hub.metrics_ms),
            heartbeat_ms: hub.heartbeat_ms,
            subscriptions: hub.subscriptions as usize,
            max_bytes: usize::try_from(hub.max_bytes).unwrap_or(usize::MAX),
        }))
    }

    /// Verifies the tokens of sockets.
    pub(crate) fn verifier(&self) -> Option<Arc<Verifier>> {
        self.verifier.load_full()
    }

    /// Changes what verifies the tokens of sockets from now on.
    pub(crate) fn set_verifier(&self, verifier: Option<&Arc<Verifier>>) {
        self.verifier.store(verifier.map(Arc::clone));
    }

    /// Starts what goes on by itself, on a runtime that lives as long as the gateway.
    pub fn start(self: &Arc<Self>, gateway: &Arc<Gateway>, runtime: &Handle) {
        runtime.spawn(Arc::clone(self).keep_time());
        runtime.spawn(Arc::clone(&self.channels.rounds).run());
        if !self.metrics_every.is_zero() {
            runtime.spawn(Arc::clone(self).tell_of_itself(Arc::clone(gateway)));
        }
        if let Some(options) = self.redis.clone() {
            self.join_replicas(options, gateway, runtime);
        }
    }

    /// Milliseconds since 1970, as of the last tick.
    pub(crate) fn now(&self) -> u64 {
        self.clock.load(Ordering::Relaxed)
    }

    /// When a token ends, milliseconds since 1970.
    pub(crate) fn end_of(&self, claims: &Claims) -> u64 {
        let seconds = self.verifier().map_or(claims.expires, |one| one.end_of(claims));
        seconds.saturating_mul(1000)
    }

    async fn keep_time(self: Arc<Self>) {
        let mut ticks = tokio::time::interval(TICK);
        for count in 1.. {
            ticks.tick().await;
            let now = clock::now_millis();
            self.clock.store(now, Ordering::Relaxed);
            self.seats.each(|seat| {
                seat.tick(now);
                false
            });
            if count % SWEEP == 0 {
                self.channels.sweep(now, &self.kept, &self.figures);
            }
        }
    }

    /// Publishes the gateway's counters and its log while somebody listens; those of this replica alone.
    async fn tell_of_itself(self: Arc<Self>, gateway: Arc<Gateway>) {
        let mut ticks = tokio::time::interval(self.metrics_every);
        let runtime = &gateway.runtime;
        loop {
            ticks.tick().await;
            if let Some(channel) = self.listened_to(wire::METRICS) {
                self.tell(&channel, runtime.metrics.summary());
            }
            // Not by a rule for other channels: who may read the log is said by name.
            match self.listened_to(wire::LOG).filter(|one| *one.namespace.name == *wire::LOG) {
                None => runtime.log.tail.begin(),
                Some(channel) => {
                    if let Some(lines) = runtime.log.tail.tell() {
                        self.tell(&channel, lines);
                    }
                }
            }
        }
    }

    fn listened_to(&self, name: &str) -> Option<Arc<Channel>> {
        self.channels.get(name).filter(|channel| channel.is_used())
    }

    fn tell(&self, channel: &Arc<Channel>, data: Vec<u8>) {
        let draft = Draft { data: data.into(), ..Draft::default() };
        if channel.publish(draft, &self.kept).is_ok() {
            channel.wake();
        }
    }

    /// Lets every socket and stream go; those that come now too.
    pub fn drain(&self) {
        self.seats.each(|seat| {
            seat.close(4012, "the gateway is going away");
            true
        });
    }

    /// The broker, where the channels of a namespace are shared and it can be reached.
    pub(crate) fn broker(&self, namespace: &Namespace) -> Option<&Arc<dyn Broker>> {
        let here = !namespace.shared || self.away.load(Ordering::Acquire);
        self.broker.get().filter(|_| !here)
    }

    /// Held while a channel gains its first subscriber or loses its last, so that the broker is told in that order.
    fn interest(&self) -> Option<parking_lot::MutexGuard<'_, ()>> {
        self.broker.get().map(|_| self.interest.lock())
    }

    /// Puts a subscriber into a channel, which is made where it is not there; the broker hears of it.
    pub(crate) fn enter(
        &self,
        namespace: &Arc<Namespace>,
        name: &str,
        who: &Subscribing<'_>,
        since: Option<&Position>,
    ) -> Result<(Arc<Channel>, Entered), Refused> {
        loop {
            let channel = self.channels.obtain(name, namespace, &self.figures)?;
            let interest = self.interest();
            if let Ok(entered) = channel.subscribe(who, since, &self.kept) {
                if let Some(broker) = self.broker.get().filter(|_| namespace.shared) {
                    broker.subscribe(&channel.name);
                }
                return Ok((channel, entered));
            }
            drop(interest);
            self.channels.forget(&channel);
        }
    }

    /// Takes a subscriber out.
    pub(crate) fn exit(&self, channel: &Channel, key: Key) {
        let _interest = self.interest();
        let last = channel.unsubscribe(key);
        let broker = self.broker.get().filter(|_| channel.namespace.shared);
        if last && let Some(broker) = broker {
            broker.unsubscribe(&channel.name);
        }
    }

    /// Puts a member into a channel.
    pub(crate) fn join(&self, channel: &Arc<Channel>, member: &Member) {
        let new = channel.join(member);
        if channel.namespace.shared
            && let Some(broker) = self.broker.get()
        {
            broker.join(&channel.name, member.clone());
        }
        if new && self.broker(&channel.namespace).is_none() {
            channel.announce("join", member);
        }
    }

    /// Takes it out.
    pub(crate) fn leave(&self, channel: &Arc<Channel>, connection: &str) {
        let Some(member) = channel.leave(connection) else { return };
        if channel.namespace.shared
            && let Some(broker) = self.broker.get()
        {
            broker.leave(&channel.name, connection);
        }
        if self.broker(&channel.namespace).is_none() {
            channel.announce("leave", &member);
        }
    }

    /// Remembers how far a consumer is: shared, where the channel is.
    pub(crate) fn keep_consumed(&self, channel: &Channel, consumer: &Arc<str>, far: Consumed) {
        let Some(broker) = self.broker(&channel.namespace) else {
            return channel.keep_consumed(consumer, far);
        };
        let age_ms = channel.namespace.keep.age_ms;
        let writing = broker.keep_consumed(&channel.name, consumer, &far, age_ms);
        // Without a runtime the gateway has ended. What is not written is sent again.
        if let Ok(runtime) = Handle::try_current() {
            runtime.spawn(async move {
                let _ = writing.await;
            });
        }
    }

    /// Makes tokens worthless, here and in all replicas; whether there was room for one more.
    pub(crate) fn revoke(&self, revocation: Revocation) -> bool {
        let added = self.revoke_here(&revocation);
        if added && let Some(broker) = self.broker.get() {
            broker.revoke(revocation);
        }
        added
    }

    fn revoke_here(&self, revocation: &Revocation) -> bool {
        let added = self.revocations.add(revocation, clock::now());
        self.seats.each(|seat| {
            seat.revoke(revocation, &self.revocations);
            false
        });
        added
    }

    /// A token may be revoked between its check and the moment from which its socket is found by revocations.
    pub(crate) fn close_if_revoked(&self, seat: &seat::Seat) {
        if seat.claims().is_some_and(|claims| self.revocations.has(&claims)) {
            seat.close(seat::REVOKED, "the token has been revoked");
        }
    }

    /// Closes sockets, here and in all replicas; how many here.
    pub(crate) fn disconnect(&self, disconnect: Disconnect) -> usize {
        let closed = self.disconnect_here(&disconnect);
        if let Some(broker) = self.broker.get() {
            broker.disconnect(disconnect);
        }
        closed
    }

    fn disconnect_here(&self, disconnect: &Disconnect) -> usize {
        self.seats.each(|seat| seat.disconnect(disconnect))
    }
}

fn options(redis: &plan::HubRedis, secrets: &Secrets) -> Result<redis::Options, PlanError> {
    let name = &redis.secret;
    let wrong = |why: &str| PlanError::new(format!("hub: the Redis of the secret {name:?}: {why}"));
    let secret = secrets.get(name).ok_or_else(|| wrong("there is no such secret"))?;
    let url = std::str::from_utf8(secret).map_err(|_| wrong("its URL is not UTF-8"))?;
    let mut options = redis::Options::new(url).map_err(|why| wrong(&why))?;
    options.prefix.clone_from(&redis.prefix);
    Ok(options)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// The plan of a hub without namespaces.
    pub(crate) fn plan() -> plan::Hub {
        plan::Hub {
            namespaces: Vec::new(),
            heartbeat_ms: 25_000,
            sockets: 10,
            subscriptions: 10,
            channels: 100,
            max_bytes: 65_536,
            history_bytes: 1 << 20,
            metrics_ms: 0,
            operator: "realtime:admin".into(),
            global_operator: "admin:global".into(),
            messages: None,
            tenant_messages: None,
            bytes: None,
            tenant_bytes: None,
            redis: None,
        }
    }

    /// A namespace that everybody may do everything in.
    pub(crate) fn open(name: &str) -> plan::Namespace {
        let access = plan::Access { scopes: Vec::new(), anonymous: true };
        plan::Namespace {
            name: name.into(),
            subscribe: Some(access.clone()),
            publish: Some(access),
            history: 10,
            history_ms: 60_000,
            presence: true,
            max_bytes: 1000,
            rate: None,
            overflow: plan::Overflow::DropOldest,
            queue: 4,
            queue_bytes: 1 << 20,
            shared: true,
            delivery: plan::Delivery::default(),
        }
    }
}
