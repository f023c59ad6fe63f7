//! The subscriptions of a socket: how they begin, with what was missed, what is taken of them, and how they end.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::BytesMut;
use serde_json::value::RawValue;

use super::answers::raw;
use super::broker::{BrokerError, Consumed, History, Member, Position, Publication};
use super::channel::{Channel, Entered, Key, Subscribing};
use super::consumers::{Consuming, Resumption, is_whole};
use super::feed::Given;
use super::policy::{Namespace, Refused, Want};
use super::seat::Note;
use super::sitting::Sitting;
use super::wire::{Format, ServerFrame};
use crate::identity::Claims;
use crate::reject::{CONFLICT, PERMISSION_DENIED, RATE_LIMIT_EXCEEDED};
use crate::websocket::Socket;

/// Messages of a history that a subscriber can get from the broker.
pub(crate) const MOST: u32 = 1_000;

/// One channel that a socket listens to.
pub(super) struct Subscription {
    pub(super) channel: Arc<Channel>,
    pub(super) key: Key,
    pub(super) presence: bool,
    pub(super) member: bool,
    pub(super) generation: u32,
    /// What is waited for.
    pub(super) held: Option<Held>,
    /// Who acknowledges, where the channel's messages are.
    pub(super) consuming: Option<Consuming>,
}

/// An answer that waits for the broker's.
pub(super) struct Held {
    id: Option<Box<str>>,
}

/// How a client subscribes.
#[derive(Default)]
pub(crate) struct Asked<'f> {
    /// Where it goes on.
    pub(crate) since: Option<Position>,
    /// Whether it is told who comes and goes.
    pub(crate) presence: bool,
    /// As whom it acknowledges.
    pub(crate) consumer: Option<&'f str>,
}

impl Sitting {
    /// Subscribes to a channel; the answer is sent, now or when the broker has told what was missed.
    pub(crate) fn subscribe(
        &mut self,
        socket: &mut Socket,
        name: &str,
        id: Option<&RawValue>,
        asked: Asked<'_>,
    ) -> Result<(), Refused> {
        let Asked { since, presence, consumer } = asked;
        let hub = Arc::clone(&self.hub);
        let namespace = hub.policy.find(name)?;
        let claims = self.seat.claims();
        hub.policy.check(namespace, name, Want::Subscribe, claims.as_deref())?;
        self.check_room(namespace, name, presence)?;
        let consuming = self.consuming(namespace, consumer)?;
        let slot = self.subscriptions.vacant_key() as u32;
        let held = hub.broker(namespace).is_some();
        let mut from = Resumption::after(since);
        if let Some(one) = consuming.as_ref().filter(|_| !held) {
            let channel = hub.channels.get(name);
            from = from.with(channel.and_then(|channel| channel.consumed(&one.name)));
        }
        let who = Subscribing { seat: &self.seat, slot, wire: self.wire, presence, held };
        let (channel, Entered { key, newest, missed }) =
            hub.enter(namespace, name, &who, from.since.as_ref())?;
        self.generation = self.generation.wrapping_add(1);
        let waiting = held.then(|| Held { id: id.map(|id| id.get().into()) });
        let consumer = consuming.as_ref().map(|one| Arc::clone(&one.name));
        self.subscriptions.insert(Subscription {
            channel: Arc::clone(&channel),
            key,
            presence,
            member: namespace.presence,
            generation: self.generation,
            held: waiting,
            consuming,
        });
        self.channels.insert(Arc::clone(&channel.name), slot);
        if held {
            self.ask_what_was_missed(&channel.name, slot, (from, consumer), namespace);
        } else {
            let missed = if from.since.is_none() { Some(Vec::new()) } else { missed };
            self.resume(socket, id, slot, &channel, (&from, &newest), missed);
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
        (mut from, consumer): (Resumption, Option<Arc<str>>),
        namespace: &Namespace,
    ) {
        let generation = self.generation;
        let Some(broker) = self.hub.broker(namespace).map(Arc::clone) else {
            let outcome = Err(BrokerError::Away);
            return self.seat.note(Note::Recovered { slot, generation, from, outcome });
        };
        let (seat, name, age_ms) =
            (Arc::clone(&self.seat), Arc::clone(name), namespace.keep.age_ms);
        tokio::spawn(async move {
            let outcome = async {
                if let Some(consumer) = &consumer {
                    let known = broker.consumed(&name, consumer).await?;
                    from = std::mem::take(&mut from).with(known);
                }
                let limit = if from.since.is_some() { MOST } else { 0 };
                let history = broker.history(&name, from.since.clone(), limit).await?;
                if let Some(consumer) = &consumer {
                    // Known before anything is sent to it, so that whoever comes after it knows of that.
                    let acked = from.acked(from.place(&history));
                    let far = Consumed { acked, sent: None };
                    broker.keep_consumed(&name, consumer, &far, age_ms).await?;
                }
                Ok(history)
            };
            let outcome = outcome.await;
            seat.note(Note::Recovered { slot, generation, from, outcome });
        });
    }

    /// The broker has told what a subscription missed, or cannot.
    pub(super) fn recover(
        &mut self,
        socket: &mut Socket,
        (slot, generation): (u32, u32),
        from: &Resumption,
        outcome: Result<History, BrokerError>,
    ) {
        let Some(subscription) = self.subscriptions.get_mut(slot as usize) else { return };
        if subscription.generation != generation {
            return;
        }
        let Some(Held { id }) = subscription.held.take() else { return };
        let since = &from.since;
        let (channel, key) = (Arc::clone(&subscription.channel), subscription.key);
        let (newest, missed) = match outcome {
            Ok(history) => {
                let missed = is_whole(&history).then_some(history.items);
                (history.newest, if since.is_none() { Some(Vec::new()) } else { missed })
            }
            // Served alone from now on, or after a doubt: where it was asked to go on, something may be lost.
            Err(_) => (channel.figures().0, since.is_none().then(Vec::new)),
        };
        let id = raw(id.as_deref());
        self.resume(socket, id.as_deref(), slot, &channel, (from, &newest), missed);
        channel.release(key, newest);
    }

    /// Answers a subscription, and sends what it has missed.
    fn resume(
        &mut self,
        socket: &mut Socket,
        id: Option<&RawValue>,
        slot: u32,
        channel: &Channel,
        (resumption, newest): (&Resumption, &Position),
        missed: Option<Vec<Publication>>,
    ) {
        let since = resumption.since.as_ref();
        let from = since.filter(|_| missed.is_some()).unwrap_or(newest);
        self.begin_to_consume(slot, resumption.acked(from), newest);
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
                if one.position.offset <= resumption.sent {
                    self.wire.put_again(&mut out, &channel.name, one);
                } else {
                    self.wire.put_message(&mut out, &channel.name, one);
                }
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
        self.stop_consuming(subscription);
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

    pub(super) fn take(&mut self, socket: &mut Socket, slot: usize, room: usize) -> bool {
        let Some(subscription) = self.subscriptions.get_mut(slot) else { return false };
        let more = subscription.channel.take(subscription.key, room, &mut self.given);
        for given in self.given.drain(..) {
            if let Some(consuming) = &mut subscription.consuming {
                consuming.sent(&given);
            }
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

    /// Ends subscriptions that a new token is no longer good for.
    pub(super) fn check_again(&mut self, socket: &mut Socket, claims: &Claims) {
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
}
