//! What this replica wants of the shared side, and what it has of it: channels, members, what is still to be told. The
//! session makes the two agree, now or after a reconnect; nothing here grows while the server is away.

use std::collections::VecDeque;
use std::sync::Arc;

use ahash::{AHashMap, AHashSet};
use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::hub::broker::{Member, Position};

/// Revocations and disconnections that wait for the server at most.
const OUTGOING: usize = 10_000;

/// Channels of which it is remembered at most that messages were delivered here alone.
const ALONE_CHANNELS_MAX: usize = 100_000;

/// One channel, as long as something is wanted or there.
#[derive(Default)]
#[expect(clippy::struct_excessive_bools, reason = "each is true or not whatever the others are")]
struct Channel {
    wanted: bool,
    /// Whether events flow: the server has confirmed, and the place from which they follow is known.
    live: bool,
    /// The last that was delivered.
    last: Option<Position>,
    /// Whether it was subscribed to while nothing could be heard: what was published since may be lost.
    unheard: bool,
    members: AHashMap<Arc<str>, Member>,
    /// What the server was not told yet: `Some` came, `None` went.
    changes: AHashMap<Arc<str>, Option<Member>>,
    /// Whether the server has to be told all members at once.
    reconcile: bool,
    /// Whether others were seen there, so that somebody has to notice when their replica dies.
    peopled: bool,
}

#[derive(Default)]
struct Inner {
    channels: AHashMap<Arc<str>, Channel>,
    dirty: AHashSet<Arc<str>>,
    /// Whether a session keeps the two sides equal; without one changes are not gathered, for the next tells all.
    connected: bool,
    /// Whether a session has ended, or could not be opened, since the last one was open.
    lost: bool,
    outgoing: VecDeque<Outgoing>,
    /// How many messages were delivered here alone, which the others are to learn.
    alone: AHashMap<Arc<str>, u64>,
}

/// Something that every replica is to be told.
#[derive(Clone)]
pub(super) struct Outgoing {
    /// What is published.
    pub(super) published: Arc<[u8]>,
    /// What is kept for replicas that are away or start later, and until when, seconds since 1970.
    pub(super) kept: Option<(Arc<[u8]>, u64)>,
}

/// What the session has to do for a channel.
pub(super) struct Work {
    pub(super) channel: Arc<str>,
    pub(super) subscribe: bool,
    pub(super) unsubscribe: bool,
    /// All members, where the server has to be told all.
    pub(super) reconcile: Option<Vec<Member>>,
    pub(super) changes: Vec<(Arc<str>, Option<Member>)>,
}

/// Shared by callers and the session.
#[derive(Default)]
pub(super) struct State {
    inner: Mutex<Inner>,
    /// There is work.
    pub(super) work: Notify,
    /// A channel has become live, or the session has ended.
    pub(super) progress: Notify,
}

impl State {
    pub(super) fn want(&self, channel: &Arc<str>, wanted: bool) {
        let mut inner = self.inner.lock();
        if !wanted && !inner.channels.contains_key(channel) {
            return;
        }
        let (connected, lost) = (inner.connected, inner.lost);
        let entry = inner.channels.entry(Arc::clone(channel)).or_default();
        entry.unheard = wanted && (entry.unheard || !entry.wanted && lost);
        entry.wanted = wanted;
        if !wanted {
            entry.peopled = false;
            if !connected && entry.members.is_empty() {
                inner.channels.remove(channel);
                return;
            }
        }
        self.soil(&mut inner, channel);
    }

    pub(super) fn join(&self, channel: &Arc<str>, member: Member) {
        let mut inner = self.inner.lock();
        let connected = inner.connected;
        let entry = inner.channels.entry(Arc::clone(channel)).or_default();
        entry.members.insert(Arc::clone(&member.connection), member.clone());
        if connected {
            entry.changes.insert(Arc::clone(&member.connection), Some(member));
        }
        self.soil(&mut inner, channel);
    }

    pub(super) fn leave(&self, channel: &Arc<str>, connection: &str) {
        let mut inner = self.inner.lock();
        let connected = inner.connected;
        let Some(entry) = inner.channels.get_mut(channel) else { return };
        let Some((name, _)) = entry.members.remove_entry(connection) else { return };
        if connected {
            entry.changes.insert(name, None);
        } else if !entry.wanted && entry.members.is_empty() {
            inner.channels.remove(channel);
            return;
        }
        self.soil(&mut inner, channel);
    }

    fn soil(&self, inner: &mut Inner, channel: &Arc<str>) {
        if inner.connected {
            inner.dirty.insert(Arc::clone(channel));
            self.work.notify_one();
        }
    }

    /// Puts something into the queue of what is told to all; whether there was room.
    pub(super) fn tell(&self, outgoing: Outgoing) -> bool {
        let mut inner = self.inner.lock();
        if inner.outgoing.len() >= OUTGOING {
            return false;
        }
        inner.outgoing.push_back(outgoing);
        self.work.notify_one();
        true
    }

    /// What is to be told to all, at most so many; they stay until [`State::told`].
    pub(super) fn outgoing(&self, limit: usize) -> Vec<Outgoing> {
        self.inner.lock().outgoing.iter().take(limit).cloned().collect()
    }

    pub(super) fn told(&self, count: usize) {
        let mut inner = self.inner.lock();
        let count = count.min(inner.outgoing.len());
        inner.outgoing.drain(..count);
    }

    /// A message was delivered here and nowhere else; whether that is remembered.
    pub(super) fn add_alone(&self, channel: &Arc<str>) -> bool {
        let mut inner = self.inner.lock();
        if inner.alone.len() >= ALONE_CHANNELS_MAX && !inner.alone.contains_key(channel) {
            return false;
        }
        *inner.alone.entry(Arc::clone(channel)).or_default() += 1;
        self.work.notify_one();
        true
    }

