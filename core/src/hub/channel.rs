//! A channel: its numbering, what it keeps, who is in it, and the feeds that its messages leave by.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, Waker};

use ahash::AHashMap;
use bytes::BytesMut;
use parking_lot::Mutex;

use super::broker::{Consumed, Draft, History, Member, Position, Publication};
use super::consumers::Consumers;
use super::feed::{Feed, Given};
use super::policy::Namespace;
use super::rounds::{PORTION, Rounds};
use super::seat::{Note, Seat};
use super::wire::{ServerFrame, Wire};
use crate::clock;

/// Milliseconds that a channel nobody uses is remembered at least, so that its numbering goes on.
const REMEMBERED: u64 = 60_000;
/// What a message that is kept takes beside its data.
const OVERHEAD: usize = 200;

/// One channel.
pub struct Channel {
    pub(crate) name: Arc<str>,
    pub(crate) namespace: Arc<Namespace>,
    rounds: Arc<Rounds>,
    state: Mutex<State>,
}

struct State {
    newest: Position,
    /// Whether the numbering is this replica's own.
    alone: bool,
    history: VecDeque<Publication>,
    history_bytes: usize,
    feeds: Vec<Feed>,
    members: AHashMap<Arc<str>, Member>,
    consumers: Consumers,
    /// Whether it was taken out of the registry: who holds it looks for another.
    gone: bool,
    /// Whether somebody goes on with a round.
    in_round: bool,
    /// How many places rounds have passed, ever.
    passed: u64,
    /// Who waits until they are past a place.
    waiting: Vec<(u64, Waker)>,
    /// When it was last of use, milliseconds since 1970.
    used: u64,
}

/// A subscription's place in its channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Key {
    wire: Wire,
    place: usize,
}

/// Who subscribes, and how.
pub(crate) struct Subscribing<'s> {
    pub(crate) seat: &'s Arc<Seat>,
    /// In the seat's own list.
    pub(crate) slot: u32,
    pub(crate) wire: Wire,
    pub(crate) presence: bool,
    /// Whether it waits for what it has missed.
    pub(crate) held: bool,
}

/// A subscriber that is in.
pub(crate) struct Entered {
    pub(crate) key: Key,
    /// The channel's newest place: what follows it comes by the feed.
    pub(crate) newest: Position,
    /// What came since the place that was named; `None` where none was, or some of it is lost.
    pub(crate) missed: Option<Vec<Publication>>,
}

/// The channel was taken out of the registry meanwhile.
pub(crate) struct Gone;

// === impl Channel ===

impl Channel {
    pub(crate) fn new(name: Arc<str>, namespace: Arc<Namespace>, rounds: Arc<Rounds>) -> Self {
        Self {
            name,
            namespace,
            rounds,
            state: Mutex::new(State {
                newest: Position { epoch: new_epoch(), offset: 0 },
                alone: true,
                history: VecDeque::new(),
                history_bytes: 0,
                feeds: Vec::new(),
                members: AHashMap::new(),
                consumers: Consumers::default(),
                gone: false,
                in_round: false,
                passed: 0,
                waiting: Vec::new(),
                used: clock::now_millis(),
            }),
        }
    }

    /// Gives a publication its place, keeps it, and writes it for all subscribers; who calls wakes them afterwards.
    pub(crate) fn publish(&self, draft: Draft, total: &Kept) -> Result<Position, Gone> {
        let mut state = self.state.lock();
        if state.gone {
            return Err(Gone);
        }
        if !state.alone {
            // A place that the shared side has not given out must not look like one that it has.
            self.number_alone(&mut state, total);
        }
        state.newest.offset += 1;
        let position = state.newest.clone();
        let publication =
            Publication { position: position.clone(), timestamp_ms: clock::now_millis(), draft };
        state.write(&self.name, &publication);
        self.namespace.counters.published.fetch_add(1, Ordering::Relaxed);
        if self.namespace.keep.messages > 0 {
            self.keep(&mut state, publication, total);
        }
        Ok(position)
    }

