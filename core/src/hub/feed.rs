//! A feed: the messages of a channel in one wire form, on their way to the subscribers that are written to in it.
//!
//! A message is written once, behind those before it, and what came between two readings is cut off as a piece that all
//! subscribers share: each holds a place in the row of pieces, and one write of the system takes a whole piece. A piece
//! goes when everybody has it. Who lags behind by more than the namespace's queue loses what is oldest; in a conflating
//! feed it is the newest message of each key that is kept instead.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use ahash::AHashMap;
use bytes::{Bytes, BytesMut};
use slab::Slab;

use super::broker::{Position, Publication};
use super::policy::Namespace;
use super::seat::{Note, Seat};
use super::wire::{ServerFrame, Wire};
use crate::plan::Overflow;

/// Bytes and messages of one piece, about: it is what a slow subscriber loses at a time.
const PIECE_BYTES: usize = 64 << 10;
const PIECE_MESSAGES: usize = 512;
/// Room that an open piece is given.
const ROOM: usize = 1 << 10;

/// Messages in one form.
pub(crate) struct Feed {
    pub(crate) wire: Wire,
    overflow: Overflow,
    queue: usize,
    queue_bytes: usize,
    subscribers: Slab<Subscriber>,
    /// Keys that were ever given out.
    keys_given: usize,
    /// The key that a round goes on with, and how many keys it has still to pass.
    cursor: usize,
    left: usize,
    /// Counts messages; the number of the next.
    next: u64,
    // What is not cut off yet.
    open: BytesMut,
    marks: Vec<Mark>,
    epoch: Arc<str>,
    // Pieces; `base` is the number of the first.
    pieces: VecDeque<Piece>,
    base: u64,
    bytes: usize,
    messages: usize,
    // The newest of each key, where the channel conflates.
    latest: BTreeMap<u64, Latest>,
    keys: AHashMap<Arc<str>, u64>,
}

/// Where a message ends in its piece, and its offset.
#[derive(Clone, Copy)]
struct Mark {
    end: u32,
    offset: u64,
}

struct Piece {
    /// The number of its first message.
    first: u64,
    epoch: Arc<str>,
    frames: Bytes,
    marks: Box<[Mark]>,
    /// Subscribers that have not read it.
    unread: usize,
}

struct Latest {
    position: Position,
    frame: Bytes,
    key: Arc<str>,
}

struct Subscriber {
    seat: Arc<Seat>,
    /// The subscription's place in the seat's own list.
    slot: u32,
    /// The piece that it reads next.
    piece: u64,
    /// The message that it reads next.
    message: u64,
    /// Whether the seat knows that there is something.
    told: bool,
    /// Nothing is told before it is released.
    held: bool,
    /// What is not after this place has reached it another way.
    after: Option<Position>,
    /// Whether it wants to know who comes and goes.
    presence: bool,
}

/// What a subscriber is given.
pub(crate) enum Given {
    /// Whole frames, and how many messages they are.
    Frames(Bytes, u64),
    /// So many messages were lost before the place after this one.
    Dropped(u64, Position),
}

// === impl Feed ===