    /// Some channels with messages that were delivered here alone; they stay until [`State::reported`].
    pub(super) fn alone(&self, limit: usize) -> Vec<(Arc<str>, u64)> {
        let inner = self.inner.lock();
        let some = inner.alone.iter().take(limit);
        some.map(|(channel, count)| (Arc::clone(channel), *count)).collect()
    }

    /// The others know of so many.
    pub(super) fn reported(&self, channel: &Arc<str>, count: u64) {
        let mut inner = self.inner.lock();
        if let Some(left) = inner.alone.get_mut(channel) {
            *left = left.saturating_sub(count);
            if *left == 0 {
                inner.alone.remove(channel);
            }
        }
    }

    /// Whether a channel was subscribed to while nothing could be heard; forgotten with the answer.
    pub(super) fn take_unheard(&self, channel: &str) -> bool {
        let mut inner = self.inner.lock();
        inner.channels.get_mut(channel).is_some_and(|entry| std::mem::take(&mut entry.unheard))
    }

    /// A session begins: everything is to be told to the server. What was last delivered stays known.
    pub(super) fn connect(&self) {
        let mut inner = self.inner.lock();
        let Inner { channels, dirty, connected, lost, .. } = &mut *inner;
        *connected = true;
        *lost = false;
        channels.retain(|_, entry| entry.wanted || !entry.members.is_empty());
        dirty.clear();
        for (channel, entry) in channels {
            entry.live = false;
            entry.changes.clear();
            entry.reconcile = !entry.members.is_empty();
            dirty.insert(Arc::clone(channel));
        }
        self.work.notify_one();
    }

    /// A session has ended.
    pub(super) fn disconnect(&self) {
        let mut inner = self.inner.lock();
        inner.connected = false;
        inner.lost = true;
        inner.dirty.clear();
        for entry in inner.channels.values_mut() {
            entry.live = false;
            entry.changes.clear();
        }
        self.progress.notify_waiters();
    }

    /// Takes work for at most so many channels.
    pub(super) fn take_work(&self, limit: usize) -> Vec<Work> {
        let mut inner = self.inner.lock();
        let names: Vec<_> = inner.dirty.iter().take(limit).cloned().collect();
        names.into_iter().filter_map(|channel| inner.take(channel)).collect()
    }

    /// Events of a channel flow now.
    pub(super) fn set_live(&self, channel: &Arc<str>) {
        if let Some(entry) = self.inner.lock().channels.get_mut(channel) {
            entry.live = true;
        }
        self.progress.notify_waiters();
    }

    /// Whether a channel is wanted and its events do not flow yet.
    pub(super) fn is_pending(&self, channel: &str) -> bool {
        self.inner.lock().channels.get(channel).is_some_and(|entry| entry.wanted && !entry.live)
    }

    /// The channel of this name, if it is wanted, and the last that was delivered.
    pub(super) fn last(&self, channel: &str) -> Option<(Arc<str>, Option<Position>)> {
        let inner = self.inner.lock();
        let (name, entry) = inner.channels.get_key_value(channel)?;
        entry.wanted.then(|| (Arc::clone(name), entry.last.clone()))
    }

    /// Changes what was last delivered of a wanted channel.
    pub(super) fn follow<T>(
        &self,
        channel: &str,
        change: impl FnOnce(&mut Option<Position>) -> T,
    ) -> Option<T> {
        let mut inner = self.inner.lock();
        let entry = inner.channels.get_mut(channel).filter(|entry| entry.wanted)?;
        Some(change(&mut entry.last))
    }

    /// Others were seen in a channel.
    pub(super) fn set_peopled(&self, channel: &str) {
        if let Some(entry) = self.inner.lock().channels.get_mut(channel) {
            entry.peopled = true;
        }
    }

    /// Channels whose presence this replica watches, and whether it has members there.
    pub(super) fn watched(&self) -> Vec<(Arc<str>, bool)> {
        let inner = self.inner.lock();
        let watched = inner
            .channels
            .iter()
            .filter(|(_, entry)| !entry.members.is_empty() || (entry.wanted && entry.peopled));
        watched.map(|(channel, entry)| (Arc::clone(channel), !entry.members.is_empty())).collect()
    }

    /// Channels that are wanted and live.
    pub(super) fn live(&self) -> Vec<Arc<str>> {
        let inner = self.inner.lock();
        let live = inner.channels.iter().filter(|(_, entry)| entry.wanted && entry.live);
        live.map(|(channel, _)| Arc::clone(channel)).collect()
    }

    /// The server has to be told all members of a channel again.
    pub(super) fn reconcile(&self, channel: &Arc<str>) {
        let mut inner = self.inner.lock();
        if let Some(entry) = inner.channels.get_mut(channel) {
            entry.reconcile = true;
            self.soil(&mut inner, channel);
        }
    }
}

impl Inner {
    fn take(&mut self, channel: Arc<str>) -> Option<Work> {
        self.dirty.remove(&channel);
        let entry = self.channels.get_mut(&channel)?;
        let reconcile = std::mem::take(&mut entry.reconcile);
        let changes = std::mem::take(&mut entry.changes);
        let unsubscribe = !entry.wanted && entry.live;
        if unsubscribe {
            entry.live = false;
            entry.last = None;
        }
        let work = Work {
            subscribe: entry.wanted && !entry.live,
            unsubscribe,
            reconcile: reconcile.then(|| entry.members.values().cloned().collect()),
            changes: if reconcile { Vec::new() } else { changes.into_iter().collect() },
            channel,
        };
        if !entry.wanted && entry.members.is_empty() {
            self.channels.remove(&work.channel);
        }
        Some(work)
    }
}
