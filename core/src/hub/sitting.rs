//! A sitting: what the task of a socket holds. It takes what its subscriptions have, hears what its client says, and
//! looks at the clock when it is told to.

use std::collections::VecDeque;
use std::future::Future as _;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, ready};

use ahash::AHashMap;
use bytes::BytesMut;
use serde_json::value::RawValue;
use slab::Slab;

use super::broker::{BrokerError, History, Member, Position, Publication};
use super::channel::{Channel, Entered, Key, Subscribing};
use super::feed::Given;
use super::policy::{Namespace, Refused, Want};
use super::registry::Place;
use super::seat::{Inbox, Note, Order, Seat, Told};
use super::socket::{Demands, Origin};
use super::wire::{Format, Item, ServerFrame, Wire};
use super::{Hub, Touched};
use crate::filters::auth::Claims;
use crate::reject::{CONFLICT, PERMISSION_DENIED, RATE_LIMIT_EXCEEDED};
use crate::server::Gateway;
use crate::websocket::{Closed, Message, Socket};

/// Bytes that are taken of subscriptions before they are written.
const BUDGET: usize = 256 << 10;
/// Bytes; with more waiting to leave, nothing further is heard of the client.
const FULL: usize = 512 << 10;
/// Messages heard before others get their turn.
const TURN: u32 = 256;
/// Seconds before the token's end at which that is told, at most.
const WARNING: u64 = 30;
/// Milliseconds over which clients of a gateway that drains come back.
const SPREAD: u64 = 5_000;
/// Refused frames that a socket may send; one is forgiven each second.
const STRIKES: u32 = 30;
/// Messages of a history that a subscriber can get from the broker.
pub(crate) const MOST: u32 = 1_000;

/// What the task of a socket holds.
pub(crate) struct Sitting {
    pub(crate) hub: Arc<Hub>,
    pub(crate) gateway: Arc<Gateway>,
    pub(crate) seat: Arc<Seat>,
    pub(crate) origin: Origin,
    pub(crate) wire: Wire,
    pub(crate) touched: Touched,
    /// Frames heard.
    pub(crate) frames: u64,
    /// Answers of the broker that are waited for.
    pub(crate) asked: Arc<()>,
    place: Place,
    channels: AHashMap<Arc<str>, u32>,
    subscriptions: Slab<Subscription>,
    generation: u32,
    inbox: Inbox,
    ready: VecDeque<u32>,
    given: Vec<Given>,
    heard: u64,
    pinged: u64,
    warned: bool,
    /// Until when the token must come, and what it must be good for.
    awaited: Option<(u64, Arc<Demands>)>,
    /// Asked for with the handshake, to be had once it is known who it is.
    first: Option<Arc<str>>,
    strikes: u32,
    struck: u64,
    spent: u32,
}

struct Subscription {
    channel: Arc<Channel>,
    key: Key,
    presence: bool,
    member: bool,
    generation: u32,
    /// What is waited for: the answer's id, and the place from which it goes on.
    held: Option<(Option<Box<str>>, Option<Position>)>,
}

/// What a turn of the task brought.
pub(crate) enum Turn {
    Message(Message),
    Ended(Closed),
    Ordered(Order),
}

// === impl Sitting ===

impl Sitting {
    pub(crate) fn new(
        hub: &Arc<Hub>,
        gateway: &Arc<Gateway>,
        seat: Arc<Seat>,
        (wire, place): (Wire, Place),
        origin: Origin,
    ) -> Self {
        Self {
            hub: Arc::clone(hub),
            gateway: Arc::clone(gateway),
            seat,
            origin,
            wire,
            touched: Touched::default(),
            frames: 0,
            asked: Arc::new(()),
            place,
            channels: AHashMap::new(),
            subscriptions: Slab::new(),
            generation: 0,
            inbox: Inbox::default(),
            ready: VecDeque::new(),
            given: Vec::new(),
            heard: hub.now(),
            pinged: 0,
            warned: false,
            awaited: None,
            first: None,
            strikes: 0,
            struck: 0,
            spent: 0,
        }
    }