impl Feed {
    pub(crate) fn new(wire: Wire, namespace: &Namespace) -> Self {
        Self {
            wire,
            overflow: namespace.overflow,
            queue: namespace.queue,
            queue_bytes: namespace.queue_bytes,
            subscribers: Slab::new(),
            keys_given: 0,
            cursor: 0,
            left: 0,
            next: 0,
            open: BytesMut::new(),
            marks: Vec::new(),
            epoch: Arc::from(""),
            pieces: VecDeque::new(),
            base: 0,
            bytes: 0,
            messages: 0,
            latest: BTreeMap::new(),
            keys: AHashMap::new(),
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.subscribers.is_empty()
    }

    pub(crate) fn len(&self) -> usize {
        self.subscribers.len()
    }

    /// Puts a subscriber behind what is there; its key.
    pub(crate) fn add(&mut self, seat: &Arc<Seat>, slot: u32, presence: bool, held: bool) -> usize {
        self.cut();
        let key = self.subscribers.insert(Subscriber {
            seat: Arc::clone(seat),
            slot,
            piece: self.base + self.pieces.len() as u64,
            message: self.next,
            told: false,
            held,
            after: None,
            presence,
        });
        self.keys_given = self.keys_given.max(key + 1);
        key
    }

    /// Lets a held subscriber have what comes after a place.
    pub(crate) fn release(&mut self, key: usize, after: Position) {
        if let Some(subscriber) = self.subscribers.get_mut(key) {
            subscriber.held = false;
            subscriber.after = Some(after);
        }
        self.tell(key);
    }

    /// Takes a subscriber out.
    pub(crate) fn remove(&mut self, key: usize) {
        self.cut();
        let Some(subscriber) = self.subscribers.try_remove(key) else { return };
        for number in subscriber.piece.max(self.base)..self.base + self.pieces.len() as u64 {
            self.pieces[(number - self.base) as usize].unread -= 1;
        }
        self.forget_read();
        if self.subscribers.is_empty() {
            self.latest.clear();
            self.keys.clear();
            self.bytes = 0;
        }
    }

    /// Writes a message for everybody.
    pub(crate) fn push(&mut self, channel: &str, publication: &Publication) {
        if self.subscribers.is_empty() {
            return;
        }
        if self.overflow == Overflow::Conflate {
            return self.replace(channel, publication);
        }
        let position = &publication.position;
        if self.epoch != position.epoch {
            self.cut();
            self.epoch = Arc::clone(&position.epoch);
        }
        if self.open.capacity() == 0 {
            self.open.reserve(ROOM);
        }
        self.wire.put_message(&mut self.open, channel, publication);
        self.marks.push(Mark { end: self.open.len() as u32, offset: position.offset });
        self.next += 1;
        if self.open.len() >= PIECE_BYTES || self.marks.len() >= PIECE_MESSAGES.min(self.queue) {
            self.cut();
        }
    }

    /// Says that messages before a place never came.
    pub(crate) fn miss(&mut self, channel: &str, count: u64, position: &Position) {
        if self.subscribers.is_empty() {
            return;
        }
        let frame = ServerFrame {
            kind: "dropped",
            channel: Some(channel),
            count: Some(count),
            epoch: Some(&position.epoch),
            offset: Some(position.offset),
            ..ServerFrame::default()
        };
        if self.overflow == Overflow::Conflate {
            let mut out = BytesMut::new();
            self.wire.put_frame(&mut out, frame);
            let frames = out.freeze();
            let all = self.subscribers.iter();
            return all.for_each(|(_, one)| one.seat.note(Note::Frames(frames.clone())));
        }
        self.cut();
        self.epoch = Arc::clone(&position.epoch);
        self.wire.put_frame(&mut self.open, frame);
        self.marks.push(Mark { end: self.open.len() as u32, offset: position.offset });
        self.next += 1;
    }

    fn replace(&mut self, channel: &str, publication: &Publication) {
        let key = publication.draft.key.clone().unwrap_or_else(|| Arc::from(""));
        let mut frame = BytesMut::new();
        self.wire.put_message(&mut frame, channel, publication);
        if let Some(before) = self.keys.insert(Arc::clone(&key), self.next)
            && let Some(before) = self.latest.remove(&before)
        {
            self.bytes -= before.frame.len();
        }
        let position = publication.position.clone();
        self.bytes += frame.len();
        self.latest.insert(self.next, Latest { position, frame: frame.freeze(), key });
        self.next += 1;
        let over = |feed: &Self| feed.latest.len() > feed.queue || feed.bytes > feed.queue_bytes;
        while self.latest.len() > 1 && over(self) {
            let Some((_, oldest)) = self.latest.pop_first() else { break };
            self.bytes -= oldest.frame.len();
            self.keys.remove(&oldest.key);
        }
    }

    /// Cuts off what was written since the last time, for all to read.
    fn cut(&mut self) {
        if self.marks.is_empty() {
            return;
        }
        let marks = std::mem::take(&mut self.marks).into_boxed_slice();
        let frames = self.open.split().freeze();
        self.open = BytesMut::new();
        self.messages += marks.len();
        self.bytes += frames.len();
        self.pieces.push_back(Piece {
            first: self.next - marks.len() as u64,
            epoch: Arc::clone(&self.epoch),
            frames,
            marks,
            unread: self.subscribers.len(),
        });
        while self.pieces.len() > 1 && (self.messages > self.queue || self.bytes > self.queue_bytes)
        {
            self.overrun();
        }
    }

    /// Drops the oldest piece though not everybody has it.
    fn overrun(&mut self) {
        let Some(piece) = self.pieces.pop_front() else { return };
        self.messages -= piece.marks.len();
        self.bytes -= piece.frames.len();
        self.base += 1;
        if self.overflow == Overflow::Disconnect && piece.unread > 0 {
            for (_, subscriber) in &self.subscribers {
                if subscriber.piece < self.base {
                    subscriber.seat.close(4008, "too slow: the queue is full");
                }
            }
        }
    }

    fn forget_read(&mut self) {
        while self.pieces.front().is_some_and(|piece| piece.unread == 0) {
            if let Some(piece) = self.pieces.pop_front() {
                self.messages -= piece.marks.len();
                self.bytes -= piece.frames.len();
                self.base += 1;
            }
        }
    }

    /// Begins a round: all who do not know it are to be told that there is something, from where the last one is.
    pub(crate) fn begin_round(&mut self) {
        self.left = self.keys_given;
    }

    /// Goes on with the round and tells so many at most; how many more it could have told.
    pub(crate) fn go_on(&mut self, mut most: usize) -> usize {
        while self.left > 0 && most > 0 {
            if self.cursor >= self.keys_given {
                self.cursor = 0;
            }
            most -= usize::from(self.tell(self.cursor));
            self.cursor += 1;
            self.left -= 1;
        }
        most
    }

    /// How many places the round has still to pass.
    pub(crate) fn left(&self) -> usize {
        self.left
    }

    /// Tells one that there is something, if it does not know; whether it was told.
    fn tell(&mut self, key: usize) -> bool {
        if let Some(subscriber) = self.subscribers.get_mut(key)
            && !subscriber.told
            && !subscriber.held
        {
            subscriber.told = true;
            subscriber.seat.ready(subscriber.slot);
            return true;
        }
        false
    }

    /// All subscribers, or those who want to know who comes and goes.
    pub(crate) fn seats(&self, watchers: bool) -> impl Iterator<Item = &Arc<Seat>> {
        let all = self.subscribers.iter().map(|(_, one)| one);
        all.filter(move |one| one.presence || !watchers).map(|one| &one.seat)
    }

    /// Gives a subscriber what it has not read, about `budget` bytes at most; whether there is more.
    pub(crate) fn take(&mut self, key: usize, budget: usize, given: &mut Vec<Given>) -> bool {
        self.cut();
        let Some(subscriber) = self.subscribers.get_mut(key) else { return false };
        if subscriber.held {
            return false;
        }
        if self.overflow == Overflow::Conflate {
            subscriber.told = false;
            let from = std::mem::replace(&mut subscriber.message, self.next);
            let after = subscriber.after.take();
            give_latest(&self.latest, from, after.as_ref(), given);
            return false;
        }
        if subscriber.piece < self.base {
            let first = self.pieces.front().map_or(self.next, |piece| piece.first);
            let lost = first - subscriber.message;
            subscriber.piece = self.base;
            subscriber.message = first;
            if let Some(piece) = self.pieces.front()
                && lost > 0
            {
                given.push(Given::Dropped(lost, piece.before()));
            }
        }
        let end = self.base + self.pieces.len() as u64;
        let mut bytes = 0;
        let mut all_read = false;
        while subscriber.piece < end && bytes < budget {
            let Some(piece) = self.pieces.get_mut((subscriber.piece - self.base) as usize) else {
                break;
            };
            piece.unread -= 1;
            all_read |= piece.unread == 0;
            subscriber.piece += 1;
            subscriber.message = piece.first + piece.marks.len() as u64;
            if let Some((frames, count)) = piece.after(&mut subscriber.after) {
                bytes += frames.len();
                given.push(Given::Frames(frames, count));
            }
        }
        let more = subscriber.piece < end;
        subscriber.told = more;
        if all_read {
            self.forget_read();
        }
        more
    }
}

/// The newest of each key from a message on; what lies between is told as dropped, hole by hole.
fn give_latest(
    latest: &BTreeMap<u64, Latest>,
    mut expected: u64,
    after: Option<&Position>,
    given: &mut Vec<Given>,
) {
    for (number, one) in latest.range(expected..) {
        let seen = |place: &Position| {
            place.epoch == one.position.epoch && one.position.offset <= place.offset
        };
        if after.is_some_and(seen) {
            expected = number + 1;
            continue;
        }
        if *number > expected {
            let epoch = Arc::clone(&one.position.epoch);
            let place = Position { epoch, offset: one.position.offset.saturating_sub(1) };
            given.push(Given::Dropped(number - expected, place));
        }
        given.push(Given::Frames(one.frame.clone(), 1));
        expected = number + 1;
    }
}

// === impl Piece ===

impl Piece {
    /// The place before its first message.
    fn before(&self) -> Position {
        let first = self.marks.first().map_or(1, |mark| mark.offset);
        Position { epoch: Arc::clone(&self.epoch), offset: first.saturating_sub(1) }
    }

    /// What of it comes after a place, which is forgotten once it is passed.
    fn after(&self, place: &mut Option<Position>) -> Option<(Bytes, u64)> {
        let whole = || Some((self.frames.clone(), self.marks.len() as u64));
        let Some(position) = place else { return whole() };
        if position.epoch != self.epoch {
            // Pieces of an epoch that is over may still lie before those of the place's.
            return whole();
        }
        let seen = self.marks.partition_point(|mark| mark.offset <= position.offset);
        if seen == self.marks.len() {
            return None;
        }
        *place = None;
        let start = seen.checked_sub(1).map_or(0, |last| self.marks[last].end as usize);
        Some((self.frames.slice(start..), (self.marks.len() - seen) as u64))
    }
}

#[cfg(test)]
#[path = "feed_tests.rs"]
mod tests;
