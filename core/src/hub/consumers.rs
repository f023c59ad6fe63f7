//! Consumers: subscribers that acknowledge what they were sent, in channels that deliver at least once.
//!
//! The hub remembers for each how far it is. When it comes back without saying from where, it gets everything that it
//! has not acknowledged; what was sent to it before, or may have been, says so. On a connection that holds nothing is
//! sent again, as its order is certain (so does MQTT 5.0, section 4.4).

use std::sync::Arc;

use ahash::AHashMap;

use super::broker::{Consumed, History, Position};
use super::client_frame::{ClientFrame, missing};
use super::feed::Given;
use super::policy::{Namespace, Refused};
use super::sitting::Sitting;
use super::subscriptions::Subscription;
use crate::reject::{AUTHENTICATION_FAILED, NOT_FOUND, SERVICE_UNAVAILABLE, VALIDATION_ERROR};
use crate::websocket::Socket;

/// Bytes of a consumer's name.
const NAME: usize = 64;
/// Consumers that a channel remembers; beyond it forgets whom it heard of longest ago.
const MOST: usize = 10_000;

/// The consumers of one channel, as this replica remembers them, and when it heard of each.
#[derive(Default)]
pub(crate) struct Consumers(AHashMap<Arc<str>, (Consumed, u64)>);

/// Where a subscription goes on.
#[derive(Debug, Clone, Default)]
pub(crate) struct Resumption {
    /// After this place; `None` is from now on.
    pub(crate) since: Option<Position>,
    /// Up to this offset it was sent before, or may have been.
    pub(crate) sent: u64,
    /// What is acknowledged, where that is known.
    acked: Option<Position>,
}

/// How far a subscription is.
pub(super) struct Consuming {
    pub(super) name: Arc<str>,
    /// `None` until it is answered.
    at: Option<Far>,
}

struct Far {
    acked: Position,
    sent: u64,
}

// === impl Consumers ===

impl Consumers {
    pub(crate) fn find(&self, name: &str) -> Option<Consumed> {
        self.0.get(name).map(|(far, _)| far.clone())
    }

    pub(crate) fn keep(&mut self, name: &Arc<str>, far: Consumed, now: u64) {
        if self.0.len() >= MOST && !self.0.contains_key(name) {
            let oldest = self.0.iter().min_by_key(|(_, (_, heard))| *heard);
            if let Some(oldest) = oldest.map(|(name, _)| Arc::clone(name)) {
                self.0.remove(&oldest);
            }
        }
        self.0.insert(Arc::clone(name), (far, now));
    }