    /// Lets nothing be said before a token has come.
    pub(crate) fn wait_for_token(&mut self, until: u64, demands: Arc<Demands>) {
        self.awaited = Some((until, demands));
    }

    /// What the token that is waited for must be good for.
    pub(crate) fn awaited(&self) -> Option<Arc<Demands>> {
        self.awaited.as_ref().map(|(_, demands)| Arc::clone(demands))
    }

    /// The socket is there: it is welcomed, or its token waited for.
    pub(crate) fn begin(&mut self, socket: &mut Socket, channel: Option<Arc<str>>) {
        self.hub.seats.add(&self.seat);
        self.first = channel;
        // Between the handshake and now it may have been revoked.
        if let Some(claims) = self.seat.claims()
            && self.hub.revocations.has(&claims)
        {
            self.seat.close(4002, "the token has been revoked");
        }
        if self.awaited.is_none() {
            self.welcome(socket);
        }
        let now = self.hub.now();
        self.seat.wake_at(self.next_due(now));
    }

    fn welcome(&mut self, socket: &mut Socket) {
        let left =
            self.seat.claims().map(|claims| claims.expires.saturating_sub(self.hub.now() / 1000));
        let name = Arc::clone(&self.seat.name);
        self.say(
            socket,
            ServerFrame {
                kind: "welcome",
                connection: Some(&name),
                session_seconds: left,
                ping_seconds: Some(self.hub.heartbeat_ms as f64 / 1e3),
                max_bytes: Some(self.hub.max_bytes),
                ..ServerFrame::default()
            },
        );
        if let Some(channel) = self.first.take()
            && let Err(refused) = self.subscribe(socket, &channel, None, None, false)
        {
            self.refuse(socket, None, Some(&channel), &refused);
        }
    }

    /// A token has come that is good: for the first time, or instead of the one before.
    pub(crate) fn identify(
        &mut self,
        socket: &mut Socket,
        claims: &Arc<Claims>,
    ) -> Result<(), Refused> {
        let first = self.awaited.is_some();
        if first {
            self.place = self.hub.seats.reserve(Some(claims), self.seat.peer)?;
        }
        self.seat.identify(Arc::clone(claims));
        self.warned = false;
        if first {
            self.awaited = None;
            self.welcome(socket);
        } else {
            self.check_again(socket, claims);
        }
        let now = self.hub.now();
        self.seat.wake_at(self.next_due(now));
        Ok(())
    }

    /// Ends subscriptions that a new token is no longer good for.
    fn check_again(&mut self, socket: &mut Socket, claims: &Claims) {
        let all: Vec<_> =
            self.subscriptions.iter().map(|(_, one)| Arc::clone(&one.channel)).collect();
        for channel in all {
            let (namespace, name) = (&channel.namespace, &channel.name);
            let may = self.hub.policy.check(namespace, name, Want::Subscribe, Some(claims));
            if let Err(refused) = may {
                self.unsubscribe(name);
                self.refuse(socket, None, Some(name), &refused);
            }
        }
    }

    /// The next thing that happens; what is ready is queued meanwhile, and written.
    pub(crate) fn poll_turn(
        &mut self,
        socket: &mut Socket,
        context: &mut Context<'_>,
    ) -> Poll<Turn> {
        loop {
            let seat = Arc::clone(&self.seat);
            seat.open(context, &mut self.inbox);
            if let Some(order) = self.look(socket, context) {
                return Poll::Ready(Turn::Ordered(order));
            }
            self.pump(socket);
            if socket.pending_bytes() > FULL {
                self.touched.wake();
                match ready!(socket.poll_flush_all(context)) {
                    Ok(()) => continue,
                    Err(closed) => return Poll::Ready(Turn::Ended(closed)),
                }
            }
            if self.spent >= TURN && (!socket.has_unread() || self.spent >= 4 * TURN) {
                // Whoever was published to has its turn before more is read.
                self.spent = 0;
                self.touched.wake();
                context.waker().wake_by_ref();
                return Poll::Pending;
            }
            match socket.poll_receive(context) {
                Poll::Ready(Ok(message)) => {
                    self.spent += 1;
                    self.heard = self.hub.now();
                    return Poll::Ready(Turn::Message(message));
                }
                Poll::Ready(Err(closed)) => return Poll::Ready(Turn::Ended(closed)),
                Poll::Pending => {
                    self.spent = 0;
                    self.touched.wake();
                    if self.ready.is_empty() || socket.pending_bytes() >= BUDGET {
                        return Poll::Pending;
                    }
                }
            }
        }
    }

