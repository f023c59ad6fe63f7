//! A sitting: what the task of a socket holds. It takes what its subscriptions have, hears what its client says, and
//! looks at the clock when it is told to.

use std::collections::VecDeque;
use std::future::Future as _;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use ahash::AHashMap;
use slab::Slab;

use super::answers::raw;
use super::feed::Given;
use super::registry::Place;
use super::seat::{Inbox, Note, Order, Seat};
use super::socket::{Demands, Origin};
use super::subscriptions::Subscription;
use super::wire::Wire;
use super::{Hub, Touched};
use crate::gateway::Gateway;
use crate::websocket::{Closed, Message, Socket};

/// Bytes that are taken of subscriptions before they are written.
const BUDGET: usize = 256 << 10;
/// Bytes; with more waiting to leave, nothing further is heard of the client.
const FULL: usize = 512 << 10;
/// Messages heard before others get their turn: those who are published to, above all.
const TURN: u32 = 256;

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
    /// Whose token was good and yet refused, for the log.
    pub(crate) denied: Option<Arc<str>>,
    /// Answers of the broker that are waited for.
    pub(crate) asked: Arc<()>,
    pub(super) place: Place,
    pub(super) channels: AHashMap<Arc<str>, u32>,
    pub(super) subscriptions: Slab<Subscription>,
    pub(super) generation: u32,
    pub(super) inbox: Inbox,
    pub(super) ready: VecDeque<u32>,
    pub(super) given: Vec<Given>,
    pub(super) heard: u64,
    pub(super) pinged: u64,
    pub(super) warned: bool,
    /// Until when the token must come, and what it must be good for.
    pub(super) awaited: Option<(u64, Arc<Demands>)>,
    /// Asked for with the handshake, to be had once it is known who it is.
    pub(super) first: Option<Arc<str>>,
    pub(super) strikes: u32,
    pub(super) struck: u64,
    pub(super) spent: u32,
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
            denied: None,
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
                self.touched.wake();
                if self.touched.poll_through(context).is_pending() {
                    // What it is sent itself leaves meanwhile.
                    return match socket.poll_flush_all(context) {
                        Poll::Ready(Err(closed)) => Poll::Ready(Turn::Ended(closed)),
                        _ => Poll::Pending,
                    };
                }
                self.spent = 0;
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
                    self.touched.wake();
                    if self.touched.is_through() {
                        self.spent = 0;
                    }
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

    fn read(&mut self, socket: &mut Socket, note: Note) {
        match note {
            Note::Frames(frames) => socket.queue(frames),
            Note::Published { id, channel, outcome } => {
                let id = raw(id.as_deref());
                match outcome {
                    Ok(_) if id.is_none() => {}
                    Ok(place) => self.acknowledge(socket, id.as_deref(), &channel, Some(&place)),
                    Err(refused) => {
                        self.refuse(socket, id.as_deref(), Some(&channel), &refused);
                    }
                }
            }
            Note::Recovered { slot, generation, from, outcome } => {
                self.recover(socket, (slot, generation), &from, outcome);
            }
            Note::Told { id, channel, told } => self.tell(socket, id.as_deref(), &channel, told),
        }
    }
}

impl Drop for Sitting {
    fn drop(&mut self) {
        self.leave_all();
        self.hub.seats.remove(&self.seat.name);
    }
}
