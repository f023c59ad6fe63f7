//! A seat: what everybody else knows of a socket or stream. Through it others say that a subscription has something,
//! hand answers over, or order it to end; its task is woken once for any number of these.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Waker};

use bytes::Bytes;
use parking_lot::Mutex;

use super::broker::{BrokerError, Disconnect, History, Member, Position};
use super::consumers::Resumption;
use super::policy::Refused;
use crate::identity::{Claims, Revocation, Revocations};

/// Bytes that may wait in a seat for its task.
const WAITING: usize = 1 << 20;
/// The close code of a socket whose token was revoked.
pub(super) const REVOKED: u16 = 4002;

/// What is known of a socket or stream.
pub(crate) struct Seat {
    /// Names it in all replicas.
    pub(crate) name: Arc<str>,
    /// Who connected.
    pub(crate) peer: IpAddr,
    claims: Mutex<Option<Arc<Claims>>>,
    inbox: Mutex<Inbox>,
    /// When the task wants to be woken next, milliseconds of the hub's clock.
    due: AtomicU64,
}

/// What waits for the task.
#[derive(Default)]
pub(crate) struct Inbox {
    waker: Option<Waker>,
    /// Subscriptions that have something.
    pub(crate) ready: Vec<u32>,
    pub(crate) notes: Vec<Note>,
    bytes: usize,
    pub(crate) order: Option<Order>,
    /// Whether the time has come that it wanted to be woken at.
    pub(crate) due: bool,
}

/// What others have for it.
pub(crate) enum Note {
    /// Whole frames.
    Frames(Bytes),
    /// A publication has got its place, or not.
    Published { id: Option<Box<str>>, channel: Arc<str>, outcome: Result<Position, Refused> },
    /// What a subscription has missed is there.
    Recovered {
        slot: u32,
        generation: u32,
        from: Resumption,
        outcome: Result<History, BrokerError>,
    },
    /// What was asked for is there.
    Told { id: Option<Box<str>>, channel: Arc<str>, told: Told },
}

/// An answer of the broker.
pub(crate) enum Told {
    History(Result<History, Refused>),
    Presence(Result<Vec<Member>, Refused>),
}

/// How it is to end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Order {
    pub(crate) code: u16,
    pub(crate) reason: Arc<str>,
}

// === impl Seat ===

impl Seat {
    pub(crate) fn new(peer: IpAddr, claims: Option<Arc<Claims>>) -> Arc<Self> {
        Arc::new(Self {
            name: format!("{:016x}", fastrand::u64(..)).into(),
            peer,
            claims: Mutex::new(claims),
            inbox: Mutex::default(),
            due: AtomicU64::new(u64::MAX),
        })
    }

    /// Who it is.
    pub(crate) fn claims(&self) -> Option<Arc<Claims>> {
        self.claims.lock().clone()
    }

    pub(crate) fn identify(&self, claims: Arc<Claims>) {
        *self.claims.lock() = Some(claims);
    }

    /// Says that a subscription has something.
    pub(crate) fn ready(&self, slot: u32) {
        self.change(|inbox| inbox.ready.push(slot));
    }

    /// Hands something over.
    pub(crate) fn note(&self, note: Note) {
        self.change(|inbox| {
            if let Note::Frames(frames) = &note {
                inbox.bytes += frames.len();
                if inbox.bytes > WAITING {
                    let reason = Arc::from("too slow: too much waits");
                    inbox.order.get_or_insert(Order { code: 4008, reason });
                    return;
                }
            }
            inbox.notes.push(note);
        });
    }

    /// Orders it to end; the first order counts.
    pub(crate) fn close(&self, code: u16, reason: &str) {
        self.change(|inbox| {
            inbox.order.get_or_insert_with(|| Order { code, reason: reason.into() });
        });
    }

    /// When the task wants to be woken, whatever comes.
    pub(crate) fn wake_at(&self, due: u64) {
        self.due.store(due, Ordering::Relaxed);
    }

    /// Wakes it if its time has come.
    pub(crate) fn tick(&self, now: u64) {
        if self.due.load(Ordering::Relaxed) <= now {
            self.due.store(u64::MAX, Ordering::Relaxed);
            self.change(|inbox| inbox.due = true);
        }
    }

    /// Whether a revocation concerns it; closes it then.
    pub(crate) fn revoke(&self, revocation: &Revocation, by: &Revocations) {
        if self.claims.lock().as_ref().is_some_and(|claims| by.concerns(revocation, claims)) {
            self.close(REVOKED, "the token has been revoked");
        }
    }

    /// Closes it if it is meant; whether it is.
    pub(crate) fn disconnect(&self, disconnect: &Disconnect) -> bool {
        let claims = self.claims.lock().clone();
        let tenant = claims.as_ref().and_then(|claims| claims.tenant.as_deref());
        let named = disconnect.connection.as_ref().is_some_and(|name| *name == self.name);
        let owned = disconnect.subject.as_ref().is_some_and(|subject| {
            claims.as_ref().is_some_and(|claims| claims.subject == *subject)
        });
        let meant = (named || owned) && disconnect.realm.has(tenant);
        if meant {
            self.close(disconnect.code, &disconnect.reason);
        }
        meant
    }

    /// Takes what waits, and has the task of `context` woken by what comes.
    pub(crate) fn open(&self, context: &Context<'_>, into: &mut Inbox) {
        let mut inbox = self.inbox.lock();
        if !inbox.waker.as_ref().is_some_and(|known| known.will_wake(context.waker())) {
            inbox.waker = Some(context.waker().clone());
        }
        into.ready.append(&mut inbox.ready);
        into.notes.append(&mut inbox.notes);
        into.due |= std::mem::take(&mut inbox.due);
        inbox.bytes = 0;
        if into.order.is_none() {
            into.order = inbox.order.take();
        }
    }

    fn change(&self, change: impl FnOnce(&mut Inbox)) {
        let waker = {
            let mut inbox = self.inbox.lock();
            change(&mut inbox);
            inbox.waker.take()
        };
        // Without one the task is awake, or was woken: it looks again before it sleeps.
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}