    /// Looks at what others have said, and at the clock.
    fn look(&mut self, socket: &mut Socket, context: &mut Context<'_>) -> Option<Order> {
        let mut draining = socket.draining();
        if Pin::new(&mut draining).poll(context).is_ready() {
            return Some(Order { code: 4012, reason: "the gateway is going away".into() });
        }
        if let Some(order) = self.inbox.order.take() {
            return Some(order);
        }
        self.ready.extend(self.inbox.ready.drain(..));
        if !self.inbox.notes.is_empty() {
            for note in std::mem::take(&mut self.inbox.notes) {
                self.read(socket, note);
            }
        }
        if std::mem::take(&mut self.inbox.due) {
            let now = self.hub.now();
            if let Some(order) = self.look_at_clock(socket, now) {
                return Some(order);
            }
            self.seat.wake_at(self.next_due(now));
        }
        None
    }

    /// Takes what subscriptions have, as much as is written at a time.
    fn pump(&mut self, socket: &mut Socket) {
        while let Some(slot) = self.ready.front().copied() {
            let room = BUDGET.saturating_sub(socket.pending_bytes());
            if room == 0 {
                return;
            }
            let more = self.take(socket, slot as usize, room);
            self.ready.pop_front();
            if more {
                self.ready.push_back(slot);
            }
        }
        if self.ready.capacity() > 64 {
            self.ready = VecDeque::new();
        }
    }

    fn take(&mut self, socket: &mut Socket, slot: usize, room: usize) -> bool {
        let Some(subscription) = self.subscriptions.get(slot) else { return false };
        let more = subscription.channel.take(subscription.key, room, &mut self.given);
        for given in self.given.drain(..) {
            match given {
                Given::Frames(frames, _) => socket.queue(frames),
                Given::Dropped(count, place) => {
                    let mut out = BytesMut::new();
                    let frame = ServerFrame {
                        kind: "dropped",
                        channel: Some(&subscription.channel.name),
                        count: Some(count),
                        epoch: Some(&place.epoch),
                        offset: Some(place.offset),
                        ..ServerFrame::default()
                    };
                    self.wire.put_frame(&mut out, frame);
                    socket.queue(out.freeze());
                }
            }
        }
        more
    }

    fn read(&mut self, socket: &mut Socket, note: Note) {
        match note {
            Note::Frames(frames) => socket.queue(frames),
            Note::Published { id, channel, outcome } => {
                let id = raw(Some(&id));
                match outcome {
                    Ok(place) => self.acknowledge(socket, id.as_deref(), &channel, Some(&place)),
                    Err(refused) => {
                        self.refuse(socket, id.as_deref(), Some(&channel), &refused);
                    }
                }
            }
            Note::Recovered { slot, generation, outcome } => {
                self.recover(socket, slot, generation, outcome);
            }
            Note::Told { id, channel, told } => self.tell(socket, id.as_deref(), &channel, told),
        }
    }

    /// Answers with what a broker, or the channel itself, has told.
    pub(crate) fn tell(
        &mut self,
        socket: &mut Socket,
        id: Option<&str>,
        channel: &str,
        told: Told,
    ) {
        let id = raw(id);
        let id = id.as_deref();
        match told {
            Told::History(Ok(history)) => self.say(
                socket,
                ServerFrame {
                    kind: "history",
                    id,
                    channel: Some(channel),
                    epoch: Some(&history.newest.epoch),
                    offset: Some(history.newest.offset),
                    items: Some(history.items.iter().filter_map(Item::read).collect()),
                    recovered: Some(history.complete),
                    ..ServerFrame::default()
                },
            ),
            Told::Presence(Ok(members)) => self.say(
                socket,
                ServerFrame {
                    kind: "presence",
                    id,
                    channel: Some(channel),
                    members: Some(&members),
                    ..ServerFrame::default()
                },
            ),
            Told::History(Err(refused)) | Told::Presence(Err(refused)) => {
                self.refuse(socket, id, Some(channel), &refused);
            }
        }
    }