    /// Writes what came from the shared side.
    pub(crate) fn deliver(&self, publication: &Publication) {
        let mut state = self.state.lock();
        state.alone = false;
        state.newest = publication.position.clone();
        state.write(&self.name, publication);
    }

    /// Begins a numbering of its own, as while the shared side is away; what was kept is of another, and what others
    /// publish meanwhile is lost here, which subscribers are told.
    pub(crate) fn begin_anew(&self, total: &Kept) {
        self.number_alone(&mut self.state.lock(), total);
    }

    fn number_alone(&self, state: &mut State, total: &Kept) {
        state.alone = true;
        state.newest = Position { epoch: new_epoch(), offset: 0 };
        total.give_back(state.history_bytes);
        state.history_bytes = 0;
        state.history.clear();
        let State { feeds, newest, .. } = state;
        for feed in feeds {
            feed.miss(&self.name, 0, newest);
        }
    }

    fn keep(&self, state: &mut State, publication: Publication, total: &Kept) {
        let keep = self.namespace.keep;
        let size = publication.draft.data.len() + OVERHEAD;
        let now = publication.timestamp_ms;
        state.history.push_back(publication);
        state.history_bytes += size;
        total.take(size);
        while state.history.len() > keep.messages as usize || total.is_over() {
            if !state.forget_oldest(total) {
                break;
            }
        }
        state.forget_old(now, keep.age_ms, total);
    }

    /// Puts a subscriber in, and looks for what came since a place.
    pub(crate) fn subscribe(
        &self,
        who: &Subscribing<'_>,
        since: Option<&Position>,
        total: &Kept,
    ) -> Result<Entered, Gone> {
        let mut state = self.state.lock();
        if state.gone {
            return Err(Gone);
        }
        state.forget_old(clock::now_millis(), self.namespace.keep.age_ms, total);
        let missed = since.and_then(|since| state.since(since));
        let newest = state.newest.clone();
        let namespace = &self.namespace;
        let feed = state.feed(who.wire, namespace);
        let place = feed.add(who.seat, who.slot, who.presence, who.held);
        namespace.counters.subscriptions.fetch_add(1, Ordering::Relaxed);
        Ok(Entered { key: Key { wire: who.wire, place }, newest, missed })
    }

    /// Lets a held subscriber have what comes after a place.
    pub(crate) fn release(&self, key: Key, after: Position) {
        if let Some(feed) = self.state.lock().find(key.wire) {
            feed.release(key.place, after);
        }
    }

    /// Takes a subscriber out; whether it was the last.
    pub(crate) fn unsubscribe(&self, key: Key) -> bool {
        let mut state = self.state.lock();
        if let Some(feed) = state.find(key.wire) {
            feed.remove(key.place);
            self.namespace.counters.subscriptions.fetch_sub(1, Ordering::Relaxed);
        }
        state.feeds.retain(|feed| !feed.is_empty());
        state.used = clock::now_millis();
        state.feeds.is_empty()
    }

    /// Gives a subscriber what it has not read; whether there is more.
    pub(crate) fn take(&self, key: Key, budget: usize, given: &mut Vec<Given>) -> bool {
        let more = match self.state.lock().find(key.wire) {
            Some(feed) => feed.take(key.place, budget, given),
            None => return false,
        };
        let counters = &self.namespace.counters;
        for one in given.iter() {
            match one {
                Given::Frames(_, count) => counters.delivered.fetch_add(*count, Ordering::Relaxed),
                Given::Dropped(count, _) => counters.dropped.fetch_add(*count, Ordering::Relaxed),
            };
        }
        more
    }

    /// Wakes all who do not know yet that there is something: the first now, the others in a round; where that is to
    /// end, if there is one.
    pub(crate) fn wake(self: &Arc<Self>) -> Option<u64> {
        let mut state = self.state.lock();
        state.feeds.iter_mut().for_each(Feed::begin_round);
        let most = if self.rounds.is_running() { PORTION } else { usize::MAX };
        if !state.in_round && state.go_on(most) {
            state.in_round = true;
            self.rounds.add(Arc::clone(self));
        }
        state.in_round.then(|| state.passed + state.left())
    }

