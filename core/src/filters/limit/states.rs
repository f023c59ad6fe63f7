//! The limiter's memory: one number per caller, bounded whatever callers there are.
//!
//! `governor` decides; this stores, in shards, for each key the time at which its allowance is full
//! again (GCRA's theoretical arrival time). A state whose time has passed is the same as none, so
//! at the bound such states are dropped first. Where there is none, the fullest of a small random
//! sample goes: its caller gains least by being forgotten, and an attacker with many addresses
//! mostly evicts their own.

use std::cell::Cell;
use std::collections::HashMap;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use ahash::RandomState;
use governor::nanos::Nanos;
use governor::state::StateStore;
use parking_lot::Mutex;

/// Callers that one limit remembers; they take about 9 MB then.
pub(super) const CAPACITY: usize = 100_000;
const SHARDS: usize = 16;
const SAMPLE: usize = 8;

/// A key, and where the store leaves what `governor` does not tell: the times of the decision, in
/// nanoseconds since the limiter began.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Probe {
    key: u128,
    now: Cell<u64>,
    full: Cell<u64>,
}

/// The states of one limit; clones share them.
#[derive(Clone)]
pub(super) struct States {
    interval: u64,
    hasher: RandomState,
    shards: Arc<[Mutex<Shard>]>,
}

struct Shard {
    capacity: usize,
    /// Nanoseconds within which every state expires.
    lifetime: u64,
    /// Before this time a search for expired states is not repeated.
    next_sweep: u64,
    states: Vec<State>,
    places: HashMap<u128, usize, RandomState>,
}

struct State {
    key: u128,
    full: u64,
}

// === impl Probe ===

impl Probe {
    pub(super) fn new(key: u128) -> Self {
        Self { key, now: Cell::new(0), full: Cell::new(0) }
    }

    /// When the decision was made, and when the allowance is full again.
    pub(super) fn times(&self) -> (u64, u64) {
        (self.now.get(), self.full.get())
    }
}

impl Hash for Probe {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        self.key.hash(hasher);
    }
}

// === impl States ===

impl States {
    /// An empty store for a rate of one per `interval` nanoseconds, of which `lifetime` refill the
    /// whole allowance.
    pub(super) fn new(interval: u64, lifetime: u64, capacity: usize) -> Self {
        let capacity = (capacity / SHARDS).max(1);
        let shards = (0..SHARDS).map(|_| Mutex::new(Shard::new(capacity, lifetime))).collect();
        Self { interval, hasher: RandomState::new(), shards }
    }

    /// Drops every state.
    pub(super) fn clear(&self) {
        for shard in &*self.shards {
            let mut shard = shard.lock();
            *shard = Shard::new(shard.capacity, shard.lifetime);
        }
    }

    #[cfg(test)]
    fn len(&self) -> usize {
        self.shards.iter().map(|shard| shard.lock().states.len()).sum()
    }
}

impl StateStore for States {
    type Key = Probe;

    fn measure_and_replace<T, F, E>(&self, probe: &Probe, decide: F) -> Result<T, E>
    where
        F: Fn(Option<Nanos>) -> Result<(T, Nanos), E>,
    {
        // `governor` does not tell a store the time, but a caller without a state is full again one
        // interval from now.
        let (outcome, first) = decide(None)?;
        let now = first.as_u64().saturating_sub(self.interval);
        probe.now.set(now);
        // Keyed randomly: a caller cannot choose addresses that crowd one shard.
        let shard = self.hasher.hash_one(probe.key) as usize % SHARDS;
        let mut shard = self.shards[shard].lock();
        let Some(state) = shard.find(probe.key) else {
            shard.insert(State { key: probe.key, full: first.as_u64() }, now);
            probe.full.set(first.as_u64());
            return Ok(outcome);
        };
        probe.full.set(state.full);
        let (outcome, full) = decide(Some(state.full.into()))?;
        state.full = full.as_u64();
        probe.full.set(state.full);
        Ok(outcome)
    }
}

