//! The registries: channels by name, and sockets by their own, with how many each subject has.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use ahash::AHashMap;
use parking_lot::{Mutex, RwLock};

use super::channel::{Channel, Kept};
use super::figures::Figures;
use super::policy::{Namespace, Refused};
use super::rounds::Rounds;
use super::seat::Seat;
use crate::identity::Claims;
use crate::reject::{RATE_LIMIT_EXCEEDED, SERVICE_UNAVAILABLE};

/// The channels in use.
pub(crate) struct Channels {
    all: RwLock<AHashMap<Arc<str>, Arc<Channel>>>,
    most: usize,
    pub(crate) rounds: Arc<Rounds>,
}

/// The sockets and streams that are open.
pub(crate) struct Seats {
    all: Mutex<AHashMap<Arc<str>, Arc<Seat>>>,
    owned: Mutex<AHashMap<Owner, u32>>,
    most: u32,
}

#[derive(Clone, PartialEq, Eq, Hash)]
enum Owner {
    Subject(Option<Box<str>>, Arc<str>),
    Address(IpAddr),
}

/// Counts as one of a subject's sockets for as long as it lives.
pub(crate) struct Place {
    seats: Arc<Seats>,
    owner: Owner,
}

// === impl Channels ===

impl Channels {
    pub(crate) fn new(most: u32) -> Self {
        Self { all: RwLock::default(), most: most as usize, rounds: Arc::default() }
    }

    pub(crate) fn get(&self, name: &str) -> Option<Arc<Channel>> {
        self.all.read().get(name).cloned()
    }

    /// The channel of this name, made where it is not there.
    pub(crate) fn obtain(
        &self,
        name: &str,
        namespace: &Arc<Namespace>,
        figures: &Figures,
    ) -> Result<Arc<Channel>, Refused> {
        if let Some(channel) = self.get(name) {
            return Ok(channel);
        }
        let mut all = self.all.write();
        if let Some(channel) = all.get(name) {
            return Ok(Arc::clone(channel));
        }
        if all.len() >= self.most {
            return Err(Refused {
                retry_after: Some(60),
                ..Refused::new(&SERVICE_UNAVAILABLE, "there are too many channels already")
            });
        }
        let name: Arc<str> = name.into();
        let channel = Arc::new(Channel::new(
            Arc::clone(&name),
            Arc::clone(namespace),
            Arc::clone(&self.rounds),
        ));
        all.insert(name, Arc::clone(&channel));
        figures.channels.store(all.len() as i64, Ordering::Relaxed);
        Ok(channel)
    }

    /// Takes a channel out that has retired.
    pub(crate) fn forget(&self, gone: &Arc<Channel>) {
        let mut all = self.all.write();
        if all.get(&gone.name).is_some_and(|known| Arc::ptr_eq(known, gone)) {
            all.remove(&gone.name);
        }
    }

    /// Every channel.
    pub(crate) fn list(&self) -> Vec<Arc<Channel>> {
        self.all.read().values().cloned().collect()
    }

    /// Drops what nobody uses.
    pub(crate) fn sweep(&self, now: u64, kept: &Kept, figures: &Figures) {
        for channel in self.list() {
            if channel.retire(now, kept) {
                self.forget(&channel);
            }
        }
        figures.channels.store(self.all.read().len() as i64, Ordering::Relaxed);
    }
}

// === impl Seats ===

impl Seats {
    pub(crate) fn new(most: u32) -> Arc<Self> {
        Arc::new(Self { all: Mutex::default(), owned: Mutex::default(), most })
    }

    /// Counts one more of a caller's; refuses it beyond the bound.
    pub(crate) fn reserve(
        self: &Arc<Self>,
        claims: Option<&Claims>,
        peer: IpAddr,
    ) -> Result<Place, Refused> {
        let owner = match claims {
            Some(claims) => Owner::Subject(claims.tenant.clone(), Arc::clone(&claims.subject)),
            None => Owner::Address(peer),
        };
        let mut owned = self.owned.lock();
        let count = owned.entry(owner.clone()).or_insert(0);
        if *count >= self.most {
            let sentence = format!("there are {} sockets open already", self.most);
            return Err(Refused {
                retry_after: Some(10),
                ..Refused::new(&RATE_LIMIT_EXCEEDED, sentence)
            });
        }
        *count += 1;
        Ok(Place { seats: Arc::clone(self), owner })
    }

    pub(crate) fn add(&self, seat: &Arc<Seat>) {
        self.all.lock().insert(Arc::clone(&seat.name), Arc::clone(seat));
    }

    pub(crate) fn remove(&self, name: &str) {
        self.all.lock().remove(name);
    }

    /// Does something with each; how many it was done with.
    pub(crate) fn each(&self, mut act: impl FnMut(&Seat) -> bool) -> usize {
        self.all.lock().values().filter(|seat| act(seat)).count()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut owned = self.seats.owned.lock();
        if let Some(count) = owned.get_mut(&self.owner) {
            *count -= 1;
            if *count == 0 {
                owned.remove(&self.owner);
            }
        }
    }
}