    // --- the clock ---

    fn look_at_clock(&mut self, socket: &mut Socket, now: u64) -> Option<Order> {
        let order = |code, reason: &str| Some(Order { code, reason: reason.into() });
        if self.awaited.as_ref().is_some_and(|(until, _)| *until <= now) {
            return order(4003, "no token came in time");
        }
        if let Some(claims) = self.seat.claims() {
            let ends = claims.expires.saturating_mul(1000);
            if ends <= now {
                return order(4001, "the token has expired");
            }
            if !self.warned && warning(&claims) <= now {
                self.warned = true;
                let left = (ends - now).div_ceil(1000);
                self.say(
                    socket,
                    ServerFrame { kind: "expiring", seconds: Some(left), ..ServerFrame::default() },
                );
            }
        }
        let (beat, quiet) = (self.hub.heartbeat_ms, now.saturating_sub(self.heard));
        if quiet >= 2 * beat {
            return order(4010, "no sign of life within two heartbeats");
        }
        if quiet >= beat && self.pinged <= self.heard {
            self.pinged = now;
            socket.ping(b"");
        }
        None
    }

    fn next_due(&self, now: u64) -> u64 {
        let beat = self.hub.heartbeat_ms;
        let sign = if self.pinged > self.heard { self.heard + 2 * beat } else { self.heard + beat };
        let token = self.seat.claims().map_or(u64::MAX, |claims| {
            let ends = claims.expires.saturating_mul(1000);
            if self.warned { ends } else { warning(&claims).min(ends) }
        });
        let first = self.awaited.as_ref().map_or(u64::MAX, |(until, _)| *until);
        sign.min(token).min(first).max(now + 1)
    }

    // --- subscriptions ---

    /// Subscribes to a channel; the answer is sent, now or when the broker has told what was missed.
    pub(crate) fn subscribe(
        &mut self,
        socket: &mut Socket,
        name: &str,
        id: Option<&RawValue>,
        since: Option<Position>,
        presence: bool,
    ) -> Result<(), Refused> {
        let hub = Arc::clone(&self.hub);
        let namespace = hub.policy.find(name)?;
        let claims = self.seat.claims();
        hub.policy.check(namespace, name, Want::Subscribe, claims.as_deref())?;
        self.check_room(namespace, name, presence)?;
        let slot = self.subscriptions.vacant_key() as u32;
        let held = hub.broker(namespace).is_some();
        let who = Subscribing { seat: &self.seat, slot, wire: self.wire, presence, held };
        let (channel, Entered { key, newest, missed }) =
            hub.enter(namespace, name, &who, since.as_ref())?;
        self.generation = self.generation.wrapping_add(1);
        let waiting = held.then(|| (id.map(|id| id.get().into()), since.clone()));
        self.subscriptions.insert(Subscription {
            channel: Arc::clone(&channel),
            key,
            presence,
            member: namespace.presence,
            generation: self.generation,
            held: waiting,
        });
        self.channels.insert(Arc::clone(&channel.name), slot);
        if held {
            self.ask_what_was_missed(&channel.name, slot, since, namespace);
        } else {
            let missed = if since.is_none() { Some(Vec::new()) } else { missed };
            self.resume(socket, id, &channel, since.as_ref(), &newest, missed);
        }
        if namespace.presence {
            self.hub.join(&channel, &self.member());
        }
        Ok(())
    }

