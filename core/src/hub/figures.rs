//! What the hub counts: by namespace, never by channel, for there may be any number of those.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use serde::Serialize;

use super::policy::Namespace;
use crate::reject::KINDS;

/// The counters of one namespace.
#[derive(Default)]
pub struct Counters {
    /// Messages that were given a place.
    pub published: AtomicU64,
    /// Messages handed to sockets and streams.
    pub delivered: AtomicU64,
    /// Messages that a slow subscriber did not get.
    pub dropped: AtomicU64,
    /// Subscriptions now.
    pub subscriptions: AtomicI64,
}

/// The counters of a hub.
pub struct Figures {
    namespaces: Vec<Arc<Namespace>>,
    /// Sockets open now.
    pub sockets: AtomicI64,
    /// Streams of events open now.
    pub streams: AtomicI64,
    /// Channels in use.
    pub channels: AtomicI64,
    /// Frames that came from clients.
    pub frames: AtomicU64,
    /// Frames refused, by the place of the kind.
    refused: Vec<AtomicU64>,
    /// Whether the replicas' broker is away.
    pub away: AtomicI64,
}

#[derive(Serialize)]
struct Line<'f> {
    namespace: &'f str,
    published: u64,
    delivered: u64,
    dropped: u64,
    subscriptions: i64,
}

/// The counters as the summary has them.
#[derive(Serialize)]
pub struct Told<'f> {
    sockets: i64,
    streams: i64,
    channels: i64,
    subscriptions: i64,
    frames: u64,
    published: u64,
    delivered: u64,
    dropped: u64,
    refused: std::collections::BTreeMap<&'static str, u64>,
    broker_away: bool,
    namespaces: Vec<Line<'f>>,
}

// === impl Figures ===

impl Figures {
    /// Counters at zero.
    pub fn new(namespaces: &[Arc<Namespace>]) -> Self {
        Self {
            namespaces: namespaces.to_vec(),
            sockets: AtomicI64::new(0),
            streams: AtomicI64::new(0),
            channels: AtomicI64::new(0),
            frames: AtomicU64::new(0),
            refused: KINDS.iter().map(|_| AtomicU64::new(0)).collect(),
            away: AtomicI64::new(0),
        }
    }

    /// Counts a refused frame by its code.
    pub fn refuse(&self, code: &str) {
        if let Some(place) = KINDS.iter().position(|kind| kind.code == code) {
            self.refused[place].fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Frames refused, by code.
    pub fn refused(&self) -> impl Iterator<Item = (&'static str, u64)> + '_ {
        KINDS.iter().zip(&self.refused).filter_map(|(kind, count)| {
            let count = count.load(Ordering::Relaxed);
            (count > 0).then_some((kind.code, count))
        })
    }

    /// Each namespace with its counters.
    pub fn namespaces(&self) -> impl Iterator<Item = (&str, &Counters)> {
        self.namespaces.iter().map(|namespace| (&*namespace.name, &namespace.counters))
    }

    /// The counters for the summary.
    pub fn tell(&self) -> Told<'_> {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let namespaces: Vec<Line<'_>> = self
            .namespaces()
            .map(|(namespace, counters)| Line {
                namespace,
                published: read(&counters.published),
                delivered: read(&counters.delivered),
                dropped: read(&counters.dropped),
                subscriptions: counters.subscriptions.load(Ordering::Relaxed),
            })
            .collect();
        Told {
            sockets: self.sockets.load(Ordering::Relaxed),
            streams: self.streams.load(Ordering::Relaxed),
            channels: self.channels.load(Ordering::Relaxed),
            subscriptions: namespaces.iter().map(|line| line.subscriptions).sum(),
            frames: read(&self.frames),
            published: namespaces.iter().map(|line| line.published).sum(),
            delivered: namespaces.iter().map(|line| line.delivered).sum(),
            dropped: namespaces.iter().map(|line| line.dropped).sum(),
            refused: self.refused().collect(),
            broker_away: self.away.load(Ordering::Relaxed) != 0,
            namespaces,
        }
    }
}