    /// Goes on with a round; whether there is more of it.
    pub(crate) fn go_on(&self) -> bool {
        let mut state = self.state.lock();
        state.in_round = state.go_on(PORTION);
        let State { in_round, passed, waiting, .. } = &mut *state;
        waiting.retain(|(end, waker)| {
            let waits = *in_round && *passed < *end;
            if !waits {
                waker.wake_by_ref();
            }
            waits
        });
        *in_round
    }

    /// Whether rounds are past a place.
    pub(crate) fn has_passed(&self, end: u64) -> bool {
        self.state.lock().has_passed(end)
    }

    /// Waits until they are.
    pub(crate) fn poll_passed(&self, end: u64, context: &Context<'_>) -> Poll<()> {
        let mut state = self.state.lock();
        if state.has_passed(end) {
            return Poll::Ready(());
        }
        if !state.waiting.iter().any(|(_, known)| known.will_wake(context.waker())) {
            state.waiting.push((end, context.waker().clone()));
        }
        Poll::Pending
    }

    /// Tells all subscribers that messages are lost which never reached this replica.
    pub(crate) fn miss(&self, count: u64, position: &Position) {
        let mut state = self.state.lock();
        state.alone = false;
        state.newest = position.clone();
        self.namespace.counters.dropped.fetch_add(count, Ordering::Relaxed);
        for feed in &mut state.feeds {
            feed.miss(&self.name, count, position);
        }
    }

    /// Puts a member in; whether it was not there.
    pub(crate) fn join(&self, member: &Member) -> bool {
        let mut state = self.state.lock();
        state.members.insert(Arc::clone(&member.connection), member.clone()).is_none()
    }

    /// Takes a member out; whether it was there.
    pub(crate) fn leave(&self, connection: &str) -> Option<Member> {
        self.state.lock().members.remove(connection)
    }

    /// Tells those who watch that a member came or went.
    pub(crate) fn announce(&self, kind: &'static str, member: &Member) {
        let timestamp = clock::timestamp();
        let state = self.state.lock();
        for feed in &state.feeds {
            let mut watchers =
                feed.seats(true).filter(|seat| seat.name != member.connection).peekable();
            if watchers.peek().is_none() {
                continue;
            }
            let mut out = BytesMut::new();
            let frame = ServerFrame {
                kind,
                channel: Some(&self.name),
                member: Some(member),
                timestamp: Some(timestamp.clone()),
                ..ServerFrame::default()
            };
            feed.wire.put_frame(&mut out, frame);
            let frames = out.freeze();
            watchers.for_each(|seat| seat.note(Note::Frames(frames.clone())));
        }
    }

    /// How far a consumer is, if it is remembered here.
    pub(crate) fn consumed(&self, consumer: &str) -> Option<Consumed> {
        self.state.lock().consumers.find(consumer)
    }

    /// Remembers it.
    pub(crate) fn keep_consumed(&self, consumer: &Arc<str>, far: Consumed) {
        self.state.lock().consumers.keep(consumer, far, clock::now_millis());
    }

    /// The members of this replica.
    pub(crate) fn members(&self) -> Vec<Member> {
        let mut members: Vec<_> = self.state.lock().members.values().cloned().collect();
        members.sort_by(|a, b| a.connection.cmp(&b.connection));
        members
    }

    /// Up to `limit` messages after a place, or of all that is kept.
    pub(crate) fn history(&self, after: Option<&Position>, limit: u32, total: &Kept) -> History {
        let mut state = self.state.lock();
        state.forget_old(clock::now_millis(), self.namespace.keep.age_ms, total);
        let newest = state.newest.clone();
        let limit = limit as usize;
        let (mut items, complete) = match after {
            None => (state.history.iter().take(limit).cloned().collect(), true),
            Some(after) => match state.since(after) {
                Some(items) => (items, true),
                None => (state.history.iter().take(limit).cloned().collect(), false),
            },
        };
        items.truncate(limit);
        History { newest, items, complete }
    }