    fn check_room(&self, namespace: &Namespace, name: &str, presence: bool) -> Result<(), Refused> {
        if self.channels.contains_key(name) {
            return Err(Refused::new(&CONFLICT, "the socket is subscribed to the channel already"));
        }
        if self.subscriptions.len() >= self.hub.subscriptions {
            let sentence = format!("a socket has {} subscriptions at most", self.hub.subscriptions);
            return Err(Refused::new(&RATE_LIMIT_EXCEEDED, sentence));
        }
        if presence && !namespace.presence {
            return Err(Refused::new(&PERMISSION_DENIED, "the channel tells nobody who is there"));
        }
        Ok(())
    }

    fn member(&self) -> Member {
        let claims = self.seat.claims();
        Member {
            connection: Arc::clone(&self.seat.name),
            subject: claims.map_or_else(|| Arc::from("anonymous"), |one| Arc::clone(&one.subject)),
        }
    }

    fn ask_what_was_missed(
        &self,
        name: &Arc<str>,
        slot: u32,
        since: Option<Position>,
        namespace: &Namespace,
    ) {
        let Some(broker) = self.hub.broker(namespace) else {
            let outcome = Err(BrokerError::Away);
            return self.seat.note(Note::Recovered { slot, generation: self.generation, outcome });
        };
        let limit = if since.is_some() { MOST } else { 0 };
        let answer = broker.history(name, since, limit);
        let (seat, generation) = (Arc::clone(&self.seat), self.generation);
        tokio::spawn(async move {
            let outcome = answer.await;
            seat.note(Note::Recovered { slot, generation, outcome });
        });
    }

    /// The broker has told what a subscription missed, or cannot.
    fn recover(
        &mut self,
        socket: &mut Socket,
        slot: u32,
        generation: u32,
        outcome: Result<History, BrokerError>,
    ) {
        let Some(subscription) = self.subscriptions.get_mut(slot as usize) else { return };
        if subscription.generation != generation {
            return;
        }
        let Some((id, since)) = subscription.held.take() else { return };
        let (channel, key) = (Arc::clone(&subscription.channel), subscription.key);
        let (newest, missed) = match outcome {
            Ok(history) => {
                let whole =
                    history.items.last().map_or(history.newest.offset, |last| last.position.offset)
                        == history.newest.offset;
                let missed = (history.complete && whole).then_some(history.items);
                (history.newest, if since.is_none() { Some(Vec::new()) } else { missed })
            }
            // Served alone from now on, or after a doubt: where it was asked to go on, something may be lost.
            Err(_) => (channel.figures().0, since.is_none().then(Vec::new)),
        };
        let id = raw(id.as_deref());
        self.resume(socket, id.as_deref(), &channel, since.as_ref(), &newest, missed);
        channel.release(key, newest);
    }

    /// Answers a subscription, and sends what it has missed.
    fn resume(
        &mut self,
        socket: &mut Socket,
        id: Option<&RawValue>,
        channel: &Channel,
        since: Option<&Position>,
        newest: &Position,
        missed: Option<Vec<Publication>>,
    ) {
        let from = since.filter(|_| missed.is_some()).unwrap_or(newest);
        self.say(
            socket,
            ServerFrame {
                kind: "ack",
                id,
                channel: Some(&channel.name),
                epoch: Some(&from.epoch),
                offset: Some(from.offset),
                recovered: since.map(|_| missed.is_some()),
                missed: since.map(|_| missed.as_ref().map_or(0, |missed| missed.len() as u64)),
                subscribed: Some(true),
                ..ServerFrame::default()
            },
        );
        let missed = missed.unwrap_or_default();
        if !missed.is_empty() {
            let mut out = BytesMut::new();
            for one in &missed {
                self.wire.put_message(&mut out, &channel.name, one);
            }
            channel.namespace.counters.delivered.fetch_add(missed.len() as u64, Ordering::Relaxed);
            socket.queue(out.freeze());
        }
    }

    /// Ends a subscription; whether there was one.
    pub(crate) fn unsubscribe(&mut self, name: &str) -> bool {
        let Some(slot) = self.channels.remove(name) else { return false };
        if let Some(subscription) = self.subscriptions.try_remove(slot as usize) {
            self.end(&subscription);
        }
        true
    }

    fn end(&self, subscription: &Subscription) {
        let channel = &subscription.channel;
        self.hub.exit(channel, subscription.key);
        if subscription.member {
            self.hub.leave(channel, &self.seat.name);
        }
    }

