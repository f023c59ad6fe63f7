//! The broker: what replicas share of the hub. A channel's numbering, its history, who is in it, and revocations.
//!
//! A hub gives its publications to a broker and delivers nothing by itself: what it delivers comes back as an
//! [`Event`], its own publications included, in the order of offsets. So every replica sees one order, whichever
//! replica published.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::identity::{Realm, Revocation};

/// What an asynchronous method of a broker returns.
pub type BoxFuture<T> = Pin<Box<dyn Future<Output = T> + Send + 'static>>;

/// A place in a channel's numbering.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Position {
    /// One life of the numbering; offsets of another are worth nothing.
    pub epoch: Arc<str>,
    /// Counts from 1; 0 is the place before the first.
    pub offset: u64,
}

/// What somebody wants published.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Draft {
    /// A JSON value, complete and valid.
    pub data: Bytes,
    /// What a conflating channel keeps the newest of.
    pub key: Option<Arc<str>>,
    /// The subject that published.
    pub publisher: Option<Arc<str>>,
    /// W3C trace context of the publication.
    pub traceparent: Option<Arc<str>>,
}

/// What was published, with its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Publication {
    /// Its place in the channel.
    pub position: Position,
    /// Milliseconds since 1970, by the clock that all replicas share.
    pub timestamp_ms: u64,
    /// As in [`Draft`].
    pub draft: Draft,
}

/// A connection that is in a channel.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Member {
    /// Names the socket, in all replicas.
    pub connection: Arc<str>,
    /// Whose it is.
    pub subject: Arc<str>,
}

/// How much of a channel is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Keep {
    /// Newest messages; 0 keeps none.
    pub messages: u32,
    /// Milliseconds that a message is kept at most.
    pub age_ms: u64,
}

/// What is kept after a position.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct History {
    /// The channel's newest place: events follow from here.
    pub newest: Position,
    /// Oldest first, at most as many as were asked for: the oldest of those that are kept after the position.
    pub items: Vec<Publication>,
    /// Whether nothing is lost between the position asked for and the first item, and between items. Fewer items than
    /// up to `newest` because of the limit leave it true.
    pub complete: bool,
}

/// How far a consumer is, which acknowledges what it was sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Consumed {
    /// It has acknowledged everything up to here.
    pub acked: Position,
    /// The newest offset that was sent to it; `None` while it is connected, and after its replica died.
    pub sent: Option<u64>,
}

/// Sockets that an operator closes, in whichever replica they are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Disconnect {
    /// Whose sockets.
    #[serde(default, skip_serializing_if = "Realm::is_everyone")]
    pub realm: Realm,
    /// Every socket of this subject.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<Arc<str>>,
    /// The socket of this name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connection: Option<Arc<str>>,
    /// Close code.
    pub code: u16,
    /// Close reason.
    pub reason: Arc<str>,
}

/// What reaches this replica from the shared side.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A message, this replica's own included; within a channel in the order of offsets, each once.
    Publication {
        /// Where.
        channel: Arc<str>,
        /// What.
        publication: Publication,
    },
    /// Messages that this replica should have had are lost: subscribers are to be told (`dropped`).
    Missed {
        /// Where.
        channel: Arc<str>,
        /// How many; `None` where the numbering itself was lost, so that nobody can count them.
        count: Option<u64>,
        /// What follows comes after this place.
        position: Position,
    },
    /// Somebody is in the channel who was not.
    Join {
        /// Where.
        channel: Arc<str>,
        /// Who.
        member: Member,
    },
    /// Somebody is no longer in the channel: gone, or its replica died.
    Leave {
        /// Where.
        channel: Arc<str>,
        /// Who.
        member: Member,
    },
    /// Tokens are revoked, by this replica or another. The same may come more than once.
    Revoked(Revocation),
    /// Sockets are to be closed.
    Disconnect(Disconnect),
    /// The shared side cannot be reached: serve locally, under epochs of this replica's own.
    Away,
    /// It is reachable again: subscriptions and members are in place, channels have the shared epochs.
    Back,
}

/// Why a broker did not do what it was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BrokerError {
    /// The shared side cannot be reached; nothing was done. Serve locally where [`Event::Away`] was told.
    Away,
    /// No answer came in time, or the connection broke: a publication may have been published, or not.
    Unknown,
    /// Too much waits already; nothing was done.
    Busy,
    /// The shared side refused; nothing was done. A sentence without secrets.
    Refused(Arc<str>),
}

impl fmt::Display for BrokerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Away => f.write_str("the broker cannot be reached"),
            Self::Unknown => f.write_str("the broker did not answer in time"),
            Self::Busy => f.write_str("too much waits for the broker"),
            Self::Refused(why) => write!(f, "the broker refused: {why}"),
        }
    }
}

impl std::error::Error for BrokerError {}

/// What replicas share. Methods return at once; what takes time is a future with a deadline of its own.
pub trait Broker: Send + Sync + 'static {
    /// Publishes to everybody, this replica included: it arrives as an [`Event`], so the caller does not deliver it.
    fn publish(
        &self,
        channel: &Arc<str>,
        draft: Draft,
        keep: Keep,
    ) -> BoxFuture<Result<Position, BrokerError>>;

    /// This replica wants the channel's events. A [`Broker::history`] that is asked for afterwards is read when they
    /// flow, so that no message is between the two.
    fn subscribe(&self, channel: &Arc<str>);

    /// This replica no longer wants them.
    fn unsubscribe(&self, channel: &Arc<str>);

    /// A message was delivered here alone, because the shared side did not take it: subscribers of other replicas are
    /// to learn of it once that is reachable, as a hole in the numbering.
    fn published_alone(&self, channel: &Arc<str>);

    /// Up to `limit` messages after a position, or of all that is kept; with 0 only the newest place.
    fn history(
        &self,
        channel: &Arc<str>,
        after: Option<Position>,
        limit: u32,
    ) -> BoxFuture<Result<History, BrokerError>>;

    /// Puts a connection of this replica into a channel; the event follows where it is new.
    fn join(&self, channel: &Arc<str>, member: Member);

    /// Takes it out; the event follows.
    fn leave(&self, channel: &Arc<str>, connection: &str);

    /// Who is in a channel, in all replicas.
    fn presence(&self, channel: &Arc<str>) -> BoxFuture<Result<Vec<Member>, BrokerError>>;

    /// How far a consumer is, if it is remembered.
    fn consumed(
        &self,
        channel: &Arc<str>,
        consumer: &Arc<str>,
    ) -> BoxFuture<Result<Option<Consumed>, BrokerError>>;

    /// Remembers that, until nothing is heard of any consumer of the channel for `age_ms`.
    fn keep_consumed(
        &self,
        channel: &Arc<str>,
        consumer: &Arc<str>,
        far: &Consumed,
        age_ms: u64,
    ) -> BoxFuture<Result<(), BrokerError>>;

    /// Tells every replica, also those that start later or are away now.
    fn revoke(&self, revocation: Revocation);

    /// Tells every replica that is there.
    fn disconnect(&self, disconnect: Disconnect);
}