    pub(crate) fn forget_old(&mut self, now: u64, age_ms: u64) {
        self.0.retain(|_, (far, heard)| far.sent.is_none() || now.saturating_sub(*heard) <= age_ms);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

// === impl Resumption ===

impl Resumption {
    /// After a place, or from now on.
    pub(crate) fn after(since: Option<Position>) -> Self {
        Self { since, ..Self::default() }
    }

    /// Where a consumer goes on that does not say so itself. One of whom nothing is known may have been forgotten: it is
    /// told that something may be lost, which a place that never was does.
    pub(crate) fn with(mut self, known: Option<Consumed>) -> Self {
        let acked = known.as_ref().map(|far| far.acked.clone());
        if self.since.is_none() {
            self.sent = known.map_or(0, |far| far.sent.unwrap_or(u64::MAX));
            let never = || Position { epoch: "".into(), offset: 0 };
            self.since = Some(acked.clone().unwrap_or_else(never));
        }
        self.acked = acked;
        self
    }

    /// What stays acknowledged when it goes on from a place: what it has got may still be to be worked off.
    pub(super) fn acked(&self, from: &Position) -> Position {
        let known = self.acked.as_ref();
        let known = known.filter(|one| one.epoch == from.epoch && one.offset < from.offset);
        known.unwrap_or(from).clone()
    }

    /// The place from which it goes on, with what is kept.
    pub(super) fn place<'p>(&'p self, history: &'p History) -> &'p Position {
        self.since.as_ref().filter(|_| is_whole(history)).unwrap_or(&history.newest)
    }
}

/// Whether a history has everything up to the newest.
pub(super) fn is_whole(history: &History) -> bool {
    let last = history.items.last().map_or(history.newest.offset, |last| last.position.offset);
    history.complete && last == history.newest.offset
}

// === impl Consuming ===

impl Consuming {
    /// Notes what leaves.
    pub(super) fn sent(&mut self, given: &Given) {
        let Some(far) = &mut self.at else { return };
        match given {
            Given::Frames(_, count) => far.sent += count,
            Given::Dropped(_, place) => {
                // Nothing of an epoch that is over can be acknowledged or sent again: the subscriber is told.
                if far.acked.epoch != place.epoch {
                    far.acked = place.clone();
                }
                far.sent = place.offset;
            }
        }
    }
}

// === impl Sitting ===

impl Sitting {
    /// As whom a subscriber acknowledges, where it does: a name of its own within its subject.
    pub(super) fn consuming(
        &self,
        namespace: &Namespace,
        name: Option<&str>,
    ) -> Result<Option<Consuming>, Refused> {
        if !namespace.is_acknowledged() {
            return match name {
                None => Ok(None),
                Some(_) => Err(not_acknowledged()),
            };
        }
        let name = name.unwrap_or_default();
        if name.len() > NAME || name.chars().any(char::is_control) {
            let sentence = format!("a consumer has {NAME} bytes at most and no control characters");
            return Err(Refused::new(&VALIDATION_ERROR, sentence));
        }
        let Some(claims) = self.seat.claims() else {
            return Err(Refused::new(&AUTHENTICATION_FAILED, "the channel needs a token"));
        };
        // Neither a tenant nor a subject can be written so that it reaches into another's names.
        let owner = (claims.tenant.as_deref(), &*claims.subject, name);
        let name = serde_json::to_string(&owner).unwrap_or_default();
        Ok(Some(Consuming { name: name.into(), at: None }))
    }

    /// A subscription goes on from a place, and is sent everything up to the newest.
    pub(super) fn begin_to_consume(&mut self, slot: u32, acked: Position, newest: &Position) {
        let Some(one) = self.subscriptions.get_mut(slot as usize) else { return };
        let Some(consuming) = &mut one.consuming else { return };
        // A broker was told before it answered.
        if self.hub.broker(&one.channel.namespace).is_none() {
            let far = Consumed { acked: acked.clone(), sent: None };
            one.channel.keep_consumed(&consuming.name, far);
        }
        consuming.at = Some(Far { acked, sent: newest.offset });
    }

    /// A subscription has ended: what it was sent is known now.
    pub(super) fn stop_consuming(&self, subscription: &Subscription) {
        if let Some(Consuming { name, at: Some(far) }) = &subscription.consuming {
            let far = Consumed { acked: far.acked.clone(), sent: Some(far.sent) };
            self.hub.keep_consumed(&subscription.channel, name, far);
        }
    }

    /// Everything up to an offset was taken.
    pub(super) fn hear_ack(
        &mut self,
        socket: &mut Socket,
        frame: &ClientFrame<'_>,
    ) -> Result<(), Refused> {
        let wrong = |sentence: String| Err(Refused::new(&VALIDATION_ERROR, sentence));
        let offset = frame.offset.ok_or_else(|| missing("offset"))?;
        let slot = self.channels.get(&*frame.channel).copied();
        let one = slot.and_then(|slot| self.subscriptions.get_mut(slot as usize));
        let one = one.ok_or_else(not_subscribed)?;
        let consuming = one.consuming.as_mut().ok_or_else(not_acknowledged)?;
        let far = consuming.at.as_mut().ok_or_else(|| {
            let sentence = "the subscription has not been answered yet";
            Refused { retry_after: Some(1), ..Refused::new(&SERVICE_UNAVAILABLE, sentence) }
        })?;
        if frame.epoch.as_ref().is_some_and(|epoch| *epoch != far.acked.epoch) {
            return wrong(format!("the channel's epoch is {:?}", &*far.acked.epoch));
        }
        if offset > far.sent {
            return wrong(format!("nothing beyond offset {} was sent", far.sent));
        }
        let further = offset > far.acked.offset;
        far.acked.offset = far.acked.offset.max(offset);
        let place = far.acked.clone();
        if further {
            let far = Consumed { acked: place.clone(), sent: None };
            self.hub.keep_consumed(&one.channel, &consuming.name, far);
        }
        if frame.id.is_some() {
            self.acknowledge(socket, frame.id, &frame.channel, Some(&place));
        }
        Ok(())
    }
}

/// The refusal of what only a subscriber may ask.
pub(super) fn not_subscribed() -> Refused {
    Refused::new(&NOT_FOUND, "the socket is not subscribed to the channel")
}

fn not_acknowledged() -> Refused {
    Refused::new(&VALIDATION_ERROR, "messages of the channel are not acknowledged")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn far(offset: u64, sent: Option<u64>) -> Consumed {
        Consumed { acked: Position { epoch: "e".into(), offset }, sent }
    }

    #[test]
    fn a_consumer_goes_on_after_what_it_acknowledged_and_an_unknown_one_is_told() {
        let known = Resumption::default().with(Some(far(3, Some(5))));
        let died = Resumption::default().with(Some(far(3, None)));
        let unknown = Resumption::default().with(None);

        assert_eq!((known.since.unwrap().offset, known.sent), (3, 5));
        assert_eq!(died.sent, u64::MAX, "whatever it was sent");
        assert_eq!(&*unknown.since.unwrap().epoch, "");
    }

    #[test]
    fn a_place_that_is_given_acknowledges_nothing() {
        let place = |offset| Position { epoch: "e".into(), offset };
        let ahead = Resumption::after(Some(place(7))).with(Some(far(3, Some(9))));
        let behind = Resumption::after(Some(place(2))).with(Some(far(3, Some(9))));

        assert_eq!((ahead.since.clone(), ahead.sent), (Some(place(7)), 0));
        assert_eq!(ahead.acked(&place(7)), place(3));
        assert_eq!(behind.acked(&place(2)), place(2), "asked for again, so not taken");
        assert_eq!(ahead.acked(&Position { epoch: "f".into(), offset: 1 }).offset, 1);
    }

    #[test]
    fn those_that_are_gone_for_long_are_forgotten_and_never_too_many_are_known() {
        let mut consumers = Consumers::default();
        consumers.keep(&"gone".into(), far(1, Some(1)), 0);
        consumers.keep(&"there".into(), far(1, None), 0);
        consumers.forget_old(101, 100);

        assert!(consumers.find("gone").is_none() && consumers.find("there").is_some());

        for number in 0..=MOST {
            consumers.keep(&number.to_string().into(), far(1, Some(1)), 1 + number as u64);
        }
        assert_eq!(consumers.0.len(), MOST);
        assert!(consumers.find("0").is_none() && consumers.find("1").is_some());
    }
}