    /// Ends all of them.
    pub(crate) fn leave_all(&mut self) {
        self.channels.clear();
        for subscription in std::mem::take(&mut self.subscriptions) {
            self.end(&subscription.1);
        }
    }

    /// Goes on in another spelling: what is there leaves in the old one.
    pub(crate) fn spell(&mut self, socket: &mut Socket, format: Format) {
        if self.wire.format == format {
            return;
        }
        let slots: Vec<usize> = self.subscriptions.iter().map(|(slot, _)| slot).collect();
        for slot in &slots {
            while self.take(socket, *slot, usize::MAX) {}
        }
        self.wire.format = format;
        for slot in slots {
            let Some(one) = self.subscriptions.get_mut(slot) else { continue };
            let who = Subscribing {
                seat: &self.seat,
                slot: slot as u32,
                wire: self.wire,
                presence: one.presence,
                held: one.held.is_some(),
            };
            // Added before the other is taken out, so that the channel does not look unused in between.
            if let Ok(entered) = one.channel.subscribe(&who, None, &self.hub.kept) {
                one.channel.unsubscribe(std::mem::replace(&mut one.key, entered.key));
            }
        }
    }

    // --- answers ---

    pub(crate) fn say(&self, socket: &mut Socket, frame: ServerFrame<'_>) {
        let mut out = BytesMut::new();
        self.wire.put_frame(&mut out, frame);
        socket.queue(out.freeze());
    }

    pub(crate) fn acknowledge(
        &self,
        socket: &mut Socket,
        id: Option<&RawValue>,
        channel: &str,
        place: Option<&Position>,
    ) {
        self.say(
            socket,
            ServerFrame {
                kind: "ack",
                id,
                channel: Some(channel),
                epoch: place.map(|place| &*place.epoch),
                offset: place.map(|place| place.offset),
                ..ServerFrame::default()
            },
        );
    }

    /// Refuses a frame; the socket lives on, unless it does nothing else. Whether it may.
    pub(crate) fn refuse(
        &mut self,
        socket: &mut Socket,
        id: Option<&RawValue>,
        channel: Option<&str>,
        refused: &Refused,
    ) -> bool {
        self.hub.figures.refuse(refused.kind.code);
        self.say(
            socket,
            ServerFrame {
                kind: "error",
                id,
                channel: channel.filter(|channel| !channel.is_empty()),
                code: Some(refused.kind.code),
                error: Some(&refused.message),
                retry_after: refused.retry_after,
                ..ServerFrame::default()
            },
        );
        let now = self.hub.now();
        let forgiven = now.saturating_sub(self.struck) / 1000;
        self.strikes = self.strikes.saturating_sub(u32::try_from(forgiven).unwrap_or(u32::MAX)) + 1;
        self.struck = now;
        self.strikes <= STRIKES
    }

    /// Says why, and what to do, before the socket is closed.
    pub(crate) fn take_leave(&self, socket: &mut Socket, order: &Order) {
        let back = order.code == 4012 || order.code == 4009 && order.reason.contains("reconnect");
        if back && self.awaited.is_none() {
            self.say(
                socket,
                ServerFrame {
                    kind: "reconnect",
                    delay_ms: Some(SPREAD),
                    reason: Some(&order.reason),
                    ..ServerFrame::default()
                },
            );
        }
    }
}

impl Drop for Sitting {
    fn drop(&mut self) {
        self.leave_all();
        self.hub.seats.remove(&self.seat.name);
    }
}

/// When the end of a token is told: half a minute before, of a shorter life half of it.
fn warning(claims: &Claims) -> u64 {
    let life = claims.issued.map_or(WARNING * 2, |issued| claims.expires.saturating_sub(issued));
    claims.expires.saturating_sub(WARNING.min(life / 2)).saturating_mul(1000)
}

/// An id as it is written back.
pub(crate) fn raw(id: Option<&str>) -> Option<Box<RawValue>> {
    RawValue::from_string(id?.to_owned()).ok()
}