// === impl Shard ===

impl Shard {
    fn new(capacity: usize, lifetime: u64) -> Self {
        let (states, places) = (Vec::new(), HashMap::default());
        Self { capacity, lifetime, next_sweep: 0, states, places }
    }

    fn find(&mut self, key: u128) -> Option<&mut State> {
        self.places.get(&key).and_then(|place| self.states.get_mut(*place))
    }

    fn insert(&mut self, state: State, now: u64) {
        if self.states.len() >= self.capacity {
            self.make_room(now);
        }
        self.places.insert(state.key, self.states.len());
        self.states.push(state);
    }

    fn make_room(&mut self, now: u64) {
        // A sweep looks at every state: under a flood of new callers it must not be repeated for
        // each.
        if now >= self.next_sweep {
            self.next_sweep = now.saturating_add(self.lifetime / 4);
            self.drop_expired(now);
        }
        if self.states.len() >= self.capacity {
            let sample = (0..SAMPLE).map(|_| fastrand::usize(..self.states.len()));
            if let Some(fullest) = sample.min_by_key(|place| self.states[*place].full) {
                self.remove(fullest);
            }
        }
    }

    fn drop_expired(&mut self, now: u64) {
        let mut place = 0;
        while let Some(state) = self.states.get(place) {
            if state.full <= now {
                self.remove(place);
            } else {
                place += 1;
            }
        }
    }

    /// Removes a state; the last one takes its place.
    fn remove(&mut self, place: usize) {
        let removed = self.states.swap_remove(place);
        self.places.remove(&removed.key);
        if let Some(moved) = self.states.get(place) {
            self.places.insert(moved.key, place);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const INTERVAL: u64 = 10;

    /// What GCRA with a burst of 100 decides at `now`.
    fn check(states: &States, key: u128, now: u64) -> bool {
        let decide = |full: Option<Nanos>| {
            let full = full.map_or(now, Nanos::as_u64);
            let passes = now >= full.saturating_sub(99 * INTERVAL);
            passes.then(|| ((), (full.max(now) + INTERVAL).into())).ok_or(())
        };
        states.measure_and_replace(&Probe::new(key), decide).is_ok()
    }

    fn consistent(states: &States) -> bool {
        states.shards.iter().all(|shard| {
            let shard = shard.lock();
            shard.places.len() == shard.states.len()
                && shard
                    .states
                    .iter()
                    .enumerate()
                    .all(|(place, state)| shard.places[&state.key] == place)
        })
    }

    #[test]
    fn the_store_never_holds_more_than_its_capacity() {
        let states = States::new(INTERVAL, 100 * INTERVAL, 320);

        for key in 0..10_000 {
            check(&states, key, 5);
            assert!(states.len() <= 320);
        }

        assert!(consistent(&states));
    }

    #[test]
    fn expired_states_go_before_those_in_use() {
        let states = States::new(INTERVAL, 100 * INTERVAL, 1600);
        for key in 0..400 {
            check(&states, key, 0);
        }
        for key in 400..420 {
            for _ in 0..50 {
                check(&states, key, 400);
            }
        }

        for key in 1000..1600 {
            check(&states, key, 401);
        }

        for key in 400..420 {
            let kept = states.shards.iter().any(|shard| shard.lock().places.contains_key(&key));
            assert!(kept, "{key}");
        }
        assert!(consistent(&states));
    }

    #[test]
    fn without_expired_states_those_with_most_allowance_left_go() {
        let states = States::new(INTERVAL, 100 * INTERVAL, 1600);
        let heavy = 0..16_u128;
        for key in heavy.clone() {
            for _ in 0..90 {
                check(&states, key, 0);
            }
        }

        for key in 1000..20_000 {
            check(&states, key, 0);
        }

        let kept = heavy
            .filter(|key| states.shards.iter().any(|shard| shard.lock().places.contains_key(key)))
            .count();
        assert_eq!(kept, 16);
    }
}