    /// The newest place, how many messages are kept, how many subscribers there are.
    pub(crate) fn figures(&self) -> (Position, usize, usize) {
        let state = self.state.lock();
        (state.newest.clone(), state.history.len(), state.feeds.iter().map(Feed::len).sum())
    }

    /// Whether anybody is subscribed.
    pub(crate) fn is_used(&self) -> bool {
        !self.state.lock().feeds.is_empty()
    }

    /// Marks the channel as gone if nobody uses it and nothing is kept; whether it is.
    pub(crate) fn retire(&self, now: u64, total: &Kept) -> bool {
        let mut state = self.state.lock();
        state.forget_old(now, self.namespace.keep.age_ms, total);
        // A consumer that is remembered keeps the numbering alive, as it counts by it.
        state.consumers.forget_old(now, self.namespace.keep.age_ms);
        let idle = state.feeds.is_empty()
            && state.members.is_empty()
            && state.consumers.is_empty()
            && state.history.is_empty()
            && now.saturating_sub(state.used) > REMEMBERED;
        state.gone |= idle;
        idle
    }
}

// === impl State ===

impl State {
    /// Goes on with the rounds of all feeds; whether there is more of them.
    fn go_on(&mut self, mut most: usize) -> bool {
        let before = self.left();
        for feed in &mut self.feeds {
            most = feed.go_on(most);
        }
        let left = self.left();
        self.passed += before - left;
        left > 0
    }

    /// How far the rounds have to go.
    fn left(&self) -> u64 {
        self.feeds.iter().map(|feed| feed.left() as u64).sum()
    }

    fn has_passed(&self, end: u64) -> bool {
        !self.in_round || self.passed >= end
    }

    fn write(&mut self, channel: &str, publication: &Publication) {
        self.used = publication.timestamp_ms;
        for feed in &mut self.feeds {
            feed.push(channel, publication);
        }
    }

    fn find(&mut self, wire: Wire) -> Option<&mut Feed> {
        self.feeds.iter_mut().find(|feed| feed.wire == wire)
    }

    fn feed(&mut self, wire: Wire, namespace: &Namespace) -> &mut Feed {
        let place = self.feeds.iter().position(|feed| feed.wire == wire).unwrap_or_else(|| {
            self.feeds.push(Feed::new(wire, namespace));
            self.feeds.len() - 1
        });
        &mut self.feeds[place]
    }

    /// What came since a place; `None` where some of it is lost.
    fn since(&self, place: &Position) -> Option<Vec<Publication>> {
        if place.epoch != self.newest.epoch || place.offset > self.newest.offset {
            return None;
        }
        let missed = (self.newest.offset - place.offset) as usize;
        let kept = self.history.len();
        (missed <= kept).then(|| self.history.range(kept - missed..).cloned().collect())
    }

    fn forget_old(&mut self, now: u64, age_ms: u64, total: &Kept) {
        while self
            .history
            .front()
            .is_some_and(|oldest| now.saturating_sub(oldest.timestamp_ms) > age_ms)
        {
            self.forget_oldest(total);
        }
    }

    fn forget_oldest(&mut self, total: &Kept) -> bool {
        let Some(oldest) = self.history.pop_front() else { return false };
        let size = oldest.draft.data.len() + OVERHEAD;
        self.history_bytes -= size;
        total.give_back(size);
        true
    }
}

/// Bytes of all histories together.
pub(crate) struct Kept {
    bytes: AtomicU64,
    most: u64,
}

impl Kept {
    pub(crate) fn new(most: u64) -> Self {
        Self { bytes: AtomicU64::new(0), most }
    }

    fn take(&self, size: usize) {
        self.bytes.fetch_add(size as u64, Ordering::Relaxed);
    }

    fn give_back(&self, size: usize) {
        self.bytes.fetch_sub(size as u64, Ordering::Relaxed);
    }

    fn is_over(&self) -> bool {
        self.bytes.load(Ordering::Relaxed) > self.most
    }
}

fn new_epoch() -> Arc<str> {
    format!("{:012x}", fastrand::u64(..) >> 16).into()
}

#[cfg(test)]
#[path = "channel_tests.rs"]
mod tests;
