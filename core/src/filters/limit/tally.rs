//! What a limit did: how many it let pass and refused, and whom it refused most.

use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;
use serde::Serialize;

use crate::telemetry::metrics::top::{Caller, Top};

/// Callers remembered of each limit, and listed of them.
const REMEMBERED: usize = 64;
const LISTED: usize = 10;

/// The counters of a limit; limits with the same name and rule count together.
pub struct Tally {
    /// The policy's name.
    pub name: Box<str>,
    /// The policy in words.
    pub rule: Box<str>,
    passed: AtomicU64,
    refused: AtomicU64,
    callers: Mutex<Top>,
}

/// The counters as they are written.
#[derive(Serialize)]
pub struct Tallied<'t> {
    /// The policy's name.
    pub name: &'t str,
    /// The policy in words.
    pub rule: &'t str,
    /// Requests that passed.
    pub passed: u64,
    /// Requests that were refused.
    pub refused: u64,
    /// Who was refused most.
    pub top: Vec<Caller>,
}

impl Tally {
    /// Counters at zero.
    pub fn new(name: &str, rule: &str) -> Self {
        Self {
            name: name.into(),
            rule: rule.into(),
            passed: AtomicU64::new(0),
            refused: AtomicU64::new(0),
            callers: Mutex::new(Top::new(REMEMBERED)),
        }
    }

    /// Counts a request that passed.
    pub fn pass(&self) {
        self.passed.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a request that was refused.
    #[cold]
    pub fn refuse(&self, tenant: Option<&str>, subject: &str) {
        self.refused.fetch_add(1, Ordering::Relaxed);
        self.callers.lock().count(tenant, subject);
    }

    /// The counters as they stand.
    pub fn read(&self) -> Tallied<'_> {
        Tallied {
            name: &self.name,
            rule: &self.rule,
            passed: self.passed.load(Ordering::Relaxed),
            refused: self.refused.load(Ordering::Relaxed),
            top: self.callers.lock().list(LISTED),
        }
    }
}
